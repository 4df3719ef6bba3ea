// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe record`: records a session of a guest on a simulated host. */

import * as path from 'node:path';
import { DEFECTS, isDefect, type Defect } from '../../reference/index.ts';
import { DEFAULT_PROFILE } from '../../simulator/profiles/profiles.ts';
import { parseArguments } from '../arguments.ts';
import { workerFailed } from '../boot/boot-message.ts';
import { OutputFile, checkOutputs } from '../boot/output-file.ts';
import { runInCell } from '../cell-run.ts';
import { requireFile } from '../files.ts';
import { GUEST_MEMORY_HELP, guestMemoryLimit } from '../guest-options.ts';
import { isHostFile, readHost, turnKnobs } from '../host-options.ts';
import { count, list, oneOf, optional, record, text, type Shape } from '../shape.ts';
import type { Terminal } from '../terminal.ts';
import {
  CommandError,
  EXIT_HELP,
  EnvironmentError,
  Exit,
  InterruptedError,
  UsageError,
  didYouMean,
  plural,
  quoted,
  wholeNumber,
  type ExitCode,
} from '../usage.ts';
import { thrownByWorker } from '../worker-failure.ts';
import type { RecordJob, RecordMessage } from './record-worker.ts';

const HELP = `Usage: hypxe record -o FILE.json [options]

Record a session: drive a guest's drivers on a simulated host, and write down what crosses the
seam, for hypxe replay. The seed decides what is done: open, frames both ways, quiesce, close.

  -o, --output FILE   where the session goes
  --firmware FILE     the guest: a bundle that exports createDriver(machine, options), or a driver
                      in WebAssembly
  --with-defect NAME  record the reference guest instead, with this defect of iPXE (repeatable);
                      ipxe: with all of them
  --host NAME|FILE    host profile (see hypxe hosts; default ${DEFAULT_PROFILE})
  --knob NAME=VALUE   change a habit of the host (repeatable)
  --seed N            decides the steps (default 1)
  --watchdog S        seconds that it may take, after which the guest hangs (default 10)
${GUEST_MEMORY_HELP}
  -v, --verbose       of a mistake of hypxe itself, say where
  -h, --help          this text

${EXIT_HELP}

Examples
  hypxe record -o session.json
  hypxe record --with-defect ranges-in-order --seed 5 -o session.json
`;

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  firmware: { type: 'string' },
  'with-defect': { type: 'string', multiple: true },
  host: { type: 'string' },
  knob: { type: 'string', multiple: true },
  seed: { type: 'string' },
  watchdog: { type: 'string' },
  'guest-memory-limit': { type: 'string' },
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface RecordPlaces {
  readonly firmware: string;
  readonly guestCell: URL;
  readonly recordWorker: URL;
}

/** Run the command; returns the exit code. @throws CommandError */
export async function recordCommand(
  args: readonly string[],
  places: RecordPlaces,
  terminal: Terminal,
): Promise<ExitCode> {
  const { values, positionals } = parseArguments('record', args, OPTIONS);
  if (values.help === true) {
    terminal.out(HELP);
    return Exit.CLEAN;
  }
  if (positionals.length > 0) {
    const text = `record takes no ${quoted(positionals[0]!)}`;
    throw new UsageError('BadArgument', text, 'See hypxe record --help.');
  }
  if (values.output === undefined) {
    throw new UsageError('NoOutput', 'no file to write to', 'Give one with -o FILE.json.');
  }
  const host = readHost(values.host ?? DEFAULT_PROFILE);
  const { profile } = turnKnobs(host, values.knob ?? []);
  const seed = wholeNumber('--seed', values.seed ?? '1', 1, 0xffffffff);
  const defects = readDefects(values['with-defect'] ?? []);
  const firmware = path.resolve(values.firmware ?? places.firmware);
  if (defects === undefined) requireFile(firmware, FIRMWARE_ADVICE);
  const job: RecordJob = { firmware, defects, profile, seed };
  let recorded: Recorded | undefined;
  const run = {
    ...{ guestCell: places.guestCell, worker: places.recordWorker, job },
    watchdogSeconds: wholeNumber('--watchdog', values.watchdog ?? '10', 1, 3600),
    memoryLimitMiB: guestMemoryLimit(values['guest-memory-limit']),
    interrupt: terminal.interrupt,
  };
  const inputs = [
    { what: 'the firmware', file: firmware },
    ...(isHostFile(values.host) ? [{ what: 'the host', file: values.host }] : []),
  ];
  checkOutputs([{ option: '--output', file: values.output }], inputs);
  const output = openOutput(values.output);
  const failed = await runInCell(run, {
    message: (given) => {
      const message = recordMessage(given, '');
      if (message.kind === 'failed') throw thrownByWorker(message);
      if (message.kind === 'recorded') recorded = message;
      return message.kind === 'loaded';
    },
    crashed: (why) => new CommandError(Exit.CRASH, 'FirmwareEnded', `${firmware}: ${why}`, ENDED),
    interrupted: () => new InterruptedError('nothing was recorded'),
  });
  if (recorded === undefined) {
    output.discard();
    throw failed ?? new Error('nothing was recorded, and nobody says why');
  }

  // Also of a guest that crashed: what it did until then
  written(() => {
    for (const part of recorded!.parts) output.write(part);
    output.finish();
  });
  terminal.out(`${values.output}: ${plural(recorded.events, 'event')} of ${recorded.driver}\n`);
  if (recorded.ended === undefined) return Exit.CLEAN;
  terminal.error(`the guest ended: ${recorded.ended}\n`);
  return Exit.CRASH;
}

/** @throws EnvironmentError CannotWrite */
function written<T>(write: () => T): T {
  try {
    return write();
  } catch (error) {
    const advice = 'Give a file in a folder that exists and can be written to.';
    throw new EnvironmentError('CannotWrite', (error as Error).message, advice);
  }
}

/** @throws EnvironmentError CannotWrite */
const openOutput = (file: string): OutputFile => written(() => new OutputFile(file));

type Recorded = Extract<RecordMessage, { kind: 'recorded' }>;

/** A message of the worker. @throws ShapeError */
const recordMessage: Shape<RecordMessage> = (value, where) => {
  const { kind } = record({ kind: oneOf('loaded', 'recorded', 'failed') })(value, where);
  if (kind === 'failed') return workerFailed(value, where);
  if (kind === 'loaded') return { kind };
  return record({
    ...{ kind: oneOf('recorded'), parts: list(text), events: count, driver: text },
    ended: optional(text),
  })(value, where);
};

const FIRMWARE_ADVICE = 'Run npm run build, or give --firmware a bundle that exports createDriver.';
const ENDED = 'Replay or boot that guest, and look at what it does.';

/** @throws UsageError UnknownDefect */
function readDefects(names: readonly string[]): readonly Defect[] | undefined {
  if (names.length === 0) return undefined;
  if (names.includes('ipxe')) return DEFECTS;
  return names.map((name) => {
    if (isDefect(name)) return name;
    const advice = didYouMean(name, [...DEFECTS, 'ipxe']);
    throw new UsageError('UnknownDefect', `there is no defect ${quoted(name)}`, advice);
  });
}
