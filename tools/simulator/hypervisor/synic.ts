// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The synthetic interrupt controller of one virtual processor: one-deep message slots with a queue
 * behind each, event flags, and the counts of interrupts that would have been raised.
 *
 * When a waiting message moves into its slot (TLFS, "SynIC Message Flags" and "EOM"): on a write to
 * EOM, and on nothing else. There are no interrupts here, so the end of one (APIC EOI) is no
 * occasion. What hosts do more is a knob: look on every exit of the guest (`slotScan: 'exit'`,
 * OpenVMM), when something is enabled (`scanOnEnable`), when another message comes (`scanOnPost`).
 * A guest empties a slot by a store that nobody sees: it is noticed at its next exit.
 */

import {
  HV_EVENT_FLAGS_COUNT,
  HV_EVENT_FLAGS_SIZE,
  HV_MESSAGE_PAYLOAD_MAX,
  HV_MESSAGE_PENDING,
  HvMessageType,
  Sint,
  SINT_COUNT,
  SynicMessage,
} from '../../../src/hyperv/protocol.ts';
import type { HostEvents } from '../ledger/events.ts';
import type { InterruptSink } from './interrupts.ts';
import type { OverlayPage } from './overlay.ts';
import type { HostKnobs } from '../profiles/profile.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Most messages that wait for one SINT: room for an offer of each channel that VMBus can have. */
export const SINT_QUEUE_LIMIT = 4096;

const MASKED = Number(Sint.MASKED);
const POLLING = Number(Sint.POLLING);
const PROXY = Number(Sint.PROXY);
const AUTO_EOI = Number(Sint.AUTO_EOI);
const VECTOR = 0xff;

/** Why a message or flag does not reach the guest now. */
type Obstacle = 'SynIC disabled' | 'page disabled' | 'SINT masked' | 'SINT proxied' | undefined;

interface WaitingMessage {
  readonly type: number;
  readonly payload: Uint8Array;
}

/** What a {@link Synic} calls when the guest has made room. */
export interface SynicListener {
  /** A slot was emptied, or a waiting message moved into it. */
  slotEmptied(vp: number, sint: number): void;
  /** A SINT may be free for a timer's message. */
  sintScanned(vp: number, sint: number): void;
  /** Takes the interrupts of SINTs. */
  readonly interrupts?: InterruptSink | undefined;
}

export class Synic {
  readonly messagePage: OverlayPage;
  readonly eventPage: OverlayPage;
  /** Interrupts raised, by SINT. */
  readonly interrupts = new Uint32Array(SINT_COUNT);
  /** SCONTROL bit 0. */
  enabled = false;
  readonly #vp: number;
  readonly #events: HostEvents;
  readonly #keepMasked: boolean;
  readonly #keepWithoutPage: boolean;
  readonly #deliversOff: boolean;
  /** SCONTROL has no part in messages. */
  readonly #ignoresOff: boolean;
  readonly #scanOnPost: boolean;
  readonly #listener: SynicListener;
  readonly #sints = new Uint32Array(SINT_COUNT);
  readonly #queues: WaitingMessage[][] = [];
  /** SINTs whose slot holds a message of ours that the guest has not taken, as a bit mask. */
  #occupied = 0;
  /** Messages in all queues. */
  #waiting = 0;
  /** SINTs whose messages go a way on which no EOM is heard, as a bit mask. */
  #deaf = 0;

