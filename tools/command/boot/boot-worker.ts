// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The worker in which a guest runs: a guest that loops for ever, even while it is loaded, can be
 * ended from outside. Counts signs of life in shared memory, and posts what happens.
 */

import type { MessagePort } from 'node:worker_threads';
import type { FirmwareEvent } from '../../../src/events.ts';
import type { WallClock } from '../../../src/services/time-sync.ts';
import { cellJob, cellLink, guard, heartbeat, phase, post } from '../../guests/cell/cell-port.ts';
import { Phase } from '../../guests/cell/cell-words.ts';
import { RingLink, type RingLinkEnds } from '../../links/ring-link.ts';
import type { HostEvent } from '../../simulator/ledger/events.ts';
import { workerFailure, type WorkerFailure } from '../worker-failure.ts';
import { logLine, logTime } from './boot-log.ts';
import type { BootRequest } from './boot-options.ts';
import type { BootOutcome } from '../../library/boot-outcome.ts';
import { runBoot, type BootListener } from './boot-run.ts';
import { stageLines, violationLine } from './story.ts';

/** Of a real link: the rings, and the port that tells the other end of frames. */
interface LinkEnds {
  readonly ends: RingLinkEnds;
  readonly bell: MessagePort;
}

/** What the worker posts. */
export type WorkerMessage =
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'progress'; readonly received: number; readonly total: number | undefined }
  | { readonly kind: 'done'; readonly outcome: BootOutcome }
  | WorkerFailure;

const request = cellJob<BootRequest>();
const link = cellLink<LinkEnds>();

/** The guest's end of a real link. A wait of the machine is a sign of life, too. */
function realLink({ ends, bell }: LinkEnds): RingLink {
  const ring = (): void => bell.postMessage(undefined);
  return new RingLink({ ...ends, ring, alive: () => void heartbeat[0]!++ });
}

function tellTool(message: WorkerMessage): void {
  post(message);
}

/** Progress is posted for every so many parts of the whole. */
const PROGRESS_PARTS = 20;
let nextPart = 0;

/** Most of it that is posted: a guest that begins anew and anew is not followed. */
const PROGRESS_MAX = 10_000;
let progress = 0;

/** The time, once the host has told the firmware. */
let wall: WallClock | undefined;

function tell(event: FirmwareEvent, now: number): void {
  if (event.kind === 'wall-clock') wall = event;
  const text = logLine(event, now, request.verbose, wall);
  if (text !== undefined) tellTool({ kind: 'line', text });
  if (event.kind !== 'progress') return;
  const { received, total } = event;
  if (received === 0) nextPart = 0;
  const part = total === undefined ? nextPart : Math.floor((received / total) * PROGRESS_PARTS);
  if (part < nextPart || ++progress > PROGRESS_MAX) return;
  nextPart = part + 1;
  tellTool({ kind: 'progress', received, total });
}

/** Who has the machine. */
let stage = '';

/** Most violations that are told: a guest may make one with each of its calls. */
const VIOLATIONS_MAX = 1000;
let violations = 0;

/** Of the host: who has the machine, if others follow; and what it put up with of the firmware. */
function tellHost(event: HostEvent, now: number): void {
  if (event.kind === 'stage') stage = event.stage;
  else if (event.kind === 'handoff') stage = '';
  const lines = request.steps.length > 0 ? stageLines(event, now) : [];
  for (const text of lines) tellTool({ kind: 'line', text });
  if (!request.verbose || stage !== 'firmware' || violations > VIOLATIONS_MAX) return;
  const text = violationLine(event, now);
  if (text === undefined) return;
  const isTold = ++violations <= VIOLATIONS_MAX;
  const rest = `HOST more than ${VIOLATIONS_MAX} violations: the rest is left out, --trace has all`;
  tellTool({ kind: 'line', text: isTold ? text : `${logTime(now)}   ${rest}` });
}

try {
  const listener: BootListener = {
    firmware: tell,
    machine: tellHost,
    phase: (now) => phase(now === 'loading' ? Phase.LOADING : Phase.RUNNING),
  };
  const outcome = await runBoot(request, { heartbeat, guard }, listener, link && realLink(link));
  tellTool({ kind: 'done', outcome });
} catch (error) {
  tellTool(workerFailure(error));
}
