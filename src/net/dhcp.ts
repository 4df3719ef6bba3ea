// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The DHCP client (RFC 2131, the states from INIT to BOUND) with its PXE extensions (RFC 4578, PXE
 * 2.1): finds servers, takes the offer that boots, also that of a ProxyDHCP server, lets a part ask
 * for what nobody has said, and leaves the interface configured. Nothing is renewed or released:
 * the loaded system starts its own client.
 */

import { get32, ipv4Text, IPV4_BROADCAST, quoted } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { isPxe, option, optionText, putDhcpMessage, readDhcpMessage, u32 } from './dhcp-message.ts';
import type { DhcpIdentity, DhcpMessage } from './dhcp-message.ts';
import type { DropReason } from './drops.ts';
import { LEASE_INFINITE, leaseOf } from './lease.ts';
import type { Lease } from './lease.ts';
import type { PlainInterface } from './interface.ts';
import type { UdpHandler } from './udp.ts';
import type { BootQuestion } from './part.ts';
import { DhcpOption, DhcpType, Port } from './protocol.ts';
import { HypxeError, type ErrorName } from '../error.ts';
import { TICKS_PER_MS } from '../time.ts';

/**
 * Patience with the servers: the first try, doubled for each further one up to the longest; and
 * with all of it. Pauses between two beginnings are as long as these tries, and as long is another
 * server waited for while there is only one that has failed. A better offer is waited for while
 * there is only one that does not say what to boot: longer than the 12 s of PXE 2.1.
 */
export const DHCP_PATIENCE = {
  firstTimeoutMs: 1000,
  longestTimeoutMs: 16_000,
  totalMs: 60_000,
  offerWaitMs: 15_000,
} as const;

/** The same while a ProxyDHCP server is there, but does not say it (iPXE waits 2 s for one). */
export const DHCP_PROXY_WAIT_MS = 2000;

/** How long the right server is waited for, once another one has acknowledged. */
export const DHCP_ACK_WAIT_MS = 1000;

/** REQUESTs without an answer after which the client looks for another server. */
export const DHCP_REQUEST_TRIES = 4;

/** The first try with ProxyDHCP and boot servers (iPXE DHCP_PROXY_START_TIMEOUT_SEC). */
export const PXE_FIRST_TIMEOUT_MS = 250;

/** Ticks in a second, for the field secs. */
const TICKS_PER_SECOND = 1000 * TICKS_PER_MS;

/** What can be asked for. All times in milliseconds. */
export interface DhcpOptions extends DhcpIdentity {
  readonly firstTimeoutMs?: number;
  readonly longestTimeoutMs?: number;
  readonly totalMs?: number;
  readonly offerWaitMs?: number;
  /** Look for somebody who says what to boot. Default true. */
  readonly preferBootFile?: boolean;
}

/**
 * Get a lease and configure the interface with it. `random` gives u32s (transaction IDs).
 *
 * @throws HypxeError NoDhcpAnswer, DhcpRefused, DhcpServerSilent, BadLease, NoBootFile, or a
 *   NetError.
 */
export function dhcp(net: PlainInterface, random: () => number, options: DhcpOptions = {}): Lease {
  const client = new DhcpClient(net, options);
  net.bind(Port.DHCP_CLIENT, client);
  try {
    return client.run(random);
  } finally {
    net.unbind(Port.DHCP_CLIENT);
  }
}

/** Takes a message of a state, or tells why it is of no use there. */
type Taker = (message: DhcpMessage) => DropReason | undefined;

class DhcpClient implements UdpHandler {
  readonly #net: PlainInterface;
  readonly #options: Required<Omit<DhcpOptions, keyof DhcpIdentity>> & DhcpIdentity;
  readonly #begin: number;
  readonly #deadline: number;
  /** Servers that have refused a request or did not answer it: others come first. */
  readonly #failed = new Set<Ipv4Address>();
  /** How long to wait before beginning anew, and then for others. */
  #pauseMs: number;
  #xid = 0;
  #secs = 0;
  /** The state: what takes a message, and when it ends, in ticks. */
  #take!: Taker;
  #until = 0;
  /** The first offer of each kind (1: of a server that has not failed, 2: that boots), the best. */
  #offers: Lease[] = [];
  #offer: Lease | undefined;
  /** The best offer of a ProxyDHCP server. */
  #proxy: DhcpMessage | undefined;
  /** What was granted. */
  #lease: Lease | undefined;
  /** What was tried, and why it has failed so far. */
  #discovers = 0;
  #requests = 0;
  #failure: readonly [name: ErrorName, message: string] = ['NoDhcpAnswer', 'no offer'];

  constructor(net: PlainInterface, options: DhcpOptions) {
    this.#net = net;
    this.#options = { ...DHCP_PATIENCE, preferBootFile: true, ...options };
    this.#pauseMs = this.#options.firstTimeoutMs;
    this.#begin = net.clock.now();
    this.#deadline = this.#begin + this.#options.totalMs * TICKS_PER_MS;
  }

