// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The DHCP client (RFC 2131, the states from INIT to BOUND): finds a server, takes the offer that
 * says what to boot, and leaves the interface configured. Nothing is renewed or released: the
 * loaded system starts its own client.
 */

import { ipv4Text, IPV4_BROADCAST, quoted } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import {
  isDhcpReply,
  optionNumber,
  optionText,
  parseDhcpMessage,
  putDhcpMessage,
} from './dhcp-message.ts';
import type { DhcpIdentity, DhcpMessage } from './dhcp-message.ts';
import { bootFileOf, LEASE_INFINITE, leaseOf, serverOf } from './lease.ts';
import type { Lease } from './lease.ts';
import { MTU_MIN } from './ipv4.ts';
import type { NetworkInterface, UdpHandler } from './network-interface.ts';
import { DhcpOption, DhcpType, Ipv4Header, Port, UdpHeader } from './protocol.ts';
import { HypxeError } from '../error.ts';
import type { ErrorName } from '../error.ts';
import { TICKS_PER_MS } from '../time.ts';

/**
 * Patience with the servers: the first try, doubled for each further one up to the longest; and
 * with all of it.
 */
export const DHCP_PATIENCE = {
  firstTimeoutMs: 1000,
  longestTimeoutMs: 16_000,
  totalMs: 60_000,
} as const;

/** How long a better offer is waited for, once there is one without a boot file. */
export const DHCP_OFFER_WAIT_MS = 1000;

/** REQUESTs without an answer after which the client looks for a server again. */
export const DHCP_REQUEST_TRIES = 4;

/** How often the client may begin anew, after a refusal or a silent server. */
export const DHCP_RESTARTS = 3;

/** Ticks in a second, for the field secs. */
const TICKS_PER_SECOND = 1000 * TICKS_PER_MS;

/** What can be asked for. All times in milliseconds. */
export interface DhcpOptions extends DhcpIdentity {
  readonly firstTimeoutMs?: number;
  readonly longestTimeoutMs?: number;
  readonly totalMs?: number;
  readonly offerWaitMs?: number;
  /** Wait for an offer with a boot file if the first has none. Default true. */
  readonly preferBootFile?: boolean;
}

/**
 * Get a lease and configure the interface with it. `random` gives u32s (transaction IDs).
 *
 * @throws HypxeError NoDhcpAnswer, DhcpRefused, DhcpServerSilent, BadLease, or a NetError.
 */
export function dhcp(
  net: NetworkInterface,
  random: () => number,
  options: DhcpOptions = {},
): Lease {
  const client = new DhcpClient(net, random, options);
  net.bind(Port.DHCP_CLIENT, client);
  try {
    return client.run();
  } finally {
    net.unbind(Port.DHCP_CLIENT);
  }
}

class DhcpClient implements UdpHandler {
  readonly #net: NetworkInterface;
  readonly #random: () => number;
  readonly #options: DhcpOptions & Readonly<Record<keyof typeof DHCP_PATIENCE, number>>;
  readonly #begin: number;
  readonly #deadline: number;
  #xid = 0;
  /** A REQUEST for the offer is out. */
  #requesting = false;
  #offer: Lease | undefined;
  /** When to stop waiting for a better offer, in ticks. */
  #offerUntil = 0;
  /** What the server says to the REQUEST: the lease, or why not. */
  #answer: Lease | string | undefined;
  #badLease = '';
  /** What was tried, for the error. */
  #discovers = 0;
  #requests = 0;

  constructor(net: NetworkInterface, random: () => number, options: DhcpOptions) {
    this.#net = net;
    this.#random = random;
    this.#options = { ...DHCP_PATIENCE, ...options };
    this.#begin = net.clock.now();
    this.#deadline = this.#begin + this.#options.totalMs * TICKS_PER_MS;
  }

