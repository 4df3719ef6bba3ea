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

/** First fit from the top of the usable memory: for what is shared. */
export class TopAllocator implements PageAllocator {
  /** Sorted by address, none empty, no two adjacent. */
  protected readonly holes: Hole[] = [];

  constructor(memoryMap: readonly MemoryRange[]) {
    for (const { address, length, type } of memoryMap) {
      // Page 0 is never handed out: address 0 means "no page" in several messages
      if (type === 'usable')
        this.#put(Math.max(address, PAGE_SIZE), Math.min(address + length, ADDRESS_MAX));
    }
  }

  allocate(length: number, align: number): number | undefined {
    for (let i = this.holes.length; i-- > 0;) {
      const { start, end } = this.holes[i]!;
      const address = Math.floor((end - length) / align) * align;
      if (address < start) continue;

      this.take(address, length);
      return address;
    }
    return undefined;
  }

  free(address: number, length: number): void {
    this.#put(address, address + length);
  }

  /** What lies in one hole leaves two. */
  protected take(address: number, length: number): void {
    const start = address + length;
    const hole = this.holes.find((one) => one.start <= address && start <= one.end)!;
    const { end } = hole;
    hole.end = address;
    this.#put(start, end);
  }

  /** Put a hole into its place, merge neighbours, and drop what is empty. */
  #put(start: number, end: number): void {
    const { holes } = this;
    let i = holes.length;
    while (i > 0 && holes[i - 1]!.start > start) i--;
    holes.splice(i, 0, { start, end });
    for (i = holes.length; i-- > 0;) {
      const hole = holes[i]!;
      if (hole.end === holes[i + 1]?.start) hole.end = holes.splice(i + 1, 1)[0]!.end;
      if (hole.start >= hole.end) holes.splice(i, 1);
    }
  }
}

/** An allocator that also finds a place for an image. */
export class MapAllocator extends TopAllocator {
  /** Size of the guest's pages: images begin and end at them. */
  readonly pageSize: number;

  constructor(memoryMap: readonly MemoryRange[], pageSize = PAGE_SIZE) {
    super(memoryMap);
    this.pageSize = pageSize;
  }

  /**
   * Allocate from the bottom up, from `minAddress` on, at a page boundary: for the image.
   *
   * @param length bytes, or undefined for the largest hole that there is
   */
  allocateLow(length: number | undefined, minAddress: number): PageRun | undefined {
    const { pageSize } = this;
    let best: PageRun | undefined;
    for (const { start, end } of this.holes) {
      const address = Math.ceil(Math.max(start, minAddress) / pageSize) * pageSize;
      const room = Math.floor((end - address) / pageSize) * pageSize;
      if (length === undefined) {
        if (room > (best?.length ?? 0)) best = { address, length: room };
      } else if (best === undefined && room > 0 && room >= length) {
        best = { address, length: Math.ceil(length / pageSize) * pageSize };
      }
    }
    if (best !== undefined) this.take(best.address, best.length);
    return best;
  }

  /** Bytes of the largest hole from `minAddress` on. */
  largest(minAddress: number): number {
    const rooms = this.holes.map(({ start, end }) => end - Math.max(start, minAddress));
    return Math.max(0, ...rooms);
  }
}
