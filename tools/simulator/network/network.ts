// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The built-in network: a switch with the guests' NICs, and servers for DHCP and TFTP on it. All of
 * it is driven by the virtual clock and the seed of the machine: the same seed and the same guest
 * give the same frames at the same times.
 */

import { Port } from '../../../src/net/protocol.ts';
import type { VirtualClock } from '../base/clock.ts';
import type { Link, LinkHost } from './link.ts';
import type { Subnet } from './address.ts';
import { ipText, isHostOf, parseIp, subnetOf } from './address.ts';
import type { NetworkLog } from './context.ts';
import { NetworkContext } from './context.ts';
import { DelayLine } from './delay-line.ts';
import type { DhcpPlan, DhcpServerOptions, DhcpSurroundings } from './servers/dhcp-options.ts';
import type { DnsNames } from './servers/dns-server.ts';
import { AoeTarget, planAoe, type AoeOptions } from './servers/aoe-target.ts';
import { DnsServer, planDns } from './servers/dns-server.ts';
import type { ProxyDhcpOptions, ProxyDhcpPlan } from './servers/proxy-dhcp-server.ts';
import { planProxyDhcp, ProxyDhcpServer } from './servers/proxy-dhcp-server.ts';
import { planDhcp, planForeignDhcp } from './servers/dhcp-options.ts';
import { DhcpServer } from './servers/dhcp-server.ts';
import type { NetworkFaults } from './faults.ts';
import { resolveFaults } from './faults.ts';
import type { FileSource } from './files.ts';
import type { GuestWiring } from './guest-port.ts';
import { GuestPort } from './guest-port.ts';
import { Lane, STREAMS_PER_LANE } from './lane.ts';
import type { PathOptions } from './path.ts';
import { Path, planPath, PRIORITY_TAG, Trunk, VLAN_MAX } from './path.ts';
import { choice, NetworkOptionError, whole } from './options.ts';
import { ServerHost } from './server-host.ts';
import type { NetworkStatistics } from './statistics.ts';
import { emptyStatistics } from './statistics.ts';
import { Switch } from './switch.ts';
import type { TftpPlan, TftpServerOptions } from './servers/tftp-options.ts';
import { planTftp } from './servers/tftp-options.ts';
import { TftpServer } from './servers/tftp-server.ts';
import type { Keeper, Saved } from '../base/snapshot.ts';

/** What the network is like. */
export interface NetworkOptions {
  /** What the TFTP server serves. */
  readonly files: FileSource;
  /** Name of the boot file that DHCP tells; empty: DHCP tells of no boot file. */
  readonly bootFile: string;
  readonly faults?: NetworkFaults;
  readonly dhcp?: DhcpServerOptions;
  readonly tftp?: TftpServerOptions;
  /** Further DHCP servers: each has addresses of its own, and none knows of a boot file. */
  readonly dhcpServers?: readonly DhcpServerOptions[];
  /** A ProxyDHCP server: it tells the boot file, and the DHCP server does not. */
  readonly proxyDhcp?: ProxyDhcpOptions;
  /** Names that a DNS server knows, at the address of the DHCP server. Without: no such server. */
  readonly dns?: DnsNames;
  /** A disk by ATA over Ethernet, on the switch itself. Without: no such disk. */
  readonly aoe?: AoeOptions;
  /**
   * Time of a frame from a NIC to the switch, and back, in ticks of 100 ns (default 100: 10 us).
   */
  readonly latencyTicks?: number;
  /** Address of the server and gateway (192.168.77.1), and bits of the network's mask (24). */
  readonly address?: string;
  readonly prefix?: number;
  /** A path to the servers that carries less than Ethernet. */
  readonly path?: PathOptions;
  /**
   * The ports of the NICs are a trunk. 1 to 4094: a second network, of that VLAN, reaches them too,
   * tagged; its DHCP server hears what a guest broadcasts, and answers first. 0: what the servers
   * of this network send has a priority tag.
   */
  readonly vlan?: number;
  /** Whether the servers learn MAC addresses from requests, or always ask for them by ARP. */
  readonly arp?: 'learn' | 'ask';
  /** Gets a line for each thing that the servers do. */
  readonly log?: NetworkLog;
}

/** MAC addresses of the servers: locally administered, "hypx" and a number. */
const SERVER_MAC = [0x02, 0x68, 0x79, 0x70, 0x78];
const MAIN = 1;
const FOREIGN = 2;
const TFTP = 3;
const PROXY = 16;
const PARTNER = 17;
const FURTHER = 32;

/** Further DHCP servers, each with that many addresses. */
const FURTHER_MAX = 4;
const FURTHER_POOL = 8;
const VLAN = 4;
const DISK = 5;

/** Address of the server of the second network, and bits of its mask. */
const VLAN_ADDRESS = '10.100.0.1';
const VLAN_PREFIX = 24;

/** NICs of one network. */
const LINKS_MAX = 64;

/** Latency of a frame: 10 us, and at most 10 s. It is never 0, so that time always moves. */
const LATENCY_TICKS = 100;
const LATENCY_MAX = 100_000_000;

