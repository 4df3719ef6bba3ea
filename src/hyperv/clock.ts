// SPDX-License-Identifier: GPL-2.0-or-later

/** The partition reference time: 10 MHz, from the reference counter (TLFS 12.3). */

import { HypxeError } from '../error.ts';
import type { Machine } from '../machine.ts';
import type { Clock } from '../time.ts';
import { HypervError } from './errors.ts';
import type { Platform } from './platform.ts';

/** Pauses after which a clock that has not moved is called stopped. */
const STALLED_PAUSES_MAX = 1_000_000;

export class ReferenceClock implements Clock {
  readonly #machine: Machine;
  readonly #platform: Platform;
  #last = -1;
  #pauses = 0;

  constructor(machine: Machine, platform: Platform) {
    this.#machine = machine;
    this.#platform = platform;
  }

  /**
   * Reference time in ticks of 100 ns.
   *
   * @throws HypxeError ClockStopped: every wait depends on it, so none may go on without it
   */
  now(): number {
    const now = Number(this.#platform.read('TIME_REF_COUNT'));
    if (now !== this.#last) {
      this.#last = now;
      this.#pauses = 0;
    } else if (this.#pauses > STALLED_PAUSES_MAX) {
      throw new HypxeError(HypervError.ClockStopped, `reference time stands at ${now}`);
    }
    return now;
  }

  pause(): void {
    this.#pauses++;
    this.#machine.pause();
  }
}