  run(): Lease {
    const net = this.#net;
    for (let attempt = 0; attempt <= DHCP_RESTARTS; attempt++) {
      // One transaction: find an offer, ask for it
      this.#xid = this.#random() | 0;
      this.#requesting = false;
      this.#offer = this.#answer = undefined;
      if (!this.#retry(Infinity, () => this.#offer !== undefined)) break;
      this.#choose();
      this.#requesting = true;
      this.#retry(DHCP_REQUEST_TRIES, () => this.#answer !== undefined);
      const answer = this.#answer as Lease | string | undefined;
      if (typeof answer === 'object') return this.#configure(answer);
      const reason = answer === undefined ? 'silent' : `refused: ${quoted(answer)}`;
      net.log.warning('DHCP', net.name, `request ${reason}, starting again`);
      if (net.clock.now() >= this.#deadline) break;
    }
    throw this.#failure();
  }

  /** Send DISCOVERs or REQUESTs until there is what they ask for. Whether there is. */
  #retry(tries: number, done: () => boolean): boolean {
    return this.#net.retry({ ...this.#options, tries }, this.#deadline, () => this.#send(), done);
  }

  /** Wait for an offer that says what to boot. Any will do at the end. */
  #choose(): void {
    const { preferBootFile = true } = this.#options;
    const good = (): boolean => !preferBootFile || bootFileOf(this.#offer!) !== '';
    this.#net.wait(Math.min(this.#offerUntil, this.#deadline), good);
  }

  #send(): void {
    const net = this.#net;
    const offer = this.#requesting ? this.#offer : undefined;
    if (offer === undefined) this.#discovers++;
    else this.#requests++;
    const length = putDhcpMessage(net.payload, net.device.address, this.#options, {
      type: offer === undefined ? DhcpType.DISCOVER : DhcpType.REQUEST,
      xid: this.#xid,
      secs: Math.floor((net.clock.now() - this.#begin) / TICKS_PER_SECOND),
      maxLength: Math.max(MTU_MIN, net.deviceMtu - Ipv4Header.size - UdpHeader.size),
      requested: offer?.address ?? 0,
      server: offer?.server ?? 0,
    });
    const what = offer === undefined ? 'discover' : `request ${ipv4Text(offer.address)}`;
    net.log.debug('DHCP', net.name, what);
    net.sendUdp(Port.DHCP_CLIENT, IPV4_BROADCAST, Port.DHCP_SERVER, length);
  }

  /** The interface takes over what was granted. */
  #configure(lease: Lease): Lease {
    const net = this.#net;
    const { address, netmask, router, mtu, message } = lease;
    const mtuOption = optionNumber(message, DhcpOption.MTU);
    const seconds = optionNumber(message, DhcpOption.LEASE_TIME);
    Object.assign(net, { address, netmask, gateway: router, mtu });
    net.progress();
    if (mtuOption !== undefined && mtuOption !== mtu)
      net.log.info('DHCP', net.name, `MTU ${mtuOption} offered, ${mtu} used`);
    const way = router === 0 ? '' : ` gw ${ipv4Text(router)}`;
    const time = seconds === LEASE_INFINITE ? ', for ever' : seconds ? `, ${seconds} s` : '';
    const subnet = `${ipv4Text(address)}/${ipv4Text(netmask)}`;
    net.log.info('DHCP', net.name, `${subnet}${way} from ${ipv4Text(lease.server)}${time}`);
    return lease;
  }

  #failure(): HypxeError {
    const seconds = (this.#net.clock.now() - this.#begin) / TICKS_PER_SECOND;
    const [name, text]: [ErrorName, string] =
      this.#badLease !== ''
        ? ['BadLease', this.#badLease]
        : typeof this.#answer === 'string'
          ? ['DhcpRefused', quoted(this.#answer)]
          : this.#requests > 0
            ? ['DhcpServerSilent', 'no acknowledgement']
            : ['NoDhcpAnswer', 'no offer'];
    const tried = `${this.#discovers} discovers, ${this.#requests} requests`;
    return new HypxeError(name, `${text} (${tried} in ${seconds.toFixed(1)} s)`);
  }

  // --- what the servers send ---

  /** A message to our port, from whomever. */
  datagram(
    buffer: Uint8Array,
    offset: number,
    length: number,
    source: Ipv4Address,
    sourcePort: number,
  ): void {
    const { device, log, name } = this.#net;
    if (sourcePort !== Port.DHCP_SERVER || this.#answer !== undefined) return;
    if (!isDhcpReply(buffer, offset, length, this.#xid, device.address)) return;
    const message = parseDhcpMessage(buffer, offset, length);
    const reason = typeof message === 'string' ? message : this.#take(message, source);
    if (reason !== undefined)
      log.warning('DHCP', name, `message of ${ipv4Text(source)} ignored: ${reason}`);
  }

  /** Nobody at the broadcast address can be unreachable. */
  unreachable(): void {}

  /** Take an offer or an answer. Returns why it is of no use, if so. */
  #take(message: DhcpMessage, source: Ipv4Address): string | undefined {
    const { type, yiaddr } = message;
    if (this.#requesting) {
      const { address, server } = this.#offer!;
      if (serverOf(message, source) !== server) return 'another server';
      if (type === DhcpType.NAK) {
        this.#answer = optionText(message, DhcpOption.MESSAGE);
        return undefined;
      }
      if (type !== DhcpType.ACK) return `type ${type}`;
      // iPXE's dhcp_request_rx ignores an acknowledgement of another address, too
      if (yiaddr !== address) return `acknowledges ${ipv4Text(yiaddr)}`;
    } else {
      if (type !== DhcpType.OFFER) return `type ${type}`;
      if (yiaddr === 0) return 'offers no address (ProxyDHCP?)';
    }
    const lease = leaseOf(message, source, this.#net.deviceMtu);
    this.#badLease = typeof lease === 'string' ? lease : '';
    if (typeof lease === 'string') return lease;
    if (this.#requesting) this.#answer = lease;
    else this.#takeOffer(lease);
    return undefined;
  }

  /** The first counts, unless a later one says what to boot. */
  #takeOffer(lease: Lease): void {
    const { clock, log, name } = this.#net;
    const file = bootFileOf(lease);
    const boots = file === '' ? 'no boot file' : quoted(file);
    const text = `offer ${ipv4Text(lease.address)} from ${ipv4Text(lease.server)}, ${boots}`;
    log.debug('DHCP', name, text);
    if (this.#offer === undefined) {
      const { offerWaitMs = DHCP_OFFER_WAIT_MS } = this.#options;
      this.#offerUntil = clock.now() + offerWaitMs * TICKS_PER_MS;
      this.#offer = lease;
    } else if (bootFileOf(this.#offer) === '' && file !== '') this.#offer = lease;
  }
}
