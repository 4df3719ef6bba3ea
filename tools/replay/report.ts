// SPDX-License-Identifier: GPL-2.0-or-later

/** Reports of replays: for people as text, for scripts as JSON. */

import type { Difference } from './compare.ts';
import type { Item } from './item.ts';
import type { Failure } from './judge.ts';
import type { ReplayResult } from './replay.ts';

/** Longest value of a field that is shown whole, in characters. */
const VALUE_MAX = 120;

/** Failures of one trace that the text shows; the JSON has all. */
export const FAILURES_SHOWN_MAX = 20;

/** How a note of the self-check begins: it says how far the verdict can be trusted. */
const SELF_CHECK = 'self-check: ';

/** What a report shows besides counts and failures. */
export interface ReportOptions {
  /** Show each deliberate difference with its reason, and what the driver logged. */
  readonly verbose?: boolean;
}

function shorten(text: string): string {
  if (text.length <= VALUE_MAX) return text;
  return `${text.slice(0, VALUE_MAX)}… (${text.length} characters)`;
}

/** One side of a difference, field by field. */
function describeSide(side: string, item: Item | undefined): string {
  if (item === undefined) return `      ${side}: nothing`;
  const fields = item.fields.map((field) => `${field.name}=${shorten(field.text)}`);
  return `      ${side}: ${[item.label, ...fields].join(' ')} (at event ${item.event})`;
}

function title(difference: Difference): string {
  const { step, kind, type, expected, actual } = difference;
  const label = (expected ?? actual)!.label;
  return `step ${step.index} ${step.name}: ${kind} ${type}: ${label}`;
}

/** What the two sides of a failure are, and why it is one. */
const SIDES = {
  unexplained: ['recorded', 'nothing on the list of deliberate differences requires this'],
  required: [
    'with the defect',
    'the list of deliberate differences requires this, and it is not so',
  ],
} as const;

/** A failure in a line. */
export function failureText({ difference, kind }: Failure): string {
  return `${title(difference)}: ${SIDES[kind][1]}`;
}

function describeFailure({ difference, kind }: Failure): string[] {
  const [side, why] = SIDES[kind];
  const lines = [`    ${title(difference)}`, `      ${why}`];
  lines.push(describeSide(side, difference.expected));
  const other = kind === 'required' ? 'required' : 'guest';
  lines.push(describeSide(other, difference.actual));
  for (const { name, expected, actual } of difference.fields)
    lines.push(
      `      differs: ${name}: ${side} ${shorten(expected ?? 'nothing')}, ` +
        `${other} ${shorten(actual ?? 'nothing')}`,
    );
  return lines;
}

function describeCounts(result: ReplayResult): string[] {
  const row = (kind: string, ...cells: string[]): string =>
    `    ${kind.padEnd(14)}${cells.map((cell) => cell.padStart(9)).join('')}`;
  const lines = [row('', 'recorded', 'guest', 'same')];
  for (const { kind, recorded, guest, same } of result.counts) {
    if (recorded === 0 && guest === 0) continue;
    lines.push(row(kind, String(recorded), String(guest), String(same)));
  }
  return lines;
}

function section(heading: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`  ${heading}`, ...lines];
}

/** The verdict on a trace in one word and a number. */
export function verdict(result: ReplayResult): string {
  if (result.ok) return 'ok';
  const { length } = result.failures;
  return `${length} failure${length === 1 ? '' : 's'}`;
}

/** The principles by which the guest is right where no rule says so, and how often. */
function principlesMet({ principled }: ReplayResult): readonly {
  readonly id: string;
  readonly title: string;
  readonly count: number;
}[] {
  return [...new Set(principled.map(({ principle }) => principle))].map((principle) => ({
    id: principle.id,
    title: principle.title,
    count: principled.filter((each) => each.principle === principle).length,
  }));
}

/** A report on one trace as text, several lines without a newline at the end. */
export function reportText(result: ReplayResult, options: ReportOptions = {}): string {
  const { deliberate, failures } = result;
  const shown = failures.slice(0, FAILURES_SHOWN_MAX).flatMap(describeFailure);
  if (failures.length > FAILURES_SHOWN_MAX)
    shown.push(`    … and ${failures.length - FAILURES_SHOWN_MAX} more`);
  const named = deliberate.flatMap(({ entry, count }) => {
    const sources = entry.sources.join(', ');
    const line = `    ${entry.id} × ${count}: ${entry.title} (${sources})`;
    if (options.verbose !== true) return [line];
    return [
      line,
      `      iPXE: ${entry.ipxe}`,
      `      hypxe: ${entry.hypxe}`,
      `      why: ${entry.why}`,
    ];
  });
  return [
    `${result.scenario}: ${verdict(result)}`,
    `  ${result.description}`,
    ...(result.truncated ? ['  the file holds only the beginning of the session'] : []),
    ...describeCounts(result),
    ...section('deliberate differences', named),
    ...section(
      'right by a principle',
      principlesMet(result).map(({ id, count, title: what }) => `    ${id} × ${count}: ${what}`),
    ),
    ...section('failures', shown),
    ...section(
      'not replayed',
      result.unsupported.map((text) => `    ${text}`),
    ),
    ...section(
      'warnings',
      result.warnings.map((text) => `    ${text}`),
    ),
    ...section(
      'host',
      result.notes
        .filter((text) => options.verbose === true || text.startsWith(SELF_CHECK))
        .map((text) => `    ${text}`),
    ),
    ...section(
      'log',
      options.verbose === true ? result.log.map(({ step, text }) => `    ${step} ${text}`) : [],
    ),
  ]
    .map((line) => line.replaceAll('\n', '\\n'))
    .join('\n');
}

function sideJson(item: Item | undefined): object | null {
  if (item === undefined) return null;
  const fields = Object.fromEntries(item.fields.map(({ name, text }) => [name, text]));
  return { label: item.label, event: item.event, fields };
}

function differenceJson(difference: Difference): object {
  const { step, kind, type, expected, actual, fields } = difference;
  return {
    step,
    kind,
    type,
    recorded: sideJson(expected),
    guest: sideJson(actual),
    differs: fields.map((field) => field.name),
  };
}

/** A report on one trace as a plain object for `JSON.stringify`. */
export function reportJson(result: ReplayResult): object {
  const { scenario, description, driver, ok, truncated, steps, unsupported, warnings, notes } =
    result;
  return {
    scenario,
    description,
    driver,
    ok,
    truncated,
    steps,
    counts: Object.fromEntries(
      result.counts.map(({ kind, recorded, guest, same }) => [kind, { recorded, guest, same }]),
    ),
    deliberate: result.deliberate.map(({ entry, count }) => ({
      id: entry.id,
      title: entry.title,
      sources: entry.sources,
      count,
    })),
    ...(result.principled.length === 0 ? {} : { principled: principlesMet(result) }),
    failures: result.failures.map(({ difference, kind }) => ({
      ...differenceJson(difference),
      why: kind,
    })),
    unsupported,
    warnings,
    notes,
  };
}
