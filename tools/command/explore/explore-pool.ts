// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The workers of `hypxe explore`. Each has a lane: every nth of the runs of the shard, in the order
 * in which they are made. One that shows no sign of life is ended, its run is reported, and another
 * goes on behind it.
 */

import type { ExploreJob, ExploreMessage } from './explore-job.ts';
import { Cell, type CellEnd, type CellListener } from '../../guests/cell/cell.ts';
import type { RunOutcome } from '../../explore/run.ts';
import type { TallyData } from '../../explore/tally.ts';
import type { ExploreRequest } from './explore-options.ts';
import { CommandError, Exit, InterruptedError, type ExitCode } from '../usage.ts';
import { cellFailure, memoryText, thrownByWorker, type WorkerFailure } from '../worker-failure.ts';
import { exploreMessage } from './explore-message.ts';

/** How often is looked whether the time is over, in ms. */
const LATE_MS = 100;

/**
 * Longest silence in ms while a worker starts, while the firmware is loaded, and while it runs; a
 * longer watchdog is a longer limit.
 */
const SILENCE_MAX_MS: readonly number[] = [60_000, 10_000, 0];

/** RAM of the guests of one worker, in MiB. */
const RAM_MIB = 8;

/** Most MiB for new objects in a worker: as part of the limit of its memory, and at all. */
const NEW_PART = 1 / 16;
const NEW_MAX_MIB = 64;

/** The programs that a pool starts. */
export interface PoolPlaces {
  readonly exploreWorker: URL;
  readonly guestCell: URL;
}

export type Ready = Extract<ExploreMessage, { kind: 'ready' }>;

type LineTold = (text: string) => void | Promise<void>;

/** What the pool tells. */
export interface PoolListener {
  ready(list: Ready): void;
  /** Runs were made. */
  progress(tally: TallyData): void;
  /** A run, by when it was made, came to no end. */
  hang(nth: number, plan: string, text: string): void;
  /** A line of the story of one run. Returns a promise while whoever reads is behind. */
  line?: LineTold | undefined;
}

/** What one run came to, and what the guest did in it, if that was to be written down. */
export interface RunResult {
  readonly outcome: RunOutcome;
  readonly session: readonly string[] | undefined;
  /** Why a file of it is incomplete. */
  readonly traceFailure?: string | undefined;
  readonly captureFailure?: string | undefined;
}

/** How a worker ended. */
type Ending =
  /** From outside, before there was anything to report. */
  | { readonly kind: 'stopped' }
  | { readonly kind: 'done'; readonly next: number }
  | ({ readonly kind: 'outcome' } & RunResult)
  | {
      readonly kind: 'hang';
      readonly nth: number;
      readonly plan: string;
      /** First run that was not reported as made. */
      readonly next: number;
    };

/** When a worker is to stop. */
interface Stop {
  /** The time for the exploration is over. */
  late(): boolean;
  readonly interrupt: AbortSignal | undefined;
}

/** What is to be done. */
type Work = ExploreJob;

/**
 * Make the runs of the request's shard, until `interrupt` at most, and for as long as is wanted
 * once they are known.
 *
 * @param lanes the first run of each lane that was not made
 * @returns the same, now
 * @throws CommandError HostRefused, BrokenFirmware, FirmwareHangs, GuestOutOfMemory
 */
export async function runPool(
  request: ExploreRequest,
  lanes: readonly number[],
  places: PoolPlaces,
  listener: PoolListener,
  interrupt?: AbortSignal,
): Promise<readonly number[]> {
  let deadline = Infinity;
  let failed = false;
  const stop: Stop = { late: () => failed || Date.now() >= deadline, interrupt };
  const timed: PoolListener = {
    ...listener,
    ready: (list) => {
      deadline = Math.min(deadline, Date.now() + (request.seconds ?? Infinity) * 1000);
      listener.ready(list);
    },
  };
  const step = lanes.length;
  const run = async (next: number): Promise<number> => {
    for (;;) {
      const job = { ...jobOf(request), first: next, step };
      const ending = await runWorker(job, places, request, stop, timed);
      if (ending.kind === 'done') return ending.next;
      if (ending.kind !== 'hang') return next;

      // What was made since the last report is made again, up to the run that hangs
      if (ending.next < ending.nth) {
        const again = { ...job, first: ending.next, end: ending.nth };
        await runWorker(again, places, request, UNSTOPPED, timed);
      }
      listener.hang(ending.nth, ending.plan, hangText(request.watchdogSeconds));
      next = ending.nth + step;
      if (stop.late() || interrupt?.aborted === true) return next;
    }
  };
  const ends = lanes.map(async (next) => {
    try {
      return await run(next);
    } catch (error) {
      // The others have nothing to go on for
      failed = true;
      throw error;
    }
  });
  return Promise.all(ends);
}

/** What takes no longer than from one report to the next. */
const UNSTOPPED: Stop = { late: () => false, interrupt: undefined };

/** Of one run there is nothing else to hear. */
const UNHEARD: PoolListener = {
  ready: () => undefined,
  progress: () => undefined,
  hang: () => undefined,
};

/**
 * Make one run; undefined if it comes to no end.
 *
 * @param line called with its story, line by line
 * @throws CommandError as {@link runPool}, and Interrupted
 */
export async function runOne(
  request: ExploreRequest,
  places: PoolPlaces,
  interrupt?: AbortSignal,
  line?: LineTold,
): Promise<RunResult | undefined> {
  const job = { ...jobOf(request), first: 0, step: 1 };
  const stop = { late: () => false, interrupt };
  const ending = await runWorker(job, places, request, stop, line && { ...UNHEARD, line });
  if (ending.kind === 'stopped') throw new InterruptedError('the run was not over');
  return ending.kind === 'outcome' ? ending : undefined;
}

