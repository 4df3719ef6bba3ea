// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The DHCP client (RFC 2131, the states from INIT to BOUND) with its PXE extensions (RFC 4578, PXE
 * 2.1): finds servers, takes the offer that boots, asks ProxyDHCP and boot servers for what the DHCP
 * server does not say, and leaves the interface configured. Nothing is renewed or released: the
 * loaded system starts its own client.
 */

import { get16, get32, ipv4Text, IPV4_BROADCAST, quoted } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import {
  bootMenu,
  boots,
  isPxe,
  option,
  optionNumber,
  optionText,
  putDhcpMessage,
  PXE,
  readDhcpMessage,
  u16,
  u32,
} from './dhcp-message.ts';
import type { DhcpIdentity, DhcpMessage } from './dhcp-message.ts';
import type { DropReason } from './drops.ts';
import { LEASE_INFINITE, leaseOf } from './lease.ts';
import type { Lease } from './lease.ts';
import { MTU_MIN } from './ipv4.ts';
import type { NetworkInterface, UdpHandler } from './network-interface.ts';
import {
  DhcpOption,
  DhcpType,
  Ipv4Header,
  Port,
  PxeControl,
  PxeOption,
  UdpHeader,
} from './protocol.ts';
import { HypxeError } from '../error.ts';
import type { ErrorName } from '../error.ts';
import { TICKS_PER_MS } from '../time.ts';

/**
 * Patience with the servers: the first try, doubled for each further one up to the longest; and
 * with all of it. Pauses between two beginnings are as long as these tries.
 */
export const DHCP_PATIENCE = {
  firstTimeoutMs: 1000,
  longestTimeoutMs: 16_000,
  totalMs: 60_000,
} as const;

/**
 * How long a better offer is waited for: when there is only one that does not say what to boot (more
 * than the 12 s of PXE 2.1), and when there is one of a server that has failed before, or of which a
 * ProxyDHCP server may still say more (iPXE DHCP_DISC_PROXY_TIMEOUT_SEC).
 */
export const DHCP_OFFER_WAIT_MS = 15_000;
export const DHCP_PROXY_WAIT_MS = 2000;

/** How long the right server is waited for, once another one has acknowledged. */
export const DHCP_ACK_WAIT_MS = 1000;

/** REQUESTs without an answer after which the client looks for a server again. */
export const DHCP_REQUEST_TRIES = 4;

/** The same for ProxyDHCP and boot servers, from this timeout on (iPXE: 0.25 s up to 2 s). */
export const PXE_REQUEST_TRIES = 4;
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
 * @throws HypxeError NoDhcpAnswer, DhcpRefused, DhcpServerSilent, BadLease, or a NetError.
 */
