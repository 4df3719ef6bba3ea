// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What is made of the trace of a boot, once it is over: the page of `--report`, and a trace in
 * another format. The boot writes its trace to a place of its own then; a page compares it with a
 * clean boot.
 */

import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { BootOutcome } from '../../library/boot-outcome.ts';
import type { TraceRecord } from '../../report/model/record.ts';
import { ReportFile, reportText, traceOf } from '../report/report-file.ts';
import { CommandError, EnvironmentError, InterruptedError, commandError } from '../usage.ts';
import { readFaults } from './fault-options.ts';
import { osFirmware, type BootRequest } from './boot-options.ts';
import type { FilesRequest } from './file-options.ts';
import { OutputFile, PART } from './output-file.ts';
import { systemReason } from '../system-reason.ts';

/** Bytes that are copied at once. */
const CHUNK = 1 << 20;

/** What is looked at of what a run came to. */
interface Ended {
  readonly verdict: string;
}

export class BootFiles<Request extends FilesRequest> {
  /** The boot, with the place of its trace. */
  readonly request: Request;
  /** Files of which a part stays if the boot is cut short. */
  readonly outputs: readonly string[];
  readonly #given: Request;
  readonly #page: string;
  readonly #cleanRequest: Request | undefined;
  #report: ReportFile | undefined;
  #perfetto: ReportFile | undefined;
  /** The trace that was asked for, until it is there. */
  #trace: OutputFile | undefined;
  #directory: string | undefined;

