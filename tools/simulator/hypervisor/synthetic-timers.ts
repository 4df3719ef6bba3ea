// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The four synthetic timers of one virtual processor (TLFS, "Synthetic Timers"). A timer in message
 * mode whose slot is busy or whose SINT takes nothing stays due, and is tried again whenever the
 * SINT is looked at; a timer in direct mode raises an interrupt, which is counted. A lazy periodic
 * timer that is so late that its next expiry is near skips the late one (TLFS, "Periodic Timers").
 */

import { HvMessageType, STIMER_COUNT, StimerConfig } from '../../../src/hyperv/protocol.ts';
import type { Alarm, VirtualClock } from '../base/clock.ts';
import type { HostEvents } from '../ledger/events.ts';
import type { InterruptSink } from './interrupts.ts';
import type { Synic } from './synic.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Shortest period in ticks: a shorter one is made this long (100 us). Policy of the simulator. */
export const STIMER_MINIMUM_PERIOD_TICKS = 1000;

/** Part of the period before its next expiry in which a lazy timer skips a late one. Policy. */
const LAZY_SKIP_PART = 1 / 4;

/** Where the vector of a timer in direct mode stands in its configuration: bits 11:4. */
const DIRECT_VECTOR = 4n;

/** Payload of a timer's message: index, reserved, expiration time, delivery time. */
const TIMER_PAYLOAD_SIZE = 24;

/** Latest time that a timer can have, in ticks: some 28 years. Later ones never expire. */
const TIME_LIMIT = 2n ** 53n - 1n;

/** A timer as the audit sees it. */
export interface TimerState {
  readonly index: number;
  readonly config: bigint;
  readonly count: bigint;
  readonly enabled: boolean;
  /** Expired, and its message has not found room. */
  readonly due: boolean;
  /** Time of expiry in ticks, if it runs or is due. */
  readonly expiresAt: number | undefined;
  /** Interrupts raised in direct mode. */
  readonly interrupts: number;
}

class Timer {
  config = 0n;
  count = 0n;
  alarm: Alarm | undefined;
  due = false;
  expiresAt: number | undefined;
  interrupts = 0;

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.config, this.count], (v) => ([this.config, this.count] = v));
    keeper.put([this.alarm, this.due], (v) => ([this.alarm, this.due] = v));
    keeper.put([this.expiresAt, this.interrupts], (v) => ([this.expiresAt, this.interrupts] = v));
  }

  has(bit: bigint): boolean {
    return (this.config & bit) !== 0n;
  }

  get sint(): number {
    return Number((this.config & StimerConfig.SINT_MASK) >> StimerConfig.SINT_SHIFT);
  }
}

export class SyntheticTimers {
  readonly #vp: number;
  readonly #clock: VirtualClock;
  readonly #synic: Synic;
  readonly #events: HostEvents;
  readonly #interrupts: InterruptSink | undefined;
  readonly #timers: Timer[] = [];
  readonly #payload = new Uint8Array(TIMER_PAYLOAD_SIZE);
  readonly #view = new DataView(this.#payload.buffer);
  /** Whether any timer waits for room. */
  anyDue = false;

