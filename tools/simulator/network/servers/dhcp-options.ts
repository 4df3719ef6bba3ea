// SPDX-License-Identifier: GPL-2.0-or-later

/** What a DHCP server of the built-in network can be told to do. */

import { DhcpHeader, Port } from '../../../../src/net/protocol.ts';
import type { Subnet } from '../address.ts';
import { ipText, isHostOf, parseIp } from '../address.ts';
import { choice, NetworkOptionError, whole } from '../options.ts';
import { encodeText } from '../text.ts';

/**
 * Where the boot file and its server stand in OFFER and ACK:
 * - `header`: in the fields `file` and `siaddr`, no options (libslirp)
 * - `options`: in options 66 and 67, `siaddr` is 0
 * - `both`: in all four
 * - `dnsmasq`: `siaddr` and option 67, `file` empty, no option 66
 */
export type DhcpStyle = 'header' | 'options' | 'both' | 'dnsmasq';

/**
 * How the server answers: as it should, not at all, each REQUEST with a NAK, DISCOVER only, or as a
 * BOOTP server, which knows neither offers nor requests (RFC 951).
 */
export type DhcpMode = 'answer' | 'silent' | 'nak' | 'offer-only' | 'bootp';

/** Options of the DHCP server. */
export interface DhcpServerOptions {
  readonly mode?: DhcpMode;
  readonly style?: DhcpStyle;
  /** Options 66 and 67 end with a NUL, as dnsmasq's do. */
  readonly trailingNul?: boolean;
  /** First address of the pool (default: the 100th of the network), and their number (100). */
  readonly poolStart?: string;
  readonly poolSize?: number;
  /** Lease in seconds (default 3600); 0xffffffff never ends. */
  readonly leaseSeconds?: number;
  /** Option 26; without it the option is not sent. passt sends 65520. */
  readonly mtu?: number;
  /** Option 6; without it, the server's own address. */
  readonly nameServers?: readonly string[];
  /** Time from DISCOVER to OFFER in ticks. dnsmasq without `no-ping` takes 3 s. */
  readonly offerDelayTicks?: number;
  /** REQUESTs that are refused before the first is acknowledged. */
  readonly refusals?: number;
  /** Time from the first message on in which each REQUEST is refused, in ticks. */
  readonly refuseTicks?: number;
  /** Source port of its messages (default 67). */
  readonly sourcePort?: number;
  /** Name that option 66 tells instead of an address; a DNS server must know it. */
  readonly nextServerName?: string;
  /** Whether the router is told by classless static routes (RFC 3442), and a wrong one besides. */
  readonly classless?: boolean;
  /**
   * Address of a server in another network, behind a relay on the gateway (RFC 1542): it says that
   * it is the server, and what it sends comes from the relay.
   */
  readonly relay?: string;
  /** A failover pair: this server offers, and its partner acknowledges. */
  readonly failover?: boolean;
  /** A second server that offers addresses without a boot file, after this time in ticks. */
  readonly foreignServer?: { readonly offerDelayTicks?: number };
}

/** Options of one server, complete. */
export interface DhcpPlan {
  readonly mode: DhcpMode;
  readonly style: DhcpStyle;
  /** The boot file's name; empty: none is offered. */
  readonly bootFile: Uint8Array;
  readonly trailingNul: boolean;
  readonly nextServer: number;
  readonly poolStart: number;
  readonly poolSize: number;
  readonly leaseSeconds: number;
  readonly mtu: number | undefined;
  readonly router: number;
  readonly nameServers: readonly number[];
  readonly subnet: Subnet;
  readonly offerDelayTicks: number;
  readonly refusals: number;
  readonly refuseTicks: number;
  readonly sourcePort: number;
  readonly nextServerName: Uint8Array | undefined;
  readonly classless: boolean;
  /** Address of the server behind a relay; undefined: it is on this network. */
  readonly relay: number | undefined;
}

/** What the network tells its DHCP server. */
export interface DhcpSurroundings {
  readonly subnet: Subnet;
  readonly router: number;
  readonly nextServer: number;
  readonly bootFile: string;
  /** Addresses that are taken by servers. */
  readonly taken: readonly number[];
}

/** Most addresses of a pool, and of the pool of the foreign server. */
const POOL_MAX = 1024;
const FOREIGN_POOL = 8;
/** Longest boot file of option 67 with its NUL, in bytes. */
const OPTION_MAX = 255;
/** Longest delay of an OFFER: 60 s. */
const DELAY_MAX = 600_000_000;

