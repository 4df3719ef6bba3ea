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
  optionAddress,
  optionText,
  parseDhcpMessage,
  putDhcpMessage,
} from './dhcp-message.ts';
import type { DhcpIdentity, DhcpMessage } from './dhcp-message.ts';
import { hasBootFile, LEASE_INFINITE, leaseOf } from './lease.ts';
import type { Lease } from './lease.ts';
import { MTU_MIN } from './ipv4.ts';
import type { NetworkInterface, UdpHandler } from './network-interface.ts';
import { DhcpOption, DhcpType, Ipv4Header, Port, UdpHeader } from './protocol.ts';
import { HypxeError } from '../error.ts';
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
export interface DhcpOptions {
  readonly firstTimeoutMs?: number;
  readonly longestTimeoutMs?: number;
  readonly totalMs?: number;
  readonly offerWaitMs?: number;
  /** Wait for an offer with a boot file if the first has none. Default true. */
  readonly preferBootFile?: boolean;
  /** Client architecture (RFC 4578, 2.1). Default 0, x86 BIOS. */
  readonly architecture?: number;
  /** UUID of the machine, 16 bytes in wire order. */
  readonly uuid?: Uint8Array;
  /** User class (option 77), at most 64 characters. iPXE's servers look for `iPXE`. */
  readonly userClass?: string;
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
  readonly #who: DhcpIdentity;
  readonly #begin: number;
  readonly #deadline: number;
  #state: 'idle' | 'selecting' | 'requesting' = 'idle';
  #xid = 0;
  #offer: Lease | undefined;
  /** When to stop waiting for a better offer, in ticks. */
  #offerUntil = 0;
  #answer: Lease | 'refused' | undefined;
  #refusal = '';
  #badLease = '';
  /** What was tried, for the error. */
  #discovers = 0;
  #requests = 0;
  #ignored = 0;

