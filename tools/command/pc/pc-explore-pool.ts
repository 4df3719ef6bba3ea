// SPDX-License-Identifier: GPL-2.0-or-later

/** The workers of `hypxe explore --pc`. */

import { Worker } from 'node:worker_threads';
import type { PcSample } from '../../explore/pc-sample.ts';
import type { RunOutcome } from '../../explore/run.ts';
import type { WantedFiles } from '../boot/run-files.ts';
import { thrownByWorker } from '../worker-failure.ts';
import type { PcExploreRequest } from './pc-explore-options.ts';
import type { PcExploreMessage, PcExploreTask, PcStory } from './pc-explore-worker.ts';

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface PcExplorePlaces {
  readonly pcExploreWorker: URL;
  /** The script of a report's page. */
  readonly reportPage: string;
}

/** Runs that are to be made, by when each is made. */
export interface PcRuns {
  /** The first of each worker's that was not made: it has every nth of them. */
  readonly lanes: readonly number[];
  readonly size: number;
  readonly plan: (nth: number) => string;
  /** The time is over: no further one begins. */
  readonly late: () => boolean;
  readonly done: (nth: number, plan: string, outcome: RunOutcome) => void;
}

/** The workers. Each has one task at a time. */
export class PcPool {
  readonly #workers: readonly Worker[];
  #ended = false;
  #interrupt: () => void = () => {};
  readonly #interrupted = new Promise<undefined>((resolve) => {
    this.#interrupt = () => resolve(undefined);
  });

  constructor(url: URL, request: PcExploreRequest, count: number) {
    const options = { workerData: { request }, stdout: true };
    this.#workers = Array.from({ length: count }, () => new Worker(url, options));
    // Who is asked meets it as well; of the others nobody waits for an answer
    for (const worker of this.#workers) worker.on('error', () => {});
  }

  /** The list; undefined if it was interrupted. @throws CommandError */
  async list(): Promise<PcSample | undefined> {
    const message = await this.#ask(this.#workers[0]!, { task: 'list' });
    return message?.kind === 'list' ? message.sample : undefined;
  }

  /** Make the runs of all lanes, each worker one's. @throws CommandError */
  async run(runs: PcRuns): Promise<readonly number[]> {
    const { lanes, size, plan, late, done } = runs;
    const work = async (next: number, lane: number): Promise<number> => {
      for (; next < size; next += lanes.length) {
        if (this.#ended || late()) return next;
        const text = plan(next);
        const message = await this.#ask(this.#workers[lane]!, { task: 'run', plan: text });
        if (message?.kind !== 'outcome') return next;
        done(next, text, message.outcome);
      }
      return next;
    };
    return Promise.all(lanes.map(work));
  }

  /** Make one run, and tell its lines; undefined if it was interrupted. @throws CommandError */
  async story(
    plan: string,
    files: WantedFiles,
    line: (text: string) => void,
  ): Promise<PcStory | undefined> {
    const task: PcExploreTask = { task: 'story', plan, files };
    const message = await this.#ask(this.#workers[0]!, task, line);
    return message?.kind === 'story' ? message : undefined;
  }

  /** Ctrl-C: what was done stays. */
  end(): void {
    this.#ended = true;
    this.#interrupt();
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #ask(
    worker: Worker,
    task: PcExploreTask,
    line: (text: string) => void = () => {},
  ): Promise<PcExploreMessage | undefined> {
    const answer = new Promise<PcExploreMessage>((resolve, reject) => {
      const listen = (message: PcExploreMessage): void => {
        if (message.kind === 'line') return line(message.text);
        worker.off('message', listen).off('error', reject);
        if (message.kind === 'failed') reject(thrownByWorker(message));
        else resolve(message);
      };
      worker.on('message', listen).once('error', reject);
    });
    worker.postMessage(task);
    return Promise.race([answer, this.#interrupted]);
  }
}
