// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Excess signals: a guest shall signal a channel only when its ring was empty, and a host suspends
 * one that goes on signalling for nothing "for a few seconds" (Linux vmbus.rst). The threshold is
 * not public: it is a knob.
 */

import type { VirtualClock } from '../base/clock.ts';
import { TICKS_PER_MS } from '../base/clock.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Over which time the knob `throttleSignals` counts. */
export const THROTTLE_WINDOW_TICKS = 1000 * TICKS_PER_MS;

/** For how long the guest is suspended. */
export const THROTTLE_STALL_TICKS = 2000 * TICKS_PER_MS;

export class SignalThrottle {
  readonly #clock: VirtualClock;
  readonly #limit: number;
  readonly #exceeded: (limit: number) => void;
  #windowStart = 0;
  #windowCount = 0;
  /** Signals with nothing to say, whether or not there is a limit. */
  excess = 0;
  /** How often the guest was suspended. */
  stalls = 0;

  /**
   * @param limit excess signals in a second before the guest is suspended; 0 is never
   * @param exceeded is told before the guest is suspended
   */
  constructor(clock: VirtualClock, limit: number, exceeded: (limit: number) => void) {
    this.#clock = clock;
    this.#limit = limit;
    this.#exceeded = exceeded;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#windowStart], (v) => ([this.#windowStart] = v));
    keeper.put([this.#windowCount, this.excess], (v) => ([this.#windowCount, this.excess] = v));
    keeper.put([this.stalls], (v) => ([this.stalls] = v));
    keeper.keep(this.#clock);
  }

  /** The guest has signalled for nothing: its clock may go on without it. */
  count(): void {
    this.excess++;
    if (this.#limit === 0) return;
    const clock = this.#clock;
    if (clock.now - this.#windowStart >= THROTTLE_WINDOW_TICKS) {
      this.#windowStart = clock.now;
      this.#windowCount = 0;
    }
    if (++this.#windowCount <= this.#limit) return;
    this.#windowCount = 0;
    this.stalls++;
    this.#exceeded(this.#limit);
    clock.advanceTo(clock.now + THROTTLE_STALL_TICKS);
  }
}
