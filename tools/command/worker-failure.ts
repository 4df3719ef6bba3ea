// SPDX-License-Identifier: GPL-2.0-or-later

/** A failure on its way out of a worker: what is thrown there arrives here as it was. */

import { CommandError, type ExitCode } from './usage.ts';

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

/** What Node says of a worker that has used up its heap. */
export const OUT_OF_MEMORY = 'ERR_WORKER_OUT_OF_MEMORY';

/** In the worker: anything that was thrown. */
export function workerFailure(error: unknown): WorkerFailure {
  const { name, message: text, stack } = error instanceof Error ? error : new Error(String(error));
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
