// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe explore --pc`: divides a sample of runs among workers, and reports. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fingerprint, shardRun, shardSize } from '../../explore/exploration.ts';
import { PART_FORMAT, PART_VERSION, type Part } from '../../explore/part.ts';
import type { PcSample } from '../../explore/pc-sample.ts';
import { parsePlan } from '../../explore/plan.ts';
import { Tally, type Group } from '../../explore/tally.ts';
import { EXPLORE_HELP, shellWord } from '../explore/explore-options.ts';
import { hostIdentity } from '../../simulator/profiles/profile-file.ts';
import { requireRest, unfinishedPart } from '../explore/explore-parts.ts';
import { duration, exploreExit } from '../explore/explore-report.ts';
import { requireWritable, writeText } from '../files.ts';
import { oneLine, type Terminal } from '../terminal.ts';
import { tellSuite, type TestCase } from '../test-results.ts';
import { Exit, InterruptedError, plural, type ExitCode } from '../usage.ts';
import { parsePcExplore, type PcExploreRequest } from './pc-explore-options.ts';
import { PcPool, type PcExplorePlaces } from './pc-explore-pool.ts';
import { exploreOnePc } from './pc-explore-one.ts';

/** How often progress is shown, in ms. */
const PROGRESS_MS = 5000;

/** What an exploration came to: a part as of any other, and what there was to draw from. */
interface Explored extends Part {
  readonly sample: PcSample;
  readonly isInterrupted: boolean;
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
  if (request.plan !== undefined) return exploreOnePc(request, places, terminal);
  const explored = await explore(request, places.pcExploreWorker, terminal);
  tell(request, explored, terminal);
  return explored.isInterrupted ? Exit.INTERRUPTED : exploreExit(explored.tally.groups);
}

async function explore(request: PcExploreRequest, url: URL, terminal: Terminal): Promise<Explored> {
  const { shard, resume } = request;
  const quiet = request.pc.json || request.pc.tap;
  const before = resume === undefined ? undefined : unfinishedPart(resume);
  const count = Math.min(request.workers, shardSize(request.samples, shard));
  const from = before?.lanes ?? Array.from({ length: Math.max(1, count) }, (_, lane) => lane);
  const tally = new Tally();
  if (before !== undefined) tally.merge(before.tally);
  const pool = new PcPool(url, request, from.length);
  let since = Date.now();
  const seconds = (): number => (before?.seconds ?? 0) + (Date.now() - since) / 1000;
  const end = (): void => pool.end();
  terminal.interrupt?.addEventListener('abort', end);
  let list: PartOf | undefined;
  let sample: PcSample | undefined;
  let lanes = from;
  const timer = setInterval(() => {
    if (!quiet) terminal.out(`${progressLine(list, seconds(), tally)}\n`);
  }, PROGRESS_MS);
  try {
    sample = await pool.list();
    if (sample !== undefined) {
      const { plans } = sample;
      list = partOf(request, sample);
      if (before !== undefined) requireRest(resume!, before, list);
      since = Date.now();
      const deadline = since + (request.seconds ?? Infinity) * 1000;
      lanes = await pool.run({
        lanes: from,
        size: shardSize(plans.length, shard),
        plan: (nth) => plans[shardRun(nth, shard)]!,
        late: () => Date.now() >= deadline,
        done: (nth, text, outcome) => tally.add(shardRun(nth, shard), parsePlan(text), outcome),
      });
    }
  } finally {
    clearInterval(timer);
    terminal.interrupt?.removeEventListener('abort', end);
    await pool.close();
  }
  if (list === undefined) throw new InterruptedError('the list of runs was not made');
  const complete = lanes.every((next) => next >= shardSize(list.total, shard));
  const isInterrupted = !complete && terminal.interrupt?.aborted === true;
  const left = complete ? {} : { lanes };
  const came = { complete, ...left, seconds: seconds(), tally: tally.data };
  return { ...list, ...came, sample: sample!, isInterrupted };
}

/** What is known of a part before its runs are made. */
type PartOf = Omit<Part, 'complete' | 'lanes' | 'seconds' | 'tally'>;

