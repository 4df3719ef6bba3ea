// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe explore`: divides the runs among workers, shows how far they are, and reports. */

import * as fs from 'node:fs';
import * as os from 'node:os';
import { shardSize } from '../explore/exploration.ts';
import {
  PART_FORMAT,
  PART_VERSION,
  PartError,
  mergeParts,
  parsePart,
  type Part,
} from '../explore/part.ts';
import { parsePlan } from '../explore/plan.ts';
import type { RunOutcome } from '../explore/run.ts';
import { Tally } from '../explore/tally.ts';
import type { Terminal } from './boot-command.ts';
import { EXPLORE_HELP, parseExplore, type ExploreRequest } from './explore-options.ts';
import { hangText, runOne, runPool, type Ready } from './explore-pool.ts';
import { duration, exploreExit, exploreReport, runReport } from './explore-report.ts';
import { Exit, UsageError } from './usage.ts';

/** How often progress is shown, in ms. */
const PROGRESS_MS = 2000;

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface ExplorePlaces {
  readonly firmware: string;
  readonly exploreWorker: URL;
}

/** Run the command; returns the exit code. @throws UsageError */
export async function exploreCommand(
  args: readonly string[],
  places: ExplorePlaces,
  terminal: Terminal,
): Promise<number> {
  const request = parseExplore(args, places.firmware, os.availableParallelism());
  if (request === undefined) {
    terminal.out(EXPLORE_HELP);
    return Exit.CLEAN;
  }
  if (request.plan !== undefined) return exploreOne(request, places.exploreWorker, terminal);
  const part =
    request.merge === undefined
      ? await exploreAll(request, places.exploreWorker, terminal)
      : merge(request.merge);
  if (request.json) terminal.out(`${JSON.stringify(part, undefined, 2)}\n`);
  else terminal.out(`${exploreReport(part).join('\n')}\n`);
  return exploreExit(part.tally.groups);
}

// --- one run ---

async function exploreOne(
  request: ExploreRequest,
  script: URL,
  terminal: Terminal,
): Promise<number> {
  const plan = request.plan!;
  const outcome = (await runOne(request, script)) ?? hung(request.watchdogSeconds);
  if (outcome.fired === 0 && parsePlan(plan).faults.length > 0) {
    const text = `the run never comes to ${plan}`;
    throw new UsageError('PlaceNotReached', text, 'The flow may have changed: explore it anew.');
  }
  if (request.json) terminal.out(`${JSON.stringify({ plan, ...outcome }, undefined, 2)}\n`);
  else terminal.out(`${runReport(plan, outcome).join('\n')}\n`);
  return exploreExit(outcome.findings);
}

function hung(seconds: number): RunOutcome {
  const finding = { kind: 'hang', cause: 'no exit', text: hangText(seconds) } as const;
  return { findings: [finding], fired: 1, status: 'ended', error: undefined, steps: 0 };
}

// --- all runs ---

async function exploreAll(request: ExploreRequest, script: URL, terminal: Terminal): Promise<Part> {
  const tally = new Tally();
  const started = Date.now();
  let list: Ready | undefined;
  const seconds = (): number => (Date.now() - started) / 1000;
  const timer = setInterval(() => {
    if (list === undefined || request.json) return;
    terminal.out(`${progressLine(request, list, tally.data.runs, seconds(), tally)}\n`);
  }, PROGRESS_MS);
  let complete: boolean;
  try {
    complete = await runPool(request, script, {
      ready: (ready) => (list ??= ready),
      progress: (data) => tally.merge(data),
      hang: (run, plan, text) => {
        tally.addHang(run, parsePlan(plan), text);
        if (!request.json) terminal.out(`          ${plan} hangs: ${text}\n`);
      },
    });
  } finally {
    clearInterval(timer);
  }
  if (list === undefined) {
    const advice = 'Give it more time: --time, or --watchdog for a slow machine.';
    throw new UsageError('NothingExplored', 'the list of runs was not made in time', advice);
  }
  return { ...partOf(request, list), complete, seconds: seconds(), tally: tally.data };
}

function partOf(request: ExploreRequest, list: Ready) {
  const { host, seed, walks, only, shard } = request;
  const { firmware, fingerprint, total, singles, places } = list;
  const format = { format: PART_FORMAT, version: PART_VERSION } as const;
  const what = { host, seed, walks, only, shard };
  return { ...format, ...what, firmware, fingerprint, total, singles, places };
}

function progressLine(
  { shard, seconds: limit }: ExploreRequest,
  { total }: Ready,
  runs: number,
  seconds: number,
  tally: Tally,
): string {
  const all = shardSize(total, shard);
  const rate = runs / seconds;
  const left = rate > 0 ? (all - runs) / rate : Infinity;
  const eta = duration(Math.min(left, limit === undefined ? Infinity : limit - seconds));
  const percent = all === 0 ? 100 : Math.floor((100 * runs) / all);
  const findings = tally.data.groups.length;
  const text = `${runs} of ${all} runs (${percent} %), ${Math.round(rate)} runs/s`;
  return `          ${text}, ${eta} left, ${findings} finding${findings === 1 ? '' : 's'}`;
}

// --- parts ---

/** @throws UsageError */
function merge(files: readonly string[]): Part {
  try {
    const parts = new Map<string, Part>();
    for (const file of files) parts.set(file, parsePart(file, readPart(file)));
    if (parts.size < files.length) throw new PartError('a file is named twice');
    return mergeParts(parts);
  } catch (error) {
    if (!(error instanceof PartError)) throw error;
    const advice = 'Merge the --json results of all shards of one exploration, each once.';
    throw new UsageError('BadParts', error.message, advice);
  }
}

function readPart(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    const advice = 'Check the path and its permissions.';
    throw new UsageError('FileUnreadable', `${file}: ${(error as Error).message}`, advice);
  }
}
