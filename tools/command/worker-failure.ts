// SPDX-License-Identifier: GPL-2.0-or-later

/** A failure on its way out of a worker: what is thrown there arrives here as it was. */

import { INTERRUPTED, type CellEnd } from '../guests/cell/cell.ts';
import { GuestThrew } from '../guests/guest-program.ts';
import { CommandError, EnvironmentError, Exit, InterruptedError, type ExitCode } from './usage.ts';

/** A failure as plain data. */
export interface WorkerFailure {
  readonly kind: 'failed';
  /** Undefined for a mistake of hypxe itself. */
  readonly code: ExitCode | undefined;
  readonly name: string;
  readonly text: string;
  readonly advice: string;
  readonly stack: string | undefined;
}

/** In the worker: anything that was thrown. */
export function workerFailure(error: unknown): WorkerFailure {
  const { name, message: text, stack } = error instanceof Error ? error : new Error(String(error));
  if (error instanceof GuestThrew) {
    const what = `the guest threw ${name}: ${text}`;
    const advice = 'What a guest has to be like stands in hypxe guest --help.';
    return { kind: 'failed', code: Exit.CRASH, name: 'GuestThrew', text: what, advice, stack };
  }
  const { code = undefined, advice = '' } = error instanceof CommandError ? error : {};
  return { kind: 'failed', code, name, text, advice, stack };
}

/** Outside: the same again. */
export function thrownByWorker({ code, name, text, advice, stack }: WorkerFailure): Error {
  if (code !== undefined) return new CommandError(code, name, text, advice);
  const error = new Error(text);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** Failures of a cell that are not its own: of the real link that it was to have. */
const OF_LINKS = ['ProgramMissing', 'LinkUnreachable'];

/** A cell has failed before it came to running a guest. */
export function cellFailure(end: Extract<CellEnd, { kind: 'failed' }>): Error {
  const { name, text, advice, stack } = end;
  if (name === INTERRUPTED) return new InterruptedError(text);
  if (OF_LINKS.includes(name)) return new EnvironmentError(name, text, advice);
  return thrownByWorker({ kind: 'failed', code: undefined, name, text, advice, stack });
}

/** What is said of a guest that has used up its memory. */
export function memoryText(limitMiB: number, killed: boolean): string {
  if (killed) return 'its process was killed (SIGKILL), as by a system that is short of memory';
  return `its process took more than ${limitMiB} MiB beyond its RAM (see --guest-memory-limit)`;
}
