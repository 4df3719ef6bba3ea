// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe report`: makes a page of a trace, or one in which something can be run. */

import { parseArguments } from '../arguments.ts';
import { checkOutputs } from '../boot/output-file.ts';
import { runsOf } from '../../report/read-trace.ts';
import type { Terminal } from '../terminal.ts';
import { EXIT_HELP, Exit, UsageError, quoted, type ExitCode } from '../usage.ts';
import { writeDemo, writePcDemo } from './demo-file.ts';
import { FORMATS, ReportFile, knownFormat, reportText, traceOf } from './report-file.ts';

export const REPORT_HELP = `Usage: hypxe report TRACE -o FILE [options]
       hypxe report --demo FILE
       hypxe report --demo-pc DIRECTORY [--bios DIR]

Make a page of a trace that --trace of hypxe boot, pc, explore, replay or scenarios has written:
which memory the host could touch, when, and what crossed a handoff; each message with its fields;
the audit with what it is about. One file, for any browser, which loads nothing.

  -o, --output FILE   the page
  --clean TRACE       compare with this run: what is missing, what is extra, where they part; a
                      trace that was written beside a --report has one in it
  --format NAME       html (default), or perfetto: a trace that ui.perfetto.dev opens
  --demo FILE         write a page in which the firmware boots on a simulated host: one chooses the
                      host, what goes wrong and what is forgotten, and sees the same of each run
  --demo-pc DIRECTORY write DIRECTORY/index.html, in which a program for a PC that one chooses boots
                      on a simulated host, and v86 and SeaBIOS beside it: as hypxe pc needs them
  --bios DIR          where SeaBIOS is, if it is not where distributions have it
  -v, --verbose       of a mistake of hypxe itself, say where
  -h, --help          this text

${EXIT_HELP}

Examples
  hypxe boot --trace boot.jsonl && hypxe report boot.jsonl -o boot.html
  hypxe boot --trace boot.jsonl && hypxe report boot.jsonl --format perfetto -o boot.json
  hypxe report --demo demo.html
  hypxe report --demo-pc pc-demo
`;

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  clean: { type: 'string' },
  format: { type: 'string' },
  demo: { type: 'string' },
  'demo-pc': { type: 'string' },
  bios: { type: 'string' },
  verbose: { type: 'boolean', short: 'v' },
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
  const { demo, 'demo-pc': demoPc, bios } = values;
  if (demo !== undefined || demoPc !== undefined) {
    const [kind, takes] =
      demo === undefined ? ['demo-pc', ['demo-pc', 'bios']] : ['demo', ['demo']];
    requireAlone(kind, takes, Object.keys(values), positionals);
    if (demo !== undefined) writeDemo(demo, page);
    if (demoPc !== undefined) writePcDemo(demoPc, page, bios);
    return Exit.CLEAN;
  }
  if (bios !== undefined) {
    const advice = 'Say --demo-pc DIRECTORY as well.';
    throw new UsageError('NoPc', '--bios is for --demo-pc, which is not there', advice);
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
  if (clean !== undefined && format !== 'html') {
    const text = '--clean compares in a page, and --format is perfetto';
    throw new UsageError('BadOption', text, 'Leave one out.');
  }
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

/** A page that runs something is made of nothing else. @throws UsageError DemoAlone */
function requireAlone(
  kind: string,
  takes: readonly string[],
  options: readonly string[],
  positionals: readonly string[],
): void {
  const other = options.find((name) => ![...takes, 'verbose'].includes(name));
  const stray = positionals[0] ?? (other && `--${other}`);
  if (stray === undefined) return;
  const text = `--${kind} does not take ${quoted(stray)}`;
  throw new UsageError('DemoAlone', text, 'Leave it out.');
}
