// SPDX-License-Identifier: GPL-2.0-or-later

/** A recorded session as steps and items: what the recorded driver did, in comparable form. */

import { HvCall, MonitorPage, Msr } from '../../src/hyperv/protocol.ts';
import { InterruptPage } from '../../src/vmbus/protocol.ts';
import { fromHex } from './hex.ts';
import type { Item, SignalCause } from './item.ts';
import {
  bitItem,
  completionItem,
  deviceItem,
  frameItem,
  linkItem,
  livelockItem,
  maskStale,
  messageItem,
  packetItems,
  receiveErrorItem,
  registerItem,
  resultItem,
  signalItem,
  statisticsItem,
  violationItem,
  violationSort,
} from './normalise.ts';
import { Places } from './places.ts';
import type { TraceEvent, TraceEventOf } from './trace-events.ts';
import type { TraceFile } from './trace-file.ts';

/** One step of the recorded session, with what follows it up to the next step. */
export interface RecordedStep {
  readonly index: number;
  readonly name: string;
  /** Index of the event that begins the step. */
  readonly begin: number;
  /** Index of the event that ends it, or the number of events if the file ends before. */
  readonly end: number;
  /** The frame of a step `transmit`. */
  readonly frame: Uint8Array | undefined;
  readonly items: Item[];
}

/** Purposes of pages in which the guest sets bits: where the bits that count begin and end. */
const BIT_PAGES: Readonly<Record<string, readonly [number, number]>> = {
  'interrupt-page': [InterruptPage.at.out, InterruptPage.size],
  'monitor-out': [MonitorPage.at.trigger, MonitorPage.at.trigger + MonitorPage.sizes.trigger],
};

/** Events by which the host changes one of these pages. */
const BIT_PAGE_WRITES: Readonly<Record<string, string>> = {
  'interrupt-bit-set': 'interrupt-page',
  'interrupt-bit-clear': 'interrupt-page',
  'monitor-pending-clear': 'monitor-out',
};

/**
 * Numbers of the bits that are set in `now` and not in `before`, counted from `from`. A monitor's
 * number counts over the pending words only (each is followed by an armed word).
 */
export function newBits(
  before: Uint8Array,
  now: Uint8Array,
  from: number,
  to: number,
  monitor: boolean,
): number[] {
  const bits: number[] = [];
  for (let at = from; at < to; at++) {
    const set = now[at]! & ~before[at]!;
    if (set === 0) continue;
    const offset = at - from;
    const byte = monitor ? Math.floor(offset / 8) * 4 + (offset % 8) : offset;
    for (let bit = 0; bit < 8; bit++) if ((set >> bit) & 1) bits.push(byte * 8 + bit);
  }
  return bits;
}

/** Builds the items of a recording, event by event. */
class RecordingBuilder {
  readonly steps: RecordedStep[] = [];
  readonly places = new Places();
  readonly #bitPages = new Map<string, Uint8Array>();
  /** The packet written last. */
  #cause: SignalCause | undefined;

