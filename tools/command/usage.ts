// SPDX-License-Identifier: GPL-2.0-or-later

/** How commands of the command line fail, and how their options are read. */

import { Exit, type ExitCode } from '../library/exit.ts';

export { Exit, type ExitCode } from '../library/exit.ts';
export { plural } from '../library/plural.ts';
export { didYouMean } from '../simulator/base/nearest.ts';

/** What each exit code means, for helps and the manual. */
export const EXIT_TEXTS: readonly (readonly [code: ExitCode, text: string])[] = [
  [Exit.CLEAN, 'clean'],
  [Exit.FINDINGS, 'findings, or the boot failed'],
  [Exit.USAGE, 'usage: an option, a file that is not what it should be, a guest that is refused'],
  [Exit.CRASH, 'the guest ended: crash, hang, out of memory'],
  [Exit.ENVIRONMENT, 'environment: disk full, file unreadable, server or package not there'],
  [Exit.INTERNAL, 'a mistake of hypxe itself'],
  [Exit.REFUSED, 'the firmware and the host do not fit: named'],
  [Exit.INTERRUPTED, 'interrupted: what was done is told'],
];

/** The end of each help. */
export const EXIT_HELP = [
  'Exit code',
  ...EXIT_TEXTS.map(([code, text]) => `  ${String(code).padEnd(4)}${text}`),
].join('\n');

/** How a command fails: what is wrong, what to do, and the exit code. */
export class CommandError extends Error {
  readonly advice: string;
  readonly code: ExitCode;

  constructor(code: ExitCode, name: string, message: string, advice: string) {
    super(message);
    this.code = code;
    this.name = name;
    this.advice = advice;
  }
}

/** A mistake in the use of a command. Exit code 2. */
export class UsageError extends CommandError {
  constructor(name: string, message: string, advice: string) {
    super(Exit.USAGE, name, message, advice);
  }
}

/** What the command needs is not there, or cannot be read or written. Exit code 4. */
export class EnvironmentError extends CommandError {
  constructor(name: string, message: string, advice: string) {
    super(Exit.ENVIRONMENT, name, message, advice);
  }
}

/** Ctrl-C: `message` says what was done until then. Exit code 130. */
export class InterruptedError extends CommandError {
  constructor(message: string, advice = 'Nothing is wrong: start it again for the rest.') {
    super(Exit.INTERRUPTED, 'Interrupted', message, advice);
  }
}

/** Anything that was thrown, as a failure of a command: what nobody foresaw is a mistake here. */
export function commandError(error: unknown): CommandError {
  if (error instanceof CommandError) return error;
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const text = `this is a mistake of hypxe itself, not yours: ${what}`;
  const advice = 'Please report it, with the command that you gave and what it prints with -v.';
  const failure = new CommandError(Exit.INTERNAL, 'InternalError', text, advice);
  if (error instanceof Error && error.stack !== undefined) failure.stack = error.stack;
  return failure;
}

/** What is printed of a failure; with `stack`, of mistakes of hypxe's own also where. */
export function failureText(error: CommandError, stack = false): string {
  // A line end in it would look like a line of hypxe's own
  const message = error.message.replaceAll('\n', '\\n');
  const text = `hypxe: ${error.name}: ${message}\n       ${error.advice}\n`;
  return stack && error.code === Exit.INTERNAL ? `${text}${error.stack}\n` : text;
}

/** The document of a failure, for `--json`. */
export function failureJson({ name, message, advice, code }: CommandError): string {
  return `${JSON.stringify({ error: { name, message, advice }, exitCode: code }, undefined, 2)}\n`;
}

/** A whole number within bounds. @throws UsageError BadNumber */
export function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  const advice = `Give a whole number from ${min} to ${max}.`;
  throw new UsageError('BadNumber', `${option} cannot be ${quoted(text)}`, advice);
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/**
 * A number of bytes within bounds: `1048576`, or `1M` (K, M and G count by 1024).
 *
 * @throws UsageError BadNumber
 */
export function byteCount(option: string, text: string, min: number, max: number): number {
  const match = /^([0-9]{1,15})([KMG]?)(?:i?B)?$/i.exec(text);
  const value = Number(match?.[1]) * UNITS[match?.[2]?.toUpperCase() ?? '']!;
  if (value >= min && value <= max) return value;
  const advice = `Give bytes from ${min} to ${max}, as a number or with K, M or G.`;
  throw new UsageError('BadNumber', `${option} cannot be ${quoted(text)}`, advice);
}

/** Seconds within bounds, a part of one as well: `90`, `.5`. @throws UsageError BadNumber */
export function seconds(option: string, text: string, min: number, max: number): number {
  const value = /^(?:[0-9]+\.?|[0-9]*\.[0-9]+)$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  const advice = `Give seconds from ${min} to ${max}.`;
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
