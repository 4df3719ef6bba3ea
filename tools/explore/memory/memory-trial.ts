// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The late-write trial as an exploration needs it, many times a second: all usable memory is filled
 * with one word, the host writes to whatever it still holds, and the word must stand.
 * `late-writes.ts` is the one that tells which bytes of which page.
 */

import { PAGE_SIZE, type MemoryRange } from '../../../src/machine.ts';
import { TICKS_PER_MS } from '../../simulator/base/clock.ts';
import { writeLate } from '../../simulator/audit/late-writes.ts';
import type { SimulatedMachine } from '../../simulator/machine.ts';

/** How long the host goes on after its late writes. */
const SETTLE_TICKS = 1000 * TICKS_PER_MS;

/** What memory is filled with: nothing that a host writes. */
const FILL = 0x6a09e667;

/** Words of a page. */
const PAGE_WORDS = PAGE_SIZE / 4;

/** What became of the memory. */
export interface TrialResult {
  /** Usable pages that do not hold what their owner left there. */
  readonly damagedPages: number;
  /** What the host wrote to. */
  readonly written: readonly string[];
}

/** Fill what `memoryMap` calls usable, let the host write late, and look. */
export function tryLateWrites(
  machine: SimulatedMachine,
  memoryMap: readonly MemoryRange[],
): TrialResult {
  const words = new Int32Array(machine.partition.ram.buffer);
  const ranges = memoryMap
    .filter(({ type }) => type === 'usable')
    .map(({ address, length }) => ({ first: address / 4, end: (address + length) / 4 }));
  for (const { first, end } of ranges) words.fill(FILL, first, end);
  const written = writeLate(machine);
  machine.run(SETTLE_TICKS);
  const damaged = new Set<number>();
  for (const { first, end } of ranges) {
    for (let i = first; i < end; i++) {
      if (words[i] !== FILL) damaged.add(Math.floor(i / PAGE_WORDS));
    }
  }
  return { damagedPages: damaged.size, written: written.map(({ purpose }) => purpose) };
}
