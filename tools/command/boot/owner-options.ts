// SPDX-License-Identifier: GPL-2.0-or-later

/** Who had the machine before, and when its first NIC comes and goes. */

import type { NicTimes } from '../../flow/nic-schedule.ts';
import { LEFTOVERS, LEFTOVER_NAMES, type Leftover } from '../../os/previous-owner.ts';
import { UsageError, didYouMean, quoted, wholeNumber } from '../usage.ts';

/** Longest time for a NIC to come or go, in ms. */
const NIC_MS_MAX = 600_000;

/** For the help: what an owner may leave, in lines. */
export const OWNER_HELP = [
  LEFTOVER_NAMES.slice(0, 6).join(', '),
  LEFTOVER_NAMES.slice(6, 11).join(', '),
  LEFTOVER_NAMES.slice(11).join(', '),
].join(',\n                      ');

/** The names of `--previous-owner`. @throws UsageError UnknownLeftover */
export function readOwner(text: string | undefined): readonly Leftover[] {
  if (text === undefined) return [];
  if (text === 'all') return LEFTOVER_NAMES;
  const names = text.split(',');
  for (const name of names) {
    if (Object.hasOwn(LEFTOVERS, name)) continue;
    const what = `no owner leaves ${quoted(name)}`;
    throw new UsageError('UnknownLeftover', what, didYouMean(name, ['all', ...LEFTOVER_NAMES]));
  }
  return names as Leftover[];
}

/** The times of `--nic-arrives` and its like. @throws UsageError */
export function readNicTimes(
  values: Readonly<Partial<Record<'nic-arrives' | 'nic-leaves' | 'nic-returns', string>>>,
): NicTimes {
  const ms = (name: keyof typeof values): number | undefined => {
    const text = values[name];
    return text === undefined ? undefined : wholeNumber(`--${name}`, text, 0, NIC_MS_MAX);
  };
  const times = {
    arrives: ms('nic-arrives'),
    leaves: ms('nic-leaves'),
    returns: ms('nic-returns'),
  };
  if (times.returns === undefined || times.leaves !== undefined) return times;
  const text = '--nic-returns without --nic-leaves';
  throw new UsageError('BadOrder', text, 'Say when it leaves, too.');
}
