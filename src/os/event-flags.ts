// SPDX-License-Identifier: GPL-2.0-or-later

/** Event flags of a SINT: set by the host in the event page, read by a guest with interrupts. */

import type { HyperV } from '../hyperv/hyperv.ts';
import { HV_EVENT_FLAGS_COUNT, HV_EVENT_FLAGS_SIZE } from '../hyperv/protocol.ts';

/** Whether the engine's own words are little-endian, as all that the host sees must be. */
const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/**
 * A word of the engine's order from one that is little-endian, or the other way round: what is done
 * in one step has no other choice than the engine's order.
 */
function ordered(word: number): number {
  if (LITTLE_ENDIAN) return word;
  const ends = (word << 24) | (word >>> 24);
  return ends | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00);
}

/**
 * Take the event flags of a SINT: they are cleared, then listed.
 *
 * @param into filled with the numbers of the flags that were set, in order, as far as it reaches;
 * flags that it has no room for stay set
 * @returns how many
 */
export function takeEventFlags(hv: HyperV, sint: number, into: Uint16Array): number {
  if (!hv.isRunning) return 0;
  const { words } = hv.pages.memory;
  const first = (hv.eventPage + sint * HV_EVENT_FLAGS_SIZE) / 4;
  let count = 0;
  for (let i = 0; i < HV_EVENT_FLAGS_COUNT / 32 && count < into.length; i++) {
    // Most words are empty: look before taking, then take all that we have room for
    let word = words[first + i] === 0 ? 0 : ordered(Atomics.exchange(words, first + i, 0));
    while (word !== 0 && count < into.length) {
      const bit = 31 - Math.clz32(word & -word);
      into[count++] = 32 * i + bit;
      word &= word - 1;
    }
    if (word !== 0) Atomics.or(words, first + i, ordered(word));
  }
  return count;
}
