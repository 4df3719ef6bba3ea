// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The same session on another host: of other addresses, times, offers and sections. The guest that
 * was recorded would have done the same there, and so must the firmware.
 */

import { hostMessage, put } from './lab-rig.ts';
import type { LooseEvent, LooseTrace } from '../replay-rig.ts';

type Change = (trace: LooseTrace) => void;

const PAGE = 4096;

/** A little-endian number in hexadecimal text; undefined beyond its end. */
function word(hex: unknown, at: number): number | undefined {
  const bytes = Buffer.from(String(hex), 'hex');
  return at + 4 <= bytes.length ? bytes.readUInt32LE(at) : undefined;
}

/** Replace in every text of an event. */
function replaceAll(events: readonly LooseEvent[], from: RegExp, to: string): void {
  for (const event of events)
    for (const [field, value] of Object.entries(event))
      if (typeof value === 'string' && field !== 'op') event[field] = value.replace(from, to);
}

/** Number of a 64-bit page, or of an address, at `at` of hexadecimal text, moved. */
function move(hex: unknown, at: number, by: number): string {
  const number = word(hex, at);
  return number === undefined || number === 0 ? String(hex) : put(hex, at, 4, number + by);
}

function moveHex(event: LooseEvent, field: string, by: number): void {
  const number = Number(event[field]);
  if (number >= PAGE) event[field] = `0x${(number + by).toString(16)}`;
}

/** Registers that hold the address of a page. */
const PAGE_REGISTERS = ['0x40000001', '0x40000080', '0x40000082', '0x40000083'];

const MOVED = 0x2345000;

/** The addresses in a message of the guest. */
function moveMessage(event: LooseEvent): void {
  const type = word(event['input'], 16);
  const length = String(event['input']).length / 2;
  if (type === 14) for (const at of [32, 40, 48]) event['input'] = move(event['input'], at, MOVED);
  const from = { 8: 44, 9: 32 }[type ?? 0] ?? length;
  for (let at = from; at + 8 <= length; at += 8)
    event['input'] = move(event['input'], at, MOVED / PAGE);
}

/** The pages of a packet that points to memory. */
function movePacket(event: LooseEvent): void {
  if (!String(event['bytes']).startsWith('0900')) return;
  const ranges = word(event['bytes'], 20) ?? 0;
  let at = 24;
  for (let range = 0; range < ranges; range++) {
    const [length = 0, offset = 0] = [word(event['bytes'], at), word(event['bytes'], at + 4)];
    const pages = Math.ceil((length + offset) / PAGE);
    for (let page = 0; page < pages; page++)
      event['bytes'] = move(event['bytes'], at + 8 + 8 * page, MOVED / PAGE);
    at += 8 + 8 * pages;
  }
}

const isOffer = ({ payload }: LooseEvent): boolean => word(payload, 0) === 1;

const isHostAct = (event: LooseEvent | undefined): boolean =>
  event?.op.startsWith('host-') === true;

/** Each delay behind which the host has done something becomes several: it answers later. */
function slower(times: number): Change {
  return (trace) => {
    trace.events = trace.events.flatMap((event, i) => {
      const answers =
        event.op === 'delay' && event['by'] === undefined && isHostAct(trace.events[i + 1]);
      return answers ? Array.from({ length: times }, () => ({ ...event })) : [event];
    });
  };
}

/** Move what the host writes into the receive buffer: `to` of each section. */
function sections(to: (section: number) => number): Change {
  return (trace) => {
    const size = 1728;
    const moved = (offset: number): number =>
      offset < 37 * size ? to(Math.floor(offset / size)) + (offset % size) : offset;
    let buffer = 0;
    trace.events = trace.events.flatMap((event): LooseEvent[] => {
      if (event.op === 'page' && event['purpose'] === 'rx-buffer') buffer = Number(event['gpa']);
      const isRanges = /^07.{30}adbe/.test(String(event['bytes']));
      if (['host-ring-write', 'ring-read'].includes(event.op) && isRanges) {
        const count = word(event['bytes'], 20) ?? 0;
        for (let at = 24; at < 24 + 8 * count; at += 8) {
          const offset = word(event['bytes'], at + 4);
          if (offset !== undefined) event['bytes'] = put(event['bytes'], at + 4, 4, moved(offset));
        }
      }
      if (event.op !== 'host-mem-write' || event['purpose'] !== 'receive-buffer') return [event];
      return splitAtPages(event, buffer + moved(Number(event['gpa']) - buffer));
    });
  };
}

