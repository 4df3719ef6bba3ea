// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe replay`: runs the firmware against recorded sessions and compares. */

import * as path from 'node:path';
import { guestRam } from '../../guests/guest-ram.ts';
import { replayMemoryBytes } from '../../replay/replay-machine.ts';
import { watchReference } from '../../replay/replay.ts';
import { parseArguments } from '../arguments.ts';
import { workerFailed } from '../boot/boot-message.ts';
import { runInCell } from '../cell-run.ts';
import { BootFiles, cutShort, unwritten } from '../boot/boot-files.ts';
import {
  FILE_OPTIONS,
  fileOption,
  outputsOf,
  readFiles,
  type FilesRequest,
} from '../boot/file-options.ts';
import { checkOutputs } from '../boot/output-file.ts';
import type { RunFiles, WantedFiles } from '../boot/run-files.ts';
import { requireFile, requireWritable } from '../files.ts';
import { GUEST_MEMORY_HELP, guestMemoryLimit } from '../guest-options.ts';
import { flag, list, oneOf, optional, record, text, type Shape } from '../shape.ts';
import type { ReplayMessage, ReplayWorkerData } from './replay-worker.ts';
import type { Terminal } from '../terminal.ts';
import {
  RESULT_HELP,
  RESULT_OPTIONS,
  wantsTap,
  tellSuite,
  type TestCase,
} from '../test-results.ts';
import { ReplayFiles } from './replay-files.ts';
import { isBoot, readTrace } from './read-session.ts';
import { shippedTraces, traceFile } from './trace-names.ts';
import {
  CommandError,
  EXIT_HELP,
  Exit,
  InterruptedError,
  UsageError,
  failureText,
  plural,
  wholeNumber,
  type ExitCode,
} from '../usage.ts';
import { thrownByWorker } from '../worker-failure.ts';

/** The help text. `names`: the sessions that come with hypxe. */
export const replayHelp = (
  names: readonly string[],
): string => `Usage: hypxe replay TRACE... [options]

Run the firmware's drivers against recorded sessions (of iPXE's drivers, in the format of the
project's golden traces) and compare what the guest does: register writes, messages, signals,
ring packets, data, frames, completions, link changes, results. Each difference is on the list of
deliberate differences, or a failure.

A TRACE with a slash in it, or that ends in .json, is a file. Others come with hypxe:
  ${names.join(', ')}

  --firmware FILE     another bundle that exports createDriver(machine, options), or a driver in
                      WebAssembly (hypxe guest --help)
  --report FILE       of one TRACE: a page of the run (hypxe report --help), compared with hypxe's
                      reference drivers in the same session
  --trace FILE        of one TRACE: its events; with --format perfetto as ui.perfetto.dev opens them
  --pcap FILE         of one TRACE: a capture for Wireshark
  --watchdog S        seconds that one replay may take, after which the firmware hangs (default 10)
${GUEST_MEMORY_HELP}
  --json              print one JSON document
${RESULT_HELP}
  -v, --verbose       list the deliberate differences of each trace
  -h, --help          this text

A failure of a replay is a finding.
${EXIT_HELP}

Examples
  hypxe replay 01-boot
  hypxe replay 01-boot 14-monitored --verbose
  hypxe replay my-session.json --firmware my-firmware.js --report my-session.html
`;

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface ReplayPlaces {
  readonly firmware: string;
  readonly replayWorker: URL;
  /** The process that guests run in. */
  readonly guestCell: URL;
  /** The folder of the sessions that come with hypxe. */
  readonly traces: string;
  /** The script of a report's page. */
  readonly reportPage: string;
}

/**
 * What is replayed, and where it goes. Undefined if only help was asked for.
 *
 * @param own path of hypxe's own bundle @param folder of the sessions that come with hypxe
 * @throws CommandError
 */