export function hangText(seconds: number): string {
  return `no exit of the guest for ${seconds} s (see --watchdog)`;
}

function jobOf(request: ExploreRequest) {
  const { firmware, pushFirmware, host, architecture, after, network } = request;
  const { seed, walks, only, plan, shard, trace, traceSlim = false, pcap } = request;
  return {
    firmware,
    pushFirmware,
    host,
    architecture,
    after,
    network,
    seed,
    walks,
    only,
    plan,
    record: request.record !== undefined && plan !== undefined,
    ...{ files: { trace, traceSlim, pcap }, verbose: request.verbose },
    shard,
    end: undefined,
  };
}

function runWorker(
  job: Work,
  places: PoolPlaces,
  request: ExploreRequest,
  { late, interrupt }: Stop,
  listener: PoolListener | undefined,
): Promise<Ending> {
  const { watchdogSeconds, guestMemoryLimitMiB } = request;
  const watchdogMs = watchdogSeconds * 1000;
  return new Promise<Ending>((resolve, reject) => {
    let next = job.first;
    let ready = job.plan !== undefined;
    const end = (then: () => void): void => {
      clearInterval(timer);
      interrupt?.removeEventListener('abort', interrupted);
      void cell.kill().then(then);
    };
    const lost = ({ reason, position: nth, note: plan }: Extract<CellEnd, { kind: 'lost' }>) => {
      if (reason !== 'hang') {
        const text = memoryText(guestMemoryLimitMiB, reason === 'killed');
        reject(failure('GuestOutOfMemory', ready && plan !== '' ? `in ${plan}: ${text}` : text));
      } else if (ready) resolve({ kind: 'hang', nth, plan, next });
      else reject(failure('FirmwareHangs', `without any fault: ${hangText(watchdogSeconds)}`));
    };
    const take = (message: ExploreMessage): void | Promise<void> => {
      switch (message.kind) {
        case 'ready':
          ready = true;
          listener?.ready(message);
          return;
        case 'progress':
          next = message.next;
          listener?.progress(message.tally);
          return;
        case 'done':
          listener?.progress(message.tally);
          end(() => resolve({ kind: 'done', next: message.next }));
          return;
        case 'outcome':
          end(() => resolve(message));
          return;
        case 'line':
          return listener?.line?.(message.text);
        case 'failed':
          end(() => reject(failureOf(message)));
      }
    };
    const start = {
      script: places.exploreWorker.href,
      job,
      silenceMs: SILENCE_MAX_MS.map((ms) => Math.max(ms, watchdogMs)),
      memoryBytes: (guestMemoryLimitMiB + RAM_MIB) * 2 ** 20,
    };
    const told: CellListener = {
      message: (given) => take(exploreMessage(given, '')),
      end: (ended) =>
        end(() => {
          if (ended.kind === 'lost') lost(ended);
          else if (ended.kind === 'failed') reject(cellFailure(ended));
          else reject(new Error('a worker has ended without a word'));
        }),
      broken: (error) => end(() => reject(error)),
    };
    const cell = new Cell(places.guestCell, start, told, workerFlags(guestMemoryLimitMiB));
    const timer = setInterval(() => {
      if (late()) cell.stop();
    }, LATE_MS);
    // A worker that has a list finishes its run and reports; one without has nothing to say
    const interrupted = (): void => {
      if (ready && job.plan === undefined) cell.stop();
      else end(() => resolve({ kind: 'stopped' }));
    };
    interrupt?.addEventListener('abort', interrupted);
    if (interrupt?.aborted === true) interrupted();
  });
}

/**
 * Flags of Node for a worker. A run leaves a megabyte behind, and what it is made of lives as long
 * as it: in the engine's 16 MiB for new objects each few runs one is copied, all of the heap is
 * searched every fifty, and then code is compiled anew that no object of the moment uses.
 */
function workerFlags(limitMiB: number): string[] {
  const size = Math.max(1, Math.min(NEW_MAX_MIB, Math.floor(limitMiB * NEW_PART)));
  return [`--min-semi-space-size=${size}`, `--max-semi-space-size=${size}`];
}

/** With which exit codes an exploration ends for what is the firmware's. */
const FIRMWARE_FAILURES: Readonly<Record<string, ExitCode>> = {
  HostRefused: Exit.REFUSED,
  BrokenFirmware: Exit.USAGE,
  FirmwareHangs: Exit.CRASH,
  GuestOutOfMemory: Exit.CRASH,
};

/** A worker has failed: a file that cannot be written, or the firmware. */
function failureOf(message: WorkerFailure): Error {
  if (message.code !== undefined) return thrownByWorker(message);
  return failure(message.name, message.text, message.stack);
}

/** A firmware that cannot be explored; anything else is a mistake in the exploration itself. */
function failure(name: string, text: string, stack?: string): Error {
  const code = Object.hasOwn(FIRMWARE_FAILURES, name) ? FIRMWARE_FAILURES[name] : undefined;
  if (code !== undefined) {
    const advice =
      code === Exit.REFUSED
        ? 'Explore it on a host that it knows: --host; hypxe hosts lists them.'
        : 'It must be clean before it is explored: --only none, or loader:none, tells why.';
    return new CommandError(code, name, text, advice);
  }
  return thrownByWorker({ kind: 'failed', code, name, text, advice: '', stack });
}
