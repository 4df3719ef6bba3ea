// SPDX-License-Identifier: GPL-2.0-or-later

/** The options for what is written of a run: trace, page, capture. */

import { knownFormat } from '../report/report-file.ts';
import { UsageError } from '../usage.ts';
import type { Output } from './output-file.ts';

/** What of a request is about the files of a run. */
export interface FilesRequest {
  readonly trace: string | undefined;
  readonly traceFormat: 'jsonl' | 'perfetto';
  /** The trace is for a report alone: without what a report leaves out. */
  readonly traceSlim?: boolean;
  /** Path of the page that is made of the trace. */
  readonly report: string | undefined;
  /** Path of the capture. */
  readonly pcap: string | undefined;
}

/** Of every command that runs one thing. */
export const FILE_OPTIONS = {
  trace: { type: 'string' },
  format: { type: 'string' },
  report: { type: 'string' },
  pcap: { type: 'string' },
} as const;

/** Values of {@link FILE_OPTIONS}. */
export type FileValues = {
  readonly [Name in keyof typeof FILE_OPTIONS]?: string | undefined;
};

/** @throws UsageError UnknownFormat, NoTrace */
export function readFiles({ trace, format, report, pcap }: FileValues): FilesRequest {
  return { trace, traceFormat: readFormat(format, trace), report, pcap };
}

/** The first of them that is given, as it is typed; undefined if none is. */
export function fileOption(values: FileValues): string | undefined {
  const names = Object.keys(FILE_OPTIONS) as (keyof FileValues)[];
  const name = names.find((each) => values[each] !== undefined);
  return name === undefined ? undefined : `--${name}`;
}

/** @throws UsageError UnknownFormat, NoTrace */
function readFormat(name: string | undefined, trace: string | undefined): 'jsonl' | 'perfetto' {
  if (name !== undefined && trace === undefined) {
    const text = '--format says how the trace is written, and there is none';
    throw new UsageError('NoTrace', text, 'Add --trace FILE.');
  }
  return knownFormat(name ?? 'jsonl', ['jsonl', 'perfetto']);
}

/** The files that are written. */
export function outputsOf(values: {
  readonly trace?: string | undefined;
  readonly pcap?: string | undefined;
  readonly record?: string | undefined;
  readonly report?: string | undefined;
  readonly junit?: string | undefined;
}): Output[] {
  const { trace, pcap, record, report, junit } = values;
  return [
    ...(junit === undefined ? [] : [{ option: '--junit', file: junit }]),
    ...(report === undefined ? [] : [{ option: '--report', file: report }]),
    ...(trace === undefined ? [] : [{ option: '--trace', file: trace }]),
    ...(pcap === undefined ? [] : [{ option: '--pcap', file: pcap }]),
    ...(record === undefined ? [] : [{ option: '--record', file: record }]),
  ];
}
