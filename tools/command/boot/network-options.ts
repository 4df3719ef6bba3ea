// SPDX-License-Identifier: GPL-2.0-or-later

/** The options of `hypxe boot` for what the network that is made here is like. */

import type { NetworkOptions, TftpHabit } from '../../simulator/network/index.ts';
import { TFTP_HABITS, VLAN_MAX } from '../../simulator/network/index.ts';
import { UsageError, didYouMean, quoted, wholeNumber } from '../usage.ts';
import type { GivenOptions } from './link-options.ts';

/** What a network is made with, besides files and faults. Plain data. */
export type NetworkHabits = Pick<NetworkOptions, 'path' | 'tftp' | 'vlan'>;

/** Names of these options, as `parseArgs` wants them. */
export const NETWORK_OPTIONS = {
  vlan: { type: 'string' },
  mtu: { type: 'string' },
  'tftp-habit': { type: 'string', multiple: true },
} as const;

/** What becomes of packets that are longer than the path's MTU. */
const WAYS = ['in-order', 'reversed', 'dropped'] as const;

/** The habits of TFTP servers, a line for each. */
export const TFTP_HABITS_HELP = Object.entries(TFTP_HABITS)
  .map(([name, text]) => `  ${name.padEnd(17)} ${text}`)
  .join('\n');

/** @throws UsageError BadNumber, BadMtu, UnknownHabit */
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
  };
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
