// SPDX-License-Identifier: GPL-2.0-or-later

/** How commands of the command line fail, and how their options are read. */

/** Exit codes: for scripts. */
export const Exit = {
  /** Nothing to complain of. */
  CLEAN: 0,
  /** Findings, or differences. */
  FINDINGS: 1,
  /** The command was not understood or could not be done, or the firmware refuses the host. */
  USAGE: 2,
  /** The guest crashed or hung. */
  CRASH: 3,
} as const;

/** A mistake in the use of a command: what is wrong, and what to do. Exit code 2. */
export class UsageError extends Error {
  readonly advice: string;

  constructor(name: string, message: string, advice: string) {
    super(message);
    this.name = name;
    this.advice = advice;
  }
}

/** What `parseArgs` has to say about an option: its first sentence. */
export function badOption(error: unknown, advice: string): UsageError {
  const [sentence = ''] = (error as Error).message.split(/\.\s/);
  return new UsageError('BadOption', sentence, advice);
}

/** A whole number within bounds. @throws UsageError BadNumber */
export function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  const advice = `Give a whole number from ${min} to ${max}.`;
  throw new UsageError('BadNumber', `${option} cannot be ${quoted(text)}`, advice);
}

/** A probability from 0 to 1. @throws UsageError BadNumber */
export function probability(option: string, text: string): number {
  const value = /^[0-9]*\.?[0-9]+$/.test(text) ? Number(text) : NaN;
  if (value >= 0 && value <= 1) return value;
  const advice = 'Give a probability from 0 to 1.';
  throw new UsageError('BadNumber', `${option} cannot be ${quoted(text)}`, advice);
}

/** Text of the user's as a message shows it: on one line, visibly empty if it is. */
export function quoted(text: string): string {
  return /^[!-~]+$/.test(text) ? text : JSON.stringify(text);
}

/**
 * The names of which one was meant, for advice: those that are nearest.
 *
 * @param otherwise the advice if no name is near; by default all names
 */
export function didYouMean(
  name: string,
  names: readonly string[],
  otherwise = `Choose one of ${names.join(', ')}.`,
): string {
  const distances = names.map((other) => distance(name.toLowerCase(), other.toLowerCase()));
  const least = Math.min(...distances);
  if (least > Math.max(1, Math.floor(name.length / 3))) return otherwise;
  const near = names.filter((_, i) => distances[i] === least);
  return `Did you mean ${near.join(' or ')}?`;
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + cost));
    }
    row = next;
  }
  return row[b.length]!;
}

/** `1 error`, `2 errors`. */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : nouns}`;
}
