// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe record`: records a session of a guest on a simulated host. */

import { workerFailed } from '../boot/boot-message.ts';
import { OutputFile, checkOutputs } from '../boot/output-file.ts';
import { runInCell } from '../cell-run.ts';
import { isHostFile } from '../host-options.ts';
import { count, list, oneOf, optional, record, text, type Shape } from '../shape.ts';
import { systemReason } from '../system-reason.ts';
import type { Terminal } from '../terminal.ts';
import {
  CommandError,
  EnvironmentError,
  Exit,
  InterruptedError,
  plural,
  type ExitCode,
} from '../usage.ts';
import { thrownByWorker } from '../worker-failure.ts';
import { RECORD_HELP, parseRecord } from './record-options.ts';
import type { RecordMessage } from './record-worker.ts';

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
  const request = parseRecord(args, places.firmware);
  if (request === undefined) {
    terminal.out(RECORD_HELP);
    return Exit.CLEAN;
  }
  const { output: to, host, job } = request;
  const { firmware } = job;
  let recorded: Recorded | undefined;
  const run = {
    ...{ guestCell: places.guestCell, worker: places.recordWorker, job },
    watchdogSeconds: request.watchdogSeconds,
    memoryLimitMiB: request.memoryLimitMiB,
    interrupt: terminal.interrupt,
  };
  const inputs = [
    { what: 'the firmware', file: firmware },
    ...(isHostFile(host) ? [{ what: 'the host', file: host }] : []),
  ];
  checkOutputs([{ option: '--output', file: to }], inputs);
  const output = openOutput(to);
  const failed = await runInCell(run, {
    message: (given) => {
      const message = recordMessage(given, '');
      if (message.kind === 'failed') throw thrownByWorker(message);
      if (message.kind === 'recorded') recorded = message;
      return message.kind === 'loaded';
    },
    crashed: (why) =>
      new CommandError(Exit.CRASH, 'FirmwareEnded', `${job.linux ?? firmware}: ${why}`, ENDED),
    interrupted: () => new InterruptedError('nothing was recorded'),
  });
  if (recorded === undefined) {
    output.discard();
    throw failed ?? new Error('nothing was recorded, and nobody says why');
  }

  // Also of a guest that crashed: what it did until then
  written(to, () => {
    for (const part of recorded!.parts) output.write(part);
    output.finish();
  });
  terminal.out(`${to}: ${plural(recorded.events, 'event')} of ${recorded.driver}\n`);
  if (recorded.ended === undefined) return Exit.CLEAN;
  terminal.error(`the guest ended: ${recorded.ended}\n`);
  return Exit.CRASH;
}

/** @throws EnvironmentError FileUnwritable */
function written<T>(file: string, write: () => T): T {
  try {
    return write();
  } catch (error) {
    const advice = 'Give a file in a folder that exists and can be written to.';
    const text = `${file} cannot be written: ${systemReason(error)}`;
    throw new EnvironmentError('FileUnwritable', text, advice);
  }
}

/** @throws EnvironmentError FileUnwritable */
const openOutput = (file: string): OutputFile => written(file, () => new OutputFile(file));

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

const ENDED = 'Replay or boot that guest, and look at what it does.';
