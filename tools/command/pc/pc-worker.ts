// SPDX-License-Identifier: GPL-2.0-or-later

/** The worker in which a PC runs: it takes all of a thread, and a real link needs the other one. */

import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { RingLink, type RingLinkEnds } from '../../links/ring-link.ts';
import { TICKS_PER_MS } from '../../simulator/base/clock.ts';
import { workerFailure, type WorkerFailure } from '../worker-failure.ts';
import type { PcRequest } from './pc-options.ts';
import { stageText, type PcRunOutcome } from './pc-report.ts';
import { runPc } from './pc-run.ts';

/** What the worker is given. `interrupt`: one word, which is set to end the run. */
export interface PcWorkerData {
  readonly request: PcRequest;
  readonly interrupt: Int32Array;
  readonly link: { readonly ends: RingLinkEnds; readonly bell: MessagePort } | undefined;
}

/** What the worker posts. */
export type PcWorkerMessage =
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'done'; readonly outcome: PcRunOutcome }
  | WorkerFailure;

const { request, interrupt, link } = workerData as PcWorkerData;

function post(message: PcWorkerMessage): void {
  parentPort!.postMessage(message);
}

function line(text: string, now: number): void {
  const seconds = (now / TICKS_PER_MS / 1000).toFixed(3);
  post({ kind: 'line', text: `${seconds.padStart(10)} s  ${text}` });
}

/** The guest's end of a real link. */
function realLink({ ends, bell }: NonNullable<PcWorkerData['link']>): RingLink {
  return new RingLink({ ...ends, ring: () => bell.postMessage(undefined), alive: () => {} });
}

try {
  const listener = {
    line,
    stage: (stage: PcRunOutcome['stages'][number]) => line(`-- ${stageText(stage)}`, stage.endedAt),
    alive: () => Atomics.load(interrupt, 0) === 0,
  };
  post({ kind: 'done', outcome: await runPc(request, listener, link && realLink(link)) });
} catch (error) {
  post(workerFailure(error));
}