  #emit(...items: Item[]): void {
    this.steps.at(-1)?.items.push(...items);
  }

  /** Take one event. */
  take(event: TraceEvent, index: number): void {
    switch (event.op) {
      case 'step':
        return this.#step(event, index);
      case 'page':
        this.places.add(event.purpose, Number(event.gpa), event.len, index);
        if (event.purpose in BIT_PAGES) this.#bitPages.set(event.purpose, new Uint8Array(4096));
        return;
      case 'page-free':
        this.places.remove(Number(event.gpa));
        return;
      case 'wrmsr':
        if (Number(event.msr) !== Msr.EOM)
          this.#emit(registerItem(Number(event.msr), BigInt(event.value), this.places, index));
        return;
      case 'hypercall':
        return this.#hypercall(event, index);
      case 'ring-write':
        return this.#packet(event, index);
      case 'guest-mem-write':
        return this.#guestWrite(event, index);
      case 'host-mem-write':
        return this.#hostWrite(event);
      default:
        return this.#outcome(event, index);
    }
  }

  /** What the driver tells its network stack, and how it ended. */
  #outcome(event: TraceEvent, index: number): void {
    switch (event.op) {
      case 'netdev-rx':
        return this.#emit(frameItem(fromHex(event.frame), index));
      case 'netdev-rx-err':
        return this.#emit(receiveErrorItem(event.err, fromHex(event.data), index));
      case 'netdev-tx-complete':
        return this.#emit(completionItem(event.frameNo, event.err, index));
      case 'netdev-tx-defer':
        return this.#emit(completionItem(event.frameNo, 'deferred', index));
      case 'link':
        return this.#emit(linkItem(event.up, index));
      case 'netdev': {
        const addresses = { permanent: event.hwAddr, current: event.llAddr };
        return this.#emit(deviceItem(event.what, addresses, index));
      }
      case 'netdev-stats': {
        const { txGood, txBad, rxGood, rxBad } = event;
        return this.#emit(statisticsItem({ txGood, txBad, rxGood, rxBad }, index));
      }
      case 'livelock':
        return this.#emit(livelockItem('endless loop over a packet', index));
      case 'guest-fault':
        return this.#emit(livelockItem('call of the unmapped hypercall page', index));
      case 'violation':
        return this.#emit(violationItem(violationSort(event.text), index));
      default:
        return;
    }
  }

  #step(event: TraceEventOf<'step'>, index: number): void {
    if (event.phase === 'end') {
      const step = this.steps.at(-1)!;
      this.steps[this.steps.length - 1] = { ...step, end: index };
      if (event.err !== undefined) this.#emit(resultItem(event.name, event.err, index));
      return;
    }
    const frame = event.frame === undefined ? undefined : fromHex(event.frame);
    const end = Number.MAX_SAFE_INTEGER;
    const { name } = event;
    this.steps.push({ index: this.steps.length, name, begin: index, end, frame, items: [] });
  }

  #hypercall(event: TraceEventOf<'hypercall'>, index: number): void {
    const input = fromHex(event.input);
    const code = Number(event.code);
    if (code === HvCall.POST_MESSAGE) this.#emit(messageItem(input, this.places, index));
    if (code === HvCall.SIGNAL_EVENT) this.#emit(signalItem(input, index, this.#cause));
  }

  #packet(event: TraceEventOf<'ring-write'>, index: number): void {
    const packet = {
      channel: event.channel,
      start: event.offset,
      bytes: maskStale(fromHex(event.bytes), event.stale),
      data: event.gpaData === undefined ? undefined : fromHex(event.gpaData),
    };
    this.#cause = { event: index, packet: undefined, due: true };
    this.#emit(...packetItems(packet, this.places, index));
  }

  #guestWrite(event: TraceEventOf<'guest-mem-write'>, index: number): void {
    const page = this.#bitPages.get(event.purpose);
    if (page === undefined || event.offset >= page.length) return;
    const before = page.slice();
    page.set(fromHex(event.bytes).subarray(0, page.length - event.offset), event.offset);
    const monitor = event.purpose === 'monitor-out';
    const [from, to] = BIT_PAGES[event.purpose]!;
    for (const bit of newBits(before, page, from, to, monitor))
      this.#emit(bitItem(monitor ? 'monitor bit' : 'interrupt bit', bit, index, this.#cause));
  }

  #hostWrite(event: TraceEventOf<'host-mem-write'>): void {
    const page = this.#bitPages.get(BIT_PAGE_WRITES[event.purpose] ?? '');
    if (page === undefined) return;
    const offset = Number(event.gpa) % 4096;
    page.set(fromHex(event.bytes).subarray(0, page.length - offset), offset);
  }
}

/** The steps of a trace with their items. Events before the first step belong to none. */
export function readRecording(trace: TraceFile): readonly RecordedStep[] {
  const builder = new RecordingBuilder();
  trace.events.forEach((event, index) => builder.take(event, index));
  const last = trace.events.length;
  return builder.steps.map((step) => ({ ...step, end: Math.min(step.end, last) }));
}
