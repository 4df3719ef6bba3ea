// SPDX-License-Identifier: GPL-2.0-or-later

/** Reads a trace: lines of JSON, made by anybody. Leaves out what a page does not show. */

import { Msr } from '../../src/hyperv/protocol.ts';
import type { HostEvent } from '../simulator/ledger/events.ts';
import { TRACE_VERSION } from './trace-line.ts';
import { TEXT_MAX, list, number, object, text, type TraceRecord } from './model/record.ts';

/** Characters of the bytes of a frame, and of a packet, that are kept. */
const FRAME_DIGITS = 128;
const PACKET_DIGITS = 1024;

/** Most runs of pages of a grant that are kept. */
const RUNS_MAX = 512;

/** Most objects and lists within each other: of an event, a few. */
const DEPTH_MAX = 16;

/** A text is no trace. The line is in the message. */
export class BadTrace extends Error {
  constructor(line: number, reason: string) {
    super(`line ${line}: ${reason}`);
    this.name = 'BadTrace';
  }
}

/**
 * The events of a trace, in order.
 *
 * @param cutShort the last line may be incomplete: whoever wrote it was interrupted
 * @throws BadTrace
 */
export function readTrace(source: string, cutShort = false): TraceRecord[] {
  const records: TraceRecord[] = [];
  const lines = source.split('\n');
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      if (cutShort && i === lines.length - 1) break;
      throw new BadTrace(i + 1, 'it is no JSON');
    }
    records.push(recordOf(value, i + 1));
  }
  if (records.length === 0) throw new BadTrace(1, 'there is no event');
  return records;
}

/** A run, and the one that it is compared with. */
export interface TracedRuns {
  readonly events: readonly TraceRecord[];
  readonly clean: readonly TraceRecord[] | undefined;
}

/** The runs of a trace: with a second line of kind `run` begins the one to compare with. */
export function runsOf(records: readonly TraceRecord[]): TracedRuns {
  const second = records.findIndex(({ kind }, at) => at > 0 && kind === 'run');
  if (second < 0) return { events: records, clean: undefined };
  return { events: records.slice(0, second), clean: records.slice(second) };
}

function recordOf(value: unknown, line: number): TraceRecord {
  const { ms, kind } = (typeof value === 'object' && value !== null ? value : {}) as TraceRecord;
  if (typeof ms !== 'number' || typeof kind !== 'string' || !Number.isFinite(ms)) {
    throw new BadTrace(line, 'it is no event: it has no ms and kind');
  }
  if (isDeep(value, DEPTH_MAX)) {
    throw new BadTrace(line, `more than ${DEPTH_MAX} objects and lists are within each other`);
  }
  const record = value as TraceRecord;
  const version = kind === 'run' ? number(record, 'trace') : TRACE_VERSION;
  if (version !== TRACE_VERSION) throw new BadTrace(line, `it is of version ${version}`);
  return record;
}

/** Whether more than `most` objects and lists are within each other. */
function isDeep(value: unknown, most: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return most === 0 || Object.values(value).some((member) => isDeep(member, most - 1));
}

/** The events that a page needs, each without what it does not show. */
export function slim(records: readonly TraceRecord[]): TraceRecord[] {
  return records
    .filter((record) => !isClockRead(record))
    .map((record) => short(withoutWords(slimRecord(record))));
}

/** What a page decodes itself. */
function withoutWords(record: TraceRecord): TraceRecord {
  if (record.says === undefined) return record;
  const { says: _, ...rest } = record;
  return rest as TraceRecord;
}

/** The same with no text longer than what is shown. */
function short<T>(value: T, depth = DEPTH_MAX): T {
  if (typeof value === 'string') return value.slice(0, TEXT_MAX) as T;
  if (typeof value !== 'object' || value === null || depth === 0) return value;
  if (Array.isArray(value)) return value.map((member) => short(member as unknown, depth - 1)) as T;
  const members = Object.entries(value).map(([name, member]) => [
    name.slice(0, TEXT_MAX),
    short(member as unknown, depth - 1),
  ]);
  return Object.fromEntries(members) as T;
}

type ClockRead = { readonly kind: string; readonly msr?: unknown; readonly name?: unknown };

/** An event of the machine as {@link slim} leaves it: of a frame its first bytes. */
export function slimFrame(event: HostEvent): HostEvent {
  if (event.kind !== 'frame' || event.frame.length * 2 <= FRAME_DIGITS) return event;
  const { length } = event.frame;
  return { ...event, frame: event.frame.subarray(0, FRAME_DIGITS / 2), length } as HostEvent;
}

/** Polled all the time, and of no interest. */
export function isClockRead(record: ClockRead): boolean {
  if (record.kind === 'rdmsr') return record.msr === Msr.TIME_REF_COUNT;
  return record.kind === 'register-read' && record.name === 'TIME_REF_COUNT';
}

function slimRecord(record: TraceRecord): TraceRecord {
  const { ms, kind } = record;
  switch (kind) {
    case 'frame': {
      const frame = text(record, 'frame');
      if (frame.length <= FRAME_DIGITS) return record;
      const whole = String(record.frame).length / 2;
      return { ...record, frame: frame.slice(0, FRAME_DIGITS), length: whole };
    }
    case 'ring-packet': {
      const packet = text(record, 'bytes');
      if (packet.length <= PACKET_DIGITS) return record;
      return { ...record, bytes: packet.slice(0, PACKET_DIGITS) };
    }
    case 'grant': {
      const { pfns: _, ...grant } = object(record, 'grant') as { pfns?: unknown };
      const runs = pageRuns(object(record, 'grant'));
      return { ms, kind, grant: { ...grant, runs }, ...causeOf(record) };
    }
    case 'revoke': {
      const grant = object(record, 'grant');
      const slim = { id: number(grant, 'id'), revokedBy: text(grant, 'revokedBy') };
      return { ms, kind, grant: slim, ...causeOf(record) };
    }
    default:
      return record;
  }
}

function causeOf(record: TraceRecord): { readonly cause?: number } {
  const cause = number(record, 'cause');
  return cause === undefined ? {} : { cause };
}

/** Neighbouring page numbers as pairs of first page and count. */
function pageRuns(grant: object): number[][] {
  const runs: number[][] = [];
  for (const pfn of list(grant, 'pfns')) {
    if (typeof pfn !== 'number') continue;
    const last = runs.at(-1);
    if (last !== undefined && last[0]! + last[1]! === pfn) last[1]!++;
    else if (runs.length < RUNS_MAX) runs.push([pfn, 1]);
  }
  return runs;
}
