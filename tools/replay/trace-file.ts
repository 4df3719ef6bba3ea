// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Reads and checks a recorded session. Whatever is wrong with the file has a name and an advice;
 * a file whose events do not match its own digest is read, with a warning.
 */

import { NETVSC_PRESETS } from '../../src/netvsc/policy.ts';
import { ReplayError } from './replay-error.ts';
import { sha256 } from './sha256.ts';
import { eventFault } from './trace-events.ts';
import type { TraceEvent, TraceEventOf } from './trace-events.ts';

/** Largest memory of a recorded guest that the replay gives, in bytes. */
export const TRACE_RAM_MAX = 256 * 1024 * 1024;

/** Versions of the format that are known; the golden traces have none. */
const VERSIONS: readonly unknown[] = [undefined, 1];

/** Most steps of a session, and the longest time that may pass in one, in ms. */
export const TRACE_STEPS_MAX = 20_000;
export const TRACE_MS_MAX = 3_600_000;

/** A recorded session, checked. */
export interface TraceFile {
  readonly scenario: string;
  readonly description: string;
  /** What was recorded: name and version of the driver. */
  readonly driver: string;
  /** Guest memory that the recorded driver used, in bytes. */
  readonly ram: { readonly base: number; readonly size: number };
  readonly events: readonly TraceEvent[];
  /** What the recorded guest was told to do besides: plain data. */
  readonly options: Readonly<Record<string, unknown>> | undefined;
  /** The file says that it holds only the beginning of the session. */
  readonly truncated: boolean;
  /** What is odd but does not hinder the replay. */
  readonly warnings: readonly string[];
}

/** Whether a session is one of iPXE's drivers: what they do wrong must not be repeated. */
export function isReference(driver: string): boolean {
  return /\b(ipxe|reference)\b/i.test(driver);
}

function foreign(text: string): ReplayError {
  return new ReplayError('TraceForeign', text);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A session is one object; what a `--trace` has written is one for each line. */
function whyNot(text: string): string {
  if (text.trim() === '') return ': The file is empty';
  const first = text.slice(0, text.indexOf('\n') + 1 || undefined);
  try {
    JSON.parse(first);
  } catch {
    return '';
  }
  return ' of one object, but of one in each line: a trace of events is for hypxe report';
}

/** `text` as an object with a list of events. */
function parseObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    // Editors and shells of Windows put a byte order mark in front
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    throw new ReplayError('TraceNotJson', `The trace is not JSON${whyNot(text)}`);
  }
  if (!isRecord(value)) throw foreign('The file holds JSON, but not one object.');
  if (typeof value['scenario'] !== 'string') throw foreign('The file has no "scenario".');
  if (!Array.isArray(value['events'])) throw foreign('The file has no list "events".');
  const { version } = value;
  if (!VERSIONS.includes(version))
    throw foreign(`The file has version ${JSON.stringify(version)} of the format; known is 1.`);
  return value;
}

/** The `ram` of the file. */
function parseRam(value: unknown): TraceFile['ram'] {
  if (!isRecord(value)) throw foreign('The file has no "ram".');
  const [base, size] = [value['base'], value['size']].map((text) =>
    typeof text === 'string' && /^0x[0-9a-f]{1,12}$/.test(text) ? Number(text) : undefined,
  );
  if (base === undefined || size === undefined || size === 0)
    throw foreign('The "ram" of the file is not {"base":"0x…","size":"0x…"}.');
  if (base + size > TRACE_RAM_MAX || base % 4096 !== 0)
    throw foreign(`The "ram" of the file is not page aligned or ends above ${TRACE_RAM_MAX}.`);
  return { base, size };
}