  constructor(
    vp: number,
    messagePage: OverlayPage,
    eventPage: OverlayPage,
    events: HostEvents,
    knobs: HostKnobs,
    listener: SynicListener,
  ) {
    this.#vp = vp;
    this.messagePage = messagePage;
    this.eventPage = eventPage;
    this.#events = events;
    this.#keepMasked = knobs.maskedSint === 'keep';
    this.#keepWithoutPage = knobs.messageWithoutPage === 'keep';
    this.#deliversOff = knobs.synicOff === 'delivers';
    this.#ignoresOff = knobs.synicOff === 'ignored';
    this.#scanOnPost = knobs.scanOnPost;
    this.#listener = listener;
    for (let sint = 0; sint < SINT_COUNT; sint++) this.#queues.push([]);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.enabled, this.#occupied], (v) => ([this.enabled, this.#occupied] = v));
    keeper.put([this.#waiting, this.#deaf], (v) => ([this.#waiting, this.#deaf] = v));
    keeper.keep(this.messagePage, this.eventPage, this.interrupts, this.#events, this.#listener);
    keeper.keep(this.#sints, this.#queues);
  }

  /** Forget all: the pages are reset by who owns them. */
  reset(): void {
    this.#occupied = 0;
    this.#waiting = 0;
    this.#deaf = 0;
    this.interrupts.fill(0);
    for (const queue of this.#queues) queue.length = 0;
  }

  /** The guest wrote a SINT: its low 32 bits. */
  setSint(sint: number, value: number): void {
    this.#sints[sint] = value;
  }

  /** The host makes its way to a SINT: on some hosts EOMs are heard only if SCONTROL is 1 now. */
  route(sint: number): void {
    this.#deaf &= ~(1 << sint);
    if (this.#deliversOff && !this.enabled) this.#deaf |= 1 << sint;
  }

  /** Messages that wait behind the slot. */
  queued(sint: number): number {
    return this.#queues[sint]!.length;
  }

  /** Whether the guest has taken all that was sent to it: its slot is empty, and nothing waits. */
  isDrained(sint: number): boolean {
    return this.queued(sint) === 0 && this.#slotType(sint) === 0;
  }

  /** Messages that wait behind all slots. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Send a message: into the slot if it is free and nothing waits, else behind those that wait.
   * Lost, with an event, if the SINT is masked (by knob) or proxied, SIMP is off (by knob), or the
   * queue is full.
   *
   * @returns whether it was not lost
   */
  post(sint: number, type: number, payload: Uint8Array): boolean {
    if (payload.length > HV_MESSAGE_PAYLOAD_MAX) {
      throw new RangeError(`a message of ${payload.length} bytes`);
    }
    const emptied = this.#notice(sint);
    if (this.#scanOnPost) this.scan(sint);
    const arrives = this.#place(sint, type, payload);
    if (emptied) this.#listener.slotEmptied(this.#vp, sint);
    return arrives;
  }

  #place(sint: number, type: number, payload: Uint8Array): boolean {
    const obstacle = this.#messageObstacle(sint);
    const lost =
      obstacle === 'SINT proxied' ||
      (obstacle === 'SINT masked' && !this.#keepMasked) ||
      (obstacle === 'page disabled' && !this.#keepWithoutPage);
    if (lost) {
      this.#report('drop', sint, type, payload, obstacle);
      return false;
    }
    const queue = this.#queues[sint]!;
    if (queue.length === 0 && !this.#blocked(obstacle) && this.#slotType(sint) === 0) {
      this.#deliver(sint, type, payload, false);
      return true;
    }
    if (queue.length >= SINT_QUEUE_LIMIT) {
      this.#report('drop', sint, type, payload, `${SINT_QUEUE_LIMIT} messages wait`);
      return false;
    }
    queue.push({ type, payload: payload.slice() });
    this.#waiting++;
    if (!this.#blocked(obstacle)) this.#setPending(sint);
    this.#report('queue', sint, type, payload, obstacle ?? 'slot busy');
    return true;
  }

  /**
   * Put a timer's message into the slot: only if it is free at once (TLFS: a timer stays due).
   * Returns whether it went in.
   */
  postTimer(sint: number, type: number, payload: Uint8Array): boolean {
    const isOff = !this.enabled && !this.#ignoresOff;
    if (isOff || this.#messageObstacle(sint) !== undefined) return false;
    const emptied = this.#notice(sint);
    const free = this.#queues[sint]!.length === 0 && this.#slotType(sint) === 0;
    if (free) this.#deliver(sint, type, payload, false);
    else this.#setPending(sint);
    if (emptied) this.#listener.slotEmptied(this.#vp, sint);
    return free;
  }

  /** Set an event flag; an interrupt is counted on 0 to 1. Lost where the SINT takes none. */
  signal(sint: number, flag: number): void {
    if (flag < 0 || flag >= HV_EVENT_FLAGS_COUNT) throw new RangeError(`event flag ${flag}`);
    const obstacle = this.#flagObstacle(sint);
    if (obstacle !== undefined) {
      this.#reportFlag('lost', sint, flag, obstacle);
      return;
    }
    const page = this.eventPage;
    const at = page.base + sint * HV_EVENT_FLAGS_SIZE + (flag >> 3);
    const bit = 1 << (flag & 7);
    const old = Atomics.or(page.bytes, at, bit);
    if ((old & bit) !== 0) {
      this.#reportFlag('already-set', sint, flag, undefined);
      return;
    }
    this.#interrupt(sint);
    this.#reportFlag('set', sint, flag, undefined);
  }

  /** An exit of the guest: notice the slots that it emptied. */
  exit(): void {
    if (this.#occupied === 0) return;
    for (let sint = 0; sint < SINT_COUNT; sint++) {
      if (this.#notice(sint)) this.#listener.slotEmptied(this.#vp, sint);
    }
  }

  /** Deliver what waits, where there is room: on EOM and its like. */
  scanAll(): void {
    for (let sint = 0; sint < SINT_COUNT; sint++) this.scan(sint);
  }

  /** As {@link scanAll} for one SINT. */
  scan(sint: number): void {
    const queue = this.#queues[sint]!;
    if (
      queue.length > 0 &&
      (this.#deaf & (1 << sint)) === 0 &&
      !this.#blocked(this.#messageObstacle(sint)) &&
      this.#slotType(sint) === 0
    ) {
      const message = queue.shift()!;
      this.#waiting--;
      this.#deliver(sint, message.type, message.payload, queue.length > 0);
      this.#listener.slotEmptied(this.#vp, sint);
    }
    this.#listener.sintScanned(this.#vp, sint);
  }

  /** Notice that the guest has emptied a slot. The listener is told when all is in order again. */
  #notice(sint: number): boolean {
    const bit = 1 << sint;
    if ((this.#occupied & bit) === 0 || this.#slotType(sint) !== 0) return false;
    this.#occupied &= ~bit;
    if (this.#events.on) this.#events.emit({ kind: 'message-taken', vp: this.#vp, sint });
    return (this.#deaf & bit) === 0;
  }

  /** Messages are not delivered at all. */
  get #off(): boolean {
    return !this.enabled && !this.#deliversOff && !this.#ignoresOff;
  }

  #messageObstacle(sint: number): Obstacle {
    const value = this.#sints[sint]!;
    if ((value & PROXY) !== 0) return 'SINT proxied';
    if ((value & MASKED) !== 0) return 'SINT masked';
    if (this.#off) return 'SynIC disabled';
    return this.messagePage.address === undefined ? 'page disabled' : undefined;
  }

  /** Whether the obstacle keeps a message from the slot (TLFS: a mask takes only the interrupt). */
  #blocked(obstacle: Obstacle): boolean {
    if (obstacle !== 'SINT masked' || !this.#keepMasked) return obstacle !== undefined;
    return this.#off || this.messagePage.address === undefined;
  }

  #flagObstacle(sint: number): Obstacle {
    const value = this.#sints[sint]!;
    if ((value & PROXY) !== 0) return 'SINT proxied';
    if ((value & MASKED) !== 0 && !this.#keepMasked) return 'SINT masked';
    if (!this.enabled) return 'SynIC disabled';
    return this.eventPage.address === undefined ? 'page disabled' : undefined;
  }

  #slotType(sint: number): number {
    const page = this.messagePage;
    return page.view.getUint32(page.base + sint * SynicMessage.size, true);
  }

  #setPending(sint: number): void {
    const page = this.messagePage;
    const at = page.base + sint * SynicMessage.size + SynicMessage.at.flags;
    page.bytes[at]! |= HV_MESSAGE_PENDING;
  }

  /** Fill the slot: the type last, since it makes the message valid. Bytes behind stay stale. */
  #deliver(sint: number, type: number, payload: Uint8Array, pending: boolean): void {
    const page = this.messagePage;
    const slot = page.base + sint * SynicMessage.size;
    page.bytes.set(payload, slot + SynicMessage.at.data);
    page.view.setUint8(slot + SynicMessage.at.length, payload.length);
    page.view.setUint8(slot + SynicMessage.at.flags, pending ? HV_MESSAGE_PENDING : 0);
    page.view.setUint16(slot + SynicMessage.at.reserved, 0, true);
    page.view.setUint32(slot + SynicMessage.at.origin, 0, true);
    page.view.setUint32(slot + SynicMessage.at.origin + 4, 0, true);
    page.view.setUint32(slot + SynicMessage.at.type, type, true);
    if (type !== HvMessageType.NONE) this.#occupied |= 1 << sint;
    this.#interrupt(sint);
    this.#report('deliver', sint, type, payload, undefined);
  }

  #interrupt(sint: number): void {
    const value = this.#sints[sint]!;
    const isOff = !this.enabled && !this.#ignoresOff;
    if (isOff || (value & (MASKED | POLLING)) !== 0) return;
    this.interrupts[sint]!++;
    this.#listener.interrupts?.(this.#vp, value & VECTOR, (value & AUTO_EOI) !== 0);
  }

  #report(
    change: 'deliver' | 'queue' | 'drop',
    sint: number,
    type: number,
    payload: Uint8Array,
    reason: string | undefined,
  ): void {
    if (!this.#events.on) return;
    const event = { change, vp: this.#vp, sint, type, payload: payload.slice() };
    this.#events.emit({ kind: 'host-message', ...event, ...(reason ? { reason } : {}) });
  }

  #reportFlag(
    change: 'set' | 'already-set' | 'lost',
    sint: number,
    flag: number,
    reason: string | undefined,
  ): void {
    if (!this.#events.on) return;
    const event = { change, vp: this.#vp, sint, flag };
    this.#events.emit({ kind: 'event-flag', ...event, ...(reason ? { reason } : {}) });
  }
}