/** The network once the first NIC is there, with the machine's clock and seed. */
interface Running {
  readonly context: NetworkContext;
  readonly clock: VirtualClock;
  readonly switch: Switch;
  readonly line: DelayLine;
  readonly seed: number;
  /** Who is on the switch besides the guests. */
  readonly servers: readonly Saved[];
}

export class Network {
  /** What happened so far. */
  readonly statistics: NetworkStatistics = emptyStatistics();
  /** Addresses as numbers: the server's, the TFTP server's, that of the foreign DHCP server. */
  readonly address: number;
  readonly tftpAddress: number;
  readonly foreignAddress: number | undefined;
  readonly subnet: Subnet;

  readonly #options: NetworkOptions;
  readonly #faults: ReturnType<typeof resolveFaults>;
  readonly #latency: number;
  readonly #learn: boolean;
  readonly #dhcp: DhcpPlan;
  readonly #foreign: DhcpPlan | undefined;
  readonly #tftp: TftpPlan;
  readonly #proxy: ProxyDhcpPlan | undefined;
  readonly #further: readonly DhcpPlan[];
  readonly #dns: DnsNames | undefined;
  readonly #aoe: Required<AoeOptions> | undefined;
  /** The other address of the TFTP server, if it has the habit. */
  readonly #second: number | undefined;
  readonly #path: Required<PathOptions> | undefined;
  readonly #vlan: number | undefined;
  readonly #ports = new Map<number, GuestPort>();
  #running: Running | undefined;

