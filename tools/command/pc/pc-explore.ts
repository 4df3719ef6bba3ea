// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe explore --pc`: divides a sample of runs among workers, and reports. */

import * as os from 'node:os';
import { basename } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { PcSample } from '../../explore/pc-sample.ts';
import { parsePlan } from '../../explore/plan.ts';
import type { RunOutcome } from '../../explore/run.ts';
import { Tally, type Group, type TallyData } from '../../explore/tally.ts';
import { EXPLORE_HELP, shellWord } from '../explore/explore-options.ts';
import { duration, exploreExit } from '../explore/explore-report.ts';
import { requireWritable, writeText } from '../files.ts';
import { oneLine, type Terminal } from '../terminal.ts';
import { tellSuite, type TestCase } from '../test-results.ts';
import { Exit, InterruptedError, UsageError, plural, type ExitCode } from '../usage.ts';
import { thrownByWorker } from '../worker-failure.ts';
import { parsePcExplore, type PcExploreRequest } from './pc-explore-options.ts';
import type { PcExploreMessage, PcExploreTask } from './pc-explore-worker.ts';

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface PcExplorePlaces {
  readonly pcExploreWorker: URL;
}

/** How often progress is shown, in ms. */
const PROGRESS_MS = 5000;

/** What an exploration came to. */
interface Explored {
  readonly sample: PcSample;
  readonly complete: boolean;
  readonly seconds: number;
  readonly tally: TallyData;
}

/** Run the command; returns the exit code. @throws CommandError */
export async function pcExploreCommand(
  args: readonly string[],
  places: PcExplorePlaces,
  terminal: Terminal,
): Promise<ExitCode> {
  const request = parsePcExplore(args, os.availableParallelism());
  if (request === undefined) {
    terminal.out(EXPLORE_HELP);
    return Exit.CLEAN;
  }
  const { pc, output } = request;
  for (const file of [output, pc.junit]) if (file !== undefined) requireWritable(file);
  const explored = await explore(request, places.pcExploreWorker, terminal);
  tell(request, explored, terminal);
  return explored.complete ? exploreExit(explored.tally.groups) : Exit.INTERRUPTED;
}

async function explore(request: PcExploreRequest, url: URL, terminal: Terminal): Promise<Explored> {
  const { plan } = request;
  const quiet = request.pc.json || request.pc.tap;
  const tally = new Tally();
  const pool = new Pool(url, request);
  const since = Date.now();
  const seconds = (): number => (Date.now() - since) / 1000;
  const end = (): void => pool.end();
  terminal.interrupt?.addEventListener('abort', end);
  let sample: PcSample | undefined;
  const timer = setInterval(() => {
    if (quiet || sample === undefined) return;
    const found = plural(tally.data.groups.length, 'finding');
    const done = `${tally.data.runs} of ${sample.plans.length} runs`;
    terminal.out(`          ${done} in ${duration(seconds())}, ${found}\n`);
  }, PROGRESS_MS);
  try {
    sample = plan === undefined ? await pool.list() : { total: 1, plans: [plan] };
    if (sample !== undefined) {
      const numbers = new Map(sample.plans.map((text, i) => [text, i]));
      await pool.run(sample.plans, (text, outcome) => {
        if (text === plan) requireReached(text, outcome);
        tally.add(numbers.get(text)!, parsePlan(text), outcome);
      });
    }
  } finally {
    clearInterval(timer);
    terminal.interrupt?.removeEventListener('abort', end);
    await pool.close();
  }
  if (sample === undefined) throw new InterruptedError('the list of runs was not made');
  const complete = tally.data.runs === sample.plans.length;
  return { sample, complete, seconds: seconds(), tally: tally.data };
}

function requireReached(plan: string, { fired }: RunOutcome): void {
  if (fired > 0 || parsePlan(plan).faults.length === 0) return;
  const text = `the run never comes to ${plan}`;
  throw new UsageError('PlaceNotReached', text, 'The program may have changed: explore it anew.');
}

