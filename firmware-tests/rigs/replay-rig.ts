// SPDX-License-Identifier: GPL-2.0-or-later

/** What the tests of the replay share: the golden traces, and changed copies of them. */

import { readFileSync, readdirSync } from 'node:fs';
import { parseTrace } from '../../tools/replay/index.ts';
import type { TraceFile } from '../../tools/replay/index.ts';

const DIRECTORY = new URL('../golden/ipxe-traces/', import.meta.url);

/** Names of all golden traces, without `.json`. */
export const TRACE_NAMES: readonly string[] = readdirSync(DIRECTORY)
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.slice(0, -'.json'.length))
  .sort();

/** An event of a trace as it lies in the file, to be changed. */
export type LooseEvent = Record<string, unknown> & { op: string };

/** A trace as it lies in the file, to be changed. */
export interface LooseTrace {
  events: LooseEvent[];
  [key: string]: unknown;
}

const texts = new Map<string, string>();

/** The text of a golden trace. */
export function traceText(name: string): string {
  const known = texts.get(name) ?? readFileSync(new URL(`${name}.json`, DIRECTORY), 'utf8');
  texts.set(name, known);
  return known;
}

const traces = new Map<string, TraceFile>();

/** A golden trace, read once: what is known of it is kept. */
export function readTrace(name: string): TraceFile {
  const known = traces.get(name) ?? parseTrace(traceText(name));
  traces.set(name, known);
  return known;
}

/** A golden trace with a change. */
export function changedTrace(name: string, change: (trace: LooseTrace) => void): TraceFile {
  const trace = JSON.parse(traceText(name)) as LooseTrace;
  change(trace);
  return parseTrace(JSON.stringify(trace));
}

/** Hexadecimal text with one bit of the byte at `at` (from the end if negative) flipped. */
export function flipped(hex: unknown, at: number): string {
  const text = String(hex);
  const offset = 2 * (at < 0 ? text.length / 2 + at : at);
  const byte = (parseInt(text.slice(offset, offset + 2), 16) ^ 1).toString(16).padStart(2, '0');
  return text.slice(0, offset) + byte + text.slice(offset + 2);
}
