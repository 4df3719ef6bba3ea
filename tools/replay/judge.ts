// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Judges a guest by what the reference guest does on the same host. With the defects of the
 * recorded driver it must repeat the recording; without them it shows what is required instead.
 * What differs between the two is what the guest must differ in, no less and no more; and whatever
 * breaks the host's rules is a failure, whoever else did it.
 */

import { compareSteps, type Difference, type KindCount, type StepItems } from './compare.ts';
import type { Effects, Item } from './item.ts';
import { AS_LISTED, Principles, type Principle } from './principles/principles.ts';
import { endedWell, type JudgedRun } from './principles/run-facts.ts';

/** Why a difference is a failure. */
export type FailureKind =
  /** The guest differs from the recording, and nothing requires that. */
  | 'unexplained'
  /** Something requires a difference, which the guest does not show. */
  | 'required';

/** A difference that is a failure. */
export interface Failure {
  readonly kind: FailureKind;
  readonly difference: Difference;
}

/** What is right by a principle. */
export interface Principled {
  readonly principle: Principle;
  readonly difference: Difference;
}

/** What the judge has found. */
export interface Judgement {
  readonly counts: readonly KindCount[];
  /** Differences that no rule explains, and in which the guest is right all the same. */
  readonly principled: readonly Principled[];
  /** Differences from the recording that are required. */
  readonly deliberate: readonly Difference[];
  readonly failures: readonly Failure[];
}

/** Names of the steps. */
export type StepNames = readonly string[];

/** Differences between two guests, step by step. */
export function compareEffects(
  names: StepNames,
  expected: Effects,
  actual: Effects,
): ReturnType<typeof compareSteps> {
  const steps: StepItems[] = names.map((name, index) => ({
    index,
    name,
    expected: expected[index] ?? [],
    actual: actual[index] ?? [],
  }));
  return compareSteps(steps);
}

/** What a difference is, so that the same one between other guests is found. */
function identity({ step, kind, expected, actual }: Difference): string {
  return [step.index, kind, expected?.key ?? '', actual?.key ?? ''].join('\n');
}

/** A guest that differs from the recorded one in more than this is not a better one. */
const PRINCIPLED_MAX = 1000;

/** A bag of differences. */
class Bag {
  readonly #counts = new Map<string, Difference[]>();

  constructor(differences: readonly Difference[]) {
    for (const difference of differences) {
      const list = this.#counts.get(identity(difference)) ?? [];
      if (list.length === 0) this.#counts.set(identity(difference), list);
      list.push(difference);
    }
  }

  /** Take one out that is the same. Returns whether there was one. */
  take(difference: Difference): boolean {
    return this.#counts.get(identity(difference))?.shift() !== undefined;
  }

  get rest(): readonly Difference[] {
    return [...this.#counts.values()].flat();
  }
}

/** An item of a step, so that the same one is found. */
function itemKey({ step, kind }: Difference, item: Item): string {
  return [step.index, kind, item.key].join('\n');
}

/** The list of items in which a difference is. */
function listKey({ step, kind }: Difference): string {
  return `${step.index} ${kind}`;
}

/** Differences that are about an order: what is missing at one place is done at another. */
function moves(differences: readonly Difference[]): readonly Difference[] {
  const missing = new Set<string>();
  const extra = new Set<string>();
  for (const difference of differences) {
    const { expected, actual } = difference;
    if (expected !== undefined) missing.add(itemKey(difference, expected));
    if (actual !== undefined) extra.add(itemKey(difference, actual));
  }
  return differences.filter((difference) => {
    const keys = [difference.expected, difference.actual].flatMap((item) =>
      item === undefined ? [] : [itemKey(difference, item)],
    );
    return keys.some((key) => missing.has(key) && extra.has(key));
  });
}

/**
 * Whether a guest does what the reference guest without defects does there: then it has what is
 * required, also where the recorded guest is not the one that the defects make.
 */
class AsRequired {
  readonly #lacks = new Set<string>();
  readonly #has = new Set<string>();
  /** Kinds of a step that the two do in another order. */
  readonly #moved: ReadonlySet<string>;

  /** @param differences between the reference guest without defects and the guest */
  constructor(differences: readonly Difference[]) {
    for (const difference of differences) {
      const { expected, actual } = difference;
      if (expected !== undefined) this.#lacks.add(itemKey(difference, expected));
      if (actual !== undefined) this.#has.add(itemKey(difference, actual));
    }
    this.#moved = new Set(moves(differences).map(listKey));
  }

