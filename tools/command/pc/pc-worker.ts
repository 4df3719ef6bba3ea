// SPDX-License-Identifier: GPL-2.0-or-later

/** The worker in which a PC runs: it takes all of a thread, and a real link needs the other one. */

import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { RingLink, type RingLinkEnds } from '../../links/ring-link.ts';
import type { PcProgress } from '../../flow/pc-life.ts';
import { workerFailure, type WorkerFailure } from '../worker-failure.ts';
import type { PcRequest } from './pc-options.ts';
import { stageText, type PcRunOutcome } from './pc-report.ts';
import { runPc } from './pc-run.ts';
import { PcTelling } from './pc-telling.ts';

/** What the worker is given. `interrupt`: one word, which is set to end the run. */
export interface PcWorkerData {
  readonly request: PcRequest;
  readonly interrupt: Int32Array;
  readonly link: { readonly ends: RingLinkEnds; readonly bell: MessagePort } | undefined;
}

/** What the worker posts. */
export type PcWorkerMessage =
  | { readonly kind: 'begun' }
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'done'; readonly outcome: PcRunOutcome }
  | WorkerFailure;

const { request, interrupt, link } = workerData as PcWorkerData;

function post(message: PcWorkerMessage): void {
  parentPort!.postMessage(message);
}

/** The guest's end of a real link. */
function realLink({ ends, bell }: NonNullable<PcWorkerData['link']>): RingLink {
  return new RingLink({ ...ends, ring: () => bell.postMessage(undefined), alive: () => {} });
}

const telling = new PcTelling((text) => post({ kind: 'line', text }));

try {
  const listener = {
    begun: () => post({ kind: 'begun' }),
    line: (text: string, now: number) => telling.line(text, now),
    stage: (stage: PcRunOutcome['stages'][number]) =>
      telling.line(`-- ${stageText(stage)}`, stage.endedAt),
    alive: (progress: PcProgress) => {
      telling.progress(progress);
      return Atomics.load(interrupt, 0) === 0;
    },
  };
  post({ kind: 'done', outcome: await runPc(request, listener, link && realLink(link)) });
} catch (error) {
  post(workerFailure(error));
}