/** A write of the host at another address, one event for each page. */
function splitAtPages(event: LooseEvent, to: number): LooseEvent[] {
  const bytes = String(event['bytes']);
  const parts: LooseEvent[] = [];
  for (let from = 0; from < bytes.length / 2;) {
    const length = Math.min(PAGE - ((to + from) % PAGE), bytes.length / 2 - from);
    const gpa = `0x${(to + from).toString(16)}`;
    parts.push({ ...event, gpa, bytes: bytes.slice(2 * from, 2 * (from + length)) });
    from += length;
  }
  return parts;
}

/** Pages of the rings of iPXE: two of control, and one of data for each direction. */
const RING_PAGES = 4;

/** Where a longer ring has room. */
const ELSEWHERE = 0x500000;

/** An index of a ring of one page as that of a longer one. */
class Unwrapped {
  readonly #bytes: number;
  #old = 0;
  #new = 0;

  constructor(pages: number) {
    this.#bytes = pages * PAGE;
  }

  of(index: number): number {
    this.#new = (this.#new + ((index - this.#old + PAGE) % PAGE)) % this.#bytes;
    this.#old = index;
    return this.#new;
  }
}

/** The recorded guest has chosen longer rings. */
function longerRings(events: readonly LooseEvent[], pages: number): void {
  const all = 2 + 2 * pages;
  let indices = new Map<string, Unwrapped>();
  let ring = Infinity;
  for (const event of events) {
    if (event['purpose'] === 'ring' && event['len'] === RING_PAGES * PAGE) {
      event['len'] = all * PAGE;
      indices = new Map();
      ring = Number(event['gpa']);
      moveHex(event, 'gpa', ELSEWHERE);
    }
    const isMask = event.op === 'host-mem-write' && event['purpose'] !== 'receive-buffer';
    const inRing = Number(event['gpa']) - ring;
    if (isMask && inRing >= 0 && inRing < PAGE) moveHex(event, 'gpa', ELSEWHERE);
    if (event.op === 'hypercall') ringMessage(event, all);
    const field = 'prod' in event ? 'prod' : 'cons';
    const moved = event[field];
    if (!Array.isArray(moved)) continue;
    const index = indices.get(event.op) ?? new Unwrapped(pages);
    indices.set(event.op, index);
    const [from, to] = moved.map((each: number) => index.of(each));
    const footer = String(event['bytes']).length / 2 - 4;
    if (word(event['bytes'], footer) === event['offset'])
      event['bytes'] = put(event['bytes'], footer, 4, from!);
    if ('offset' in event) event['offset'] = from;
    event[field] = [from, to];
  }
}

/** The messages that tell of a ring, with so many pages. */
function ringMessage(event: LooseEvent, pages: number): void {
  const { input } = event;
  const header = word(input, 16) === 8 && word(input, 36) === RING_PAGES * PAGE;
  if (header) event['input'] = withPages(move(input, 44, ELSEWHERE / PAGE), pages);
  if (word(input, 16) === 5) event['input'] = put(input, 40, 4, pages / 2);
}

/** A GPADL_HEADER with another number of pages, all in a row. */
function withPages(input: string, pages: number): string {
  const first = word(input, 44)!;
  const list = Array.from({ length: pages }, (_, i) => put('00'.repeat(8), 0, 4, first + i));
  const head = put(put(input.slice(0, 88), 36, 4, pages * PAGE), 32, 2, 8 + 8 * pages);
  return put(head, 12, 4, 28 + 8 * pages) + list.join('');
}

