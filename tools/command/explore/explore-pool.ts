// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The workers of `hypxe explore`. Each has every nth run of the shard. One that shows no sign of
 * life is ended, its run is reported, and another goes on behind it.
 */

import { Worker } from 'node:worker_threads';
import {
  PLAN_TEXT_MAX,
  Shared,
  loadText,
  type ExploreJob,
  type ExploreMessage,
} from '../../explore/job.ts';
import type { RunOutcome } from '../../explore/run.ts';
import type { TallyData } from '../../explore/tally.ts';
import type { ExploreRequest } from './explore-options.ts';
import { CommandError, Exit, InterruptedError, type ExitCode } from '../usage.ts';
import { OUT_OF_MEMORY, thrownByWorker } from '../worker-failure.ts';

/** How often the signs of life are looked at, in ms. */
const HEARTBEAT_MS = 250;

export type Ready = Extract<ExploreMessage, { kind: 'ready' }>;

/** What the pool tells. */
export interface PoolListener {
  ready(list: Ready): void;
  /** Runs were made. */
  progress(tally: TallyData): void;
  /** A run came to no end. */
  hang(run: number, plan: string, text: string): void;
}

/** How a worker ended. */
type Ending =
  /** From outside, before there was anything to report. */
  | { readonly kind: 'stopped' }
  | { readonly kind: 'done'; readonly complete: boolean }
  | { readonly kind: 'outcome'; readonly outcome: RunOutcome }
  | {
      readonly kind: 'hang';
      readonly run: number;
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

/** What is to be done, but for the memory that is shared with the worker. */
type Work = Omit<ExploreJob, 'shared' | 'text'>;

/**
 * Make all runs of the request's shard, until `interrupt` at most. Returns whether none was left
 * out.
 *
 * @throws CommandError HostRefused, BrokenFirmware, FirmwareHangs, GuestOutOfMemory
 */
export async function runPool(
  request: ExploreRequest,
  script: URL,
  listener: PoolListener,
  interrupt?: AbortSignal,
): Promise<boolean> {
  const deadline = Date.now() + (request.seconds ?? Infinity) * 1000;
  const stop: Stop = { late: () => Date.now() >= deadline, interrupt };
  const { index, count } = request.shard;
  const lanes = Array.from({ length: request.workers }, async (_, lane) => {
    const step = count * request.workers;
    let first = index - 1 + lane * count;
    for (;;) {
      const job = { ...jobOf(request), first, step };
      const ending = await runWorker(job, script, request.watchdogSeconds, stop, listener);
      if (ending.kind !== 'hang') return ending.kind === 'done' && ending.complete;
      listener.hang(ending.run, ending.plan, hangText(request.watchdogSeconds));
      if (stop.late() || interrupt?.aborted === true) return false;

      // What was made since the last report is made again, up to the run that hangs
      if (ending.next < ending.run) {
        await redo({ ...job, first: ending.next }, ending.run, script, request, stop, listener);
      }
      first = ending.run + step;
    }
  });
  return (await Promise.all(lanes)).every((complete) => complete);
}

/**
 * Make one run; undefined if it comes to no end.
 *
 * @throws CommandError as {@link runPool}, and Interrupted
 */
export async function runOne(
  request: ExploreRequest,
  script: URL,
  interrupt?: AbortSignal,
): Promise<RunOutcome | undefined> {
  const job = { ...jobOf(request), first: 0, step: 1 };
  const stop = { late: () => false, interrupt };
  const ending = await runWorker(job, script, request.watchdogSeconds, stop, undefined);
  if (ending.kind === 'stopped') throw new InterruptedError('the run was not over');
  return ending.kind === 'outcome' ? ending.outcome : undefined;
}

export function hangText(seconds: number): string {
  return `no exit of the guest for ${seconds} s (see --watchdog)`;
}

/** The runs from a position up to, and without, one that hangs. */
async function redo(
  job: Work,
  end: number,
  script: URL,
  request: ExploreRequest,
  { interrupt }: Stop,
  listener: PoolListener,
): Promise<void> {
  const stop = { late: () => false, interrupt };
  await runWorker({ ...job, end }, script, request.watchdogSeconds, stop, listener);
}

function jobOf(request: ExploreRequest) {
  const { firmware, pushFirmware, host, architecture, after, network } = request;
  const { seed, walks, only, plan } = request;
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
    end: undefined,
  };
}