  run(random: () => number): Lease {
    const net = this.#net;
    for (;;) {
      // Find an offer. A BOOTP server has granted with it (RFC 1534)
      this.#xid = random() | 0;
      this.#offers = [];
      this.#offer = this.#proxy = this.#lease = undefined;
      this.#exchange(this.#takeOffer, DhcpType.DISCOVER);
      const offer = this.#offer as Lease | undefined;
      if (offer === undefined) break;
      if (offer.message.type === 0) this.#lease = offer;
      else this.#request(offer);
      if (this.#lease !== undefined) return this.#bound(this.#lease);

      // Begin anew, and not at once (RFC 2131, 3.1.5 and 4.1)
      const [name, message] = this.#failure;
      net.log.warning('DHCP', net.name, `${name}: ${message}, starting again`);
      this.#failed.add(offer.server);
      const until = net.clock.now() + this.#pauseMs * TICKS_PER_MS;
      this.#pauseMs = Math.min(2 * this.#pauseMs, this.#options.longestTimeoutMs);
      if (until >= this.#deadline) break;
      net.wait(until, () => false);
    }
    const seconds = (net.clock.now() - this.#begin) / TICKS_PER_SECOND;
    const tried = `${this.#discovers} discovers, ${this.#requests} requests`;
    const [name, message] = this.#failure;
    throw new HypxeError(name, `${message} (${tried} in ${seconds.toFixed(1)} s)`);
  }

  /** A state: send a message, to all DHCP servers or to one PXE server, until something ends it. */
  #exchange(
    take: Taker,
    type: number,
    options: readonly number[] = [],
    to: Ipv4Address = IPV4_BROADCAST,
  ): void {
    const net = this.#net;
    const discovers = type === DhcpType.DISCOVER;
    const patience = { ...this.#options, tries: discovers ? Infinity : DHCP_REQUEST_TRIES };
    if (net.address !== 0) patience.firstTimeoutMs = PXE_FIRST_TIMEOUT_MS;
    this.#take = take;
    this.#until = Infinity;
    const ask = (): void => {
      // A request has the time of its discover, for relays (RFC 2131, 3.1.3)
      if (discovers) {
        this.#discovers++;
        this.#secs = Math.floor((net.clock.now() - this.#begin) / TICKS_PER_SECOND);
      } else this.#requests++;
      const length = putDhcpMessage(
        net.payload,
        net.device.address,
        this.#options,
        type,
        this.#xid,
        this.#secs,
        net.address,
        options,
      );
      net.log.debug('DHCP', net.name, `${discovers ? 'discover' : 'request'} to ${ipv4Text(to)}`);
      const port = to === IPV4_BROADCAST ? Port.DHCP_SERVER : Port.PXE;
      net.sendUdp(Port.DHCP_CLIENT, to, port, length);
    };
    net.retry(patience, this.#deadline, ask, () => net.clock.now() >= this.#until);
  }

  /** Let the state end that many milliseconds from now: half of the time is left for the next. */
  #endIn(ms: number): void {
    const now = this.#net.clock.now();
    const ticks = Math.min(ms * TICKS_PER_MS, (this.#deadline - now) / 2);
    this.#until = Math.min(this.#until, now + ticks);
  }

  /** The interface takes over what was granted; then it is asked what to boot. */
  #bound(lease: Lease): Lease {
    const net = this.#net;
    const { address, netmask, router, routes, mtu, message, server } = lease;
    const seconds = get32(option(message, DhcpOption.LEASE_TIME), 0) >>> 0;
    Object.assign(net, { address, netmask, gateway: router, routes, mtu });
    net.progress();
    const way = router === 0 ? '' : ` gw ${ipv4Text(router)}`;
    const time = seconds === LEASE_INFINITE ? ', for ever' : seconds ? `, ${seconds} s` : '';
    const size = mtu === net.deviceMtu ? '' : `, MTU ${mtu}`;
    const subnet = `${ipv4Text(address)}/${ipv4Text(netmask)}`;
    net.log.info('DHCP', net.name, `${subnet}${way} from ${ipv4Text(server)}${time}${size}`);
    if (this.#options.preferBootFile) this.#findBoot(lease);
    return lease;
  }

  // --- what the servers send ---

  datagram(buffer: Uint8Array, offset: number, length: number, source: Ipv4Address): void {
    const net = this.#net;
    const bytes = buffer.slice(offset, offset + length);
    const count = (reason: DropReason): void => net.drop(reason);
    const message = readDhcpMessage(bytes, source, this.#xid, net.device.address, count);
    let reason: DropReason | undefined = 'dhcpUnexpected';
    if (typeof message === 'string') reason = message;
    else if (net.clock.now() < this.#until) reason = this.#take(message);
    if (reason === undefined) return;
    net.log.debug('DHCP', net.name, `message of ${ipv4Text(source)} ignored: ${reason}`);
    count(reason);
  }

  /** Nobody at the broadcast address can be unreachable, and who else is will not answer. */
  unreachable(): void {}

  /** A lease, unless something is wrong with it: then that is why this fails, so far. */
  #leaseOf(message: DhcpMessage): Lease | undefined {
    const lease = leaseOf(message, this.#net.deviceMtu);
    if (typeof lease === 'object') return lease;
    this.#failure = ['BadLease', lease];
    return undefined;
  }

  readonly #takeOffer: Taker = (message) => {
    // Who knows PXE may offer an address, or be a ProxyDHCP server: the first that boots counts,
    // else rather the latter
    const { type, yiaddr } = message;
    const pxe = isPxe(message);
    if (type !== DhcpType.OFFER && type !== 0) return 'dhcpUnexpected';
    const known = this.#proxy;
    const isFirst = !known || !(this.#boots(known) || (known.yiaddr === 0 && yiaddr !== 0));
    if (pxe && (isFirst || (!this.#boots(known) && this.#boots(message)))) this.#proxy = message;
    const lease = yiaddr === 0 ? undefined : this.#leaseOf(message);
    if (!lease && (yiaddr !== 0 || !pxe)) return 'dhcpLease';
    if (lease) {
      const kind = (this.#boots(message) ? 2 : 0) + (this.#failed.has(lease.server) ? 0 : 1);
      this.#offers[kind] ??= lease;
    }

    // The best: one that boots, if nobody else says what to boot; one that has not failed
    const { offerWaitMs, preferBootFile } = this.#options;
    const proxy = this.#proxy;
    const told = !preferBootFile || (proxy !== undefined && this.#boots(proxy));
    const [poor, plain, again, good] = this.#offers;
    const offer = good ?? (told ? (plain ?? again) : (again ?? plain)) ?? poor;
    this.#offer = offer;

    // Look for better ones as long as it may be worth it
    if (!offer) return undefined;
    const failed = this.#failed.has(offer.server) ? this.#pauseMs : 0;
    const enough = told || this.#boots(offer.message);
    this.#endIn(enough ? failed : proxy ? DHCP_PROXY_WAIT_MS : offerWaitMs);
    return undefined;
  };

  #request({ address, server }: Lease): void {
    this.#failure = ['DhcpServerSilent', `${ipv4Text(server)} does not acknowledge`];
    const options = [DhcpOption.SERVER_IDENTIFIER, 4, ...u32(server)];
    options.push(DhcpOption.REQUESTED_ADDRESS, 4, ...u32(address));
    this.#exchange(this.#takeAnswer, DhcpType.REQUEST, options);
  }

  readonly #takeAnswer: Taker = (message) => {
    const offer = this.#offer!;
    const { type, yiaddr, server } = message;
    const other = server !== offer.server;
    if (type === DhcpType.NAK && !other) {
      const text = `${ipv4Text(server)} says ${quoted(optionText(message, DhcpOption.MESSAGE))}`;
      this.#failure = ['DhcpRefused', text];
      this.#lease = undefined;
      this.#endIn(0);
      return undefined;
    }
    if ((type !== DhcpType.ACK && type !== 0) || yiaddr !== offer.address) return 'dhcpUnexpected';

    // What the offer says and the acknowledgement does not is kept
    const options = new Map([...offer.message.options, ...message.options]);
    const lease = this.#leaseOf({ ...message, options });
    if (!lease) return 'dhcpLease';

    // That of another server (failover, relays) counts if the right one says nothing
    this.#lease = lease;
    this.#endIn(other ? DHCP_ACK_WAIT_MS : 0);
    return undefined;
  };

  // --- who says what to boot ---

  #boots(message: DhcpMessage): boolean {
    const servers = this.#net.parts.bootServers;
    return message.options.has(DhcpOption.BOOT_FILE) || servers?.boots(message) === true;
  }

  /** Ask those who know what to boot, if the DHCP server does not say it. */
  #findBoot(lease: Lease): void {
    if (this.#proxy && !this.#boots(lease.message)) lease.boot = this.#proxy;
    const servers = this.#net.parts.bootServers;
    if (servers) lease.boot = servers.follow(lease.boot, this.#ask);
  }

  readonly #ask: BootQuestion = (fits, options, to) => {
    let answer: DhcpMessage | undefined;
    const take: Taker = (message) => {
      const { type } = message;
      const answers = type === DhcpType.ACK || type === DhcpType.OFFER;
      if (!answers || !fits(message)) return 'dhcpUnexpected';
      answer = message;
      this.#endIn(0);
      return undefined;
    };
    this.#exchange(take, DhcpType.REQUEST, options, to);
    return answer;
  };
}