/** All changes, by name. */
export const HOST_VARIANTS: Readonly<Record<string, Change>> = {
  'page addresses moved': ({ events, ...trace }) => {
    const ram = trace['ram'] as { base: string; size: string };
    ram.size = `0x${(Number(ram.size) + MOVED).toString(16)}`;
    for (const event of events) {
      for (const field of ['gpa', 'inputGpa', 'outputGpa']) moveHex(event, field, MOVED);
      const register = ['rdmsr', 'wrmsr'].includes(event.op);
      if (register && PAGE_REGISTERS.includes(String(event['msr']))) moveHex(event, 'value', MOVED);
      if (event.op === 'hypercall' && event['code'] === '0x5c') moveMessage(event);
      if (event.op === 'ring-write') movePacket(event);
    }
  },
  'connections renumbered': ({ events }) => {
    for (const event of events)
      if (isOffer(event))
        event['payload'] = put(
          event['payload'],
          192,
          4,
          0x10000 + (word(event['payload'], 184) ?? 0),
        );
  },
  'monitors renumbered': ({ events }) => {
    // Number n becomes 96 + n % 32: the last group of the page
    for (const event of events) {
      if (isOffer(event) && Buffer.from(String(event['payload']), 'hex')[189] !== 0) {
        const at = 188;
        const number = Buffer.from(String(event['payload']), 'hex')[at]!;
        event['payload'] = put(event['payload'], at, 1, 96 + (number % 32));
      }
    }
  },
  'another address of the device': ({ events }) => replaceAll(events, /00155d01c9/g, '02a1b2c3d4'),
  'a host that answers after three turns': slower(3),
  'a host that answers after 200 turns': slower(200),
  'a pause before each step': (trace) => {
    trace.events = trace.events.flatMap((event, i) =>
      event.op === 'step' && event['phase'] === 'begin' && i > 0
        ? [{ op: 'delay', ms: 777, by: 'harness' }, event]
        : [event],
    );
  },
  'messages padded': ({ events }) => {
    for (const event of events)
      if (typeof event['payload'] === 'string' && event['type'] === '0x1')
        event['payload'] = event['payload'].padEnd(480, '0');
  },
  'messages padded with what is no zero': ({ events }) => {
    for (const event of events)
      if (typeof event['payload'] === 'string' && event['type'] === '0x1')
        event['payload'] = event['payload'].padEnd(480, 'a5');
  },
  'offers in another order': ({ events }) => {
    const all = [...new Set(events.filter(isOffer).map(({ payload }) => String(payload)))];
    const to = new Map(all.map((payload, i) => [payload, all[(i + 1) % all.length]!]));
    for (const event of events)
      if (isOffer(event)) event['payload'] = to.get(String(event['payload']));
  },
  'offers of other devices': (trace) => {
    trace.events = trace.events.flatMap((event) => {
      if (!event.op.startsWith('host-message') || !isOffer(event)) return [event];
      if (event.op === 'host-message' && event['via'] !== 'direct') return [event];
      const channel = 40 + (word(event['payload'], 184) ?? 0);
      const other = put(put(event['payload'], 8, 4, 0x12345678), 184, 4, channel);
      const payload = put(other, 24, 4, channel);
      const { op: _op, ...rest } = { ...hostMessage(payload) };
      return [event, { ...rest, op: 'host-message-queued', reason: 'slot-busy' }];
    });
  },
  'frames alike': ({ events }) => {
    const first = new Map<number, string>();
    for (const { op, frame } of events) {
      if (op !== 'step' || typeof frame !== 'string') continue;
      const alike = first.get(frame.length);
      if (alike === undefined) first.set(frame.length, frame);
      else if (alike !== frame) replaceAll(events, new RegExp(frame, 'g'), alike);
    }
  },
  'longer rings': ({ events }) => longerRings(events, 8),
  'a receive buffer of 60 KiB': (trace) => {
    for (const event of trace.events) {
      if (event['purpose'] === 'rx-buffer') event['len'] = 15 * PAGE;
      const isHeader = event.op === 'hypercall' && word(event['input'], 16) === 8;
      if (isHeader && word(event['input'], 36) === 16 * PAGE)
        event['input'] = withPages(String(event['input']), 15);
    }
    sections((section) => section * 1600)(trace);
  },
  'sections across pages': sections((section) => 4088 + section * 1600),
};
