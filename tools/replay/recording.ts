// SPDX-License-Identifier: GPL-2.0-or-later

/** A recorded session as steps and items: what the recorded driver did, in comparable form. */

import { HvCall, Msr } from '../../src/hyperv/protocol.ts';
import { VMBUS_MESSAGE_TYPE } from '../../src/vmbus/protocol.ts';
import { messageKey } from './anchor-keys.ts';
import { GuestChannels } from './guest-channels.ts';
import { GuestSide } from './guest-side.ts';
import { fromHex } from './hex.ts';
import {
  completionItem,
  deviceItem,
  frameItem,
  linkItem,
  livelockItem,
  maskStale,
  receiveErrorItem,
  resultItem,
  statisticsItem,
  violationItem,
  violationSort,
} from './normalise.ts';
import { Places } from './places.ts';
import type { RecordedStep } from './recorded-step.ts';
import { ReplayRegisters } from './replay-registers.ts';
import type { TraceEvent, TraceEventOf } from './trace-events.ts';
import type { TraceFile } from './trace-file.ts';

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
  readonly side: GuestSide;
  readonly #channels: GuestChannels;
  /** The guest has died: of the end there is nothing to compare. */
  #ended = false;
  /** Network devices that are there, and those that were there when the step began. */
  #devices = 0;
  #watched = 0;

  constructor(trace: TraceFile) {
    const initial = new ReplayRegisters(trace.events);
    this.side = new GuestSide(this.places, (msr) => initial.read(msr));
    this.#channels = new GuestChannels(new Uint8Array(trace.ram.base + trace.ram.size));
  }

  take(event: TraceEvent, index: number): void {
    switch (event.op) {
      case 'step':
        return this.#step(event, index);
      case 'page':
        return this.places.add(event.purpose, Number(event.gpa), event.len, index);
      case 'page-free':
        this.places.remove(Number(event.gpa));
        return;
      case 'wrmsr':
        if (Number(event.msr) !== Msr.EOM && event.refused !== true)
          this.side.register(Number(event.msr), BigInt(event.value));
        return;
      case 'hypercall':
        return this.#hypercall(event);
      case 'host-message':
        if (Number(event.type) === VMBUS_MESSAGE_TYPE)
          this.#channels.delivered(fromHex(event.payload));
        return;
      case 'ring-write':
        return this.#packet(event);
      default:
        return this.#outcome(event, index);
    }
  }

  /** What the driver tells its network stack, and how it ended. */
  #outcome(event: TraceEvent, index: number): void {
    const { side } = this;
    switch (event.op) {
      // Nobody watches a device that is not there yet
      case 'netdev-rx':
        if (this.#watched > 0) side.emit(frameItem(fromHex(event.frame), index));
        return;
      case 'netdev-rx-err':
        if (this.#watched === 0) return;
        return side.emit(receiveErrorItem(event.err, fromHex(event.data), index));
      case 'netdev-tx-complete':
        return side.emit(completionItem(event.frameNo, event.err, index));
      case 'netdev-tx-defer':
        return side.emit(completionItem(event.frameNo, 'deferred', index));
      case 'link':
        return side.emit(linkItem(event.up, index));
      case 'netdev': {
        this.#devices += event.what === 'register' ? 1 : -1;
        const addresses = { permanent: event.hwAddr, current: event.llAddr };
        return side.emit(deviceItem(event.what, addresses, index));
      }
      case 'netdev-stats': {
        const { txGood, txBad, rxGood, rxBad } = event;
        return side.emit(statisticsItem({ txGood, txBad, rxGood, rxBad }, index));
      }
      case 'livelock':
        return side.emit(livelockItem('endless loop over a packet', index));
      case 'guest-fault':
        this.#ended = true;
        return side.emit(livelockItem('call of the unmapped hypercall page', index));
      case 'violation':
        return side.emit(violationItem(violationSort(event.text), index));
      default:
        return;
    }
  }

  #step(event: TraceEventOf<'step'>, index: number): void {
    if (event.phase === 'end') {
      const step = this.steps.at(-1)!;
      this.steps[this.steps.length - 1] = { ...step, end: index };
      this.side.endStep();
      if (event.err !== undefined) this.side.emit(resultItem(event.name, event.err, index));
      return;
    }
    const frame = event.frame === undefined ? undefined : fromHex(event.frame);
    const end = Number.MAX_SAFE_INTEGER;
    const { name } = event;
    this.#watched = this.#devices;
    this.steps.push({ index: this.steps.length, name, begin: index, end, frame });
    this.side.beginStep(this.steps.at(-1)!);
  }

  #hypercall(event: TraceEventOf<'hypercall'>): void {
    const input = fromHex(event.input);
    if (Number(event.code) !== HvCall.POST_MESSAGE) return;
    const message = input.subarray(16);
    const needless = this.#channels.isNeedless(message);
    this.side.message(input, { needless, refused: event.status !== 0 });
    if (event.status !== 0) return;
    const nameOf = (): string => '';
    const purposeOf = (address: number): string => this.places.find(address)?.purpose ?? '';
    this.#channels.posted(message, messageKey(message, { nameOf, purposeOf }));
  }

  #packet(event: TraceEventOf<'ring-write'>): void {
    this.side.packet({
      channel: event.channel,
      start: event.offset,
      bytes: maskStale(fromHex(event.bytes), event.stale),
      data: event.gpaData === undefined ? undefined : fromHex(event.gpaData),
    });
  }

  end(): void {
    if (this.#ended) return;
    this.side.end([...this.#channels.gpadls.values()].map(({ name }) => name));
  }
}

export type { RecordedStep } from './recorded-step.ts';

/** A recorded session as steps and effects. */
export interface Recording {
  readonly steps: readonly RecordedStep[];
  readonly side: GuestSide;
}

/** The steps of a trace with their effects. Events before the first step belong to none. */
export function readRecording(trace: TraceFile): Recording {
  const builder = new RecordingBuilder(trace);
  trace.events.forEach((event, index) => builder.take(event, index));
  builder.end();
  const last = trace.events.length;
  const steps = builder.steps.map((step) => ({ ...step, end: Math.min(step.end, last) }));
  return { steps, side: builder.side };
}
