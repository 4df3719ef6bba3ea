// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The clock: time in ticks of 100 ns, and turns of polling loops. It comes from the reference
 * counter, from arm64's own counter, or from what a part has; none promises to be monotonic, which
 * is the clock's business.
 */

import { HypxeError } from '../error.ts';
import { TICKS_PER_MS, type Clock } from '../time.ts';
import type { ClockSource, Platform } from './platform.ts';
import { Msr } from './protocol.ts';

/** Pauses after which a clock that has not moved is called stopped. */
const STALLED_PAUSES_MAX = 1_000_000;

/** Time between two looks beyond which the clock is read once more: one slip is no time. */
const LEAP_TICKS = 1000 * TICKS_PER_MS;

/** Beyond it the source has been set anew (live migration, a guest that was saved), or lies. */
const LEAP_MAX_TICKS = 60 * LEAP_TICKS;

export class ReferenceClock implements Clock {
  readonly #platform: Platform;
  /** The partition reference counter: a register, 10 MHz (TLFS 12.3). Always there. */
  readonly counter: ClockSource;
  /** Where the time comes from. */
  source: ClockSource;
  /** What the source has said last; NaN before it was asked. */
  #raw = NaN;
  #last = 0;
  #pauses = 0;
  #cancel: (() => boolean) | undefined;

  /**
   * `cancel`: asked in every turn; what it stops, it stops once, so that everything can be undone.
   */
  constructor(platform: Platform, cancel?: () => boolean) {
    const read = (): number => Number(platform.read(Msr.TIME_REF_COUNT));
    this.#platform = platform;
    this.counter = this.source = { name: 'reference counter', read };
    this.#cancel = cancel;
  }

  /** Take the time from here, by default from the reference counter. */
  use(source: ClockSource = this.counter): void {
    if (source === this.source) return;
    this.source = source;
    // Sources have epochs of their own; time goes on from where the new one stands
    this.#raw = NaN;
  }

  /**
   * Reference time in ticks of 100 ns; never less than before, whatever the host does to its scale
   * and offset (live migration): what goes back, or leaps twice, is where time goes on from.
   *
   * @throws HypxeError ClockStopped: every wait depends on it, so none may go on without it
   */
  now(): number {
    const before = this.#raw;
    let raw = this.#read();
    if (raw < before || raw - before > LEAP_TICKS) raw = this.#read();
    this.#raw = raw;
    const passed = raw - before;
    if (passed > 0 && passed <= LEAP_MAX_TICKS) {
      this.#last += passed;
      this.#pauses = 0;
    } else if (Number.isNaN(before) && isTime(raw)) {
      this.#last = raw;
    } else if (this.#pauses > STALLED_PAUSES_MAX) {
      throw new HypxeError('ClockStopped', `reference time stands at ${this.#last}`);
    }
    return this.#last;
  }

  /** A page of the host may hold anything: what is no time is not taken for one. */
  #read(): number {
    const now = this.source.read();
    return isTime(now) ? now : this.counter.read()!;
  }

  /** One turn of a polling loop. @throws HypxeError Cancelled, once */
  pause(): void {
    this.checkCancelled();
    this.#pauses++;
    this.#platform.machine.pause();
  }

  /** @throws HypxeError Cancelled, once: what unwinds is not cancelled again */
  checkCancelled(): void {
    if (!this.#cancel || !this.#cancel()) return;
    this.#cancel = undefined;
    throw new HypxeError('Cancelled', 'boot cancelled');
  }

  /** From here on nothing is cancelled any more: everything is being undone. */
  finish(): void {
    this.#cancel = undefined;
  }
}

function isTime(ticks: number | undefined): ticks is number {
  return ticks! >= 0 && ticks! <= Number.MAX_SAFE_INTEGER;
}
