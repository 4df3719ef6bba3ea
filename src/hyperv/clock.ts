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
  #cancel: (() => boolean) | undefined;

  /**
   * `cancel`: asked in every turn; what it stops, it stops once, so that everything can be undone.
   */
  constructor(machine: Machine, platform: Platform, cancel?: () => boolean) {
    this.#machine = machine;
    this.#platform = platform;
    this.#cancel = cancel;
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

  /** One turn of a polling loop. @throws HypxeError Cancelled, once */
  pause(): void {
    this.checkCancelled();
    this.#pauses++;
    this.#machine.pause();
  }

  /** @throws HypxeError Cancelled, once: what unwinds is not cancelled again */
  checkCancelled(): void {
    if (this.#cancel === undefined || !this.#cancel()) return;
    this.#cancel = undefined;
    throw new HypxeError(HypervError.Cancelled, 'the boot was cancelled');
  }

  /** From here on nothing is cancelled any more: everything is being undone. */
  finish(): void {
    this.#cancel = undefined;
  }
}