  /**
   * @param page the script of a page
   * @param clean the same boot without what makes it go wrong; undefined if it has nothing of that
   * @throws EnvironmentError ReportUnwritable, TraceUnwritable, NoTemporaryDirectory
   */
  constructor(given: Request, page: string, clean: Request | undefined) {
    this.#given = given;
    this.#cleanRequest = clean;
    this.#page = page;
    const { report, trace, traceFormat, pcap } = given;
    const converted = trace !== undefined && traceFormat === 'perfetto';
    this.outputs = [converted ? undefined : trace, pcap].filter((file) => file !== undefined);
    this.request = given;
    if (report === undefined && !converted) return;
    try {
      this.#directory = temporaryDirectory();
      const traceSlim = converted || trace === undefined;
      this.request = { ...given, trace: path.join(this.#directory, 'run.jsonl'), traceSlim };
      if (report !== undefined) this.#report = new ReportFile(report);
      if (converted) this.#perfetto = new ReportFile(trace);
      else if (trace !== undefined) this.#trace = openTrace(trace);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Write the files; nothing if none is asked for. Whatever comes in between, the boot's outcome is
   * still to be told: nothing is thrown.
   *
   * @param boot runs a boot, and shows nothing of it
   * @returns what could not be written, and why
   */
  async write(
    boot: (request: Request) => Promise<Ended>,
    { verdict }: Ended,
  ): Promise<CommandError[]> {
    if (this.#directory === undefined) return [];
    const page = this.#page;
    const failures: CommandError[] = [];
    const attempt = <T>(action: () => T): T | undefined => {
      try {
        return action();
      } catch (error) {
        failures.push(commandError(error));
        return undefined;
      }
    };
    // In its place before anything else is run: whoever waits may have enough
    const trace = attempt(() => this.#handOver());
    let other: string | undefined;
    if (this.#report !== undefined && verdict !== 'interrupted') {
      other = await this.#clean(boot, failures);
    }
    attempt(() => this.#append(trace, other));
    attempt(() => {
      const events = whatThereIs(this.request.trace!);
      this.#perfetto?.write(reportText({ format: 'perfetto', events, page }));
      const clean = other === undefined ? undefined : attempt(() => whatThereIs(other));
      this.#report?.write(reportText({ format: 'html', events, clean, page }));
    });
    return failures;
  }

  /** The trace of a clean boot; a failure is told. */
  async #clean(
    boot: (request: Request) => Promise<Ended>,
    failures: CommandError[],
  ): Promise<string | undefined> {
    const other = this.#cleanRequest;
    if (other === undefined) return undefined;
    const trace = path.join(this.#directory!, 'clean.jsonl');
    try {
      const { verdict } = await boot({ ...other, trace, traceSlim: true });
      if (verdict === 'interrupted') {
        const text = 'the clean boot to compare with: the report has no comparison';
        throw new InterruptedError(text);
      }
      // Of one that came to no end there is nothing to compare with
      return fs.existsSync(trace) ? trace : undefined;
    } catch (error) {
      failures.push(commandError(error));
      return undefined;
    }
  }

  /**
   * Put the trace where it was asked for: as a part if it is none to the end. Returns what another
   * can be written behind, until it is closed.
   */
  #handOver(): OutputFile | undefined {
    const file = this.#trace;
    if (file === undefined) return undefined;
    this.#trace = undefined;
    const from = this.request.trace!;
    const whole = fs.existsSync(from);
    try {
      if (whole || fs.existsSync(from + PART)) copy(whole ? from : from + PART, file);
      else file.discard();
      if (whole) {
        file.publish();
        return file;
      }
    } catch (error) {
      file.abandon();
      throw traceUnwritable(this.#given.trace!, error);
    }
    file.abandon();
    return undefined;
  }

  /** The trace of the run that it is compared with, behind it: all of that, or nothing. */
  #append(file: OutputFile | undefined, other: string | undefined): void {
    try {
      if (file !== undefined && other !== undefined) copy(other, file);
    } catch (error) {
      try {
        file!.revert();
      } catch {
        // What is told is the first failure
      }
      throw traceUnwritable(this.#given.trace!, error);
    } finally {
      file?.finish();
    }
  }

  /** Whatever happened: nothing is left behind but what there is of a trace. */
  close(): void {
    try {
      this.#handOver()?.finish();
    } finally {
      this.#perfetto?.close();
      this.#report?.close();
      if (this.#directory !== undefined)
        fs.rmSync(this.#directory, { recursive: true, force: true });
    }
  }
}

/** What an outcome says of its files. */
type Failure = 'traceFailure' | 'captureFailure' | 'sessionFailure';

/** What is said of a file that has only begun. */
export function cutShort(file: string): CommandError {
  const text = `the run came to no end: what there is of ${file} is in ${file}${PART}`;
  return new EnvironmentError('FileIncomplete', text, 'See how the run ended.');
}

/** The files that are incomplete. */
export function unwritten(
  { trace, report, pcap, record }: FilesRequest & { readonly record?: string | undefined },
  { traceFailure, captureFailure, sessionFailure }: Partial<Pick<BootOutcome, Failure>>,
): EnvironmentError[] {
  const failures: EnvironmentError[] = [];
  const add = (name: string, text: string): void =>
    void failures.push(new EnvironmentError(name, text, 'Give a path with room for it.'));
  if (traceFailure !== undefined) {
    const where = trace === undefined ? `for ${report}` : `in ${trace}`;
    add('TraceUnwritable', `the trace ${where} is incomplete: ${traceFailure}`);
  }
  if (captureFailure !== undefined) {
    add('CaptureUnwritable', `the capture in ${pcap} is incomplete: ${captureFailure}`);
  }
  if (sessionFailure !== undefined) {
    const text = `not every session is in ${record} or beside it: ${sessionFailure}`;
    add('SessionUnwritable', text);
  }
  return failures;
}

/** @throws EnvironmentError NoTemporaryDirectory */
function temporaryDirectory(): string {
  const parent = os.tmpdir();
  try {
    return fs.mkdtempSync(path.join(parent, 'hypxe-report-'));
  } catch (error) {
    const text = `no directory can be made in ${parent}: ${systemReason(error)}`;
    const advice = 'Set TMPDIR to a directory with room for a trace.';
    throw new EnvironmentError('NoTemporaryDirectory', text, advice);
  }
}

/** @throws EnvironmentError TraceUnwritable */
function openTrace(file: string): OutputFile {
  try {
    return new OutputFile(file);
  } catch (error) {
    throw traceUnwritable(file, error);
  }
}

function traceUnwritable(file: string, error: unknown): EnvironmentError {
  const text = `the trace cannot be written to ${file}: ${systemReason(error)}`;
  return new EnvironmentError('TraceUnwritable', text, 'Give a path that can be written.');
}

/** @throws Error of the file system */
function copy(from: string, to: OutputFile): void {
  const chunk = Buffer.allocUnsafe(CHUNK);
  const descriptor = fs.openSync(from, 'r');
  try {
    for (let count; (count = fs.readSync(descriptor, chunk)) > 0;)
      to.write(chunk.subarray(0, count));
  } finally {
    fs.closeSync(descriptor);
  }
}

/**
 * The events of a trace that may have been cut short.
 *
 * @throws EnvironmentError NothingTraced if there are none
 * @throws EnvironmentError if no report can be made of it; names no file, since nobody sees it
 */
function whatThereIs(trace: string): TraceRecord[] {
  const whole = fs.existsSync(trace);
  const file = whole ? trace : trace + PART;
  if ((fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) {
    const text =
      'there is no event to make a report of: the run ended before its trace was written';
    throw new EnvironmentError('NothingTraced', text, 'See how it ended; nothing is written.');
  }
  try {
    return traceOf(file, !whole);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const text = error.message.replaceAll(file, 'the trace of this run');
    throw new EnvironmentError(error.name, text, 'Boot a smaller image, or let less be run.');
  }
}

/**
 * The same boot without what makes it go wrong. Undefined if it has nothing of that, and over a
 * real network, where no boot is like another.
 */
export function cleanBoot(request: BootRequest, ownFirmware: string): BootRequest | undefined {
  if (request.link !== undefined) return undefined;
  const firmware = request.services.length === 0 ? ownFirmware : osFirmware(ownFirmware);
  const clean: BootRequest = {
    ...request,
    ...{ firmware, ownFirmware: true, preset: 'default', faults: readFaults({}) },
    ...{ previousOwner: [], nicTimes: {}, pcap: undefined, json: true },
  };
  const same = (['ownFirmware', 'preset', 'faults', 'previousOwner', 'nicTimes'] as const).every(
    (name) => JSON.stringify(clean[name]) === JSON.stringify(request[name]),
  );
  return same ? undefined : clean;
}
