// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe report`: makes a page of a trace. */

import { parseArguments } from '../arguments.ts';
import { checkOutputs } from '../boot/output-file.ts';
import { runsOf } from '../../report/read-trace.ts';
import type { Terminal } from '../terminal.ts';
import { EXIT_HELP, Exit, UsageError, type ExitCode } from '../usage.ts';
import { FORMATS, ReportFile, knownFormat, reportText, traceOf } from './report-file.ts';

export const REPORT_HELP = `Usage: hypxe report TRACE -o FILE [options]

Make a page of a trace that --trace of hypxe boot, pc, explore, replay or scenarios has written:
which memory the host could touch, when, and what crossed a handoff; each message with its fields;
the audit with what it is about. One file, for any browser, which loads nothing.

  -o, --output FILE   the page
  --clean TRACE       compare with this run: what is missing, what is extra, where they part; a
                      trace that was written beside a --report has one in it
  --format NAME       html (default), or perfetto: a trace that ui.perfetto.dev opens
  -h, --help          this text

${EXIT_HELP}

Examples
  hypxe boot --trace boot.jsonl && hypxe report boot.jsonl -o boot.html
  hypxe boot --trace boot.jsonl && hypxe report boot.jsonl --format perfetto -o boot.json
`;

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  clean: { type: 'string' },
  format: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface ReportPlaces {
  /** The script of a page. */
  readonly reportPage: string;
}

/** Run the command; returns the exit code. @throws CommandError */
export function reportCommand(
  args: readonly string[],
  { reportPage: page }: ReportPlaces,
  terminal: Terminal,
): ExitCode {
  const { values, positionals } = parseArguments('report', args, OPTIONS);
  if (values.help === true) {
    terminal.out(REPORT_HELP);
    return Exit.CLEAN;
  }
  const [trace] = positionals;
  if (trace === undefined || positionals.length > 1) {
    const text = trace === undefined ? 'no trace given' : 'more than one trace';
    throw new UsageError('NoTrace', text, 'See hypxe report --help.');
  }
  const { output, clean } = values;
  if (output === undefined) {
    throw new UsageError('NoOutput', 'nowhere to write to', 'Name the page: -o FILE.html.');
  }
  const format = knownFormat(values.format ?? 'html', FORMATS);
  const inputs = [trace, ...(clean === undefined ? [] : [clean])];
  checkOutputs(
    [{ option: '--output', file: output }],
    inputs.map((file) => ({ what: 'the trace', file })),
  );
  new ReportFile(output).close();
  const runs = runsOf(traceOf(trace));
  const other = clean === undefined ? runs.clean : runsOf(traceOf(clean)).events;
  const contents = { format, events: runs.events, clean: other, page };
  // Nothing is open meanwhile: whoever ends it leaves nothing behind
  const made = reportText(contents);
  const file = new ReportFile(output);
  try {
    file.write(made);
  } finally {
    file.close();
  }
  return Exit.CLEAN;
}
