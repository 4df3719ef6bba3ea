// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe explore`: divides the runs among workers, shows how far they are, and reports. */

import * as os from 'node:os';
import { runAt, shardSize } from '../../explore/exploration.ts';
import { PART_FORMAT, PART_VERSION, type Part } from '../../explore/part.ts';
import { parsePlan, planText } from '../../explore/plan.ts';
import type { RunOutcome } from '../../explore/run.ts';
import { Tally } from '../../explore/tally.ts';
import { hostIdentity } from '../../simulator/profiles/profile-file.ts';
import { oneLine, type Terminal } from '../terminal.ts';
import { EXPLORE_HELP, parseExplore, type ExploreRequest } from './explore-options.ts';
import {
  hangText,
  runOne,
  runPool,
  type PoolListener,
  type Ready,
  type RunResult,
} from './explore-pool.ts';
import {
  duration,
  exploreExit,
  exploreReport,
  exploreSuite,
  requireReached,
  runReport,
  runSuite,
} from './explore-report.ts';
import { mergeFiles, requireRest, unfinishedPart } from './explore-parts.ts';
import { BootFiles, cutShort, unwritten } from '../boot/boot-files.ts';
import { outputsOf } from '../boot/file-options.ts';
import { checkOutputs, type Output } from '../boot/output-file.ts';
import { tellSuite, type TestSuite } from '../test-results.ts';
import { requireWritable, writeText } from '../files.ts';
import {
  CommandError,
  Exit,
  InterruptedError,
  failureText,
  plural,
  type ExitCode,
} from '../usage.ts';

/** How often progress is shown, in ms. */
const PROGRESS_MS = 2000;

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface ExplorePlaces {
  readonly firmware: string;
  readonly exploreWorker: URL;
  /** The process that guests run in. */
  readonly guestCell: URL;
  /** The script of a report's page. */
  readonly reportPage: string;
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
  checkFiles(request);
  if (request.plan !== undefined) return exploreOne(request, places, terminal);
  const part =
    request.merge === undefined
      ? await exploreAll(request, places, terminal)
      : mergeFiles(request.merge);
  const suite = exploreSuite(request, part);
  tell(request, part, suite, terminal, () => exploreReport(request, part).map(oneLine));
  await recordFirst(request, part, places, terminal);
  // Ctrl-C behind the last run has interrupted nothing
  const interrupted = terminal.interrupt?.aborted === true && !part.complete;
  return interrupted ? Exit.INTERRUPTED : exploreExit(part.tally.groups);
}

/** Write the session of the first finding, if there is one. @throws CommandError */
async function recordFirst(
  request: ExploreRequest,
  part: Part,
  places: ExplorePlaces,
  terminal: Terminal,
): Promise<void> {
  // A guest that is ended with its process leaves no session
  const first = part.tally.groups.find(({ kind }) => kind !== 'hang');
  if (request.record === undefined || first === undefined) return;
  const again = { ...request, plan: first.reproduction };
  tellSession(request, await runOne(again, places, terminal.interrupt), terminal);
}

/** Better now than after hours. @throws CommandError */
function checkFiles(request: ExploreRequest): void {
  const { output, firmware, pushFirmware, hostFile, merge, resume } = request;
  const inputs = (merge ?? []).map((file) => ({ what: 'the part', file }));
  for (const file of [firmware, pushFirmware]) inputs.push({ what: 'the firmware', file });
  if (hostFile !== undefined) inputs.push({ what: 'the host', file: hostFile });
  const outputs: Output[] = [];
  if (output !== undefined) outputs.push({ option: '-o', file: output });
  outputs.push(...outputsOf(request));
  checkOutputs(outputs, inputs);
  // What goes on may be written where it was read, by -o
  if (resume !== undefined) {
    checkOutputs(outputs.slice(output === undefined ? 0 : 1), [
      { what: 'the result', file: resume },
    ]);
  }
  for (const { file } of outputs) requireWritable(file);
}

/** Print the result, and write it where it is wanted. */
function tell(
  { json, output, junit, tap }: ExploreRequest,
  result: object,
  suite: TestSuite,
  terminal: Terminal,
  report: () => readonly string[],
): void {
  const document = `${JSON.stringify(result, undefined, 2)}\n`;
  // What took hours is told first, whatever becomes of its files
  if (!tap) terminal.out(json ? document : `${report().join('\n')}\n`);
  if (output !== undefined) writeText(output, document);
  tellSuite(suite, { junit, tap }, terminal);
}

// --- one run ---

