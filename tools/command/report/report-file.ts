// SPDX-License-Identifier: GPL-2.0-or-later

/** What is made of a trace: a page, or a trace for Perfetto; and how a file is read. */

import * as fs from 'node:fs';
import { perfetto } from '../../report/perfetto.ts';
import { reportHtml } from '../../report/html.ts';
import { BadTrace, readTrace } from '../../report/read-trace.ts';
import type { TraceRecord } from '../../report/model/record.ts';
import { text } from '../../report/model/record.ts';
import { OutputFile } from '../boot/output-file.ts';
import { readText, requireFile } from '../files.ts';
import { EnvironmentError, UsageError, didYouMean, quoted } from '../usage.ts';
import { systemReason } from '../system-reason.ts';

/** Longest trace that a report is made of, in bytes: all of it is one text. */
const TRACE_MAX = 400 * 2 ** 20;

/** What can be made of a trace. */
export const FORMATS = ['html', 'perfetto'] as const;
export type ReportFormat = (typeof FORMATS)[number];

/** @throws UsageError UnknownFormat */
export function knownFormat<T extends string>(name: string, formats: readonly T[]): T {
  const format = formats.find((each) => each === name);
  if (format !== undefined) return format;
  const advice = didYouMean(name, formats, `Choose ${formats.join(' or ')}.`);
  throw new UsageError('UnknownFormat', `there is no format ${quoted(name)}`, advice);
}

/**
 * The events of a trace file.
 *
 * @param cutShort its last line may be incomplete
 * @throws EnvironmentError for a file that cannot be read
 * @throws UsageError BadTrace
 */
export function traceOf(file: string, cutShort = false): TraceRecord[] {
  try {
    return readTrace(readText(file, TRACE_MAX), cutShort);
  } catch (error) {
    if (!(error instanceof BadTrace)) throw error;
    const advice = 'Give a file that --trace of a hypxe command has written.';
    throw new UsageError('BadTrace', `${file}: ${error.message}`, advice);
  }
}

/** What is to be written. */
export interface ReportContents {
  readonly format: ReportFormat;
  readonly events: readonly TraceRecord[];
  readonly clean?: readonly TraceRecord[] | undefined;
  /** Path of the script of a page. */
  readonly page: string;
}

/**
 * The file as text.
 *
 * @throws EnvironmentError FileMissing without the script of a page
 * @throws UsageError TraceTooLarge
 */
export function reportText(contents: ReportContents): string {
  const { format, events, clean, page } = contents;
  if (format === 'html') requireFile(page, 'Run npm run build first.');
  try {
    if (format === 'perfetto') return perfetto(events);
    const script = fs.readFileSync(page, 'utf8');
    return reportHtml({ script, events, clean, title: titleOf(events) });
  } catch (error) {
    // What no text is long enough for
    if (!(error instanceof RangeError)) throw error;
    const text = `the ${format} file would be too long: ${error.message}`;
    throw new UsageError('TraceTooLarge', text, 'Trace a shorter run.');
  }
}

function titleOf([first]: readonly TraceRecord[]): string {
  if (first?.kind !== 'run') return 'hypxe: a run';
  // A PC's program is what the user named; the boot file may be hypxe's own
  const booted = first.program === undefined ? 'image' : 'program';
  const names = ['command', 'scenario', 'half', 'session', booted];
  const what = names.map((name) => text(first, name)).filter(Boolean);
  const [host, plan] = [text(first, 'host'), text(first, 'plan')];
  const where = host === '' ? '' : ` on ${host}`;
  return `hypxe ${what.join(' ')}${where}${plan === '' ? '' : `: ${plan}`}`;
}

/** A file that will be written once there is what it has; refused early if it cannot be. */
export class ReportFile {
  readonly #file: OutputFile;
  readonly #path: string;
  #done = false;

  /** @throws EnvironmentError ReportUnwritable */
  constructor(path: string) {
    this.#path = path;
    this.#file = this.#attempt(() => new OutputFile(path));
  }

  /** @throws EnvironmentError ReportUnwritable */
  write(contents: string): void {
    this.#attempt(() => {
      this.#file.write(contents);
      this.#file.finish();
      this.#done = true;
    });
  }

  /** Leave nothing behind, unless it has been written. */
  close(): void {
    if (!this.#done) this.#attempt(() => this.#file.discard());
  }

  #attempt<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      const text = `${this.#path} cannot be written: ${systemReason(error)}`;
      throw new EnvironmentError('ReportUnwritable', text, 'Give a path with room for it.');
    }
  }
}
