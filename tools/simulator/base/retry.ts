// SPDX-License-Identifier: GPL-2.0-or-later

import type { Alarm, VirtualClock } from './clock.ts';
import type { Keeper } from './snapshot.ts';

/** Something that is tried again some time later, once, however often it is asked for meanwhile. */
export class Retry {
  readonly #clock: VirtualClock;
  readonly #ticks: number;
  readonly #action: () => void;
  #alarm: Alarm | undefined;

  /** `ticks`: after which time; 0 is never. */
  constructor(clock: VirtualClock, ticks: number, action: () => void) {
    this.#clock = clock;
    this.#ticks = ticks;
    this.#action = action;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#alarm], (v) => ([this.#alarm] = v));
    keeper.keep(this.#clock);
  }

  later(): void {
    const ticks = this.#ticks;
    if (ticks === 0) return;
    if (this.#alarm === undefined) this.#alarm = this.#clock.schedule(ticks, this.#action);
    else if (this.#alarm.state !== 'waiting') this.#clock.reschedule(this.#alarm, ticks);
  }

  cancel(): void {
    if (this.#alarm !== undefined) this.#clock.cancel(this.#alarm);
  }
}
