// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Compares what the guest did with what was recorded: per step and kind, in order, aligned so that
 * one item too many or too few does not shift all that follow.
 */

import { ITEM_KINDS } from './item.ts';
import type { Item, ItemKind } from './item.ts';

/** One field that differs. */
export interface FieldDifference {
  readonly name: string;
  readonly expected: string | undefined;
  readonly actual: string | undefined;
}

/** One difference between recording and guest. */
export interface Difference {
  /** Number and name of the step in which it is. */
  readonly step: { readonly index: number; readonly name: string };
  readonly kind: ItemKind;
  readonly type: 'missing' | 'extra' | 'changed';
  /** What the recorded driver did; undefined if it did nothing of the sort. */
  readonly expected: Item | undefined;
  /** What the guest did. */
  readonly actual: Item | undefined;
  /** The fields that differ, if both sides are there. */
  readonly fields: readonly FieldDifference[];
}

/** How many items of a kind there were on both sides, and how many are the same. */
export interface KindCount {
  readonly kind: ItemKind;
  readonly recorded: number;
  readonly guest: number;
  readonly same: number;
}

/** Longest product of two lists that is aligned exactly; beyond that items pair by position. */
export const ALIGN_PRODUCT_MAX = 4_000_000;

type Pair = readonly [expected: Item | undefined, actual: Item | undefined];

/** Whether two items are the same. */
function isSame(expected: Item, actual: Item): boolean {
  return expected.key === actual.key;
}

/** Align two lists: the longest common subsequence pairs up, the rest stands alone. */
function align(expected: readonly Item[], actual: readonly Item[]): Pair[] {
  const rows = expected.length;
  const columns = actual.length;
  if (rows * columns > ALIGN_PRODUCT_MAX)
    return Array.from({ length: Math.max(rows, columns) }, (_, i) => [expected[i], actual[i]]);
  // Length of the longest common subsequence of the two tails that begin at each pair
  const width = columns + 1;
  const lengths = new Uint16Array((rows + 1) * width);
  for (let i = rows - 1; i >= 0; i--) {
    for (let j = columns - 1; j >= 0; j--) {
      const below = lengths[(i + 1) * width + j]!;
      const right = lengths[i * width + j + 1]!;
      lengths[i * width + j] = isSame(expected[i]!, actual[j]!)
        ? lengths[(i + 1) * width + j + 1]! + 1
        : Math.max(below, right);
    }
  }
  // Walk along it
  const pairs: Pair[] = [];
  let i = 0;
  let j = 0;
  while (i < rows || j < columns) {
    if (i < rows && j < columns && isSame(expected[i]!, actual[j]!)) {
      pairs.push([expected[i++], actual[j++]]);
    } else if (
      j >= columns ||
      (i < rows && lengths[(i + 1) * width + j]! >= lengths[i * width + j + 1]!)
    ) {
      pairs.push([expected[i++], undefined]);
    } else {
      pairs.push([undefined, actual[j++]]);
    }
  }
  return pairs;
}

/** Within each run of unpaired items, pair those of the same label: they are changed, not new. */
function pairChanged(pairs: readonly Pair[]): Pair[] {
  const result: Pair[] = [];
  let missing: Item[] = [];
  let extra: Item[] = [];
  const flush = (): void => {
    for (const item of missing) {
      const at = extra.findIndex((other) => other.label === item.label);
      result.push([item, at < 0 ? undefined : extra.splice(at, 1)[0]]);
    }
    for (const item of extra) result.push([undefined, item]);
    missing = [];
    extra = [];
  };
  for (const [expected, actual] of pairs) {
    if (expected !== undefined && actual !== undefined && isSame(expected, actual)) {
      flush();
      result.push([expected, actual]);
      continue;
    }
    if (expected !== undefined) missing.push(expected);
    if (actual !== undefined) extra.push(actual);
  }
  flush();
  return result;
}

/** The fields in which two items differ. */
function differingFields(expected: Item, actual: Item): FieldDifference[] {
  const left = new Map(expected.fields.map((field) => [field.name, field.text]));
  const right = new Map(actual.fields.map((field) => [field.name, field.text]));
  return [...new Set([...left.keys(), ...right.keys()])]
    .map((name) => ({ name, expected: left.get(name), actual: right.get(name) }))
    .filter((field) => field.expected !== field.actual);
}

/** The items of a step on both sides. */
export interface StepItems {
  readonly index: number;
  readonly name: string;
  readonly expected: readonly Item[];
  readonly actual: readonly Item[];
}

/** Compare all steps. Differences come in the order of the steps, kinds and items. */
export function compareSteps(steps: readonly StepItems[]): {
  readonly counts: readonly KindCount[];
  readonly differences: readonly Difference[];
} {
  const counts = new Map(
    ITEM_KINDS.map((kind) => [kind, { kind, recorded: 0, guest: 0, same: 0 }]),
  );
  const differences: Difference[] = [];
  for (const { index, name, expected, actual } of steps) {
    for (const kind of ITEM_KINDS) {
      const left = expected.filter((item) => item.kind === kind);
      const right = actual.filter((item) => item.kind === kind);
      const count = counts.get(kind)!;
      count.recorded += left.length;
      count.guest += right.length;
      for (const [before, now] of pairChanged(align(left, right))) {
        if (before !== undefined && now !== undefined && isSame(before, now)) {
          count.same++;
          continue;
        }
        const type = before === undefined ? 'extra' : now === undefined ? 'missing' : 'changed';
        const fields =
          before !== undefined && now !== undefined ? differingFields(before, now) : [];
        const step = { index, name };
        differences.push({ step, kind, type, expected: before, actual: now, fields });
      }
    }
  }
  return { counts: [...counts.values()], differences };
}