/** Check that the steps follow one another: begin, end, begin, … */
function checkSteps(events: readonly TraceEvent[], truncated: boolean): void {
  const fail = (index: number, text: string): never => {
    throw new ReplayError('TraceStepsInvalid', `Event ${index}: ${text}`);
  };
  let open: TraceEventOf<'step'> | undefined;
  let count = 0;
  events.forEach((event, index) => {
    if (event.op !== 'step') return;
    if (event.phase !== 'begin' && event.phase !== 'end')
      fail(index, `step "${event.name}" has the phase "${event.phase}"`);
    if (event.phase === 'begin') {
      if (open !== undefined) fail(index, `step "${event.name}" begins inside "${open.name}"`);
      if (event.name === 'transmit' && event.frame === undefined)
        fail(index, 'a step "transmit" has no "frame"');
      open = event;
      count++;
    } else {
      if (open?.name !== event.name) fail(index, `step "${event.name}" ends but did not begin`);
      open = undefined;
    }
  });
  if (count > TRACE_STEPS_MAX) throw foreign(`The file has more than ${TRACE_STEPS_MAX} steps.`);
  if (count === 0) throw foreign('The file has no steps: nothing drives the driver.');
  const fault = events.some((event) => event.op === 'guest-fault');
  if (open !== undefined && !truncated && !fault)
    fail(events.length, `the file ends inside step "${(open as TraceEventOf<'step'>).name}"`);
}

/** Check that the session comes to an end. */
function checkTime(events: readonly TraceEvent[]): void {
  let ms = 0;
  for (const event of events) if (event.op === 'delay') ms += event.ms;
  if (ms > TRACE_MS_MAX) throw foreign(`The session takes ${ms} ms, more than ${TRACE_MS_MAX}.`);
}

/** Compare the file's own counts and digest with its events. */
function checkDigests(
  file: Readonly<Record<string, unknown>>,
  events: readonly TraceEvent[],
): string[] {
  const warnings: string[] = [];
  if (file['eventCount'] !== undefined && file['eventCount'] !== events.length)
    warnings.push(`eventCount is ${String(file['eventCount'])}, but there are ${events.length}`);
  const counts = file['counts'];
  if (isRecord(counts)) {
    const found = new Map<string, number>();
    for (const { op } of events) found.set(op, (found.get(op) ?? 0) + 1);
    for (const [op, count] of Object.entries(counts)) {
      if (count !== (found.get(op) ?? 0))
        warnings.push(`counts.${op} is ${String(count)}, but there are ${found.get(op) ?? 0}`);
    }
  }
  const digest = file['digest'];
  if (isRecord(digest) && typeof digest['events'] === 'string') {
    const lines = events.map((event) => JSON.stringify(event)).join('\n');
    const actual = sha256(new TextEncoder().encode(lines));
    if (actual !== digest['events'])
      warnings.push(`digest.events is ${digest['events']}, but the events give ${actual}`);
  }
  return warnings;
}

/**
 * Read a trace.
 *
 * @throws ReplayError of {@link TraceErrors}: not JSON, not a trace, an event that is not of this
 *   format, steps out of order.
 */
export function parseTrace(text: string): TraceFile {
  const file = parseObject(text);
  const events = file['events'] as readonly TraceEvent[];
  events.forEach((event, index) => {
    const fault = eventFault(event);
    if (fault !== undefined)
      throw new ReplayError(
        'TraceEventInvalid',
        `Event ${index} of "${String(file['scenario'])}" cannot be replayed: ${fault}.`,
      );
  });
  const truncated = file['truncatedTo'] !== undefined;
  checkSteps(events, truncated);
  checkTime(events);
  checkPreset(file['options']);
  return {
    scenario: file['scenario'] as string,
    description: typeof file['description'] === 'string' ? file['description'] : '',
    driver: typeof file['driver'] === 'string' ? file['driver'] : 'unknown',
    ram: parseRam(file['ram']),
    events,
    options: isRecord(file['options']) ? file['options'] : undefined,
    truncated,
    warnings: truncated ? [] : checkDigests(file, events),
  };
}

/** The name of a preset is looked up by the guest. */
function checkPreset(options: unknown): void {
  const preset = isRecord(options) ? options['preset'] : undefined;
  if (preset === undefined || (typeof preset === 'string' && Object.hasOwn(NETVSC_PRESETS, preset)))
    return;
  throw foreign(`The "options" of the file name the preset ${JSON.stringify(preset)}.`);
}