function partOf({ pc, words, seed, only, shard }: PcExploreRequest, sample: PcSample): PartOf {
  const { program, initrd, served, profile } = pc;
  const hash = createHash('sha256');
  const boots = served.kind === 'file' ? served.path : undefined;
  for (const file of [program, initrd, boots]) {
    hash.update(file === undefined ? 'none' : readFileSync(file));
  }
  const { length: total } = sample.plans;
  return {
    ...{ format: PART_FORMAT, version: PART_VERSION, host: hostIdentity(profile) },
    ...{ seed, walks: 0, only, shard, total, singles: total },
    options: ` --pc ${shellWord(path.relative('.', program))}${words}`,
    firmware: hash.digest('hex'),
    fingerprint: fingerprint([...sample.plans, `of ${sample.total}`]),
    places: { boot: sample.places, loader: {}, push: {} },
  };
}

function progressLine(list: PartOf | undefined, seconds: number, tally: Tally): string {
  const { runs, groups } = tally.data;
  if (list === undefined) return `          the run without faults, for ${duration(seconds)}`;
  const done = `${runs} of ${shardSize(list.total, list.shard)} runs`;
  return `          ${done} in ${duration(seconds)}, ${plural(groups.length, 'finding')}`;
}

// --- the result ---

function tell(request: PcExploreRequest, explored: Explored, terminal: Terminal): void {
  const { pc, samples, output } = request;
  const { sample, isInterrupted: _, ...part } = explored;
  const { tally } = part;
  const { host, program, json, tap, junit } = pc;
  const what = { program, knobs: pc.knobs, samples, faults: sample.total };
  const document = `${JSON.stringify({ ...part, ...what }, undefined, 2)}\n`;
  if (!tap) terminal.out(json ? document : `${report(request, explored).join('\n')}\n`);
  if (output !== undefined) writeText(output, document);
  const cases = tally.groups.map((group): TestCase => {
    const lines = [`${group.kind} in ${plural(group.runs, 'run')}`, group.text];
    return { name: group.cause, outcome: 'failed', lines: [...lines, commandOf(request, group)] };
  });
  const outcome = tally.runs === 0 ? 'failed' : 'passed';
  const held: TestCase = { name: plural(tally.runs, 'run'), outcome, lines: ['nothing was run'] };
  const name = `explore ${path.basename(program)} on ${host}`;
  tellSuite({ name, cases: cases.length === 0 ? [held] : cases }, { junit, tap }, terminal);
}

function report(
  request: PcExploreRequest,
  { sample, seconds, tally, complete, shard, isInterrupted }: Explored,
): string[] {
  const outcomes = Object.entries(tally.outcomes).map(([name, count]) => `${name} ${count}`);
  const { length: found } = tally.groups;
  const part = shard.count === 1 ? '' : `, shard ${shard.index}/${shard.count}`;
  const all = complete ? '' : isInterrupted ? ' (interrupted)' : ', stopped early';
  return [
    '',
    `list      ${plural(sample.total, 'single fault')}, of which ${sample.plans.length} were drawn`,
    `made      ${plural(tally.runs, 'run')} in ${duration(seconds)}${part}${all}`,
    ...(tally.runs === 0 ? [] : [`ended     ${outcomes.join(', ')}`]),
    ...(tally.unreached === 0 ? [] : [`unreached ${tally.unreached} runs never came to a fault`]),
    ...tally.groups.flatMap((group) => [
      '',
      `${group.kind.padEnd(10)}${oneLine(group.text)}`,
      `          in ${plural(group.runs, 'run')}; ${commandOf(request, group)}`,
    ]),
    '',
    `verdict: ${found === 0 ? cleanText(sample, tally.runs) : plural(found, 'finding')}`,
  ];
}

/** Nothing was found: in all runs that there are, or in some. */
function cleanText({ total }: PcSample, runs: number): string {
  if (runs >= total) return 'clean';
  return `clean so far, in a sample of ${((100 * runs) / total).toFixed(2)} %`;
}

/** The command that shows a finding. */
function commandOf({ pc, words }: PcExploreRequest, { reproduction }: Group): string {
  return `hypxe explore --pc ${shellWord(pc.program)}${words} --only ${reproduction}`;
}