/** Plan of the server. @throws NetworkOptionError */
export function planDhcp(options: DhcpServerOptions, network: DhcpSurroundings): DhcpPlan {
  const { subnet } = network;
  const style = choice('dhcp.style', options.style, 'both', STYLES);
  const poolStart =
    options.poolStart === undefined
      ? subnet.network + 100
      : parseIp('dhcp.poolStart', options.poolStart);
  const poolSize = whole('dhcp.poolSize', options.poolSize, 100, 1, POOL_MAX);
  checkPool('dhcp.poolStart', poolStart, poolSize, network);
  const nameServers = options.nameServers?.map((text) => parseIp('dhcp.nameServers', text));
  if (nameServers !== undefined && (nameServers.length < 1 || nameServers.length > 8)) {
    throw new NetworkOptionError('dhcp.nameServers', 'there must be 1 to 8 addresses');
  }
  return {
    mode: choice('dhcp.mode', options.mode, 'answer', MODES),
    style,
    bootFile: bootFileBytes(network.bootFile, style),
    trailingNul: options.trailingNul ?? false,
    nextServer: network.nextServer,
    poolStart,
    poolSize,
    leaseSeconds: whole('dhcp.leaseSeconds', options.leaseSeconds, 3600, 1, 0xffffffff),
    mtu: options.mtu === undefined ? undefined : whole('dhcp.mtu', options.mtu, 1500, 0, 0xffff),
    router: network.router,
    nameServers: nameServers ?? [network.router],
    subnet,
    offerDelayTicks: whole('dhcp.offerDelayTicks', options.offerDelayTicks, 0, 0, DELAY_MAX),
    refusals: whole('dhcp.refusals', options.refusals, 0, 0, 0xffff),
    refuseTicks: whole('dhcp.refuseTicks', options.refuseTicks, 0, 0, DELAY_MAX),
    sourcePort: whole('dhcp.sourcePort', options.sourcePort, Port.DHCP_SERVER, 1, 0xffff),
    nextServerName:
      options.nextServerName === undefined ? undefined : encodeText(options.nextServerName),
    classless: options.classless ?? false,
    relay: options.relay === undefined ? undefined : parseIp('dhcp.relay', options.relay),
  };
}

/** Plan of the foreign server: it knows nothing of boot files. @throws NetworkOptionError */
export function planForeignDhcp(
  options: DhcpServerOptions,
  main: DhcpPlan,
  network: DhcpSurroundings,
): DhcpPlan {
  const poolStart = main.poolStart + main.poolSize;
  checkPool('dhcp.foreignServer', poolStart, FOREIGN_POOL, network);
  return {
    ...main,
    mode: 'answer',
    style: 'header',
    bootFile: new Uint8Array(0),
    nextServer: 0,
    poolStart,
    poolSize: FOREIGN_POOL,
    offerDelayTicks: whole(
      'dhcp.foreignServer.offerDelayTicks',
      options.foreignServer?.offerDelayTicks,
      0,
      0,
      DELAY_MAX,
    ),
    refusals: 0,
    refuseTicks: 0,
  };
}

const STYLES: readonly DhcpStyle[] = ['header', 'options', 'both', 'dnsmasq'];
const MODES: readonly DhcpMode[] = ['answer', 'silent', 'nak', 'offer-only', 'bootp'];

function checkPool(option: string, first: number, size: number, network: DhcpSurroundings): void {
  const last = first + size - 1;
  const range = `${ipText(first)} to ${ipText(last)}`;
  if (!isHostOf(network.subnet, first) || !isHostOf(network.subnet, last)) {
    throw new NetworkOptionError(option, `${range} is not all in the network`);
  }
  for (const address of network.taken) {
    if (address >= first && address <= last) {
      throw new NetworkOptionError(option, `${range} has ${ipText(address)} of a server`);
    }
  }
}

function bootFileBytes(name: string, style: DhcpStyle): Uint8Array {
  const bytes = encodeText(name);
  const inHeader = style === 'header' || style === 'both';
  const most = (inHeader ? DhcpHeader.sizes.file : OPTION_MAX) - 1;
  if (bytes.length > most) {
    throw new NetworkOptionError(
      'bootFile',
      `${bytes.length} bytes, but DHCP style ${style} has room for ${most}`,
    );
  }
  if (bytes.includes(0)) throw new NetworkOptionError('bootFile', 'there is a NUL in it');
  return bytes;
}
