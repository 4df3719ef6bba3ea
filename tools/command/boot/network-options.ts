// SPDX-License-Identifier: GPL-2.0-or-later

/** The options of `hypxe boot` for what the network that is made here is like. */

import type { NetworkHabits } from '../../library/boot-plan.ts';
import type { TftpHabit } from '../../simulator/network/index.ts';
import {
  NetworkOptionError,
  planDns,
  TFTP_HABITS,
  VLAN_MAX,
} from '../../simulator/network/index.ts';
import { UsageError, didYouMean, quoted, wholeNumber } from '../usage.ts';
import type { GivenOptions } from './link-options.ts';

/** Names of these options, as `parseArgs` wants them. */
export const NETWORK_OPTIONS = {
  vlan: { type: 'string' },
  mtu: { type: 'string' },
  'tftp-habit': { type: 'string', multiple: true },
  'proxy-dhcp': { type: 'string' },
  'dhcp-servers': { type: 'string' },
  'dhcp-relay': { type: 'boolean' },
  'dhcp-failover': { type: 'boolean' },
  'dhcp-nak': { type: 'string' },
  'classless-routes': { type: 'boolean' },
  bootp: { type: 'boolean' },
  dns: { type: 'string' },
} as const;

/** What becomes of packets that are longer than the path's MTU. */
const WAYS = ['in-order', 'reversed', 'dropped'] as const;

/** The habits of TFTP servers, a line for each. */
export const TFTP_HABITS_HELP = Object.entries(TFTP_HABITS)
  .map(([name, text]) => `  ${name.padEnd(17)} ${text}`)
  .join('\n');

/** Where a ProxyDHCP server tells the boot file. */
const TELLS = ['offer', '4011', 'menu', 'broadcast'] as const;

/** Address of the DHCP server behind the relay. */
const RELAYED = '10.99.0.1';

/** Address of the servers of the network that is made here. */
const SERVER = '192.168.77.1';

/** Most further DHCP servers, and most seconds for which requests are refused. */
const SERVERS_MAX = 4;
const NAK_MAX = 60;

const TICKS_PER_SECOND = 10_000_000;

/** @throws UsageError BadNumber, BadMtu, UnknownHabit, BadName, NotTogether */
export function readNetwork(values: GivenOptions): NetworkHabits {
  const {
    vlan,
    mtu,
    'tftp-habit': habits,
  } = values as {
    readonly vlan?: string;
    readonly mtu?: string;
    readonly 'tftp-habit'?: readonly string[];
  };
  return {
    ...(vlan === undefined ? {} : { vlan: wholeNumber('--vlan', vlan, 0, VLAN_MAX) }),
    ...(mtu === undefined ? {} : { path: readPath(mtu) }),
    ...(habits === undefined ? {} : { tftp: { habits: readHabits(habits) } }),
    ...readDhcp(values),
  };
}

/** What DHCP servers do: nothing, without one of these options. */
function readDhcp(values: GivenOptions): NetworkHabits {
  const text = (name: keyof typeof NETWORK_OPTIONS): string | undefined =>
    values[name] as string | undefined;
  const dns = text('dns');
  const tells = text('proxy-dhcp');
  const nakSeconds = wholeNumber('--dhcp-nak', text('dhcp-nak') ?? '0', 0, NAK_MAX);
  const further =
    wholeNumber('--dhcp-servers', text('dhcp-servers') ?? '1', 1, 1 + SERVERS_MAX) - 1;
  const dhcp = {
    ...(values['bootp'] === true ? { mode: 'bootp' as const } : {}),
    ...(values['dhcp-relay'] === true ? { relay: RELAYED } : {}),
    ...(values['dhcp-failover'] === true ? { failover: true } : {}),
    ...(values['classless-routes'] === true ? { classless: true } : {}),
    ...(nakSeconds === 0 ? {} : { refuseTicks: nakSeconds * TICKS_PER_SECOND }),
    ...(dns === undefined ? {} : { nextServerName: dns }),
  };
  if (dns !== undefined && tells !== undefined) {
    const what = 'a ProxyDHCP server tells an address, and --dns a name';
    throw new UsageError('NotTogether', what, 'Leave out --proxy-dhcp or --dns.');
  }
  return {
    ...(Object.keys(dhcp).length === 0 ? {} : { dhcp }),
    ...(further === 0 ? {} : { dhcpServers: Array.from({ length: further }, () => ({})) }),
    ...(tells === undefined ? {} : { proxyDhcp: { tells: readTells(tells) } }),
    ...(dns === undefined ? {} : { dns: readNames(dns) }),
  };
}

function readTells(text: string): (typeof TELLS)[number] {
  const tells = TELLS.find((one) => one === text);
  if (tells !== undefined) return tells;
  const what = `a ProxyDHCP server cannot tell the boot file by ${quoted(text)}`;
  throw new UsageError('UnknownHabit', what, didYouMean(text, TELLS));
}

/** The name stands for another one, as names of servers do. */
function readNames(name: string): NonNullable<NetworkHabits['dns']> {
  const names = { [name]: `a.${name}`, [`a.${name}`]: SERVER };
  try {
    planDns(names);
  } catch (error) {
    if (!(error instanceof NetworkOptionError)) throw error;
    const what = `--dns cannot be ${quoted(name)}`;
    throw new UsageError('BadName', what, 'Give a name as tftp.example.');
  }
  return names;
}

function readPath(text: string): NonNullable<NetworkHabits['path']> {
  const [bytes = '', way = 'in-order', ...rest] = text.split(':');
  const fragments = WAYS.find((one) => one === way);
  if (fragments === undefined || rest.length > 0) {
    const advice = `Give it as BYTES or BYTES:WAY; a way is one of ${WAYS.join(', ')}.`;
    throw new UsageError('BadMtu', `--mtu cannot be ${quoted(text)}`, advice);
  }
  return { mtu: wholeNumber('--mtu', bytes, 68, 1500), fragments };
}

function readHabits(texts: readonly string[]): TftpHabit[] {
  const names = Object.keys(TFTP_HABITS) as TftpHabit[];
  return texts
    .flatMap((text) => text.split(','))
    .map((text) => {
      const habit = names.find((name) => name === text);
      if (habit !== undefined) return habit;
      const what = `there is no habit ${quoted(text)} of TFTP servers`;
      throw new UsageError('UnknownHabit', what, didYouMean(text, names));
    });
}