export function parseReplay(args: readonly string[], own: string, folder: string) {
  const { values, positionals } = parse(args);
  if (values.help === true) return undefined;
  if (positionals.length === 0) {
    throw new UsageError('NoTrace', 'no trace file given', 'See hypxe replay --help.');
  }
  const firmware = path.resolve(values.firmware ?? own);
  requireFile(
    firmware,
    values.firmware === undefined
      ? 'Run npm run build first.'
      : 'Give the path of an ES module that exports createDriver, or of a WebAssembly module.',
  );
  const limits = {
    watchdogSeconds: wholeNumber('--watchdog', values.watchdog ?? '10', 1, 3600),
    memoryLimitMiB: guestMemoryLimit(values['guest-memory-limit']),
  };
  const traces = positionals.map((name) => traceFile(name, folder));
  const [tap, wanted] = [wantsTap(values), readFiles(values)];
  const option = fileOption(values);
  if (option !== undefined && traces.length > 1) {
    throw new UsageError('BadOption', `${option} is about one trace`, 'Name one.');
  }
  const inputs = traces.map((file) => ({ what: 'the trace', file }));
  inputs.push({ what: 'the firmware', file: firmware });
  checkOutputs(outputsOf(values), inputs);
  if (values.junit !== undefined) requireWritable(values.junit);
  return { values, firmware, limits, traces, tap, wanted };
}

/** Run the command; returns the exit code. @throws CommandError */
export async function replayCommand(
  args: readonly string[],
  places: ReplayPlaces,
  terminal: Terminal,
): Promise<ExitCode> {
  const request = parseReplay(args, places.firmware, places.traces);
  if (request === undefined) {
    terminal.out(replayHelp(shippedTraces(places.traces)));
    return Exit.CLEAN;
  }
  const { values, firmware, limits, traces, tap, wanted } = request;
  const [verbose, asJson] = [values.verbose === true, values.json === true];
  const json: string[] = [];
  const cases: TestCase[] = [];
  let failed = 0;
  let unfinished: Partial<RunFiles['failures']> | undefined;
  const told = (message: Replayed): void => {
    unfinished = message;
    if (asJson) json.push(message.json.join(''));
    else if (!tap) terminal.out(`${message.text.join('')}\n`);
    if (!message.ok) failed++;
    const name = path.basename(traces[cases.length]!, '.json');
    const outcome = message.ok ? 'passed' : 'failed';
    cases.push({ name, outcome, lines: message.text.join('').split('\n') });
  };
  const data = { firmware, traces, verbose, json: asJson };
  const run = (files: WantedFiles) => replayAll({ ...data, files }, places, limits, terminal, told);
  const [ended, failures] = await withFiles(wanted, traces[0]!, places.reportPage, run);
  const unwrittenFiles = [...failures, ...unwritten(wanted, unfinished ?? {})];
  if (ended.error !== undefined) {
    const name = path.basename(traces[cases.length] ?? 'replay', '.json');
    cases.push({ name, outcome: 'failed', lines: [ended.error.message] });
  }

  // What was replayed is told, whatever came then
  if (asJson && (ended.error === undefined || json.length > 0)) {
    const results = json.map((each) => JSON.parse(each) as unknown);
    terminal.out(`${JSON.stringify(results, undefined, 2)}\n`);
  } else if (!asJson && !tap && (ended.error === undefined || ended.replayed > 0)) {
    const passed = ended.replayed - failed;
    terminal.out(`${passed} of ${ended.replayed} traces replay without failure\n`);
  }
  tellSuite({ name: 'replay', cases }, values, terminal);
  for (const failure of unwrittenFiles) terminal.error(failureText(failure));
  if (ended.error === undefined) {
    return failed === 0 ? (unwrittenFiles[0]?.code ?? Exit.CLEAN) : Exit.FINDINGS;
  }
  if (ended.replayed === 0) throw ended.error;
  terminal.error(failureText(ended.error, verbose));
  return ended.error.code;
}

