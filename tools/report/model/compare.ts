// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Two runs side by side: what is missing in one of them, what is extra, and where they part. They
 * are compared by what is said, not by when: times, addresses and identities of a run are its own.
 */

import { messageOf, type Message } from './message.ts';
import type { TraceRecord } from './record.ts';

/** A difference: in the run (`extra`) or in the other one (`missing`). */
export interface Difference {
  readonly type: 'missing' | 'extra';
  /** Number of the event, in the stream that has it; and of the one beside it in the run. */
  readonly event: number;
  readonly beside: number;
  /** When it was, in the stream that has it. */
  readonly ms: number;
  readonly name: string;
  readonly detail: string;
}

export interface Comparison {
  readonly same: number;
  readonly missing: number;
  readonly extra: number;
  /** In order; the first is where they part. No more than {@link DIFFERENCES_MAX}. */
  readonly differences: readonly Difference[];
  /** The runs are too different to be aligned: what follows the first difference is by number. */
  readonly rough: boolean;
}

/** Most differences that are kept. */
export const DIFFERENCES_MAX = 1000;

/** Most steps of the alignment: beyond, it is given up. */
const EDITS_MAX = 1500;

/** What is compared: the protocol, not the traffic. */
const COMPARED: readonly Message['layer'][] = ['vmbus', 'packet', 'register', 'audit'];

/** Packets that carry frames: how many of them there are is a matter of time. */
const TRAFFIC = /^SEND_RNDIS_PACKET/;

interface Item {
  readonly event: number;
  readonly key: string;
  readonly message: Message;
}

export function compare(
  run: readonly TraceRecord[],
  runChannels: ReadonlyMap<number, string>,
  clean: readonly TraceRecord[],
  cleanChannels: ReadonlyMap<number, string>,
): Comparison {
  const a = itemsOf(clean, cleanChannels);
  const b = itemsOf(run, runChannels);
  // What both begin and end with
  let begin = 0;
  while (begin < a.length && begin < b.length && a[begin]!.key === b[begin]!.key) begin++;
  let tail = 0;
  while (tail < Math.min(a.length, b.length) - begin) {
    if (a[a.length - 1 - tail]!.key !== b[b.length - 1 - tail]!.key) break;
    tail++;
  }
  const middleA = a.slice(begin, a.length - tail);
  const middleB = b.slice(begin, b.length - tail);
  const keep = align(middleA, middleB);
  const differences: Difference[] = [];
  const counts = { missing: 0, extra: 0 };
  const note = (type: 'missing' | 'extra', { event, message }: Item, beside: number): void => {
    counts[type]++;
    if (differences.length >= DIFFERENCES_MAX) return;
    const { name, detail } = message;
    const { ms } = (type === 'missing' ? clean : run)[event]!;
    differences.push({ type, event, beside, ms, name, detail });
  };
  let i = 0;
  let j = 0;
  const place = (): number => (middleB[j] ?? b[b.length - tail] ?? b.at(-1))?.event ?? 0;
  for (const [x, y] of [...(keep ?? []), [middleA.length, middleB.length] as const]) {
    while (i < x) note('missing', middleA[i++]!, place());
    while (j < y) note('extra', middleB[j]!, middleB[j++]!.event);
    i++;
    j++;
  }
  const same = begin + tail + (keep?.length ?? 0);
  return { same, ...counts, differences, rough: keep === undefined };
}

function itemsOf(events: readonly TraceRecord[], channels: ReadonlyMap<number, string>): Item[] {
  return events.flatMap((event, at) => {
    const message = messageOf(event, channels);
    if (message === undefined || !COMPARED.includes(message.layer)) return [];
    if (TRAFFIC.test(message.name)) return [];
    const { name, way, bad, channel } = message;
    const device = channel === undefined ? '' : (channels.get(channel) ?? '');
    const said = event.kind === 'handoff' ? message.detail : '';
    return [{ event: at, message, key: `${way} ${name} ${device} ${bad} ${said}` }];
  });
}

/**
 * Which items of two lists are the same, in order (Myers, "An O(ND) Difference Algorithm and Its
 * Variations"); undefined if they differ in more than {@link EDITS_MAX}.
 */
function align(a: readonly Item[], b: readonly Item[]): [number, number][] | undefined {
  const limit = Math.min(a.length + b.length, EDITS_MAX);
  const trace: Int32Array[] = [];
  let front = new Int32Array(2 * limit + 3);
  const middle = limit + 1;
  for (let edits = 0; edits <= limit; edits++) {
    trace.push(front.slice(middle - edits - 1, middle + edits + 2));
    for (let k = -edits; k <= edits; k += 2) {
      const down = k === -edits || (k !== edits && front[middle + k - 1]! < front[middle + k + 1]!);
      let x = down ? front[middle + k + 1]! : front[middle + k - 1]! + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x]!.key === b[y]!.key) {
        x++;
        y++;
      }
      front[middle + k] = x;
      if (x >= a.length && y >= b.length) return walkBack(trace, a.length, b.length);
    }
  }
  return undefined;
}

/** The pairs of an alignment, from its fronts: each is that of `edits` steps, around its middle. */
function walkBack(trace: readonly Int32Array[], endX: number, endY: number): [number, number][] {
  const pairs: [number, number][] = [];
  let [x, y] = [endX, endY];
  for (let edits = trace.length - 1; edits >= 0; edits--) {
    const front = trace[edits]!;
    const at = (k: number): number => front[k + edits + 1]!;
    const k = x - y;
    const down = k === -edits || (k !== edits && at(k - 1) < at(k + 1));
    const fromK = down ? k + 1 : k - 1;
    const fromX = edits === 0 ? 0 : at(fromK);
    const fromY = edits === 0 ? 0 : fromX - fromK;
    const [startX, startY] = edits === 0 ? [0, 0] : down ? [fromX, fromY + 1] : [fromX + 1, fromY];
    while (x > startX && y > startY) pairs.push([--x, --y]);
    [x, y] = [fromX, fromY];
  }
  return pairs.reverse();
}
