// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What networks in the field are like, one thing at a time, by name: for scenarios and
 * explorations, which boot through each. The options of `hypxe boot` combine the same things.
 */

import { TICKS_PER_MS } from '../base/clock.ts';
import type { NetworkOptions } from './network.ts';
import { TFTP_HABITS } from './servers/tftp-options.ts';
import type { TftpHabit } from './servers/tftp-options.ts';

/** What a network is made with besides what it serves. Plain data. */
export type NetworkCondition = Partial<Omit<NetworkOptions, 'files' | 'bootFile' | 'log'>>;

/** A name that is an alias, as names of servers are. */
const NAME = 'tftp.example';
const SERVER = '192.168.77.1';

const SERVERS: Readonly<Record<string, NetworkCondition>> = {
  'proxy-dhcp-offer': { proxyDhcp: { tells: 'offer' } },
  'proxy-dhcp-late': { proxyDhcp: { tells: 'offer', offerDelayTicks: 5000 * TICKS_PER_MS } },
  'proxy-dhcp-4011': { proxyDhcp: { tells: '4011' } },
  'proxy-dhcp-menu': { proxyDhcp: { tells: 'menu' } },
  'proxy-dhcp-broadcast': { proxyDhcp: { tells: 'broadcast' } },
  'dhcp-servers': {
    dhcp: { offerDelayTicks: 2000 * TICKS_PER_MS },
    dhcpServers: [{}, { offerDelayTicks: 500 * TICKS_PER_MS }],
  },
  'dhcp-relay': { dhcp: { relay: '10.99.0.1' } },
  'dhcp-failover': { dhcp: { failover: true } },
  'dhcp-nak': { dhcp: { refuseTicks: 5000 * TICKS_PER_MS } },
  'dhcp-port': { dhcp: { sourcePort: 1067 } },
  'classless-routes': { dhcp: { classless: true } },
  bootp: { dhcp: { mode: 'bootp' } },
  dns: { dhcp: { nextServerName: NAME }, dns: { [NAME]: `a.${NAME}`, [`a.${NAME}`]: SERVER } },
  'vlan-trunk': { vlan: 100 },
  'priority-tags': { vlan: 0 },
  fragments: { path: { mtu: 576, fragments: 'in-order' } },
  'fragments-reversed': { path: { mtu: 576, fragments: 'reversed' } },
  'path-mtu': { path: { mtu: 1400, fragments: 'dropped' } },
};

/** Each server, path and trunk of the field, and each habit of TFTP servers as `tftp-HABIT`. */
export const NETWORK_CONDITIONS: Readonly<Record<string, NetworkCondition>> = {
  ...SERVERS,
  ...Object.fromEntries(
    (Object.keys(TFTP_HABITS) as TftpHabit[]).map((habit) => [
      `tftp-${habit}`,
      { tftp: { habits: [habit] } },
    ]),
  ),
};

/** Names of all of them. */
export const NETWORK_CONDITION_NAMES: readonly string[] = Object.keys(NETWORK_CONDITIONS);

/** Several of them at once: what two say of the same server is said together. */
export function combined(conditions: readonly NetworkCondition[]): NetworkCondition {
  const all: Record<string, unknown> = {};
  for (const condition of conditions) {
    for (const [name, value] of Object.entries(condition)) {
      const before = all[name];
      const plain = typeof value === 'object' && !Array.isArray(value);
      all[name] = plain ? { ...(before as object | undefined), ...value } : value;
    }
  }
  const habits = conditions.flatMap(({ tftp }) => tftp?.habits ?? []);
  return habits.length === 0 ? all : { ...all, tftp: { ...(all['tftp'] as object), habits } };
}
