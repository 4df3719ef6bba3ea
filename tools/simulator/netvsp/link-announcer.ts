// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * When the guest hears of link changes: the first at once, a second within five seconds only when
 * these are over, and only if it still differs from what the guest was told (OpenVMM netvsp; Linux
 * ignores quick toggles anyway).
 */

import { TICKS_PER_MS, type Alarm, type VirtualClock } from '../base/clock.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Least time between two announcements, in ticks. */
export const LINK_CHANGE_TICKS = 5000 * TICKS_PER_MS;

export class LinkAnnouncer {
  readonly #clock: VirtualClock;
  readonly #announce: () => void;
  #alarm: Alarm | undefined;
  #last = -LINK_CHANGE_TICKS;
  /** The link itself. It starts up. */
  up = true;
  /** What the guest was told, or may assume: at start the state is neither announced nor hidden. */
  told = true;
  /** The guest listens: after INITIALISE. */
  #listening = false;

  /** `announce` is called when the guest shall be told {@link told}. */
  constructor(clock: VirtualClock, announce: () => void) {
    this.#clock = clock;
    this.#announce = announce;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#alarm, this.#last, this.up], (v) => ([this.#alarm, this.#last, this.up] = v));
    keeper.put([this.told, this.#listening], (v) => ([this.told, this.#listening] = v));
    keeper.keep(this.#clock);
  }

  /** The guest has initialised RNDIS and asks for the state itself. */
  start(): void {
    this.#listening = true;
    this.told = this.up;
    this.#last = -LINK_CHANGE_TICKS;
  }

  /** The guest is told the state of this moment; changes are announced from here on. */
  announced(): void {
    this.told = this.up;
  }

  /** The channel closes. */
  stop(): void {
    this.#listening = false;
    if (this.#alarm !== undefined) this.#clock.cancel(this.#alarm);
    this.#alarm = undefined;
  }

  /** The link goes up or down. */
  set(up: boolean): void {
    this.up = up;
    this.#tell();
  }

  #tell(): void {
    if (!this.#listening || this.told === this.up) return;
    const wait = this.#last + LINK_CHANGE_TICKS - this.#clock.now;
    if (wait <= 0) {
      this.told = this.up;
      this.#last = this.#clock.now;
      this.#announce();
    } else if (this.#alarm?.state !== 'waiting') {
      this.#alarm = this.#clock.schedule(wait, () => this.#tell());
    }
  }
}
