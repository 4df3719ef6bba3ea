// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe explore`: divides the runs among workers, shows how far they are, and reports. */

import * as os from 'node:os';
import { shardSize } from '../../explore/exploration.ts';
import {
  PART_FORMAT,
  PART_VERSION,
  PartError,
  mergeParts,
  parsePart,
  type Part,
} from '../../explore/part.ts';
import { parsePlan } from '../../explore/plan.ts';
import type { RunOutcome } from '../../explore/run.ts';
import { Tally } from '../../explore/tally.ts';
import { hostIdentity } from '../../simulator/profiles/profile-file.ts';
import { oneLine, type Terminal } from '../terminal.ts';
import { EXPLORE_HELP, parseExplore, type ExploreRequest } from './explore-options.ts';
import { hangText, runOne, runPool, type PoolListener, type Ready } from './explore-pool.ts';
import { duration, exploreExit, exploreReport, runReport } from './explore-report.ts';
import { checkOutputs } from '../boot/output-file.ts';
import { readText, requireWritable, writeText } from '../files.ts';
import { Exit, type ExitCode, InterruptedError, UsageError } from '../usage.ts';

/** How often progress is shown, in ms. */
const PROGRESS_MS = 2000;

/** Longest result of a shard that is read, in bytes. */
const PART_MAX = 1 << 28;

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface ExplorePlaces {
  readonly firmware: string;
  readonly exploreWorker: URL;
  /** The process that guests run in. */
  readonly guestCell: URL;
}

/** Run the command; returns the exit code. @throws CommandError */
export async function exploreCommand(
  args: readonly string[],
  places: ExplorePlaces,
  terminal: Terminal,
): Promise<ExitCode> {
  const request = parseExplore(args, places.firmware, os.availableParallelism());
  if (request === undefined) {
    terminal.out(EXPLORE_HELP);
    return Exit.CLEAN;
  }
  // Better now than after hours
  if (request.output !== undefined) {
    const parts = (request.merge ?? []).map((file) => ({ what: 'the part', file }));
    const inputs = [{ what: 'the firmware', file: request.firmware }, ...parts];
    checkOutputs([{ option: '-o', file: request.output }], inputs);
    requireWritable(request.output);
  }
  if (request.plan !== undefined) return exploreOne(request, places, terminal);
  const part =
    request.merge === undefined
      ? await exploreAll(request, places, terminal)
      : merge(request.merge);
  tell(request, part, terminal, () => exploreReport(part).map(oneLine));
  // Ctrl-C behind the last run has interrupted nothing
  const interrupted = terminal.interrupt?.aborted === true && !part.complete;
  return interrupted ? Exit.INTERRUPTED : exploreExit(part.tally.groups);
}

/** Print the result, and write it where it is wanted. */
function tell(
  { json, output }: ExploreRequest,
  result: object,
  terminal: Terminal,
  report: () => readonly string[],
): void {
  const document = `${JSON.stringify(result, undefined, 2)}\n`;
  if (output !== undefined) writeText(output, document);
  terminal.out(json ? document : `${report().join('\n')}\n`);
}

// --- one run ---

async function exploreOne(
  request: ExploreRequest,
  places: ExplorePlaces,
  terminal: Terminal,
): Promise<ExitCode> {
  const plan = request.plan!;
  const outcome =
    (await runOne(request, places, terminal.interrupt)) ?? hung(request.watchdogSeconds);
  if (outcome.fired === 0 && parsePlan(plan).faults.length > 0) {
    const text = `the run never comes to ${plan}`;
    throw new UsageError('PlaceNotReached', text, 'The flow may have changed: explore it anew.');
  }
  tell(request, { plan, ...outcome }, terminal, () => runReport(plan, outcome).map(oneLine));
  return exploreExit(outcome.findings);
}

function hung(seconds: number): RunOutcome {
  const finding = { kind: 'hang', cause: 'no exit', text: hangText(seconds) } as const;
  return { findings: [finding], fired: 1, status: 'ended', error: undefined, steps: 0 };
}

// --- all runs ---

async function exploreAll(
  request: ExploreRequest,
  places: ExplorePlaces,
  terminal: Terminal,
): Promise<Part> {
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
    const listener: PoolListener = {
      ready: (ready) => (list ??= ready),
      progress: (data) => tally.merge(data),
      hang: (run, plan, text) => {
        tally.addHang(run, parsePlan(plan), text);
        if (!request.json) terminal.out(`          ${plan} hangs: ${text}\n`);
      },
    };
    complete = await runPool(request, places, listener, terminal.interrupt);
  } finally {
    clearInterval(timer);
  }
  if (list === undefined) {
    if (terminal.interrupt?.aborted) throw new InterruptedError('the list of runs was not made');
    const advice = 'Give it more time: --time, or --watchdog for a slow machine.';
    throw new UsageError('NothingExplored', 'the list of runs was not made in time', advice);
  }
  return { ...partOf(request, list), complete, seconds: seconds(), tally: tally.data };
}

function partOf(request: ExploreRequest, list: Ready) {
  const { seed, walks, only, shard } = request;
  const host = hostIdentity(request.host);
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

/** @throws CommandError */
function merge(files: readonly string[]): Part {
  try {
    const parts = new Map<string, Part>();
    for (const file of files) parts.set(file, parsePart(file, readText(file, PART_MAX)));
    if (parts.size < files.length) throw new PartError('a file is named twice');
    return mergeParts(parts);
  } catch (error) {
    if (!(error instanceof PartError)) throw error;
    const advice = 'Merge the --json results of all shards of one exploration, each once.';
    throw new UsageError('BadParts', error.message, advice);
  }
}
