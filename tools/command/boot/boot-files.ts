// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What is made of the trace of a boot, once it is over: the page of `--report`, and a trace in
 * another format. The boot writes its trace to a place of its own then; a page compares it with a
 * clean boot.
 */

import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { TraceRecord } from '../../report/model/record.ts';
import { ReportFile, reportText, traceOf } from '../report/report-file.ts';
import { readFaults } from './fault-options.ts';
import { osFirmware, type BootRequest } from './boot-options.ts';
import { PART } from './output-file.ts';

export class BootFiles {
  /** The boot, with the place of its trace. */
  readonly request: BootRequest;
  readonly #given: BootRequest;
  readonly #page: string;
  readonly #report: ReportFile | undefined;
  readonly #perfetto: ReportFile | undefined;
  readonly #directory: string | undefined;

  /**
   * @param page the script of a page
   * @throws EnvironmentError ReportUnwritable
   */
  constructor(given: BootRequest, page: string) {
    this.#given = given;
    this.#page = page;
    const { report, trace, traceFormat } = given;
    const converted = trace !== undefined && traceFormat === 'perfetto';
    this.#report = report === undefined ? undefined : new ReportFile(report);
    this.#perfetto = converted ? new ReportFile(trace) : undefined;
    const own = converted || (report !== undefined && trace === undefined);
    if (own || report !== undefined) {
      this.#directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-report-'));
    }
    this.request = own ? { ...given, trace: path.join(this.#directory!, 'run.jsonl') } : given;
  }

  /**
   * Write the files; nothing if none is asked for.
   *
   * @param boot runs a boot, and shows nothing of it
   * @throws EnvironmentError ReportUnwritable, and what {@link traceOf} throws
   */
  async write(
    firmware: string,
    boot: (request: BootRequest) => Promise<unknown>,
    interrupted: boolean,
  ): Promise<void> {
    if (this.#directory === undefined) return;
    const page = this.#page;
    const events = whatThereIs(this.request.trace!);
    this.#perfetto?.write(reportText({ format: 'perfetto', events, page }));
    if (this.#report === undefined) return;
    const other = cleanBoot(this.#given, firmware);
    let clean: TraceRecord[] | undefined;
    let noClean = typeof other === 'string' ? other : undefined;
    if (interrupted) noClean = 'The boot was interrupted.';
    else if (typeof other !== 'string') {
      const trace = path.join(this.#directory, 'clean.jsonl');
      await boot({ ...other, trace });
      clean = whatThereIs(trace);
    }
    this.#report.write(reportText({ format: 'html', events, clean, noClean, page }));
  }

  /** Whatever happened: nothing is left behind. */
  close(): void {
    this.#report?.close();
    this.#perfetto?.close();
    if (this.#directory !== undefined) fs.rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** The events of a trace that may have been cut short. */
function whatThereIs(trace: string): TraceRecord[] {
  const whole = fs.existsSync(trace);
  return traceOf(whole ? trace : trace + PART, !whole);
}

/** The same boot without what makes it go wrong, or why there is none. */
function cleanBoot(request: BootRequest, ownFirmware: string): BootRequest | string {
  if (request.link !== undefined) return 'Over a real network no boot is like another.';
  const firmware = request.services.length === 0 ? ownFirmware : osFirmware(ownFirmware);
  const clean: BootRequest = {
    ...request,
    ...{ firmware, ownFirmware: true, preset: 'default', faults: readFaults({}) },
    ...{ previousOwner: [], nicTimes: {}, pcap: undefined, json: true },
  };
  const same = (['ownFirmware', 'preset', 'faults', 'previousOwner', 'nicTimes'] as const).every(
    (name) => JSON.stringify(clean[name]) === JSON.stringify(request[name]),
  );
  return same ? "This is the clean boot: hypxe's firmware, and nothing that goes wrong." : clean;
}