async function exploreOne(
  request: ExploreRequest,
  places: ExplorePlaces,
  terminal: Terminal,
): Promise<ExitCode> {
  const plan = request.plan!;
  const { json, tap } = request;
  const files = new BootFiles(request, places.reportPage, cleanRun(request));
  let result: RunResult | undefined;
  let outcome: RunOutcome;
  let failures: CommandError[];
  try {
    result = await runOne(files.request, places, terminal.interrupt, (line) => {
      if (!json && !tap) terminal.out(`${oneLine(line)}\n`);
      return terminal.drained?.();
    });
    outcome = result?.outcome ?? hung(request.watchdogSeconds);
    requireReached(plan, outcome);
    failures = await files.write(
      async (of) => endOf(await runOne(of, places, terminal.interrupt)),
      endOf(result),
    );
  } finally {
    files.close();
  }
  failures.push(...unwritten(request, result ?? {}));
  if (result === undefined) failures.push(...files.outputs.map(cutShort));
  const suite = runSuite(request, plan, outcome);
  tell(request, { plan, ...outcome }, suite, terminal, () => runReport(plan, outcome).map(oneLine));
  for (const failure of failures) terminal.error(failureText(failure));
  tellSession(request, result, terminal);
  const came = exploreExit(outcome.findings);
  return came === Exit.CLEAN ? (failures[0]?.code ?? came) : came;
}

/** The same run without its faults; undefined if it has none. */
function cleanRun(request: ExploreRequest): ExploreRequest | undefined {
  const { flow, faults } = parsePlan(request.plan!);
  if (faults.length === 0) return undefined;
  const plan = planText({ flow, faults: [] });
  return { ...request, plan, pcap: undefined, record: undefined };
}

/** What the files need to know of a run. */
function endOf(result: RunResult | undefined): { readonly verdict: string } {
  return { verdict: result?.outcome.status ?? 'hang' };
}

/** Write the session of a run. @throws CommandError */
function tellSession(
  { record, json, tap }: ExploreRequest,
  result: RunResult | undefined,
  terminal: Terminal,
): void {
  if (record === undefined) return;
  if (result?.session === undefined) {
    const text = 'the guest has ended with its process, and what it did is lost';
    throw new CommandError(Exit.CRASH, 'NoSession', text, 'Give it more time: --watchdog.');
  }
  writeText(record, result.session.join(''));
  if (!json && !tap) terminal.out(`session: ${record}\n`);
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
  const before = request.resume === undefined ? undefined : unfinishedPart(request.resume);
  const tally = new Tally();
  if (before !== undefined) tally.merge(before.tally);
  let list: Ready | undefined;
  let since = 0;
  const seconds = (): number => (before?.seconds ?? 0) + (Date.now() - since) / 1000;
  const timer = setInterval(() => {
    if (list === undefined || request.json || request.tap) return;
    terminal.out(`${progressLine(request, list, seconds(), (Date.now() - since) / 1000, tally)}\n`);
  }, PROGRESS_MS);
  let lanes: readonly number[];
  try {
    const listener: PoolListener = {
      ready: (ready) => {
        if (list !== undefined) return;
        if (before !== undefined) requireRest(request.resume!, before, partOf(request, ready));
        [list, since] = [ready, Date.now()];
      },
      progress: (data) => tally.merge(data),
      hang: (nth, plan, text) => {
        tally.addHang(runAt(nth, list!.total, request.shard), parsePlan(plan), text);
        if (!request.json && !request.tap) terminal.out(`          ${plan} hangs: ${text}\n`);
      },
    };
    const from = before?.lanes ?? Array.from({ length: request.workers }, (_, lane) => lane);
    lanes = await runPool(request, from, places, listener, terminal.interrupt);
  } finally {
    clearInterval(timer);
  }
  if (list === undefined) throw new InterruptedError('the list of runs was not made');
  const complete = lanes.every((next) => next >= shardSize(list!.total, request.shard));
  const left = complete ? {} : { lanes };
  return { ...partOf(request, list), complete, ...left, seconds: seconds(), tally: tally.data };
}

function partOf(request: ExploreRequest, list: Ready) {
  const { seed, walks, only, options, shard } = request;
  const host = hostIdentity(request.host);
  const { firmware, fingerprint, total, singles, places } = list;
  const format = { format: PART_FORMAT, version: PART_VERSION } as const;
  const what = { host, seed, walks, only, options, shard };
  return { ...format, ...what, firmware, fingerprint, total, singles, places };
}

/** How far it is, `seconds` of work in all, of which `now` since the command was given. */
function progressLine(
  { shard, seconds: limit = Infinity }: ExploreRequest,
  { total }: Ready,
  seconds: number,
  now: number,
  tally: Tally,
): string {
  const { runs, groups } = tally.data;
  const all = shardSize(total, shard);
  const percent = all === 0 ? 100 : Math.floor((100 * runs) / all);
  const found = plural(groups.length, 'finding');
  const done = `          ${runs} of ${all} runs (${percent} %)`;
  // Nothing is known of the rate before the first run
  if (runs === 0) return `${done}, ${found}`;
  const rate = runs / seconds;
  const left = duration(Math.min((all - runs) / rate, limit - now));
  return `${done}, ${Math.round(rate)} runs/s, ${left} left, ${found}`;
}
