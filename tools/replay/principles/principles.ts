// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What is right whoever was recorded: where no rule explains a difference, the guest is judged by
 * what its host did and has. Each principle is about one kind of object, and says of a difference
 * whether the guest's side of it is right; what follows from a step that ended otherwise than
 * recorded must only keep them all.
 */

import type { Difference } from '../compare.ts';
import { RunFacts, field, type JudgedRun } from './run-facts.ts';

/** What is right of one kind of object. */
export interface Principle {
  readonly id: string;
  readonly title: string;
  /** Whether the guest's side of a difference is right. */
  holds(difference: Difference, facts: RunFacts): boolean;
}

/** Messages that take something back. */
const REVOCATIONS: readonly string[] = [
  ...['CLOSE_CHANNEL', 'GPADL_TEARDOWN', 'UNLOAD', 'RELID_RELEASED'],
];

/** What is right of single objects. */
export const PRINCIPLES: readonly Principle[] = [
  {
    id: 'registers-as-found',
    title: 'What a guest gives back is as it found it',
    holds: ({ kind, step, expected, actual }, facts) =>
      kind === 'register' && facts.isAsFound((expected ?? actual)!.label, step),
  },
  {
    id: 'asked-is-answered-once',
    title: 'What the host waits for it gets once, and nothing else',
    holds: ({ kind, expected, actual }, facts) => {
      const item = (expected ?? actual)!;
      if (kind === 'answer') return facts.isAnsweredOnce(item);
      const keepalive = kind === 'packet' && item.label.endsWith('KEEPALIVE_CMPLT');
      return keepalive && facts.keepsAliveOnce(field(item, 'requestId'));
    },
  },
  {
    id: 'frames-arrive-once-in-order',
    title: 'Whole frames are handed up once, in the order of the host, and nothing else is',
    holds: ({ kind, type, expected }, facts) =>
      kind === 'frame' &&
      (facts.framesAreRight || (type === 'missing' && !facts.isWhole(expected))),
  },
  {
    id: 'what-is-no-use-counts-once',
    title: 'What is no frame and no message that the guest knows counts once as an error',
    holds: ({ kind, step, type }, facts) => {
      if (kind !== 'receive-error' || !facts.receiptsAreRight) return false;
      return type !== 'missing' || facts.isSpokenFor(step.index);
    },
  },
  {
    id: 'frames-end-once',
    title: 'A frame that is sent ends once',
    holds: ({ kind, expected, actual }, facts) =>
      kind === 'completion' && facts.endsOnce(field(expected ?? actual, 'frame')),
  },
  {
    id: 'counters-are-true',
    title: 'Counters say what has happened',
    holds: ({ kind, step }, facts) => kind === 'statistics' && facts.countersAreTrue(step.index),
  },
  {
    id: 'given-is-taken-back',
    title: 'What the host has is taken back, and of what it has not nothing is said',
    holds: ({ kind, type, expected, actual }, facts) => {
      const item = (expected ?? actual)!;
      if (kind === 'packet' && type === 'extra') return facts.takesBack(actual!);
      if (kind !== 'message' || !REVOCATIONS.includes(item.label)) return false;
      const [needless, needed] = [expected?.needless === true, actual?.needless !== true];
      return type === 'extra' ? needed : type === 'missing' ? needless : needless && needed;
    },
  },
  {
    id: 'refused-is-said-again',
    title: 'What the host had no room for is said again',
    holds: ({ kind, step, type, actual }, facts) =>
      kind === 'message' && type === 'extra' && facts.wasRefused(actual!, step.index),
  },
  {
    id: 'memory-follows-the-host',
    title: 'Memory is kept as long as the host may have it, and no longer',
    holds: ({ kind, expected, actual }, facts) =>
      kind === 'memory' && facts.memoryIsRight(expected, actual),
  },
  {
    id: 'error-says-what-happened',
    title: 'Where the host refuses or says what it must not, errors are the guest’s to name',
    holds: ({ kind, step, expected, actual }, { books }) =>
      kind === 'result' &&
      ![field(expected, 'result'), field(actual, 'result')].includes('OK') &&
      (step.name === 'transmit' || books.isTroubled(step.index)),
  },
];

/** A step that ends otherwise than recorded: what the host did there is reason enough. */
const TURNS: Principle = {
  id: 'served-or-refused',
  title: 'What the host offers is served, and what it breaks is refused',
  holds: ({ kind, step, type, expected, actual }, { books, serves }) => {
    if (kind === 'device')
      return type !== 'changed' && (books.isTroubled(step.index) || books.rescinded <= step.index);
    if (kind !== 'result') return false;
    const [before, now] = [field(expected, 'result'), field(actual, 'result')];
    if (now === 'OK') return before !== 'OK' && serves(step.index);
    return before === 'OK' && books.isTroubled(step.index) && !now.startsWith('crash');
  },
};

/** Whether a guest breaks a rule that the recorded one keeps: no principle makes that right. */
function isBreach({ kind, type }: Difference): boolean {
  return (kind === 'violation' || kind === 'livelock') && type === 'extra';
}

/** Whatever else differs where the guest has come by another way. */
export const CONSEQUENCE: Principle = {
  id: 'consequence',
  title: 'What follows from a step that ended otherwise',
  holds: (difference, facts) => !isBreach(difference) && facts.isInOrder,
};

/**
 * Where the host says what it must not, or nothing, a guest is right that does exactly what the
 * list of differences says: what the reference guest without defects does. The judge knows that.
 */
export const AS_LISTED = {
  id: 'as-listed',
  title: 'Where the host gives trouble, what the list of differences says is done',
  holds: (difference) => !isBreach(difference),
} satisfies Principle;

/** Finds the principle by which the guest's side of a difference is right. */
export class Principles {
  readonly #facts: RunFacts;
  /** The first step that ends otherwise, with reason. */
  readonly #turn: number;

  constructor(run: JudgedRun, differences: readonly Difference[]) {
    this.#facts = new RunFacts(run);
    const turns = differences.filter((difference) => TURNS.holds(difference, this.#facts));
    // What the host takes away is gone from then on, whenever a guest says so
    this.#turn = Math.min(...turns.map(({ step }) => step.index), this.#facts.books.rescinded);
  }

  /** The principle, or undefined: the guest is not known to be right. */
  of(difference: Difference): Principle | undefined {
    const own = PRINCIPLES.find((principle) => principle.holds(difference, this.#facts));
    if (own !== undefined) return own;
    if (difference.step.index < this.#turn) return undefined;
    if (!CONSEQUENCE.holds(difference, this.#facts)) return undefined;
    return TURNS.holds(difference, this.#facts) ? TURNS : CONSEQUENCE;
  }
}