  /** @throws NetworkOptionError that names the option and what it may be */
  constructor(options: NetworkOptions) {
    this.#options = options;
    this.#faults = resolveFaults(options.faults);
    this.#latency = whole('latencyTicks', options.latencyTicks, LATENCY_TICKS, 1, LATENCY_MAX);
    this.#learn = choice('arp', options.arp, 'learn', ['learn', 'ask']) === 'learn';

    // Who has which address
    const { dhcp = {}, tftp = {} } = options;
    this.address = parseIp('address', options.address ?? '192.168.77.1');
    this.subnet = subnetOf(this.address, whole('prefix', options.prefix, 24, 8, 30));
    if (!isHostOf(this.subnet, this.address)) {
      throw new NetworkOptionError('address', 'this is not the address of a host');
    }
    this.tftpAddress =
      tftp.address === undefined ? this.address : parseIp('tftp.address', tftp.address);
    if (dhcp.foreignServer !== undefined) {
      const last = this.subnet.broadcast - 1;
      const taken = [this.address, this.tftpAddress];
      this.foreignAddress = [last, last - 1, last - 2].find((free) => !taken.includes(free))!;
    }

    // What the servers do
    const surroundings = {
      subnet: this.subnet,
      router: this.address,
      nextServer: this.tftpAddress,
      bootFile: options.proxyDhcp === undefined ? options.bootFile : '',
      taken: [this.address, this.tftpAddress, this.foreignAddress ?? this.address],
    };
    this.#dhcp = planDhcp(dhcp, surroundings);
    this.#further = this.#planFurther(surroundings);
    if (options.proxyDhcp !== undefined) {
      this.#proxy = planProxyDhcp(options.proxyDhcp, options.bootFile, this.tftpAddress);
    }
    this.#dns = options.dns && planDns(options.dns);
    this.#aoe = options.aoe && planAoe(options.aoe);
    if (dhcp.foreignServer !== undefined) {
      this.#foreign = planForeignDhcp(dhcp, this.#dhcp, surroundings);
    }
    this.#tftp = planTftp(tftp);
    if (this.#tftp.habits.has('second-address')) this.#second = this.subnet.broadcast - 4;
    if (this.#tftp.port === Port.DHCP_SERVER) {
      throw new NetworkOptionError('tftp.port', `${this.#tftp.port} is the port of DHCP`);
    }
    if (options.path !== undefined) this.#path = planPath(options.path);
    if (options.vlan !== undefined) this.#vlan = whole('vlan', options.vlan, 0, 0, VLAN_MAX);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#running], (v) => ([this.#running] = v));
    keeper.keep(this.statistics, this.#faults, this.#ports);
  }

  /**
   * The link for a NIC: give it to the machine. The same NIC has the same link.
   *
   * @throws NetworkOptionError for more NICs than a network has room for
   */
  link(nic: number): Link {
    whole('nic', nic, 0, 0, LINKS_MAX - 1);
    return this.#port(nic);
  }

  /** Pull the cable of a NIC (`false`), or plug it in. */
  setLinkUp(nic: number, up: boolean): void {
    whole('nic', nic, 0, 0, LINKS_MAX - 1);
    this.#port(nic).setUp(up);
  }

  #port(nic: number): GuestPort {
    let port = this.#ports.get(nic);
    if (port === undefined) {
      port = new GuestPort(nic, this, (host) => this.#wire(host, nic));
      this.#ports.set(nic, port);
    }
    return port;
  }

  /** A NIC is plugged in. The lanes of each have random numbers of their own. */
  #wire(host: LinkHost, nic: number): GuestWiring {
    const running = (this.#running ??= this.#start(host));
    if (host.clock !== running.clock) {
      throw new Error('all NICs of a network must belong to one machine');
    }
    return {
      context: running.context,
      to: running.switch,
      lane: (direction, sink) =>
        new Lane(running.context, running.line, {
          faults: this.#faults[direction],
          latencyTicks: this.#latency,
          seed: running.seed,
          stream: (nic * 2 + (direction === 'toGuest' ? 1 : 0)) * STREAMS_PER_LANE,
          counters: this.statistics[direction],
          sink,
        }),
    };
  }

  /** The first NIC is there: bring up the servers. */
  #start({ clock, random }: LinkHost): Running {
    const context = new NetworkContext(clock, this.statistics, this.#options.log);
    const to = new Switch(context);
    const servers: Saved[] = [];
    if (this.#vlan !== undefined && this.#vlan > 0)
      servers.push(this.#startVlan(context, to, this.#vlan));
    const isRemote = !isHostOf(this.subnet, this.tftpAddress);
    const main = this.#server(context, to, MAIN, this.address, isRemote);
    const hasPartner = this.#options.dhcp?.failover === true;
    const partner = hasPartner ? this.#server(context, to, PARTNER, this.#spare(0)) : main;
    servers.push(new DhcpServer(context, main, this.#dhcp, partner));
    if (this.#dns !== undefined) servers.push(new DnsServer(context, main, this.#dns));
    const isSeparate = !isRemote && this.tftpAddress !== this.address;
    const tftp = isSeparate ? this.#server(context, to, TFTP, this.tftpAddress) : main;
    servers.push(new TftpServer(context, tftp, this.#tftp, this.#options.files));
    if (this.#foreign !== undefined) {
      const foreign = this.#server(context, to, FOREIGN, this.foreignAddress!);
      servers.push(new DhcpServer(context, foreign, this.#foreign));
    }
    if (this.#proxy !== undefined) {
      const host = this.#server(context, to, PROXY, this.#spare(1));
      servers.push(new ProxyDhcpServer(context, host, this.#proxy));
    }
    for (const [i, plan] of this.#further.entries()) {
      const host = this.#server(context, to, FURTHER + i, this.#spare(2 + i));
      servers.push(new DhcpServer(context, host, plan));
    }
    if (this.#aoe !== undefined) {
      const mac = Uint8Array.from([...SERVER_MAC, DISK]);
      servers.push(new AoeTarget(context, to, mac, this.#aoe));
    }
    const line = new DelayLine(clock);
    return { context, clock, switch: to, line, seed: random.u32(), servers };
  }

  /** Addresses of servers that nobody chooses: from the end of the network on. */
  #spare(number: number): number {
    return this.subnet.broadcast - 8 - number;
  }

  /** Further DHCP servers have their pools behind the first one's. @throws NetworkOptionError */
  #planFurther(surroundings: DhcpSurroundings): DhcpPlan[] {
    const { dhcpServers = [] } = this.#options;
    if (dhcpServers.length > FURTHER_MAX) {
      throw new NetworkOptionError('dhcpServers', `there can be ${FURTHER_MAX} more`);
    }
    const { poolStart, poolSize } = this.#dhcp;
    return dhcpServers.map((options, i) => {
      const first = poolStart + poolSize + FURTHER_POOL * (i + 1);
      const pool = { poolStart: ipText(first), poolSize: FURTHER_POOL };
      return planDhcp({ ...pool, ...options }, { ...surroundings, bootFile: '' });
    });
  }

  /** The DHCP server of another network, on the same wire. */
  #startVlan(context: NetworkContext, to: Switch, vlan: number): DhcpServer {
    const address = parseIp('vlan', VLAN_ADDRESS);
    const subnet = subnetOf(address, VLAN_PREFIX);
    const { bootFile } = this.#options;
    const around = { subnet, router: address, nextServer: address, bootFile, taken: [address] };
    const mac = Uint8Array.from([...SERVER_MAC, VLAN]);
    const identity = { mac, address, subnet, learn: true };
    const host = new ServerHost(context, new Trunk(to, vlan), identity);
    return new DhcpServer(context, host, planDhcp({}, around));
  }

  #server(
    context: NetworkContext,
    to: Switch,
    number: number,
    address: number,
    isGateway = false,
  ): ServerHost {
    const trunk = this.#vlan === 0 ? new Trunk(to, PRIORITY_TAG) : to;
    const entry = this.#path === undefined ? trunk : new Path(context, trunk, this.#path);
    return new ServerHost(context, entry, {
      mac: Uint8Array.from([...SERVER_MAC, number]),
      address,
      subnet: this.subnet,
      remoteAddress: isGateway ? this.tftpAddress : undefined,
      secondAddress: isGateway || address === this.tftpAddress ? this.#second : undefined,
      learn: this.#learn,
    });
  }
}
