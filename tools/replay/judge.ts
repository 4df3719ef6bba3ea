// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Judges a guest by what the reference guest does on the same host. With the defects of the
 * recorded driver it must repeat the recording; without them it shows what is required instead.
 * What differs between the two is what the guest must differ in, no less and no more; and whatever
 * breaks the host's rules is a failure, whoever else did it.
 */

import { compareSteps, type Difference, type KindCount, type StepItems } from './compare.ts';
import type { Effects } from './item.ts';
import { Principles, type Principle } from './principles/principles.ts';
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

/** A rule of the host that the recorded guest broke and the guest does not: never a failure. */
function isBetter({ kind, type }: Difference): boolean {
  return (kind === 'violation' || kind === 'livelock') && type === 'missing';
}

/** Whether a guest's drivers are loaded and running at the end of a session. */
function isAtWork(names: StepNames, guest: Effects, cut: boolean): boolean {
  // What a cut step would have come to nobody knows
  const whole = cut ? names.slice(0, -1) : names;
  const begun = Math.max(whole.lastIndexOf('probe'), whole.lastIndexOf('unquiesce'));
  return whole.lastIndexOf('remove') <= begun && endedWell(guest[begun] ?? []);
}

/** The guests that are compared. */
export interface Compared {
  readonly recorded: Effects;
  readonly guest: Effects;
  /** The reference guest with the defects of the recorded one, and without. */
  readonly defective: Effects;
  readonly fixed: Effects;
  /** The guest's run, where the recorded guest is not understood: then principles count, too. */
  readonly run: Omit<JudgedRun, 'guest' | 'recorded' | 'atWork'> | undefined;
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
  const required = new Bag(compareEffects(names, defective, fixed).differences);
  const deliberate: Difference[] = [];
  const failures: Failure[] = [];
  for (const difference of differences) {
    if (required.take(difference)) deliberate.push(difference);
    else if (!isBetter(difference)) failures.push({ kind: 'unexplained', difference });
  }
  for (const difference of required.rest)
    if (!isBetter(difference)) failures.push({ kind: 'required', difference });
  if (compared.run === undefined) return { counts, deliberate, failures, principled: [] };
  const atWork = isAtWork(names, guest, compared.run.cut);
  const run = { ...compared.run, guest, recorded, atWork };
  const principles = new Principles(run, differences);
  const principled: Principled[] = [];
  if (failures.length > PRINCIPLED_MAX) return { counts, deliberate, failures, principled };
  const rest = failures.filter(({ kind, difference }) => {
    // What is required stands with the reference guest's items: the facts are of the guest's
    if (kind === 'required') return true;
    const principle = principles.of(difference);
    if (principle !== undefined) principled.push({ principle, difference });
    return principle === undefined;
  });
  return { counts, deliberate, failures: rest, principled };
}
