// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The late-write trial: the next owner fills all memory that it was told is usable with a pattern,
 * and remembers what it uses already (the loaded image); then the host writes to everything that it
 * still holds. Both must stand.
 */

import { PAGE_SIZE, type MemoryRange } from '../../../src/machine.ts';
import type { Finding, FindingPages } from './audit-findings.ts';
import type { Grant } from '../ledger/grants.ts';
import type { GuestRam } from '../base/guest-ram.ts';
import { hex } from '../base/hex.ts';
import type { SimulatedMachine } from '../machine.ts';

/** Multiplier of Knuth's hash: neighbouring pages get words that have nothing in common. */
const PATTERN_MULTIPLIER = 2654435761;

/** What the host writes late. */
const LATE_BYTE = 0xa5;

/** Words of a page. */
const PAGE_WORDS = PAGE_SIZE / 4;

/** Pages listed in a finding without a grant; there may be more. */
const LISTED_PAGES_MAX = 8;

/** A page that does not hold what its owner left there. */
export interface DamagedPage {
  readonly address: number;
  /** Bytes of the page that differ. */
  readonly bytes: number;
}

/** What lies in memory, page by page, less what has been taken out of it. */
export class MemoryPattern {
  readonly #words: Int32Array;
  readonly #ram: GuestRam;
  /** Pages that hold the pattern. */
  readonly #pages = new Set<number>();
  /** Pages that hold something else, and what. */
  readonly #kept = new Map<number, Int32Array>();

  /** Fill the usable ranges, in whole pages. */
  constructor(ram: GuestRam, memoryMap: readonly MemoryRange[]) {
    this.#ram = ram;
    this.#words = ram.words;
    for (const range of memoryMap) {
      if (range.type !== 'usable') continue;
      const first = Math.ceil(range.address / PAGE_SIZE);
      const end = Math.floor((range.address + range.length) / PAGE_SIZE);
      for (let page = first; page < end; page++) {
        this.#words.fill(pattern(page), page * PAGE_WORDS, (page + 1) * PAGE_WORDS);
        this.#pages.add(page);
      }
    }
  }

  /** Number of pages that are watched. */
  get size(): number {
    return this.#pages.size + this.#kept.size;
  }

  /** Watch memory that is in use, as it is now; in whole pages. */
  keep(address: number, length: number): void {
    const end = Math.ceil((address + length) / PAGE_SIZE);
    for (let page = Math.floor(address / PAGE_SIZE); page < end; page++) {
      if (!this.#ram.has(page * PAGE_SIZE, PAGE_SIZE)) continue;
      this.#pages.delete(page);
      this.#kept.set(page, this.#words.slice(page * PAGE_WORDS, (page + 1) * PAGE_WORDS));
    }
  }

  /** Somebody writes to this memory: it is not looked at any more. */
  exclude(address: number, length: number): void {
    const end = Math.ceil((address + length) / PAGE_SIZE);
    for (let page = Math.floor(address / PAGE_SIZE); page < end; page++) {
      this.#pages.delete(page);
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
    for (const page of this.#pages) {
      const word = pattern(page);
      if (!holds(words, page, word)) report(page, () => word);
    }
    for (const [page, kept] of this.#kept) {
      const at = page * PAGE_WORDS;
      let i = 0;
      while (i < PAGE_WORDS && words[at + i] === kept[i]) i++;
      if (i < PAGE_WORDS) report(page, (j) => kept[j]!);
    }
    return damaged.sort((a, b) => a.address - b.address);
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

/** Whether every word of a page is `word`. All of memory is looked at here: eight at a time. */
function holds(words: Int32Array, page: number, word: number): boolean {
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

/**
 * The host writes to the whole of everything that it may still write to.
 *
 * @returns the grants that it wrote to
 */
export function writeLate(machine: SimulatedMachine): Grant[] {
  const written: Grant[] = [];
  const page = new Uint8Array(PAGE_SIZE).fill(LATE_BYTE);
  for (const grant of machine.partition.grants.live()) {
    if (grant.access !== 'write') continue;
    for (let at = 0; at < grant.length; at += PAGE_SIZE) {
      const length = Math.min(PAGE_SIZE, grant.length - at);
      machine.partition.grants.write(grant, at, page, 0, length);
    }
    written.push(grant);
  }
  return written;
}

/**
 * What the damage comes to: one finding for each grant that covers damaged pages, and one for all
 * pages that no grant covers. What has been found is not looked at again.
 *
 * @param when what happened meanwhile: `by late writes of the host`
 * @param grants what the host could write to
 */
export function auditPattern(
  pattern: MemoryPattern,
  when: string,
  grants: readonly Grant[],
  describe: (grant: Grant) => FindingPages,
): Finding[] {
  const findings: Finding[] = [];
  let left = pattern.damaged();
  for (const { address } of left) pattern.exclude(address, 1);
  for (const grant of grants) {
    const mine = left.filter(({ address }) => grant.pfns.includes(address / PAGE_SIZE));
    if (mine.length === 0) continue;
    left = left.filter((page) => !mine.includes(page));
    const pages = { ...describe(grant), pages: mine.map(({ address }) => address) };
    const text = `${extent(mine)} changed ${when}: ${grant.purpose}`;
    findings.push({ check: 'late-writes', severity: 'error', text, pages });
  }
  if (left.length > 0) {
    const listed = left.slice(0, LISTED_PAGES_MAX).map(({ address }) => hex(address));
    const more = left.length > LISTED_PAGES_MAX ? ', …' : '';
    const text = `${extent(left)} changed ${when}, and no grant covers ${listed.join(', ')}${more}`;
    findings.push({ check: 'late-writes', severity: 'error', text });
  }
  return findings;
}

/** `5 bytes of 1 page`. */
function extent(pages: readonly DamagedPage[]): string {
  const bytes = pages.reduce((sum, page) => sum + page.bytes, 0);
  return `${bytes} bytes of ${pages.length} page${pages.length === 1 ? '' : 's'}`;
}
