// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The DHCP client (RFC 2131, the states from INIT to BOUND): finds a server, takes the offer that
 * says what to boot, and leaves the interface configured. Nothing is renewed or released: the
 * loaded system starts its own client.
 */

import { ipv4Text, IPV4_BROADCAST, quoted } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { isDhcpReply, optionText, parseDhcpMessage, putDhcpMessage } from './dhcp-message.ts';
import type { DhcpIdentity, DhcpMessage } from './dhcp-message.ts';
import { bootFileOf, LEASE_INFINITE, leaseOf, serverOf } from './lease.ts';
import type { Lease } from './lease.ts';
import { MTU_MIN } from './ipv4.ts';
import type { NetworkInterface, Patience, UdpHandler } from './network-interface.ts';
import { DhcpOption, DhcpType, Ipv4Header, Port, UdpHeader } from './protocol.ts';
import { HypxeError } from '../error.ts';
import type { ErrorName } from '../error.ts';
import { TICKS_PER_MS } from '../time.ts';

/** Patience with the servers: first try, doubled for each further one up to the longest. */
export const DHCP_FIRST_TIMEOUT_MS = 1000;
export const DHCP_LONGEST_TIMEOUT_MS = 16_000;

/** Patience with all of it. */
export const DHCP_TOTAL_MS = 60_000;

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
  readonly #options: DhcpOptions;
  readonly #begin: number;
  readonly #patience: Patience;
  #xid = 0;
  /** A REQUEST for the offer is out. */
  #requesting = false;
  #offer: Lease | undefined;
  /** When to stop waiting for a better offer, in ticks. */
  #offerUntil = 0;
  /** What the server says to the REQUEST: the lease, or why not. */
  #answer: Lease | undefined;
  #refusal: string | undefined;
  #badLease = '';
  /** What was tried, for the error. */
  #discovers = 0;
  #requests = 0;
  #ignored = 0;

  constructor(net: NetworkInterface, random: () => number, options: DhcpOptions) {
    this.#net = net;
    this.#random = random;
    this.#options = options;
    this.#begin = net.clock.now();
    const {
      firstTimeoutMs: firstMs = DHCP_FIRST_TIMEOUT_MS,
      longestTimeoutMs: longestMs = DHCP_LONGEST_TIMEOUT_MS,
      totalMs = DHCP_TOTAL_MS,
    } = options;
    const deadline = this.#begin + totalMs * TICKS_PER_MS;
    this.#patience = { firstMs, longestMs, tries: Infinity, deadline };
  }

  run(): Lease {
    const net = this.#net;
    for (let attempt = 0; attempt <= DHCP_RESTARTS; attempt++) {
      // One transaction: find an offer, ask for it
      this.#xid = this.#random() | 0;
      this.#requesting = false;
      this.#offer = this.#answer = this.#refusal = undefined;
      if (!this.#discover()) break;
      this.#request();
      if (this.#answer !== undefined) return this.#configure(this.#answer);
      const reason = this.#isAnswered ? `refused: ${quoted(this.#refusal!)}` : 'silent';
      net.log.warning('DHCP', net.name, `request ${reason}, starting again`);
      if (net.clock.now() >= this.#patience.deadline) break;
    }
    throw this.#failure();
  }

  get #isAnswered(): boolean {
    return (this.#answer ?? this.#refusal) !== undefined;
  }

  /** Send DISCOVERs until there is an offer to take. Whether there is. */
  #discover(): boolean {
    const { preferBootFile = true } = this.#options;
    const offered = (): boolean => this.#offer !== undefined;
    const good = (): boolean => !preferBootFile || bootFileOf(this.#offer!) !== '';
    if (!this.#net.retry(this.#patience, () => this.#send(DhcpType.DISCOVER), offered))
      return false;
    // Any will do at the end
    if (!good()) this.#net.wait(Math.min(this.#offerUntil, this.#patience.deadline), good);
    return true;
  }

  /** Send REQUESTs for the offer until it is answered, or not. */
  #request(): void {
    this.#requesting = true;
    const patience = { ...this.#patience, tries: DHCP_REQUEST_TRIES };
    this.#net.retry(
      patience,
      () => this.#send(DhcpType.REQUEST),
      () => this.#isAnswered,
    );
  }

  #send(type: number): void {
    const net = this.#net;
    const offer = this.#requesting ? this.#offer : undefined;
    if (offer === undefined) this.#discovers++;
    else this.#requests++;
    const length = putDhcpMessage(net.payload, net.device.address, this.#options, {
      type,
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
    const { log, name } = this.#net;
    const { address, netmask, router, mtu, mtuOption, seconds } = lease;
    Object.assign(this.#net, { address, netmask, gateway: router, mtu });
    this.#net.progress();
    if (mtuOption !== undefined && mtuOption !== mtu)
      log.info('DHCP', name, `MTU ${mtuOption} offered, ${mtu} used`);
    const way = router === 0 ? '' : ` gw ${ipv4Text(router)}`;
    const time = seconds === LEASE_INFINITE ? ', for ever' : seconds ? `, ${seconds} s` : '';
    const subnet = `${ipv4Text(address)}/${ipv4Text(netmask)}`;
    log.info('DHCP', name, `${subnet}${way} from ${ipv4Text(lease.server)}${time}`);
    return lease;
  }

  #failure(): HypxeError {
    const seconds = (this.#net.clock.now() - this.#begin) / TICKS_PER_SECOND;
    const tried =
      `${this.#discovers} discovers, ${this.#requests} requests in ${seconds.toFixed(1)} s, ` +
      `${this.#ignored} messages of no use`;
    const [name, text]: [ErrorName, string] =
      this.#badLease !== ''
        ? ['BadLease', this.#badLease]
        : this.#isAnswered
          ? ['DhcpRefused', quoted(this.#refusal!)]
          : this.#requests > 0
            ? ['DhcpServerSilent', 'no acknowledgement']
            : ['NoDhcpAnswer', 'no offer'];
    return new HypxeError(name, `${text} (${tried})`);
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
    if (sourcePort !== Port.DHCP_SERVER || this.#isAnswered) return;
    if (!isDhcpReply(buffer, offset, length, this.#xid, device.address)) return;
    const message = parseDhcpMessage(buffer, offset, length);
    const reason = typeof message === 'string' ? message : this.#take(message, source);
    if (reason === undefined) return;
    this.#ignored++;
    log.warning('DHCP', name, `message of ${ipv4Text(source)} ignored: ${reason}`);
  }

  /** Nobody at the broadcast address can be unreachable. */
  unreachable(): void {
    this.#ignored++;
  }

  /** Take an offer or an answer. Returns why it is of no use, if so. */
  #take(message: DhcpMessage, source: Ipv4Address): string | undefined {
    const { type, yiaddr } = message;
    if (this.#requesting) {
      const { address, server } = this.#offer!;
      if (serverOf(message, source) !== server) return 'another server';
      if (type === DhcpType.NAK) {
        this.#refusal = optionText(message, DhcpOption.MESSAGE);
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
