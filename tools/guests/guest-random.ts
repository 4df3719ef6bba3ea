// SPDX-License-Identifier: GPL-2.0-or-later

/** Random numbers for a guest and for the loader on top of it, if nobody brings others. */

/** The state of a xorshift must not be 0. */
const SEED = 0x18ae;

/** Marsaglia's xorshift32: enough for transaction IDs, which need only be unlikely to repeat. */
export function guestRandom(): () => number {
  let state = SEED;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
