// SPDX-License-Identifier: GPL-2.0-or-later

/** Random numbers for a guest and for the loader on top of it, if nobody brings others. */

import type { Keeper, Saved } from '../simulator/base/snapshot.ts';

/** The state of a xorshift must not be 0. */
const SEED = 0x18ae;

/** Marsaglia's xorshift32: enough for transaction IDs, which need only be unlikely to repeat. */
export class GuestRandom implements Saved {
  #state = SEED;

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#state], (v) => ([this.#state] = v));
  }

  /** The next one: unsigned 32 bits. */
  readonly next = (): number => {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  };
}

/** Such numbers, from the start. */
export function guestRandom(): () => number {
  return new GuestRandom().next;
}