  constructor(net: NetworkInterface, random: () => number, options: DhcpOptions) {
    this.#net = net;
    this.#random = random;
    this.#options = options;
    this.#who = {
      address: net.device.address,
      architecture: options.architecture ?? 0,
      uuid: options.uuid,
      userClass: options.userClass,
    };
    this.#begin = net.clock.now();
    this.#deadline = this.#begin + (options.totalMs ?? DHCP_TOTAL_MS) * TICKS_PER_MS;
  }

  run(): Lease {
    for (let attempt = 0; attempt <= DHCP_RESTARTS; attempt++) {
      // One transaction: find an offer, ask for it
      this.#xid = this.#random() | 0;
      this.#offer = undefined;
      this.#answer = undefined;
      if (!this.#discover()) break;
      const answer = this.#request();
      this.#state = 'idle';
      if (answer !== undefined && answer !== 'refused') return this.#configure(answer);
      const reason = answer === 'refused' ? `refused: ${quoted(this.#refusal)}` : 'silent';
      this.#net.log.warning('DHCP', this.#net.name, `request ${reason}, starting again`);
      if (this.#net.clock.now() >= this.#deadline) break;
    }
    throw this.#failure();
  }

  /** Send DISCOVERs until there is an offer to take. */
  #discover(): boolean {
    const clock = this.#net.clock;
    const preferBootFile = this.#options.preferBootFile ?? true;
    this.#state = 'selecting';
    let timeoutMs = this.#options.firstTimeoutMs ?? DHCP_FIRST_TIMEOUT_MS;
    while (clock.now() < this.#deadline) {
      this.#discovers++;
      this.#send(DhcpType.DISCOVER);
      const until = Math.min(clock.now() + timeoutMs * TICKS_PER_MS, this.#deadline);
      for (;;) {
        const offer = this.#offer;
        const now = clock.now();
        if (offer !== undefined && (!preferBootFile || hasBootFile(offer))) return true;
        if (offer !== undefined && (now >= this.#offerUntil || now >= this.#deadline)) return true;
        if (offer === undefined && now >= until) break;
        this.#net.turn();
      }
      timeoutMs = this.#longer(timeoutMs);
    }
    return false;
  }

  /** Send REQUESTs for the offer until it is answered, or not. */
  #request(): Lease | 'refused' | undefined {
    const clock = this.#net.clock;
    this.#state = 'requesting';
    let timeoutMs = this.#options.firstTimeoutMs ?? DHCP_FIRST_TIMEOUT_MS;
    for (let attempt = 1; attempt <= DHCP_REQUEST_TRIES; attempt++) {
      if (clock.now() >= this.#deadline) break;
      this.#requests++;
      this.#send(DhcpType.REQUEST);
      const until = Math.min(clock.now() + timeoutMs * TICKS_PER_MS, this.#deadline);
      while (this.#answer === undefined && clock.now() < until) this.#net.turn();
      if (this.#answer !== undefined) break;
      timeoutMs = this.#longer(timeoutMs);
    }
    return this.#answer;
  }

  #longer(timeoutMs: number): number {
    return Math.min(timeoutMs * 2, this.#options.longestTimeoutMs ?? DHCP_LONGEST_TIMEOUT_MS);
  }

  #send(type: number): void {
    const net = this.#net;
    const offer = type === DhcpType.REQUEST ? this.#offer : undefined;
    const length = putDhcpMessage(net.payload, this.#who, {
      type,
      xid: this.#xid,
      secs: Math.floor((net.clock.now() - this.#begin) / TICKS_PER_SECOND),
      maxLength: Math.max(MTU_MIN, net.deviceMtu - Ipv4Header.size - UdpHeader.size),
      requested: offer?.address ?? 0,
      server: offer?.server ?? 0,
    });
    if (net.log.on) {
      const what = offer === undefined ? 'discover' : `request ${ipv4Text(offer.address)}`;
      net.log.debug('DHCP', net.name, what);
    }
    net.sendUdp(Port.DHCP_CLIENT, IPV4_BROADCAST, Port.DHCP_SERVER, length);
  }

  /** The interface takes over what was granted. */
  #configure(lease: Lease): Lease {
    const net = this.#net;
    net.address = lease.address;
    net.netmask = lease.netmask;
    net.gateway = lease.router;
    net.mtu = lease.mtu;
    net.progress();
    if (lease.mtuOption !== undefined && lease.mtuOption !== lease.mtu)
      net.log.info('DHCP', net.name, `MTU ${lease.mtuOption} offered, ${lease.mtu} used`);
    const { router, seconds } = lease;
    const time = seconds === LEASE_INFINITE ? ', for ever' : seconds ? `, ${seconds} s` : '';
    net.log.info(
      'DHCP',
      net.name,
      `${ipv4Text(lease.address)}/${ipv4Text(lease.netmask)}` +
        `${router === 0 ? '' : ` gw ${ipv4Text(router)}`} from ${ipv4Text(lease.server)}${time}`,
    );
    return lease;
  }

  #failure(): HypxeError {
    const seconds = (this.#net.clock.now() - this.#begin) / TICKS_PER_SECOND;
    const tried =
      `${this.#discovers} discovers, ${this.#requests} requests in ${seconds.toFixed(1)} s, ` +
      `${this.#ignored} messages of no use`;
    if (this.#badLease !== '') return new HypxeError('BadLease', `${this.#badLease} (${tried})`);
    if (this.#answer === 'refused')
      return new HypxeError('DhcpRefused', `${quoted(this.#refusal)} (${tried})`);
    if (this.#requests > 0)
      return new HypxeError('DhcpServerSilent', `no acknowledgement (${tried})`);
    return new HypxeError('NoDhcpAnswer', `no offer (${tried})`);
  }

  /** A message to our port, from whomever. */
  datagram(
    buffer: Uint8Array,
    offset: number,
    length: number,
    source: Ipv4Address,
    sourcePort: number,
  ): void {
    if (this.#state === 'idle' || sourcePort !== Port.DHCP_SERVER) return;
    if (!isDhcpReply(buffer, offset, length, this.#xid, this.#who.address)) return;
    const message = parseDhcpMessage(buffer, offset, length);
    if (typeof message === 'string') this.#ignore(source, message);
    else if (this.#state === 'selecting') this.#takeOffer(message, source);
    else this.#takeAnswer(message, source);
  }

  /** Nobody at the broadcast address can be unreachable. */
  unreachable(): void {
    this.#ignored++;
  }

  #takeOffer(message: DhcpMessage, source: Ipv4Address): void {
    if (message.type !== DhcpType.OFFER) return this.#ignore(source, `type ${message.type}`);
    if (message.yiaddr === 0) return this.#ignore(source, 'offers no address (ProxyDHCP?)');
    const lease = leaseOf(message, source, this.#net.deviceMtu);
    if (typeof lease === 'string') {
      this.#badLease = lease;
      return this.#ignore(source, lease);
    }
    const net = this.#net;
    if (net.log.on) {
      const file = lease.file === '' ? lease.bootFile : lease.file;
      const boots = file === '' ? 'no boot file' : quoted(file);
      const text = `offer ${ipv4Text(lease.address)} from ${ipv4Text(lease.server)}, ${boots}`;
      net.log.debug('DHCP', net.name, text);
    }
    this.#badLease = '';
    // The first counts, unless a later one says what to boot
    if (this.#offer === undefined) {
      const waitMs = this.#options.offerWaitMs ?? DHCP_OFFER_WAIT_MS;
      this.#offerUntil = net.clock.now() + waitMs * TICKS_PER_MS;
      this.#offer = lease;
    } else if (!hasBootFile(this.#offer) && hasBootFile(lease)) this.#offer = lease;
  }

  #takeAnswer(message: DhcpMessage, source: Ipv4Address): void {
    if (this.#answer !== undefined) return;
    const identifier = optionAddress(message, DhcpOption.SERVER_IDENTIFIER);
    if ((identifier === 0 ? source : identifier) !== this.#offer!.server)
      return this.#ignore(source, 'another server');
    if (message.type === DhcpType.NAK) {
      this.#refusal = optionText(message, DhcpOption.MESSAGE);
      this.#answer = 'refused';
      return;
    }
    if (message.type !== DhcpType.ACK) return this.#ignore(source, `type ${message.type}`);
    // iPXE's dhcp_request_rx ignores an acknowledgement of another address, too
    if (message.yiaddr !== this.#offer!.address)
      return this.#ignore(source, `acknowledges ${ipv4Text(message.yiaddr)}`);
    const lease = leaseOf(message, source, this.#net.deviceMtu);
    if (typeof lease === 'string') {
      this.#badLease = lease;
      return this.#ignore(source, lease);
    }
    this.#badLease = '';
    this.#answer = lease;
  }

  #ignore(source: Ipv4Address, reason: string): void {
    this.#ignored++;
    const net = this.#net;
    if (net.log.on)
      net.log.warning('DHCP', net.name, `message of ${ipv4Text(source)} ignored: ${reason}`);
  }
}