const OPTIONS = {
  firmware: { type: 'string' },
  watchdog: { type: 'string' },
  'guest-memory-limit': { type: 'string' },
  ...FILE_OPTIONS,
  json: { type: 'boolean' },
  ...RESULT_OPTIONS,
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

function parse(args: readonly string[]) {
  return parseArguments('replay', args, OPTIONS);
}

/** How far the replays have come, and why no further. */
interface Ended {
  readonly replayed: number;
  readonly error: CommandError | undefined;
}

/** Replay one trace after the other in a cell; each is told as soon as it is over. */
async function replayAll(
  data: ReplayWorkerData,
  places: ReplayPlaces,
  { watchdogSeconds, memoryLimitMiB }: Limits,
  { interrupt }: Terminal,
  told: (message: Replayed) => void,
): Promise<Ended> {
  const all = data.traces.length;
  let replayed = 0;
  const run = {
    ...{ guestCell: places.guestCell, worker: places.replayWorker, job: data },
    ...{ watchdogSeconds, memoryLimitMiB, interrupt },
  };
  const error = await runInCell(run, {
    message: (given) => {
      const message = replayMessage(given, '');
      if (message.kind === 'failed') throw thrownByWorker(message);
      if (message.kind === 'replayed') {
        replayed++;
        told(message);
      }
      // To read a session, and what the replay makes of it, is not the firmware's time
      if (message.kind === 'reads' || message.kind === 'ran') return 'ours';
      return message.kind !== 'done';
    },
    crashed: (why) =>
      new CommandError(Exit.CRASH, 'FirmwareEnded', at(data, replayed, why), WATCHED),
    interrupted: () => {
      const was = replayed === 1 ? 'was' : 'were';
      return new InterruptedError(`${replayed} of ${plural(all, 'trace')} ${was} replayed`);
    },
  });
  return { replayed, error };
}

/** Replay with the files that are wanted, and make what is made of them. */
async function withFiles(
  wanted: FilesRequest,
  session: string,
  page: string,
  run: (files: WantedFiles) => Promise<Ended>,
): Promise<[Ended, CommandError[]]> {
  // The reference guest is drivers: there is nothing to compare a boot with
  const compared = wanted.report !== undefined && !isBoot(readTrace(session));
  const files = new BootFiles(wanted, page, compared ? { ...wanted, pcap: undefined } : undefined);
  try {
    const { trace, traceSlim = false, pcap } = files.request;
    const ended = await run({ trace, traceSlim, pcap });
    const stopped = ended.error instanceof InterruptedError;
    // Of a firmware that hangs or dies there is what it did until then
    const began = ended.replayed > 0 || stopped || ended.error?.code === Exit.CRASH;
    if (!began) return [ended, []];
    const verdict = stopped ? 'interrupted' : 'done';
    const other = (of: FilesRequest) => Promise.resolve(runReference(of, session));
    const failures = await files.write(other, { verdict });
    const cut = ended.replayed === 0 ? files.outputs : [];
    return [ended, [...cut.map(cutShort), ...failures]];
  } finally {
    files.close();
  }
}

type Replayed = Extract<ReplayMessage, { kind: 'replayed' }>;

/** The trace of the reference drivers in a session. @throws CommandError */
function runReference(wanted: FilesRequest, file: string): { readonly verdict: string } {
  const recorded = readTrace(file);
  const memory = guestRam(replayMemoryBytes(recorded));
  const files = new ReplayFiles(wanted, recorded.scenario, 'reference drivers', memory);
  try {
    watchReference(recorded, files.watch, memory);
  } catch (error) {
    files.abandon();
    throw error;
  }
  files.end([]);
  return { verdict: 'done' };
}

/** Bounds of a replay. */
interface Limits {
  readonly watchdogSeconds: number;
  readonly memoryLimitMiB: number;
}

/** A message of the worker. @throws ShapeError */
const replayMessage: Shape<ReplayMessage> = (value, where) => {
  const words = ['reads', 'read', 'ran', 'replayed', 'done', 'failed'] as const;
  const { kind } = record({ kind: oneOf(...words) })(value, where);
  if (kind === 'failed') return workerFailed(value, where);
  if (kind !== 'replayed') return { kind };
  return record({
    ...{ kind: oneOf('replayed'), ok: flag, text: list(text), json: list(text) },
    ...{ traceFailure: optional(text), captureFailure: optional(text) },
  })(value, where);
};

const WATCHED = 'Replay that trace alone, and look at what the firmware does in it.';

/** Which trace the firmware did not survive. */
function at({ firmware, traces }: ReplayWorkerData, replayed: number, text: string): string {
  return `${firmware} in ${traces[replayed] ?? 'no trace'}: ${text}`;
}
