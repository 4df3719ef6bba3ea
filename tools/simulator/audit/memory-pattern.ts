// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What lies in memory, page by page: a pattern in all that the next owner was told is usable, and
 * what it uses already as it is (the loaded image).
 *
 * With the host's ledger at hand only those pages are filled, and looked at, that it makes a
 * difference for: those that the host may touch, those that it writes to, just before it does, and
 * those that the next owner takes, when it takes them. All others hold what they held before, and
 * nobody can tell. Without a ledger, or as soon as somebody could write to memory unseen, it is all
 * pages: then memory is searched.
 */

import { PAGE_SIZE, type MemoryRange } from '../../../src/machine.ts';
import type { GuestRam, ReadonlyBytes } from '../base/guest-ram.ts';
import type { GrantLedger } from '../ledger/grants.ts';

/** Multiplier of Knuth's hash: neighbouring pages get words that have nothing in common. */
const PATTERN_MULTIPLIER = 2654435761;

/** Words of a page. */
const PAGE_WORDS = PAGE_SIZE / 4;

/** A page that does not hold what its owner left there. */
export interface DamagedPage {
  readonly address: number;
  /** Bytes of the page that differ. */
  readonly bytes: number;
}

/** Pages from `first` up to, and without, `end`. */
interface PageRange {
  readonly first: number;
  readonly end: number;
}

/** What lies in memory, less what has been taken out of it. */
export class MemoryPattern {
  readonly #ram: GuestRam;
  readonly #words: ReadonlyBytes;
  readonly #ranges: readonly PageRange[];
  /** Pages that hold the pattern now, and are watched. */
  readonly #filled = new Set<number>();
  /** Pages of the ranges that are not watched any more. */
  readonly #excluded = new Set<number>();
  /** Pages that hold something else, and what, once the host may have written to them. */
  readonly #kept = new Map<number, Int32Array | undefined>();
  #lazy: boolean;

