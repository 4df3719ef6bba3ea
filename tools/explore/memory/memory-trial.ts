// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The late-write trial as an exploration needs it, many times a second: all usable memory is filled
 * with one word, the host writes to whatever it still holds, and the word must stand.
 * `late-writes.ts` is the one that tells which bytes of which page.
 */

import { PAGE_SIZE, type MemoryRange } from '../../../src/machine.ts';
import { TICKS_PER_MS } from '../../simulator/base/clock.ts';
import { writeLate } from '../../simulator/audit/late-writes.ts';
import type { GuestRam, ReadonlyBytes } from '../../simulator/base/guest-ram.ts';
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

/** Words that differ from what memory was filled with, in [first, end)? */
function holdsFill(words: ReadonlyBytes, first: number, end: number): boolean {
  for (let i = first; i < end; i++) if (words[i] !== FILL) return false;
  return true;
}

/**
 * Fill what `memoryMap` calls usable, let the host write late, and look: at the pages that the host
 * has written to, or everywhere.
 */
export function tryLateWrites(
  machine: SimulatedMachine,
  memoryMap: readonly MemoryRange[],
  wherever = false,
): TrialResult {
  const { ram } = machine.partition;
  const ranges = memoryMap
    .filter(({ type }) => type === 'usable')
    .map(({ address, length }) => ({ first: address / 4, end: (address + length) / 4 }));
  for (const { first, end } of ranges) ram.fillWords(FILL, first, end);
  const touched = new Set<number>();
  ram.watch({ writing: (page) => void touched.add(page) });
  const written = writeLate(machine);
  machine.run(SETTLE_TICKS);
  ram.watch(undefined);

  // Only what the host has written to can differ, if it is known
  const words = ram.readerWords;
  let damagedPages = 0;
  const isDamaged = (page: number): boolean =>
    ranges.some(({ first, end }) => {
      const from = Math.max(first, page * PAGE_WORDS);
      return !holdsFill(words, from, Math.min(end, (page + 1) * PAGE_WORDS));
    });
  const pages = wherever || !ram.isTracked ? everyPage(ram) : touched;
  for (const page of pages) if (isDamaged(page)) damagedPages++;
  return { damagedPages, written: written.map(({ purpose }) => purpose) };
}

function everyPage({ size }: GuestRam): number[] {
  return Array.from({ length: Math.ceil(size / PAGE_SIZE) }, (_, page) => page);
}