  /** Whether the order in which the guest does things is the one without defects. */
  isInOrder(difference: Difference): boolean {
    return !this.#moved.has(listKey(difference));
  }

  /** Whether what makes a difference from the recorded guest is done without defects, too. */
  repeats(difference: Difference): boolean {
    const { expected, actual } = difference;
    const lacks = expected !== undefined && this.#lacks.has(itemKey(difference, expected));
    return !lacks && (actual === undefined || !this.#has.has(itemKey(difference, actual)));
  }

  /** Whether the guest shows a required difference. */
  shows(required: Difference): boolean {
    const { expected, actual } = required;
    const repeats = expected !== undefined && this.#has.has(itemKey(required, expected));
    return !repeats && (actual === undefined || !this.#lacks.has(itemKey(required, actual)));
  }
}

/** A rule of the host that the recorded guest broke and the guest does not: never a failure. */
function isBetter({ kind, type }: Difference): boolean {
  return (kind === 'violation' || kind === 'livelock') && type === 'missing';
}

/** Whether a guest's drivers are loaded and running at the end of a session, or keep still. */
function workOf(
  names: StepNames,
  guest: Effects,
  cut: boolean,
): { readonly atWork: boolean; readonly quiesced: boolean } {
  // What a cut step would have come to nobody knows
  const whole = cut ? names.slice(0, -1) : names;
  const begun = Math.max(whole.lastIndexOf('probe'), whole.lastIndexOf('unquiesce'));
  const atWork = whole.lastIndexOf('remove') <= begun && endedWell(guest[begun] ?? []);
  return { atWork, quiesced: atWork && whole.lastIndexOf('quiesce') > begun };
}

/** The guests that are compared. */
export interface Compared {
  readonly recorded: Effects;
  readonly guest: Effects;
  /** The reference guest with the defects of the recorded one, and without. */
  readonly defective: Effects;
  readonly fixed: Effects;
  /** The guest's run, where the recorded guest is not understood: then principles count, too. */
  readonly run: Omit<JudgedRun, 'guest' | 'recorded' | 'atWork' | 'quiesced'> | undefined;
}

/**
 * Judge.
 *
 * @param own the recording is of a guest that is held to nothing but itself
 */
export function judge(names: StepNames, compared: Compared, own: boolean): Judgement {
  const { recorded, guest, defective, fixed } = compared;
  const { counts, differences } = compareEffects(names, recorded, guest);
  if (own && differences.length === 0)
    return { counts, deliberate: [], failures: [], principled: [] };
  const all = compareEffects(names, defective, fixed).differences;
  const required = new Bag(all);
  const deliberate: Difference[] = [];
  const failures: Failure[] = [];
  for (const difference of differences) {
    if (required.take(difference)) deliberate.push(difference);
    else if (!isBetter(difference)) failures.push({ kind: 'unexplained', difference });
  }
  const right = new AsRequired(compareEffects(names, fixed, guest).differences);
  // An order is of several things: which of them was moved two comparisons may see otherwise
  const orders = new Set(moves(all));
  const shows = (difference: Difference): boolean =>
    orders.has(difference) ? right.isInOrder(difference) : right.shows(difference);
  for (const difference of required.rest)
    if (!isBetter(difference) && !shows(difference))
      failures.push({ kind: 'required', difference });
  if (compared.run === undefined) return { counts, deliberate, failures, principled: [] };
  const { books, cut } = compared.run;
  const run = { ...compared.run, guest, recorded, ...workOf(names, guest, cut) };
  const principles = new Principles(run, differences);
  const principled: Principled[] = [];
  if (failures.length > PRINCIPLED_MAX) return { counts, deliberate, failures, principled };
  const moved = new Set(moves(differences));
  const rest = failures.filter(({ kind, difference }) => {
    // What is required stands with the reference guest's items: the facts are of the guest's
    if (kind === 'required') return true;
    const listed =
      AS_LISTED.holds(difference) &&
      (moved.has(difference) ? right.isInOrder(difference) : right.repeats(difference)) &&
      books.wasTroubled(difference.step.index);
    const principle = principles.of(difference) ?? (listed ? AS_LISTED : undefined);
    if (principle !== undefined) principled.push({ principle, difference });
    return principle === undefined;
  });
  return { counts, deliberate, failures: rest, principled };
}
