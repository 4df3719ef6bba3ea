// SPDX-License-Identifier: GPL-2.0-or-later

/** What a command came to, for the test reporters of a CI: JUnit's XML and TAP. */

import { writeText } from './files.ts';
import { printable, type Terminal } from './terminal.ts';
import { UsageError } from './usage.ts';

/** One thing that was looked at. */
export interface TestCase {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Why, in lines; of one that has passed, nothing needs to be said. */
  readonly lines: readonly string[];
}

/** What a command looked at: `boot server2022`, and its cases. */
export interface TestSuite {
  readonly name: string;
  readonly cases: readonly TestCase[];
}

/** The options, for a command's table. */
export const RESULT_OPTIONS = {
  junit: { type: 'string' },
  tap: { type: 'boolean' },
} as const;

/** Their lines of a help. */
export const RESULT_HELP = `\
  --junit FILE        write what was looked at as JUnit's XML, too, for a CI
  --tap               print it as TAP 14 instead of the log`;

/** Whether TAP is printed. @throws UsageError BadOption together with a document */
export function wantsTap({
  tap,
  json,
}: {
  readonly tap?: boolean;
  readonly json?: boolean;
}): boolean {
  if (tap === true && json === true) {
    const text = '--tap and --json print two different things';
    throw new UsageError('BadOption', text, 'Choose one of them; --junit FILE goes with both.');
  }
  return tap === true;
}

/** What a command prints and writes of its result. @throws UsageError BadOption */
export function wantedResults(values: {
  readonly json?: boolean;
  readonly junit?: string;
  readonly tap?: boolean;
}) {
  return { json: values.json === true, junit: values.junit, tap: wantsTap(values) };
}

/**
 * Tell a suite where it is wanted: as TAP on the terminal, then in JUnit's file. What was found is
 * said first, whatever becomes of the file.
 *
 * @throws EnvironmentError FileUnwritable
 */
export function tellSuite(
  suite: TestSuite,
  { junit, tap }: { readonly junit?: string | undefined; readonly tap?: boolean },
  terminal: Pick<Terminal, 'out'>,
): void {
  if (tap === true) terminal.out(tapText(suite));
  if (junit !== undefined) writeText(junit, junitXml(suite));
}

/**
 * JUnit's XML, as the CIs read it: a suite with a case for each thing. Characters that XML cannot
 * have stand as JSON would write them.
 */
export function junitXml({ name, cases }: TestSuite): string {
  const of = (outcome: TestCase['outcome']): number =>
    cases.filter((each) => each.outcome === outcome).length;
  const counts = `tests="${cases.length}" failures="${of('failed')}" skipped="${of('skipped')}"`;
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="hypxe" ${counts}>`,
    `  <testsuite name="${xml(name)}" ${counts}>`,
    ...cases.map((each) => `    ${caseXml(name, each)}`),
    '  </testsuite>',
    '</testsuites>',
  ];
  return `${lines.join('\n')}\n`;
}

function caseXml(suite: string, { name, outcome, lines }: TestCase): string {
  const head = `<testcase classname="${xml(suite)}" name="${xml(name)}"`;
  if (outcome === 'passed') return `${head}/>`;
  const message = `message="${xml(lines[0] ?? '')}"`;
  if (outcome === 'skipped') return `${head}><skipped ${message}/></testcase>`;
  return `${head}><failure ${message}>${xml(lines.join('\n'))}</failure></testcase>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
  '\t': '&#9;',
};

/** Halves of characters, and what is none. */
const NO_CHARACTER =
  /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|[\ufffe\uffff]/g;

/** A text inside of XML, in an attribute or between tags. */
function xml(text: string): string {
  return printable(text)
    .replace(NO_CHARACTER, '\ufffd')
    .replace(/[&<>"\n\t]/g, (unit) => ENTITIES[unit]!);
}

/** The Test Anything Protocol, version 14: a plan, and a line for each thing. */
export function tapText({ name, cases }: TestSuite): string {
  const lines = cases.flatMap(({ name: what, outcome, lines: why }, i) => {
    const state = outcome === 'failed' ? 'not ok' : 'ok';
    const skip = outcome === 'skipped' ? ` # SKIP ${oneLine(why[0] ?? '')}` : '';
    const details = outcome === 'failed' ? why.map((line) => `  # ${oneLine(line)}`) : [];
    return [`${state} ${i + 1} - ${tapName(what)}${skip}`, ...details];
  });
  const head = ['TAP version 14', `# ${oneLine(name)}`, `1..${cases.length}`];
  return `${[...head, ...lines].join('\n')}\n`;
}

/** A name in which nothing is a directive. */
function tapName(text: string): string {
  return oneLine(text).replace(/[\\#]/g, (unit) => `\\${unit}`);
}

function oneLine(text: string): string {
  return printable(text).replaceAll('\n', '\\n');
}
