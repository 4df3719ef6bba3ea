// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The same session told otherwise: other identities, fields and steps that nobody knows, breaches
 * that only the recorded guest commits, signals too many. Whatever is told so, the verdict is the
 * same.
 */

import { hostMessage, put } from './lab-rig.ts';
import type { LooseEvent, LooseTrace } from '../replay-rig.ts';

/** A number below `n`. */
export type Below = (n: number) => number;

type Change = (trace: LooseTrace, below: Below) => void;

/** New names for numbers of 32 bits, each its own. */
class Names {
  readonly #below: Below;
  readonly #names = new Map<number, number>([[0, 0]]);

  constructor(below: Below) {
    this.#below = below;
  }

  of(number: number): number {
    let name = this.#names.get(number);
    while (name === undefined) {
      const candidate = this.#below(0x10000) * 0x10000 + this.#below(0x10000);
      if (![...this.#names.values()].includes(candidate)) name = candidate;
    }
    this.#names.set(number, name);
    return name;
  }
}

/** A little-endian number in hexadecimal text, or undefined beyond its end. */
function word(hex: unknown, at: number): number | undefined {
  const bytes = Buffer.from(String(hex), 'hex');
  return at + 4 <= bytes.length ? bytes.readUInt32LE(at) : undefined;
}

/** Rename the word at `at` of a field. */
function rename(event: LooseEvent, field: string, at: number | undefined, names: Names): void {
  const number = at === undefined ? undefined : word(event[field], at);
  if (number !== undefined) event[field] = put(event[field], at!, 4, names.of(number));
}

const isPosted = ({ op, input }: LooseEvent): boolean =>
  op === 'hypercall' && String(input).length > 32;

/** Where a GPADL stands in messages of the guest, behind the 16 bytes of the hypercall. */
const GPADL_POSTED: Readonly<Record<number, number>> = { 5: 32, 8: 28, 9: 28, 11: 28 };
const GPADL_TOLD: Readonly<Record<number, number>> = { 10: 12, 12: 8 };

/** A packet by its type; a completion of the guest or of the host has one, too. */
const isType = ({ bytes }: LooseEvent, type: string): boolean => String(bytes).startsWith(type);

const isHostPacket = ({ op }: LooseEvent): boolean =>
  op === 'host-ring-write' || op === 'ring-read';

/** All changes, by name. */
export const VARIANTS: Readonly<Record<string, Change>> = {
  gpadls: ({ events }, below) => {
    const names = new Names(below);
    for (const event of events) {
      if (isPosted(event))
        rename(event, 'input', GPADL_POSTED[word(event['input'], 16) ?? 0], names);
      rename(event, 'payload', GPADL_TOLD[word(event['payload'], 0) ?? 0], names);
      const gives = event.op === 'ring-write' && isType(event, '0600');
      if (gives && word(event['bytes'], 16) === 101) rename(event, 'bytes', 20, names);
    }
  },
  opens: ({ events }, below) => {
    const names = new Names(below);
    for (const event of events) {
      if (event.op === 'random')
        event['value'] = `0x${names.of(Number(event['value'])).toString(16)}`;
      if (isPosted(event) && word(event['input'], 16) === 5) rename(event, 'input', 28, names);
      if (word(event['payload'], 0) === 6) rename(event, 'payload', 12, names);
    }
  },
  pageSets: ({ events }, below) => {
    const set = below(0x10000);
    for (const event of events) {
      const type = word(event['bytes'], 16);
      const at = type === 101 ? 24 : 20;
      const ours = event.op === 'ring-write' && isType(event, '0600');
      if (ours && (type === 101 || type === 103)) event['bytes'] = put(event['bytes'], at, 2, set);
      const known = /^07.{30}adbe/.test(String(event['bytes']));
      if (isHostPacket(event) && known) event['bytes'] = put(event['bytes'], 16, 2, set);
    }
  },
  requests: ({ events }, below) => {
    const names = new Names(below);
    for (const event of events) {
      const asks = event.op === 'ring-write' && !isType(event, '0b00');
      const answers = isHostPacket(event) && isType(event, '0b00');
      if (asks || answers) rename(event, 'bytes', 8, names);
      if (event.op === 'host-ring-read' && event['type'] !== 11) {
        const [high, low] = halves(event['xid']);
        event['xid'] = `0x${((high << 32n) | BigInt(names.of(low))).toString(16)}`;
      }
      const request = [2, 4, 5].includes(word(event['gpaData'], 0) ?? 0);
      if (request) rename(event, 'gpaData', 8, names);
      const told = event.op === 'host-mem-write' && /^0[245]000080/.test(String(event['bytes']));
      if (told) rename(event, 'bytes', 8, names);
    }
  },
  hostRequests: ({ events }, below) => {
    const names = new Names(below);
    for (const event of events) {
      const asks = isHostPacket(event) && !isType(event, '0b00');
      const answers = event.op === 'ring-write' && isType(event, '0b00');
      if (asks || answers) rename(event, 'bytes', 8, names);
      if (event.op === 'host-ring-read' && event['type'] === 11)
        event['xid'] = `0x${names.of(Number(event['xid'])).toString(16)}`;
    }
  },
  channels: ({ events }, below) => {
    const channel = 9 + below(200);
    const is = (event: LooseEvent, field: string, at: number): boolean =>
      word(event[field], at) === 5;
    for (const event of events) {
      if (event['channel'] === 5) event['channel'] = channel;
      const type = isPosted(event) ? word(event['input'], 16)! : 0;
      if ([5, 7, 8, 11, 13].includes(type) && is(event, 'input', 24))
        event['input'] = put(event['input'], 24, 4, channel);
      const at = word(event['payload'], 0) === 1 ? 184 : 8;
      if ([1, 2, 6, 10].includes(word(event['payload'], 0) ?? 0) && is(event, 'payload', at))
        event['payload'] = put(event['payload'], at, 4, channel);
    }
  },
  fields: (trace, below) => {
    trace['novel'] = { a: 1 };
    for (const event of trace.events) event[`novel${below(5)}`] = [1, { b: 2 }];
  },
  violations: ({ events }, below) => {
    const texts = [
      'guest frees ring at 0x1000',
      'CLOSE_CHANNEL for channel 5, which is not open',
      `something else ${below(100)}`,
    ];
    for (const text of texts) events.splice(below(events.length), 0, { op: 'violation', text });
  },
  steps: ({ events }, below) => {
    // At the end, and between two steps: time passes in it, and it says something
    for (const at of [events.length, betweenSteps(events, below)]) {
      const name = `timer-${below(9)}`;
      const inside =
        below(2) === 0
          ? []
          : [
              { op: 'delay', ms: below(50) },
              { op: 'log', text: 'x' },
            ];
      const [begin, end] = ['begin', 'end'].map((phase) => ({ op: 'step', name, phase }));
      events.splice(at, 0, begin!, ...inside, end!);
    }
  },
  messages: ({ events }, below) => {
    const types = ['0x80000000', '0x80000010', '0x2', '0xffffffff'];
    for (const payload of ['0c000000', '', 'ff'.repeat(240)]) {
      const message = { ...hostMessage(payload, types[below(4)]), op: 'host-message-queued' };
      events.push({ ...message, reason: 'slot-busy', sint: [2, 0, 5, 15][below(4)] });
    }
  },
  noise: ({ events }, below) => {
    const signal = events.find(({ op, code }) => op === 'hypercall' && code === '0x5d');
    const after = signal === undefined ? 0 : events.indexOf(signal) + 1;
    const more = [
      { op: 'wrmsr', msr: '0x40000084', value: '0x0' },
      { op: 'rdmsr', msr: '0x40000020', value: '0x1234' },
      ...(signal === undefined ? [] : [structuredClone(signal)]),
    ];
    for (const event of more) events.splice(after + below(events.length - after), 0, event);
  },
  silence: (trace) => {
    const said = ['log', 'note', 'message-received', 'ring-read', 'vmbus-poll', 'wait-failed'];
    trace.events = trace.events.filter(({ op }) => ![...said, 'assert', 'host-frame'].includes(op));
    for (const field of ['host', 'flags', 'final', 'description']) delete trace[field];
  },
};

/** A number of 64 bits as its halves. */
function halves(hex: unknown): [high: bigint, low: number] {
  const whole = BigInt(String(hex));
  return [whole >> 32n, Number(whole & 0xffffffffn)];
}

/** An index at which no step goes on. */
function betweenSteps(events: readonly LooseEvent[], below: Below): number {
  const places = events.flatMap((event, i) =>
    event.op === 'step' && event['phase'] === 'end' ? [i + 1] : [],
  );
  return places[below(places.length)] ?? events.length;
}

/** Change a session in some of these ways. Returns which. */
export function vary(trace: LooseTrace, below: Below): readonly string[] {
  const { digest: _digest, counts: _counts, eventCount: _count } = trace;
  for (const field of ['digest', 'counts', 'eventCount']) delete trace[field];
  const names = Object.keys(VARIANTS).filter((name) => {
    // A file that holds only a beginning ends inside of a step
    if (name === 'steps' && trace['truncatedTo'] !== undefined) return false;
    return below(3) > 0;
  });
  for (const name of names) VARIANTS[name]!(trace, below);
  return names;
}
