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
import { DROPPED, type RecordedStep } from './recorded-step.ts';
import { ReplayRegisters } from './replay-registers.ts';
import type { TraceEvent, TraceEventOf } from './trace-events.ts';
import type { TraceFile } from './trace-file.ts';

/** Steps that close a device: its network stack throws away what nobody has taken. */
const CLOSES: readonly string[] = ['close', 'remove'];

/** Builds the items of a recording, event by event. */
class RecordingBuilder {
  readonly steps: RecordedStep[] = [];
  readonly places = new Places();
  readonly side: GuestSide;
  readonly #channels: GuestChannels;
  /** Channels that are open in the end. */
  open: readonly number[] = [];
  /** The guest has died: of the end there is nothing to compare. */
  #ended = false;
  /** Network devices that are there, and those that were there when the step began. */
  #devices = 0;
  #watched = 0;
  /**
   * Frames that were handed up since the device was opened, and how many the network stack has
   * thrown away since the device is there.
   */
  #handedUp: string[] = [];
  #closes = false;
  readonly #events: readonly TraceEvent[];
  #flushed = 0;
  /** Number of the frame of the step. */
  #frame: number | undefined;

  constructor(trace: TraceFile) {
    const initial = new ReplayRegisters(trace.events);
    this.#events = trace.events;
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
        if (this.#watched === 0) return;
        this.#handedUp.push(event.frame);
        return side.emit(frameItem(fromHex(event.frame), index));
      case 'netdev-rx-err':
        if (this.#watched === 0 || this.#isFlushed(event)) return;
        return side.emit(receiveErrorItem(event.err, fromHex(event.data), index));
      case 'netdev-tx-complete':
        return side.emit(completionItem(event.frameNo, event.err, index));
      case 'netdev-tx-defer':
        return side.emit(completionItem(event.frameNo, 'deferred', index));
      case 'link':
        return side.emit(linkItem(event.up, index));
      case 'netdev': {
        this.#devices += event.what === 'register' ? 1 : -1;
        if (event.what === 'register') this.#flushed = 0;
        const addresses = { permanent: event.hwAddr, current: event.llAddr };
        return side.emit(deviceItem(event.what, addresses, index));
      }
      case 'netdev-stats': {
        const { txGood, txBad, rxGood } = event;
        const rxBad = Math.max(0, event.rxBad - this.#flushed);
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

  /**
   * Whether an error is a frame that the driver has handed up and the network stack above it has
   * thrown away at a close (iPXE netdev_close): that is no doing of the driver.
   */
  #isFlushed({ err, data }: TraceEventOf<'netdev-rx-err'>): boolean {
    const at = this.#closes && err === 'ECANCELED' ? this.#handedUp.indexOf(data) : -1;
    if (at < 0) return false;
    this.#handedUp.splice(at, 1);
    this.#flushed++;
    return true;
  }

  /** Whether a device goes in the step that begins at an index: it is closed first. */
  #unregisters(begin: number): boolean {
    for (let i = begin + 1; i < this.#events.length; i++) {
      const event = this.#events[i]!;
      if (event.op === 'step') return false;
      if (event.op === 'netdev' && event.what !== 'register') return true;
    }
    return false;
  }

  #step(event: TraceEventOf<'step'>, index: number): void {
    if (event.phase === 'end') {
      const step = this.steps.at(-1)!;
      this.steps[this.steps.length - 1] = { ...step, end: index };
      this.side.endStep();
      // What is thrown away is thrown away by then: a later error is about something else
      if (this.#closes) this.#handedUp = [];
      if (event.err === undefined) return;
      if (event.name === 'transmit') this.#refused(event.err, index);
      this.side.emit(resultItem(event.name, event.err, index));
      return;
    }
    const frame = event.frame === undefined ? undefined : fromHex(event.frame);
    this.#frame = event.frameNo;
    const end = Number.MAX_SAFE_INTEGER;
    const { name, device, gone = false } = event;
    this.#watched = this.#devices;
    this.#closes = CLOSES.includes(name) || this.#unregisters(index);
    const about = { name, frame, device, gone };
    this.steps.push({ index: this.steps.length, begin: index, end, ...about });
    this.side.beginStep(this.steps.at(-1)!);
  }

  /** A frame that is refused has ended: where that is only the step's result, it is told here. */
  #refused(err: string, index: number): void {
    // Where there is no error nobody was told
    if (err === 'OK' || err === DROPPED) return;
    const items = this.side.itemsOf(this.steps.length - 1);
    const frame = String(this.#frame);
    const told = items.some(
      ({ kind, fields }) => kind === 'completion' && fields[0]!.text === frame,
    );
    if (!told && this.#frame !== undefined && this.#devices > 0)
      this.side.emit(completionItem(this.#frame, err, index));
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
    this.open = this.#channels.inUse;
    if (this.#ended) return;
    this.side.end(this.#channels);
  }
}

export type { RecordedStep } from './recorded-step.ts';

/** A recorded session as steps and effects. */
export interface Recording {
  readonly steps: readonly RecordedStep[];
  readonly side: GuestSide;
  /** Channels that the recorded guest has left open. */
  readonly open: readonly number[];
}

/** The steps of a trace with their effects. Events before the first step belong to none. */
export function readRecording(trace: TraceFile): Recording {
  const builder = new RecordingBuilder(trace);
  trace.events.forEach((event, index) => builder.take(event, index));
  builder.end();
  const last = trace.events.length;
  const steps = builder.steps.map((step) => ({ ...step, end: Math.min(step.end, last) }));
  return { steps, side: builder.side, open: builder.open };
}
