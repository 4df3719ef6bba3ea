// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Where the firmware's shared pages come from: the usable ranges of the memory map, from the top
 * down, so that the low addresses stay in one piece for the image.
 */

import { PAGE_SIZE, type MemoryRange } from '../machine.ts';

/** A source of guest memory. A replay gives its own, to hand out recorded addresses. */
export interface PageAllocator {
  /**
   * Allocate `length` bytes at a multiple of `align` (a power of two). `purpose` is for people and
   * for fault injection. Returns the guest physical address, or undefined if there is no room.
   */
  allocate(length: number, align: number, purpose: string): number | undefined;
  /** Give back what {@link allocate} returned, with the same length and purpose. */
  free(address: number, length: number, purpose: string): void;
}

/** Shared pages lie below 4 GiB: every host and every loaded OS reaches them there. */
const ADDRESS_MAX = 2 ** 32;

/** Whole pages. */
export interface PageRun {
  readonly address: number;
  readonly length: number;
}

interface Hole {
  start: number;
  end: number;
}

/** First fit from the top of the usable memory. Holes are kept sorted by address and merged. */
export class MapAllocator implements PageAllocator {
  /** Size of the guest's pages: images begin and end at them. */
  readonly pageSize: number;
  readonly #holes: Hole[] = [];

  constructor(memoryMap: readonly MemoryRange[], pageSize = PAGE_SIZE) {
    this.pageSize = pageSize;
    for (const range of memoryMap) {
      const end = Math.min(range.address + range.length, ADDRESS_MAX);
      // Page 0 is never handed out: address 0 means "no page" in several messages
      const start = Math.max(range.address, PAGE_SIZE);
      if (range.type === 'usable' && start < end) this.#holes.push({ start, end });
    }
    this.#holes.sort((a, b) => a.start - b.start);
  }

  allocate(length: number, align: number): number | undefined {
    for (let i = this.#holes.length - 1; i >= 0; i--) {
      const hole = this.#holes[i]!;
      const address = Math.floor((hole.end - length) / align) * align;
      if (address < hole.start) continue;

      this.#take(address, length);
      return address;
    }
    return undefined;
  }

  /**
   * Allocate from the bottom up, from `minAddress` on, at a page boundary: for the image.
   *
   * @param length bytes, or undefined for the largest hole that there is
   */
  allocateLow(length: number | undefined, minAddress: number): PageRun | undefined {
    const { pageSize } = this;
    let best: PageRun | undefined;
    for (const hole of this.#holes) {
      const address = Math.ceil(Math.max(hole.start, minAddress) / pageSize) * pageSize;
      const room = Math.floor((hole.end - address) / pageSize) * pageSize;
      if (room <= 0) continue;
      if (length !== undefined && room >= length) {
        best = { address, length: Math.ceil(length / pageSize) * pageSize };
        break;
      }
      if (length === undefined && (best === undefined || room > best.length)) {
        best = { address, length: room };
      }
    }
    if (best !== undefined) this.#take(best.address, best.length);
    return best;
  }

  /** Bytes of the largest hole from `minAddress` on. */
  largest(minAddress: number): number {
    let largest = 0;
    for (const { start, end } of this.#holes) {
      largest = Math.max(largest, end - Math.max(start, minAddress));
    }
    return largest;
  }

  #take(address: number, length: number): void {
    const i = this.#holes.findIndex((hole) => hole.start <= address && address < hole.end);
    const hole = this.#holes[i]!;
    const pieces: Hole[] = [];
    if (hole.start < address) pieces.push({ start: hole.start, end: address });
    if (address + length < hole.end) pieces.push({ start: address + length, end: hole.end });
    this.#holes.splice(i, 1, ...pieces);
  }

  free(address: number, length: number): void {
    // Find the place, insert, and merge with the neighbours
    let i = 0;
    while (i < this.#holes.length && this.#holes[i]!.start < address) i++;
    this.#holes.splice(i, 0, { start: address, end: address + length });
    this.#merge(i);
    if (i > 0) this.#merge(i - 1);
  }

  #merge(i: number): void {
    const hole = this.#holes[i];
    const next = this.#holes[i + 1];
    if (hole === undefined || next === undefined || hole.end !== next.start) return;
    hole.end = next.end;
    this.#holes.splice(i + 1, 1);
  }
}
