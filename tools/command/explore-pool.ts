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
} from '../explore/job.ts';
import type { RunOutcome } from '../explore/run.ts';
import type { TallyData } from '../explore/tally.ts';
import type { ExploreRequest } from './explore-options.ts';
import { UsageError } from './usage.ts';

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
  | { readonly kind: 'done'; readonly complete: boolean }
  | { readonly kind: 'outcome'; readonly outcome: RunOutcome }
  | {
      readonly kind: 'hang';
      readonly run: number;
      readonly plan: string;
      /** First run that was not reported as made. */
      readonly next: number;
    };

/** What is to be done, but for the memory that is shared with the worker. */
type Work = Omit<ExploreJob, 'shared' | 'text'>;

/** Make all runs of the request's shard. Returns whether none was left out. @throws UsageError */
export async function runPool(
  request: ExploreRequest,
  script: URL,
  listener: PoolListener,
): Promise<boolean> {
  const deadline = Date.now() + (request.seconds ?? Infinity) * 1000;
  const { index, count } = request.shard;
  const lanes = Array.from({ length: request.workers }, async (_, lane) => {
    const step = count * request.workers;
    let first = index - 1 + lane * count;
    for (;;) {
      const job = { ...jobOf(request), first, step };
      const ending = await runWorker(job, script, request.watchdogSeconds, deadline, listener);
      if (ending.kind !== 'hang') return ending.kind === 'done' && ending.complete;
      listener.hang(ending.run, ending.plan, hangText(request.watchdogSeconds));
      if (Date.now() >= deadline) return false;

      // What was made since the last report is made again, up to the run that hangs
      if (ending.next < ending.run) {
        await redo({ ...job, first: ending.next }, ending.run, script, request, listener);
      }
      first = ending.run + step;
    }
  });
  return (await Promise.all(lanes)).every((complete) => complete);
}

/** Make one run; undefined if it comes to no end. @throws UsageError */
export async function runOne(
  request: ExploreRequest,
  script: URL,
): Promise<RunOutcome | undefined> {
  const job = { ...jobOf(request), first: 0, step: 1 };
  const ending = await runWorker(job, script, request.watchdogSeconds, Infinity, undefined);
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
  listener: PoolListener,
): Promise<void> {
  await runWorker({ ...job, end }, script, request.watchdogSeconds, Infinity, listener);
}

function jobOf(request: ExploreRequest) {
  const { firmware, pushFirmware, host, architecture, seed, walks, only, plan } = request;
  return { firmware, pushFirmware, host, architecture, seed, walks, only, plan, end: undefined };
}

function runWorker(
  job: Work,
  script: URL,
  watchdogSeconds: number,
  deadline: number,
  listener: PoolListener | undefined,
): Promise<Ending> {
  const shared = new Int32Array(new SharedArrayBuffer(4 * Shared.WORDS));
  shared[Shared.POSITION] = job.first;
  const text = new Uint8Array(new SharedArrayBuffer(PLAN_TEXT_MAX));
  const worker = new Worker(script, { workerData: { ...job, shared, text } });
  return new Promise<Ending>((resolve, reject) => {
    let next = job.first;
    let ready = job.plan !== undefined;
    let seen = -1;
    let silentMs = 0;
    const timer = setInterval(() => {
      if (Date.now() >= deadline) Atomics.store(shared, Shared.STOP, 1);
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
    const end = (then: () => void): void => {
      clearInterval(timer);
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
          end(() => reject(failure(message.name, message.text)));
      }
    });
    worker.on('error', (error: Error) => {
      end(() => reject(failure(error.name, error.stack ?? error.message)));
    });
  });
}

/** A firmware that cannot be explored; anything else is a mistake in the exploration itself. */
function failure(name: string, text: string): Error {
  const advice = 'A firmware must boot without faults before it is explored.';
  const theirs = name === 'BrokenFirmware' || name === 'FirmwareHangs';
  return theirs ? new UsageError(name, text, advice) : new Error(text);
}
