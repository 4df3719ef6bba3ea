// SPDX-License-Identifier: GPL-2.0-or-later

/** Steps of a session that say nothing of a guest: it has come to them by another way. */

import { compareEffects, type Principled } from '../judge.ts';
import type { Effects } from '../item.ts';
import { CONSEQUENCE } from './principles.ts';

/** Most steps that are named. */
const STEPS_TOLD_MAX = 8;

/**
 * A note on the steps in which the guest does nothing of what was recorded, because an earlier one
 * ended otherwise: that nothing is wrong there is no more than that. Undefined if there are none.
 *
 * @param names of the steps
 */
export function unproven(
  names: readonly string[],
  recorded: Effects,
  guest: Effects,
  principled: readonly Principled[],
): string | undefined {
  const follows = principled.filter(({ principle }) => principle === CONSEQUENCE);
  const from = Math.min(...follows.map(({ difference }) => difference.step.index));
  const isEmpty = (step: number): boolean => {
    const [one, other] = [recorded[step] ?? [], guest[step] ?? []];
    const { counts } = compareEffects([names[step]!], [one], [other]);
    return one.length > 0 && counts.every(({ same }) => same === 0);
  };
  const empty = [...names.keys()].filter((step) => step >= from && isEmpty(step));
  if (empty.length === 0) return undefined;
  const told = empty.map((step) => `${step} ${names[step]}`);
  const more = told.length > STEPS_TOLD_MAX ? ', …' : '';
  const which = told.slice(0, STEPS_TOLD_MAX).join(', ') + more;
  return (
    `self-check: ${told.length} of ${names.length} steps prove nothing, because an earlier one ` +
    `ended otherwise and nothing in them is the same: ${which}`
  );
}