function runWorker(
  job: Work,
  script: URL,
  watchdogSeconds: number,
  { late, interrupt }: Stop,
  listener: PoolListener | undefined,
): Promise<Ending> {
  const shared = new Int32Array(new SharedArrayBuffer(4 * Shared.WORDS));
  shared[Shared.POSITION] = job.first;
  const text = new Uint8Array(new SharedArrayBuffer(PLAN_TEXT_MAX));
  const worker = new Worker(script, { workerData: { ...job, shared, text }, stdout: true });
  // What a firmware prints must not get into the report
  worker.stdout.pipe(process.stderr, { end: false });
  return new Promise<Ending>((resolve, reject) => {
    let next = job.first;
    let ready = job.plan !== undefined;
    let seen = -1;
    let silentMs = 0;
    const timer = setInterval(() => {
      if (late()) stop();
      const beat = Atomics.load(shared, Shared.HEARTBEAT);
      silentMs = beat === seen ? silentMs + HEARTBEAT_MS : 0;
      seen = beat;
      if (silentMs < watchdogSeconds * 1000) return;
      end(() => {
        const run = Atomics.load(shared, Shared.POSITION);
        if (ready) resolve({ kind: 'hang', run, plan: loadText(text), next });
        else reject(failure('FirmwareHangs', `without any fault: ${hangText(watchdogSeconds)}`));
      });
    }, HEARTBEAT_MS);
    const stop = (): void => void Atomics.store(shared, Shared.STOP, 1);
    // A worker that has a list finishes its run and reports; one without has nothing to say
    const interrupted = (): void => {
      if (ready && job.plan === undefined) stop();
      else end(() => resolve({ kind: 'stopped' }));
    };
    const end = (then: () => void): void => {
      clearInterval(timer);
      interrupt?.removeEventListener('abort', interrupted);
      void worker.terminate().then(then);
    };
    worker.on('message', (message: ExploreMessage) => {
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
          end(() => resolve({ kind: 'done', complete: message.complete }));
          return;
        case 'outcome':
          end(() => resolve(message));
          return;
        case 'failed':
          end(() => reject(failure(message.name, message.text, message.stack)));
      }
    });
    worker.on('error', (error: NodeJS.ErrnoException) => {
      const name = error.code === OUT_OF_MEMORY ? 'GuestOutOfMemory' : error.name;
      end(() => reject(failure(name, error.message, error.stack)));
    });
    interrupt?.addEventListener('abort', interrupted);
    if (interrupt?.aborted === true) interrupted();
  });
}

/** With which exit codes an exploration ends for what is the firmware's. */
const FIRMWARE_FAILURES: Readonly<Record<string, ExitCode>> = {
  HostRefused: Exit.REFUSED,
  BrokenFirmware: Exit.USAGE,
  FirmwareHangs: Exit.CRASH,
  GuestOutOfMemory: Exit.CRASH,
};

/** A firmware that cannot be explored; anything else is a mistake in the exploration itself. */
function failure(name: string, text: string, stack?: string): Error {
  const code = FIRMWARE_FAILURES[name];
  if (code !== undefined) {
    const advice =
      code === Exit.REFUSED
        ? 'Explore it on a host that it knows: --host; hypxe hosts lists them.'
        : 'A firmware must boot without faults before it is explored.';
    return new CommandError(code, name, text, advice);
  }
  return thrownByWorker({ kind: 'failed', code, name, text, advice: '', stack });
}
