// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The late-write trial: the next owner fills all memory that it was told is usable with a pattern,
 * then the host writes to everything that it still holds. The pattern must stand.
 */

import { PAGE_SIZE, type MemoryRange } from '../../src/machine.ts';
import type { Grant } from './grants.ts';
import type { GuestRam } from './guest-ram.ts';
import type { SimulatedMachine } from './machine.ts';

/** Multiplier of Knuth's hash: neighbouring pages get words that have nothing in common. */
const PATTERN_MULTIPLIER = 2654435761;

/** What the host writes late. */
const LATE_BYTE = 0xa5;

/** Pages reported; there may be more. */
const REPORTED_PAGES_MAX = 16;

/** A page whose pattern does not stand. */
export interface DamagedPage {
  readonly address: number;
  /** Bytes of the page that differ. */
  readonly bytes: number;
}

/** The pattern over some ranges of memory, less what has been taken out of it. */
export class MemoryPattern {
  readonly #words: Uint32Array;
  readonly #ram: GuestRam;
  readonly #pages = new Set<number>();

  /** Fill the usable ranges, in whole pages. */
  constructor(ram: GuestRam, memoryMap: readonly MemoryRange[]) {
    this.#ram = ram;
    this.#words = new Uint32Array(ram.buffer);
    for (const range of memoryMap) {
      if (range.type !== 'usable') continue;
      const first = Math.ceil(range.address / PAGE_SIZE);
      const end = Math.floor((range.address + range.length) / PAGE_SIZE);
      for (let page = first; page < end; page++) {
        const at = (page * PAGE_SIZE) / 4;
        this.#words.fill(pattern(page), at, at + PAGE_SIZE / 4);
        this.#pages.add(page);
      }
    }
  }

  /** Number of pages that hold the pattern. */
  get size(): number {
    return this.#pages.size;
  }

  /** Somebody uses this memory: it is not looked at any more. */
  exclude(address: number, length: number): void {
    const first = Math.floor(address / PAGE_SIZE);
    const end = Math.ceil((address + length) / PAGE_SIZE);
    for (let page = first; page < end; page++) this.#pages.delete(page);
  }

  /** The pages whose pattern does not stand; at most a few of them. */
  damaged(): DamagedPage[] {
    const damaged: DamagedPage[] = [];
    for (const page of this.#pages) {
      const expected = pattern(page);
      const at = (page * PAGE_SIZE) / 4;
      let words = 0;
      for (let i = at; i < at + PAGE_SIZE / 4; i++) if (this.#words[i] !== expected) words++;
      if (words === 0) continue;
      damaged.push({ address: page * PAGE_SIZE, bytes: this.#differing(page, expected) });
      if (damaged.length === REPORTED_PAGES_MAX) break;
    }
    return damaged;
  }

  #differing(page: number, expected: number): number {
    let bytes = 0;
    for (let i = 0; i < PAGE_SIZE; i++) {
      const want = (expected >>> (8 * (i & 3))) & 0xff;
      if (this.#ram.bytes[page * PAGE_SIZE + i] !== want) bytes++;
    }
    return bytes;
  }
}

/** The word that a page is filled with. */
function pattern(page: number): number {
  return Math.imul(page + 1, PATTERN_MULTIPLIER) >>> 0;
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