export function dhcp(
  net: NetworkInterface,
  random: () => number,
  options: DhcpOptions = {},
): Lease {
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
  readonly #net: NetworkInterface;
  readonly #options: DhcpOptions & Readonly<Record<keyof typeof DHCP_PATIENCE, number>>;
  readonly #begin: number;
  readonly #deadline: number;
  /** Servers that have refused a request or did not answer it: others come first. */
  readonly #failed = new Set<Ipv4Address>();
  #xid = 0;
  #secs = 0;
  /** The state: what takes a message, and when it ends, in ticks. */
  #take!: Taker;
  #until = 0;
  /** The best offer, and the best of a ProxyDHCP server. */
  #offer: Lease | undefined;
  #proxy: DhcpMessage | undefined;
  /** What has been granted, and what a ProxyDHCP or boot server has answered. */
  #lease: Lease | undefined;
  #answer: DhcpMessage | undefined;
  /** What was tried and why it failed, for the error. */
  #discovers = 0;
  #requests = 0;
  #failure: [ErrorName, string] = ['NoDhcpAnswer', 'no offer'];

  constructor(net: NetworkInterface, options: DhcpOptions) {
    this.#net = net;
    this.#options = { ...DHCP_PATIENCE, ...options };
    this.#begin = net.clock.now();
    this.#deadline = this.#begin + this.#options.totalMs * TICKS_PER_MS;
  }

  run(random: () => number): Lease {
    const net = this.#net;
    const { firstTimeoutMs, longestTimeoutMs } = this.#options;
    for (let pauseMs = firstTimeoutMs; ; pauseMs = Math.min(2 * pauseMs, longestTimeoutMs)) {
      // Find an offer. A BOOTP server has granted with it (RFC 1534)
      this.#xid = random() | 0;
      this.#offer = this.#proxy = this.#lease = undefined;
      this.#exchange(this.#takeOffer, DhcpType.DISCOVER, Infinity);
      const offer = this.#offer as Lease | undefined;
      if (offer === undefined) break;
      if (offer.message.type === 0) this.#lease = offer;
      else this.#request(offer);
      if (this.#lease) return this.#bound(this.#lease);

      // Begin anew, and not at once (RFC 2131, 3.1.5 and 4.1)
      const [name, text] = this.#failure;
      net.log.warning('DHCP', net.name, `${name}: ${text}, starting again`);
      this.#failed.add(offer.server);
      const until = net.clock.now() + pauseMs * TICKS_PER_MS;
      if (until >= this.#deadline) break;
      net.wait(until, () => false);
    }
    const seconds = (net.clock.now() - this.#begin) / TICKS_PER_SECOND;
    const tried = `${this.#discovers} discovers, ${this.#requests} requests`;
    const [name, text] = this.#failure;
    throw new HypxeError(name, `${text} (${tried} in ${seconds.toFixed(1)} s)`);
  }

  /** A state: send a message until something ends it. */
  #exchange(
    take: Taker,
    type: number,
    tries: number,
    options: readonly number[] = [],
    to = IPV4_BROADCAST,
    port: number = Port.DHCP_SERVER,
  ): void {
    const net = this.#net;
    this.#take = take;
    this.#until = Infinity;
    const patience = { ...this.#options, tries };
    if (port === Port.PXE) patience.firstTimeoutMs = PXE_FIRST_TIMEOUT_MS;
    const ask = (): void => {
      // A request has the time of its discover, for relays (RFC 2131, 3.1.3)
      if (type === DhcpType.DISCOVER) {
        this.#discovers++;
        this.#secs = Math.floor((net.clock.now() - this.#begin) / TICKS_PER_SECOND);
      } else this.#requests++;
      const length = putDhcpMessage(net.payload, net.device.address, this.#options, {
        type,
        xid: this.#xid,
        secs: this.#secs,
        maxLength: Math.max(MTU_MIN, net.deviceMtu - Ipv4Header.size - UdpHeader.size),
        address: net.address,
        options,
      });
      net.log.debug('DHCP', net.name, `message ${type} to ${ipv4Text(to)}:${port}`);
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
    const mtuOption = optionNumber(message, DhcpOption.MTU);
    const seconds = optionNumber(message, DhcpOption.LEASE_TIME);
    Object.assign(net, { address, netmask, gateway: router, routes, mtu });
    net.progress();
    if (mtuOption !== undefined && mtuOption !== mtu)
      net.log.info('DHCP', net.name, `MTU ${mtuOption} offered, ${mtu} used`);
    const way = router === 0 ? '' : ` gw ${ipv4Text(router)}`;
    const time = seconds === LEASE_INFINITE ? ', for ever' : seconds ? `, ${seconds} s` : '';
    const subnet = `${ipv4Text(address)}/${ipv4Text(netmask)}`;
    net.log.info('DHCP', net.name, `${subnet}${way} from ${ipv4Text(server)}${time}`);
    if (this.#options.preferBootFile ?? true) this.#findBoot(lease);
    return lease;
  }

  // --- what the servers send ---

  datagram(buffer: Uint8Array, offset: number, length: number, source: Ipv4Address): void {
    const net = this.#net;
    const count = (reason: DropReason): void => net.drop(reason);
    const bytes = buffer.slice(offset, offset + length);
    const message = readDhcpMessage(bytes, source, this.#xid, net.device.address, count);
    let reason: DropReason | undefined = 'dhcpUnexpected';
    if (typeof message === 'string') reason = message;
    else if (net.clock.now() < this.#until) reason = this.#take(message);
    if (reason === undefined) return;
    net.log.debug('DHCP', net.name, `message of ${ipv4Text(source)} ignored: ${reason}`);
    net.drop(reason);
  }

  /** Nobody at the broadcast address can be unreachable, and who else is will not answer. */
  unreachable(): void {}

  /** A lease, unless something is wrong with it: then that is why this fails, so far. */
  #leaseOf(message: DhcpMessage): Lease | undefined {
    const lease = leaseOf(message, this.#net.deviceMtu);
    if (typeof lease === 'object') return lease;
    this.#failure = ['BadLease', `${ipv4Text(message.server)}: ${lease}`];
    return undefined;
  }

  // --- DISCOVER ---

  readonly #takeOffer: Taker = (message) => {
    if (message.type !== DhcpType.OFFER && message.type !== 0) return 'dhcpUnexpected';

    // Who knows PXE may offer an address, too, or be a ProxyDHCP server; the first that boots counts
    const pxe = isPxe(message);
    if (pxe && !(this.#proxy && boots(this.#proxy))) this.#proxy = message;
    if (message.yiaddr !== 0) {
      const lease = this.#leaseOf(message);
      if (!lease) return 'dhcpLease';
      if (!this.#offer || this.#rank(lease) > this.#rank(this.#offer)) this.#offer = lease;
    } else if (!pxe) return 'dhcpLease';

    // Look for better ones as long as it may be worth it
    const [offer, proxy] = [this.#offer, this.#proxy];
    if (!offer) return undefined;
    const { offerWaitMs = DHCP_OFFER_WAIT_MS, preferBootFile = true } = this.#options;
    if (preferBootFile && !boots(offer.message) && !proxy) this.#endIn(offerWaitMs);
    else {
      const enough = !preferBootFile || boots(offer.message) || boots(proxy!);
      this.#endIn(enough && !this.#failed.has(offer.server) ? 0 : DHCP_PROXY_WAIT_MS);
    }
    return undefined;
  };

  #rank({ message, server }: Lease): number {
    return Number(boots(message)) * 2 - Number(this.#failed.has(server));
  }

  // --- REQUEST ---

  #request({ address, server }: Lease): void {
    this.#failure = ['DhcpServerSilent', `no acknowledgement of ${ipv4Text(server)}`];
    const options = [
      ...[DhcpOption.SERVER_IDENTIFIER, 4, ...u32(server)],
      ...[DhcpOption.REQUESTED_ADDRESS, 4, ...u32(address)],
    ];
    this.#exchange(this.#takeAnswer, DhcpType.REQUEST, DHCP_REQUEST_TRIES, options);
  }

  readonly #takeAnswer: Taker = (message) => {
    const { address, server, message: offer } = this.#offer!;
    const { type, yiaddr } = message;
    const other = message.server !== server;
    if (type === DhcpType.NAK && !other) {
      const text = quoted(optionText(message, DhcpOption.MESSAGE));
      this.#failure = ['DhcpRefused', `${ipv4Text(server)} says ${text}`];
      this.#lease = undefined;
      this.#endIn(0);
      return undefined;
    }
    if ((type !== DhcpType.ACK && type !== 0) || yiaddr !== address) return 'dhcpUnexpected';

    // What the offer says and the acknowledgement does not is kept
    const options = new Map([...offer.options, ...message.options]);
    const lease = this.#leaseOf({ ...message, options });
    if (!lease) return 'dhcpLease';

    // That of another server (failover, relays) counts if the right one says nothing
    this.#lease = lease;
    this.#endIn(other ? DHCP_ACK_WAIT_MS : 0);
    return undefined;
  };

  // --- ProxyDHCP and boot servers (PXE 2.1) ---

  /** Ask those who know what to boot, if the DHCP server does not say it. */
  #findBoot(lease: Lease): void {
    // A ProxyDHCP server that says nothing more says it on its own port
    const proxy = this.#proxy;
    if (!boots(lease.message) && proxy) {
      lease.boot = proxy;
      if (!boots(proxy)) {
        const options = [DhcpOption.SERVER_IDENTIFIER, 4, ...u32(proxy.server)];
        this.#ask(lease, (message) => boots(message), options, proxy.server, Port.PXE);
      }
    }

    // Nobody chooses from the menu: its first item it is
    const menu = bootMenu(lease.boot);
    if (menu.length < 2) return;
    const type = get16(menu, 0);
    if (type === 0)
      throw new HypxeError('NoBootFile', `${ipv4Text(lease.boot.server)} says to boot locally`);
    const control = option(lease.boot, PXE + PxeOption.DISCOVERY_CONTROL)[0]!;
    const listed = bootServers(option(lease.boot, PXE + PxeOption.BOOT_SERVERS), type);
    const item = [
      DhcpOption.VENDOR_ENCAPSULATED,
      7,
      PxeOption.BOOT_ITEM,
      4,
      ...u16(type),
      0,
      0,
      255,
    ];
    const fits = (message: DhcpMessage): boolean => {
      const own = option(message, PXE + PxeOption.BOOT_ITEM);
      const known = !(control & PxeControl.LISTED_SERVERS) || listed.includes(message.server);
      const named = message.options.has(DhcpOption.BOOT_FILE);
      return named && get16(own, 0) === type && known;
    };
    const all = control & PxeControl.NO_BROADCAST ? [] : [IPV4_BROADCAST];
    for (const to of [...all, ...listed]) {
      const port = to === IPV4_BROADCAST ? Port.DHCP_SERVER : Port.PXE;
      if (this.#ask(lease, fits, item, to, port)) break;
    }
  }

  /** Ask a server; its answer, if it fits, says what to boot. Whether there was one. */
  #ask(
    lease: Lease,
    fits: (message: DhcpMessage) => boolean,
    options: readonly number[],
    to: Ipv4Address,
    port: number,
  ): boolean {
    this.#answer = undefined;
    const take: Taker = (message) => {
      const { type } = message;
      if ((type !== DhcpType.ACK && type !== DhcpType.OFFER) || !fits(message))
        return 'dhcpUnexpected';
      this.#answer = message;
      this.#endIn(0);
      return undefined;
    };
    this.#exchange(take, DhcpType.REQUEST, PXE_REQUEST_TRIES, options, to, port);
    lease.boot = this.#answer ?? lease.boot;
    return this.#answer !== undefined;
  }
}

/** The boot servers of a type, from a list of PXE. */
function bootServers(list: ArrayLike<number>, type: number): Ipv4Address[] {
  const servers: Ipv4Address[] = [];
  for (let i = 0; i + 3 <= list.length;) {
    const end = Math.min(i + 3 + 4 * list[i + 2]!, list.length);
    for (let at = i + 3; at + 4 <= end; at += 4)
      if (get16(list, i) === type) servers.push(get32(list, at));
    i = end;
  }
  return servers;
}
