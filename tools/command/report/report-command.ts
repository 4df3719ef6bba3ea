// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe report`: makes a page of a trace, or one in which something can be run. */

import { parseArguments } from '../arguments.ts';
import { checkOutputs } from '../boot/output-file.ts';
import type { Terminal } from '../terminal.ts';
import { EXIT_HELP, Exit, UsageError, type ExitCode } from '../usage.ts';
import { writeDemo } from './demo-file.ts';
import { FORMATS, ReportFile, knownFormat, reportText, traceOf } from './report-file.ts';

export const REPORT_HELP = `Usage: hypxe report TRACE -o FILE [options]
       hypxe report --demo FILE

Make a page of a trace that hypxe boot --trace or hypxe pc --trace has written: which memory the
host could touch, when, and what crossed a handoff; each message with its fields; the audit with
what it is about. One file, for any browser, which loads nothing.

  -o, --output FILE   the page
  --clean TRACE       compare with this run: what is missing, what is extra, where they part
  --format NAME       html (default), or perfetto: a trace that ui.perfetto.dev opens
  --demo FILE         write a page in which the firmware boots on a simulated host: one chooses the
                      host, what goes wrong and what is forgotten, and sees the same of each run
  -h, --help          this text

${EXIT_HELP}

Examples
  hypxe boot --trace boot.jsonl && hypxe report boot.jsonl -o boot.html
  hypxe boot --trace boot.jsonl && hypxe report boot.jsonl --format perfetto -o boot.json
  hypxe report --demo demo.html
`;

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  clean: { type: 'string' },
  format: { type: 'string' },
  demo: { type: 'string' },
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
  if (values.demo !== undefined) {
    const others = Object.keys(values).filter((name) => name !== 'demo');
    if (others.length + positionals.length > 0) {
      const text = `--demo is for itself, and there is ${positionals[0] ?? `--${others[0]}`}`;
      throw new UsageError('DemoAlone', text, 'Leave the rest out: a demo is made of no trace.');
    }
    writeDemo(values.demo, page);
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
  const events = traceOf(trace);
  const contents = {
    format,
    events,
    clean: clean === undefined ? undefined : traceOf(clean),
    page,
  };
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
