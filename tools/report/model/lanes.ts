// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Lanes: what the host could touch, each from when it was shared to when the host let go. Packets
 * in flight share one lane for each channel, unless one of them crosses a handoff.
 */

import { Msr } from '../../../src/hyperv/protocol.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import { msrName } from '../../replay/decode.ts';
import { firstWord, messageType } from './message.ts';
import { list, number, object, text, type TraceRecord } from './record.ts';
import type { Handoff } from './stages.ts';

/** A piece of time, in numbers of events; `to` is the end of the trace while it lives. */
export interface Span {
  readonly from: number;
  to: number;
}

export interface Lane {
  /** Number of the grant; of packets, the negative of their channel. */
  readonly id: number;
  readonly kind: string;
  purpose: string;
  readonly access: string;
  /** First page number and count of each run of pages. */
  readonly runs: readonly (readonly [pfn: number, count: number])[];
  readonly length: number;
  /** One, but of packets one for each. */
  readonly spans: Span[];
  readonly grantedBy: string;
  /** The event that shared it, where it is known; that said what it is for; and revoked it. */
  readonly cause: number | undefined;
  namedCause: number | undefined;
  revokedBy: string | undefined;
  revokedCause: number | undefined;
  readonly revokedWith: string;
  /** Handoffs that it crosses: their numbers in the list of handoffs. */
  readonly crossings: number[];
  /** Events at which the host wrote to it late. */
  readonly lateWrites: number[];
}

/** Whether a lane crosses the handoff of somebody who gave all up. */
export function leaks({ crossings }: Lane, handoffs: readonly Handoff[]): boolean {
  return crossings.some((index) => handoffs[index]!.final);
}

/** The lanes, in order of granting. */
export function lanesOf(events: readonly TraceRecord[], handoffs: readonly Handoff[]): Lane[] {
  const reader = new LaneReader(events.length);
  for (const [at, event] of events.entries()) reader.read(event, at);
  return reader.done(handoffs);
}

/** Most handoffs that a lane crosses: of a run, a few. */
const CROSSINGS_MAX = 64;

class LaneReader {
  readonly #end: number;
  readonly #lanes = new Map<number, Lane>();
  readonly #causes = new Causes();

  constructor(end: number) {
    this.#end = end;
  }

  read(event: TraceRecord, at: number): void {
    this.#causes.read(event, at);
    const grant = object(event, 'grant');
    const id = number(grant, 'id') ?? number(event, 'grant') ?? 0;
    const lane = this.#lanes.get(id);
    if (event.kind === 'grant') this.#grant(event, grant, id, at);
    else if (lane === undefined) return;
    else if (event.kind === 'revoke') {
      lane.spans[0]!.to = at;
      lane.revokedBy = text(grant, 'revokedBy');
      lane.revokedCause = this.#causes.of(event, lane.revokedBy, lane.id);
    } else if (event.kind === 'purpose') {
      lane.purpose = text(event, 'purpose');
      lane.namedCause = this.#causes.named(event);
    } else if (event.kind === 'late-write') lane.lateWrites.push(at);
  }

  #grant(event: TraceRecord, grant: object, id: number, at: number): void {
    const grantedBy = text(grant, 'grantedBy');
    const gpadl = number(grant, 'gpadl');
    if (gpadl !== undefined) this.#causes.gpadls.set(id, gpadl);
    this.#lanes.set(id, {
      ...{ id, grantedBy, kind: text(grant, 'kind'), purpose: text(grant, 'purpose') },
      ...{ access: text(grant, 'access'), length: number(grant, 'length') ?? 0 },
      runs: list(grant, 'runs').flatMap(runOf),
      spans: [{ from: at, to: this.#end }],
      cause: this.#causes.of(event, grantedBy, id),
      ...{ namedCause: undefined, revokedBy: undefined, revokedCause: undefined },
      revokedWith: text(grant, 'revokedWith'),
      ...{ crossings: [], lateWrites: [] },
    });
  }

  done(handoffs: readonly Handoff[]): Lane[] {
    const lanes: Lane[] = [];
    const packets = new Map<string, Lane>();
    for (const lane of this.#lanes.values()) {
      const { from, to } = lane.spans[0]!;
      for (let index = firstBehind(handoffs, from); index < handoffs.length; index++) {
        if (handoffs[index]!.at >= to || lane.crossings.length === CROSSINGS_MAX) break;
        lane.crossings.push(index);
      }
      if (lane.kind !== 'packet' || lane.crossings.length > 0) lanes.push(lane);
      else gather(packets, lane, lanes);
    }
    return lanes;
  }
}