  constructor(
    vp: number,
    clock: VirtualClock,
    synic: Synic,
    events: HostEvents,
    interrupts?: InterruptSink,
  ) {
    this.#interrupts = interrupts;
    this.#vp = vp;
    this.#clock = clock;
    this.#synic = synic;
    this.#events = events;
    for (let i = 0; i < STIMER_COUNT; i++) this.#timers.push(new Timer());
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.anyDue], (v) => ([this.anyDue] = v));
    keeper.keep(this.#clock, this.#synic, this.#events, this.#timers, this.#payload, this.#view);
  }

  reset(): void {
    for (const timer of this.#timers) {
      this.#stop(timer);
      timer.config = 0n;
      timer.count = 0n;
      timer.interrupts = 0;
    }
    this.anyDue = false;
  }

  config(index: number): bigint {
    return this.#timers[index]!.config;
  }

  count(index: number): bigint {
    return this.#timers[index]!.count;
  }

  setConfig(index: number, value: bigint): void {
    const timer = this.#timers[index]!;
    timer.config = value;
    this.#start(index, timer);
  }

  /** Writing 0 stops the timer; any other value starts it if it has auto-enable. */
  setCount(index: number, value: bigint): void {
    const timer = this.#timers[index]!;
    timer.count = value;
    if (value === 0n) timer.config &= ~StimerConfig.ENABLE;
    else if (timer.has(StimerConfig.AUTO_ENABLE)) timer.config |= StimerConfig.ENABLE;
    this.#start(index, timer);
  }

  /** Try the timers of a SINT that wait for room. */
  retry(sint: number): void {
    if (!this.anyDue) return;
    for (let i = 0; i < STIMER_COUNT; i++) {
      const timer = this.#timers[i]!;
      if (timer.due && timer.sint === sint) this.#expire(i, timer);
    }
    this.anyDue = this.#timers.some((timer) => timer.due);
  }

  state(index: number): TimerState {
    const timer = this.#timers[index]!;
    return {
      index,
      config: timer.config,
      count: timer.count,
      enabled: timer.has(StimerConfig.ENABLE),
      due: timer.due,
      expiresAt: timer.expiresAt,
      interrupts: timer.interrupts,
    };
  }

  #stop(timer: Timer): void {
    if (timer.alarm !== undefined) this.#clock.cancel(timer.alarm);
    timer.alarm = undefined;
    timer.due = false;
    timer.expiresAt = undefined;
  }

  /** Start a timer anew from its registers, or stop it. */
  #start(index: number, timer: Timer): void {
    this.#stop(timer);
    // SINT 0 takes no timer messages: such a timer cannot be enabled (TLFS, KVM)
    if (!timer.has(StimerConfig.DIRECT_MODE) && timer.sint === 0)
      timer.config &= ~StimerConfig.ENABLE;
    if (!timer.has(StimerConfig.ENABLE) || timer.count === 0n) return;
    const now = this.#clock.now;
    if (timer.has(StimerConfig.PERIODIC)) this.#arm(index, timer, now + this.#period(timer));
    else if (timer.count <= TIME_LIMIT) this.#arm(index, timer, Number(timer.count));
  }

  #period(timer: Timer): number {
    const period = Number(timer.count < TIME_LIMIT ? timer.count : TIME_LIMIT);
    return Math.max(period, STIMER_MINIMUM_PERIOD_TICKS);
  }

  #arm(index: number, timer: Timer, at: number): void {
    timer.expiresAt = at;
    if (at > Number(TIME_LIMIT)) return;
    timer.alarm = this.#clock.schedule(at - this.#clock.now, () => {
      timer.alarm = undefined;
      this.#expire(index, timer);
    });
  }

  #expire(index: number, timer: Timer): void {
    if (this.#skips(timer)) timer.due = false;
    else if (timer.has(StimerConfig.DIRECT_MODE)) {
      timer.interrupts++;
      this.#interrupts?.(this.#vp, Number((timer.config >> DIRECT_VECTOR) & 0xffn), false);
    } else if (!this.#post(index, timer)) {
      timer.due = true;
      this.anyDue = true;
      return;
    }
    timer.due = false;
    if (!timer.has(StimerConfig.PERIODIC)) {
      // A one-shot timer disables itself
      timer.config &= ~StimerConfig.ENABLE;
      timer.expiresAt = undefined;
      return;
    }
    // The next period that is not over yet
    const period = this.#period(timer);
    const late = this.#clock.now - timer.expiresAt!;
    this.#arm(index, timer, timer.expiresAt! + period * (Math.floor(late / period) + 1));
  }

  /** Whether a lazy timer is so late that it leaves this expiry out. */
  #skips(timer: Timer): boolean {
    if (!timer.has(StimerConfig.LAZY) || !timer.has(StimerConfig.PERIODIC)) return false;
    const period = this.#period(timer);
    const late = this.#clock.now - timer.expiresAt!;
    return period - (late % period) < period * LAZY_SKIP_PART;
  }

  #post(index: number, timer: Timer): boolean {
    this.#view.setUint32(0, index, true);
    this.#view.setBigUint64(8, BigInt(timer.expiresAt!), true);
    this.#view.setBigUint64(16, BigInt(this.#clock.now), true);
    if (this.#synic.postTimer(timer.sint, HvMessageType.TIMER_EXPIRED, this.#payload)) return true;
    if (this.#events.on && !timer.due) {
      this.#events.emit({
        kind: 'host-message',
        change: 'queue',
        vp: this.#vp,
        sint: timer.sint,
        type: HvMessageType.TIMER_EXPIRED,
        payload: this.#payload.slice(),
        reason: `timer ${index} stays due`,
      });
    }
    return false;
  }
}
