// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Judges differences: each is a trace of exactly one deliberate difference, or a failure. Signals
 * follow the packets that they announce, counters follow what they count.
 */

import type { Difference } from './compare.ts';
import type { DeliberateDifference, ReplayContext } from './differences/entry.ts';
import { DIFFERENCES } from './differences/index.ts';
import type { Item } from './item.ts';

/** A deliberate difference as it was met in a replay. */
export interface MetDifference {
  readonly entry: DeliberateDifference;
  readonly differences: readonly Difference[];
}

/** A difference that nothing explains, or that more than one entry claims. */
export interface Failure {
  readonly difference: Difference;
  /** Entries that claim it, if several do. */
  readonly claims: readonly string[];
}

/** The entry under which a counter of deferred frames goes. */
const DEFERRAL_ID = 'deferral-is-no-error';

type Claims = Map<Difference, DeliberateDifference>;

/** The entries that claim a difference by themselves. */
function claimsOf(difference: Difference, context: ReplayContext): DeliberateDifference[] {
  return DIFFERENCES.filter((entry) => entry.matches?.(difference, context) === true);
}

/** A signal of a packet that is a difference itself belongs to that one's entry. */
function followPacket(difference: Difference, claims: Claims): DeliberateDifference | undefined {
  const cause = (difference.expected ?? difference.actual!).cause;
  if (cause === undefined || difference.type === 'changed') return undefined;
  for (const [other, entry] of claims) {
    if (other.kind !== 'packet' || other.type !== difference.type) continue;
    const about: Item = other.expected ?? other.actual!;
    const same =
      other.expected === undefined ? about === cause.packet : about.event === cause.event;
    if (same) return entry;
  }
  return undefined;
}

/** The number of items of a sort that are there (+1) or not there (-1), and who is to blame. */
function countUpTo(
  step: number,
  claims: Claims,
  sort: (item: Item) => boolean,
): { readonly sum: number; readonly entry: DeliberateDifference | undefined } {
  let sum = 0;
  let entry: DeliberateDifference | undefined;
  for (const [difference, claim] of claims) {
    if (difference.step.index > step) continue;
    let change = 0;
    if (difference.expected !== undefined && sort(difference.expected)) change--;
    if (difference.actual !== undefined && sort(difference.actual)) change++;
    sum += change;
    if (change !== 0) entry ??= claim;
  }
  return { sum, entry };
}

/** Counters that differ by just what the other differences explain belong to their entry. */
function followCounts(
  difference: Difference,
  claims: Claims,
  deferred: number,
): DeliberateDifference | undefined {
  let entry: DeliberateDifference | undefined;
  const step = difference.step.index;
  for (const field of difference.fields) {
    const delta = Number(field.actual) - Number(field.expected);
    if (field.name === 'txBad') {
      if (delta !== -deferred) return undefined;
      entry ??= DIFFERENCES.find(({ id }) => id === DEFERRAL_ID);
      continue;
    }
    const kinds: Readonly<Record<string, Item['kind']>> = {
      rxGood: 'frame',
      rxBad: 'receive-error',
    };
    const kind = kinds[field.name];
    if (kind === undefined) return undefined;
    const count = countUpTo(step, claims, (item) => item.kind === kind);
    if (count.sum !== delta) return undefined;
    entry ??= count.entry;
  }
  return entry;
}

/**
 * Sort differences into deliberate ones and failures.
 *
 * @param deferredUpTo how many frames the recording has deferred up to the end of a step
 */
export function judge(
  differences: readonly Difference[],
  context: ReplayContext,
  deferredUpTo: (step: number) => number,
): { readonly deliberate: readonly MetDifference[]; readonly failures: readonly Failure[] } {
  const claims: Claims = new Map();
  const several = new Map<Difference, readonly string[]>();
  for (const difference of differences) {
    const entries = claimsOf(difference, context);
    if (entries.length === 1) claims.set(difference, entries[0]!);
    else if (entries.length > 1)
      several.set(
        difference,
        entries.map(({ id }) => id),
      );
  }
  // What follows from others, once the others are known
  for (const difference of differences) {
    if (claims.has(difference) || several.has(difference)) continue;
    let entry: DeliberateDifference | undefined;
    if (difference.kind === 'signal') entry = followPacket(difference, claims);
    if (difference.kind === 'statistics' && difference.type === 'changed')
      entry = followCounts(difference, claims, deferredUpTo(difference.step.index));
    if (entry !== undefined) claims.set(difference, entry);
  }
  const deliberate = DIFFERENCES.map((entry) => ({
    entry,
    differences: differences.filter((difference) => claims.get(difference) === entry),
  })).filter((met) => met.differences.length > 0);
  const failures = differences
    .filter((difference) => !claims.has(difference))
    .map((difference) => ({ difference, claims: several.get(difference) ?? [] }));
  return { deliberate, failures };
}