/** Number of the first handoff behind an event; they are in order. */
function firstBehind(handoffs: readonly Handoff[], event: number): number {
  let [low, high] = [0, handoffs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (handoffs[middle]!.at > event) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Put a packet into the lane of those like it. */
function gather(packets: Map<string, Lane>, lane: Lane, lanes: Lane[]): void {
  const key = lane.purpose;
  const all = packets.get(key);
  if (all !== undefined) {
    all.spans.push(lane.spans[0]!);
    return;
  }
  const id = -1 - packets.size;
  const gathered = { ...lane, id, purpose: `packets: ${lane.purpose}`, runs: [], length: 0 };
  packets.set(key, gathered);
  lanes.push(gathered);
}

function runOf(run: unknown): [number, number][] {
  if (!Array.isArray(run)) return [];
  const [pfn, count] = run as unknown[];
  return typeof pfn === 'number' && typeof count === 'number' ? [[pfn, count]] : [];
}

/**
 * Finds the event behind a grant: the one that it names by number; of a trace that has no numbers
 * the last one of the sort that it names in words.
 */
class Causes {
  /** GPADL by grant. */
  readonly gpadls = new Map<number, number>();
  readonly #last = new Map<string, number>();

  /** Events by the number that others name them by. */
  readonly #acts = new Map<number, number>();

  read(event: TraceRecord, at: number): void {
    const act = number(event, 'act');
    if (act !== undefined) this.#acts.set(act, at);
    const type = messageType(event);
    if (type !== undefined && event.kind === 'hypercall') {
      this.#last.set(`message ${type}`, at);
      const gpadl = gpadlOf(event, type);
      if (gpadl !== undefined) this.#last.set(`message ${type} ${gpadl}`, at);
    } else if (event.kind === 'wrmsr') {
      this.#last.set(`register ${msrName(number(event, 'msr') ?? 0)}`, at);
    } else if (event.kind === 'register-write') {
      this.#last.set(`register ${text(event, 'name')}`, at);
    } else if (event.kind === 'ring-packet') this.#last.set('packet', at);
  }

  /** The event that an event names as its cause. */
  named(event: TraceRecord): number | undefined {
    return this.#acts.get(number(event, 'cause') ?? 0);
  }

  /** ... or that of a cause in words: `GPADL_HEADER`, `wrmsr SIMP on VP 0`. */
  of(event: TraceRecord, words: string, grant: number): number | undefined {
    const named = this.named(event);
    if (named !== undefined) return named;
    const [first = '', second = ''] = words.split(' ');
    const type = (MessageType as Readonly<Record<string, number>>)[first];
    if (type !== undefined) {
      const gpadl = this.gpadls.get(grant);
      return this.#last.get(`message ${type} ${gpadl ?? ''}`) ?? this.#last.get(`message ${type}`);
    }
    if (words.includes('packet')) return this.#last.get('packet');
    return second in Msr || /^S(TIMER|INT)\d/.test(second)
      ? this.#last.get(`register ${second}`)
      : undefined;
  }
}

/** Where a GPADL's number stands in the input of HvPostMessage, behind its header. */
const GPADL_AT: Readonly<Record<number, number>> = {
  [MessageType.GPADL_HEADER]: 16 + 12,
  [MessageType.GPADL_TEARDOWN]: 16 + 12,
};

function gpadlOf(event: TraceRecord, type: number): number | undefined {
  const at = GPADL_AT[type];
  return at === undefined ? undefined : firstWord(text(event, 'input'), at);
}