  /**
   * Fill the usable ranges, in whole pages.
   *
   * @param grants what the host may touch: without it all pages are filled at once, and searched
   */
  constructor(ram: GuestRam, memoryMap: readonly MemoryRange[], grants?: GrantLedger) {
    this.#ram = ram;
    this.#words = ram.readerWords;
    this.#ranges = memoryMap
      .filter(({ type }) => type === 'usable')
      .map(({ address, length }) => ({
        first: Math.ceil(address / PAGE_SIZE),
        end: Math.floor((address + length) / PAGE_SIZE),
      }))
      .filter(({ first, end }) => first < end);
    this.#lazy = grants !== undefined && ram.isTracked;
    if (!this.#lazy) {
      this.#fillAll();
      return;
    }
    for (const { pfns } of grants!.live()) for (const page of pfns) this.#reach(page);
    ram.watch({ writing: (page) => this.#reach(page), unseen: () => this.#fillAll() });
  }

  /** Fill all that is left: somebody comes who takes memory without saying so. */
  complete(): void {
    if (this.#lazy) this.#fillAll();
  }

  /** The owner of the memory is gone: what the host writes from now on is not told. */
  end(): void {
    if (this.#lazy) this.#ram.watch(undefined);
  }

  /** Number of pages that are watched. */
  get size(): number {
    const pages = this.#ranges.reduce((sum, { first, end }) => sum + end - first, 0);
    return pages - this.#excluded.size + this.#kept.size;
  }

  /** Watch memory that is in use, as it is now; in whole pages. */
  keep(address: number, length: number): void {
    const end = Math.ceil((address + length) / PAGE_SIZE);
    for (let page = Math.floor(address / PAGE_SIZE); page < end; page++) {
      if (!this.#ram.has(page * PAGE_SIZE, PAGE_SIZE)) continue;
      this.#exclude(page);
      this.#kept.set(page, this.#lazy ? undefined : this.#copy(page));
    }
  }

  /** Somebody writes to this memory, where the pattern was: it is not looked at any more. */
  exclude(address: number, length: number): void {
    const end = Math.ceil((address + length) / PAGE_SIZE);
    for (let page = Math.floor(address / PAGE_SIZE); page < end; page++) {
      this.#exclude(page);
      this.#kept.delete(page);
    }
  }

  /** The pages that do not stand, in order of their addresses. */
  damaged(): DamagedPage[] {
    const words = this.#words;
    const damaged: DamagedPage[] = [];
    const report = (page: number, expected: (i: number) => number): void => {
      damaged.push({ address: page * PAGE_SIZE, bytes: this.#differing(page, expected) });
    };
    for (const page of this.#filled) {
      const word = pattern(page);
      if (!holds(words, page, word)) report(page, () => word);
    }
    for (const [page, kept] of this.#kept) {
      if (kept === undefined) continue;
      const at = page * PAGE_WORDS;
      let i = 0;
      while (i < PAGE_WORDS && words[at + i] === kept[i]) i++;
      if (i < PAGE_WORDS) report(page, (j) => kept[j]!);
    }
    return damaged.sort((a, b) => a.address - b.address);
  }

  // --- page by page ---

  /** The host may be about to write to this page, or read it. */
  #reach(page: number): void {
    if (this.#kept.has(page)) {
      if (this.#kept.get(page) === undefined) this.#kept.set(page, this.#copy(page));
    } else if (this.#isWatched(page)) this.#fill(page);
  }

  #isWatched(page: number): boolean {
    return (
      !this.#excluded.has(page) &&
      this.#ranges.some(({ first, end }) => first <= page && page < end)
    );
  }

  #fill(page: number): void {
    if (this.#filled.has(page)) return;
    this.#filled.add(page);
    this.#ram.fillWords(pattern(page), page * PAGE_WORDS, (page + 1) * PAGE_WORDS);
  }

  /** Somebody could write anywhere: all pages count from now on. */
  #fillAll(): void {
    if (this.#lazy) this.#ram.watch(undefined);
    this.#lazy = false;
    for (const { first, end } of this.#ranges)
      for (let page = first; page < end; page++) if (!this.#excluded.has(page)) this.#fill(page);
    for (const [page, kept] of this.#kept)
      if (kept === undefined) this.#kept.set(page, this.#copy(page));
  }

  /** What is taken out of the pattern holds it. */
  #exclude(page: number): void {
    if (!this.#isWatched(page)) return;
    this.#fill(page);
    this.#filled.delete(page);
    this.#excluded.add(page);
  }

  #copy(page: number): Int32Array {
    const words = new Int32Array(PAGE_WORDS);
    for (let i = 0; i < PAGE_WORDS; i++) words[i] = this.#words[page * PAGE_WORDS + i]!;
    return words;
  }

  #differing(page: number, expected: (i: number) => number): number {
    let bytes = 0;
    for (let i = 0; i < PAGE_WORDS; i++) {
      let difference = this.#words[page * PAGE_WORDS + i]! ^ expected(i);
      for (; difference !== 0; difference >>>= 8) if ((difference & 0xff) !== 0) bytes++;
    }
    return bytes;
  }
}

/** The word that a page is filled with: signed, as the engine compares words fastest. */
function pattern(page: number): number {
  return Math.imul(page + 1, PATTERN_MULTIPLIER);
}

/** Whether every word of a page is `word`. All of memory may be looked at here: eight at a time. */
function holds(words: ReadonlyBytes, page: number, word: number): boolean {
  const end = (page + 1) * PAGE_WORDS;
  for (let i = page * PAGE_WORDS; i < end; i += 8) {
    const differing =
      (words[i]! ^ word) |
      (words[i + 1]! ^ word) |
      (words[i + 2]! ^ word) |
      (words[i + 3]! ^ word) |
      (words[i + 4]! ^ word) |
      (words[i + 5]! ^ word) |
      (words[i + 6]! ^ word) |
      (words[i + 7]! ^ word);
    if (differing !== 0) return false;
  }
  return true;
}