/** The workers. Each has one task at a time. */
class Pool {
  readonly #workers: readonly Worker[];
  #ended = false;
  #interrupt: () => void = () => {};
  readonly #interrupted = new Promise<undefined>((resolve) => {
    this.#interrupt = () => resolve(undefined);
  });

  constructor(url: URL, request: PcExploreRequest) {
    const count = request.plan === undefined ? Math.min(request.workers, request.samples) : 1;
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

  /** Make runs, in any order. @throws CommandError */
  async run(
    plans: readonly string[],
    done: (plan: string, outcome: RunOutcome) => void,
  ): Promise<void> {
    const queue = [...plans];
    const work = async (worker: Worker): Promise<void> => {
      for (let plan = queue.shift(); plan !== undefined; plan = queue.shift()) {
        const message = this.#ended ? undefined : await this.#ask(worker, { task: 'run', plan });
        if (message?.kind !== 'outcome') return;
        done(plan, message.outcome);
      }
    };
    await Promise.all(this.#workers.map(work));
  }

  /** Ctrl-C: what was done stays. */
  end(): void {
    this.#ended = true;
    this.#interrupt();
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #ask(worker: Worker, task: PcExploreTask): Promise<PcExploreMessage | undefined> {
    const answer = new Promise<PcExploreMessage>((resolve, reject) => {
      worker.once('message', (message: PcExploreMessage) => {
        worker.off('error', reject);
        if (message.kind === 'failed') reject(thrownByWorker(message));
        else resolve(message);
      });
      worker.once('error', reject);
    });
    worker.postMessage(task);
    return Promise.race([answer, this.#interrupted]);
  }
}

// --- the result ---

function tell(request: PcExploreRequest, explored: Explored, terminal: Terminal): void {
  const { pc, samples, seed, only, output } = request;
  const { sample, tally, ...rest } = explored;
  const { host, program, json, tap, junit } = pc;
  const what = { program, host, knobs: pc.knobs, seed, samples, only, total: sample.total };
  const document = `${JSON.stringify({ ...what, ...rest, tally }, undefined, 2)}\n`;
  if (!tap) terminal.out(json ? document : `${report(request, explored).join('\n')}\n`);
  if (output !== undefined) writeText(output, document);
  const cases = tally.groups.map((group): TestCase => {
    const lines = [`${group.kind} in ${plural(group.runs, 'run')}`, group.text];
    return { name: group.cause, outcome: 'failed', lines: [...lines, commandOf(request, group)] };
  });
  const outcome = tally.runs === 0 ? 'failed' : 'passed';
  const held: TestCase = { name: plural(tally.runs, 'run'), outcome, lines: ['nothing was run'] };
  const name = `explore ${basename(program)} on ${host}`;
  tellSuite({ name, cases: cases.length === 0 ? [held] : cases }, { junit, tap }, terminal);
}

function report(
  request: PcExploreRequest,
  { sample, seconds, tally, complete }: Explored,
): string[] {
  const outcomes = Object.entries(tally.outcomes).map(([name, count]) => `${name} ${count}`);
  const { length: found } = tally.groups;
  const all = complete ? '' : ' (interrupted)';
  return [
    '',
    `list      ${plural(sample.total, 'single fault')}, of which ${sample.plans.length} were drawn`,
    `made      ${plural(tally.runs, 'run')} in ${duration(seconds)}${all}`,
    `ended     ${outcomes.join(', ')}`,
    ...(tally.unreached === 0 ? [] : [`unreached ${tally.unreached} runs never came to a fault`]),
    ...tally.groups.flatMap((group) => [
      '',
      `${group.kind.padEnd(10)}${oneLine(group.text)}`,
      `          in ${plural(group.runs, 'run')}; ${commandOf(request, group)}`,
    ]),
    '',
    `verdict: ${found === 0 ? 'clean' : plural(found, 'finding')}`,
  ];
}

/** The command that shows a finding. */
function commandOf({ pc, words }: PcExploreRequest, { reproduction }: Group): string {
  return `hypxe explore --pc ${shellWord(pc.program)}${words} --only ${reproduction}`;
}
