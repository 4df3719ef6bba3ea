// SPDX-License-Identifier: GPL-2.0-or-later

/** One job in a cell, from the command's side: bounded in time and memory, and interruptible. */

import { Cell } from '../guests/cell/cell.ts';
import { afterOwnTime } from '../guests/cell/own-time.ts';
import { commandError, type CommandError } from './usage.ts';
import { cellFailure, memoryText } from './worker-failure.ts';

/**
 * Longest time in seconds until the worker has started and the firmware's module is loaded, which
 * is not the firmware's time; a longer watchdog is a longer limit here, too.
 */
const LOADING_MAX_SECONDS = 60;

/** What runs, and its bounds. */
export interface CellRun {
  /** Script of the process: guest-cell. */
  readonly guestCell: URL;
  /** Script of the worker in it. */
  readonly worker: URL;
  readonly job: unknown;
  /** Longest time between two messages, in seconds. */
  readonly watchdogSeconds: number;
  readonly memoryLimitMiB: number;
  readonly interrupt: AbortSignal | undefined;
}

export interface CellRunListener {
  /**
   * A message. Returns whether more are to come; `ours`: until the next one it is not the guest who
   * takes the time. What it throws is how the run ends.
   */
  message(message: unknown): boolean | 'ours';
  /** The guest is ended from outside. */
  crashed(text: string): CommandError;
  interrupted(): CommandError;
}

/** Run the job until its last message. Returns how it has failed, if it has. */
export async function runInCell(
  { guestCell, worker, job, watchdogSeconds, memoryLimitMiB, interrupt }: CellRun,
  { message, crashed, interrupted }: CellRunListener,
): Promise<CommandError | undefined> {
  let timer: NodeJS.Timeout | undefined;
  let onInterrupt: (() => void) | undefined;
  let cell: Cell | undefined;
  try {
    return await new Promise<CommandError | undefined>((end) => {
      const watch = (seconds: number): void => {
        clearInterval(timer);
        const late = `no end after ${seconds} s (see --watchdog)`;
        timer = afterOwnTime(seconds * 1000, () => end(crashed(late)));
      };
      watch(Math.max(watchdogSeconds, LOADING_MAX_SECONDS));
      const start = {
        script: worker.href,
        job,
        // What lies between two messages has a limit of its own, whatever is done meanwhile
        silenceMs: [Infinity, Infinity, Infinity],
        memoryBytes: memoryLimitMiB * 2 ** 20,
      };
      cell = new Cell(guestCell, start, {
        message: (given) => {
          const more = message(given);
          if (more === 'ours') clearInterval(timer);
          else if (more) watch(watchdogSeconds);
          else end(undefined);
        },
        end: (ended) => {
          if (ended.kind === 'failed') end(commandError(cellFailure(ended)));
          else if (ended.kind === 'lost') {
            const text = memoryText(memoryLimitMiB, ended.reason === 'killed');
            end(crashed(`out of memory: ${text}`));
          } else end(commandError(new Error('the worker has ended without a word')));
        },
        broken: (error) => end(commandError(error)),
      });
      onInterrupt = () => end(interrupted());
      interrupt?.addEventListener('abort', onInterrupt);
      if (interrupt?.aborted === true) onInterrupt();
    });
  } finally {
    clearInterval(timer);
    if (onInterrupt !== undefined) interrupt?.removeEventListener('abort', onInterrupt);
    await cell?.kill();
  }
}
