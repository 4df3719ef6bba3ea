// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The worker in which a guest runs: a guest that loops for ever, even while it is loaded, can be
 * ended from outside. Counts signs of life in shared memory, and posts what happens.
 */

import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import type { FirmwareEvent } from '../../../src/events.ts';
import { logLine } from './boot-log.ts';
import type { BootRequest } from './boot-options.ts';
import type { BootOutcome } from './boot-outcome.ts';
import { runBoot } from './boot-run.ts';
import { workerFailure, type WorkerFailure } from '../worker-failure.ts';
import { RingLink, type RingLinkEnds } from '../../links/ring-link.ts';
import type { WallClock } from '../../../src/services/time-sync.ts';

/** What the worker is given. */
export interface BootWorkerData {
  readonly request: BootRequest;
  readonly heartbeat: Int32Array;
  /** Of a real link: the rings, and the port that tells the other end of frames. */
  readonly link: { readonly ends: RingLinkEnds; readonly bell: MessagePort } | undefined;
}

/** What the worker posts. */
export type WorkerMessage =
  /** What it does now: whose time it is. */
  | { readonly kind: 'phase'; readonly phase: 'loading' | 'running' }
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'progress'; readonly received: number; readonly total: number | undefined }
  | { readonly kind: 'done'; readonly outcome: BootOutcome }
  | WorkerFailure;

const { request, heartbeat, link } = workerData as BootWorkerData;

/** The guest's end of a real link. A wait of the machine is a sign of life, too. */
function realLink({ ends, bell }: NonNullable<BootWorkerData['link']>): RingLink {
  const ring = (): void => bell.postMessage(undefined);
  return new RingLink({ ...ends, ring, alive: () => void heartbeat[0]!++ });
}

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}

/** Progress is posted for every so many parts of the whole. */
const PROGRESS_PARTS = 20;
let nextPart = 0;

/** The time, once the host has told the firmware. */
let wall: WallClock | undefined;

function tell(event: FirmwareEvent, now: number): void {
  if (event.kind === 'wall-clock') wall = event;
  const text = logLine(event, now, request.verbose, wall);
  if (text !== undefined) post({ kind: 'line', text });
  if (event.kind !== 'progress') return;
  const { received, total } = event;
  if (received === 0) nextPart = 0;
  const part = total === undefined ? nextPart : Math.floor((received / total) * PROGRESS_PARTS);
  if (part < nextPart) return;
  nextPart = part + 1;
  post({ kind: 'progress', received, total });
}

try {
  const listener = {
    firmware: tell,
    phase: (phase: 'loading' | 'running') => post({ kind: 'phase', phase }),
  };
  const outcome = await runBoot(request, heartbeat, listener, link && realLink(link));
  post({ kind: 'done', outcome });
} catch (error) {
  post(workerFailure(error));
}
