// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The firmware's ledger: every piece of memory that the host may touch, from the moment that the
 * host is told of it to the moment that the host has confirmed to have let go.
 *
 * Freeing is only possible through the ledger: memory that is still shared when it is freed is kept
 * back and reserved, so no error path can hand the host's memory to somebody else.
 */

import { PAGE_SIZE, type MemoryRange } from '../machine.ts';
import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import type { PageAllocator } from './allocator.ts';
import type { GuestMemory } from './guest-memory.ts';

/** What a region is for. */
export type Purpose =
  | 'hypercall'
  | 'simp'
  | 'siefp'
  | 'reference-tsc'
  | 'message-buffer'
  | 'crash-message'
  | 'interrupt-page'
  | 'monitor-in'
  | 'monitor-out'
  | 'ring'
  | 'rx-buffer'
  | 'tx-buffer'
  | 'send-buffer';

/** A piece of guest memory of the firmware. */
export interface Region {
  readonly purpose: Purpose;
  readonly address: number;
  readonly length: number;
  /** Bytes that were taken for it: in guest pages, where it has them for itself. */
  readonly allocated: number;
  /**
   * `private`: only the firmware's. `shared`: the host may touch it. `reserved`: the firmware is
   * done with it, the host may not be. `freed`: given back to the allocator.
   */
  state: 'private' | 'shared' | 'reserved' | 'freed';
  /** What told the host of it: `wrmsr SIMP`, `GPADL 0x18ae0001`. Empty unless the host has it. */
  sharedBy: string;
}

export class SharedMemory {
  readonly memory: GuestMemory;
  /** Size of the guest's pages: what is shared has them for itself. */
  readonly pageSize: number;
  readonly #allocator: PageAllocator;
  readonly #log: Log;
  readonly #regions = new Set<Region>();

  constructor(memory: GuestMemory, allocator: PageAllocator, log: Log, pageSize = PAGE_SIZE) {
    this.memory = memory;
    this.pageSize = pageSize;
    this.#allocator = allocator;
    this.#log = log;
  }

  /**
   * Allocate a zeroed region. With the usual alignment it has its guest pages for itself.
   *
   * @throws HypxeError OutOfMemory
   */
  allocate(purpose: Purpose, length: number, align: number = this.pageSize): Region {
    // Nobody else's may lie in a guest page that is shared
    const { pageSize } = this;
    const rounded = Math.ceil(length / pageSize) * pageSize;
    const allocated = align < pageSize ? length : rounded;
    const address = this.#allocator.allocate(allocated, align, purpose);
    if (address === undefined) {
      throw new HypxeError('OutOfMemory', `no room for ${length} bytes of ${purpose}`);
    }
    this.memory.zero(address, allocated);
    const state = 'private';
    const region: Region = { purpose, address, length, allocated, state, sharedBy: '' };
    this.#regions.add(region);
    return region;
  }

  /** Give a region back, or keep it reserved if the host may still touch it. */
  free(region: Region): void {
    if (region.state === 'private') {
      this.#regions.delete(region);
      region.state = 'freed';
      this.#allocator.free(region.address, region.allocated, region.purpose);
    } else if (region.state === 'shared') {
      region.state = 'reserved';
      this.#emit('reserve', region, `${region.sharedBy} was not revoked`);
    }
  }

  /** The host is about to be told of a region. Call it before the host can know. */
  share(region: Region, by: string): void {
    if (region.state !== 'private') return;
    region.state = 'shared';
    region.sharedBy = by;
    this.#emit('share', region, by);
  }

  /** The host has let go. A region that was only kept back for the host is freed now. */
  revoke(region: Region, by: string): void {
    if (region.sharedBy === '') return;
    const kept = region.state === 'reserved';
    region.state = 'private';
    region.sharedBy = '';
    this.#emit('revoke', region, by);
    if (kept) this.free(region);
  }

  /** What the host may still touch. */
  outstanding(): Region[] {
    return [...this.#regions].filter(({ sharedBy }) => sharedBy !== '');
  }

  /**
   * The memory map for who comes next: the machine's, with everything that the host may still touch
   * reserved, in whole guest pages, with its purpose.
   */
  memoryMap(map: readonly MemoryRange[]): MemoryRange[] {
    let ranges: MemoryRange[] = [...map];
    for (const region of this.outstanding()) {
      const purpose = `${region.purpose} (${region.sharedBy} not revoked)`;
      ranges = reserve(ranges, region, this.pageSize, purpose);
    }
    return ranges;
  }

  #emit(change: 'share' | 'revoke' | 'reserve', region: Region, by: string): void {
    // Nothing is built if nobody reads it
    const { purpose, address, length } = region;
    this.#log.sink?.({ kind: 'ledger', change, purpose, address, length, by });
  }
}

/** Numbers of the Hyper-V pages from a page boundary on. */
export function pageNumbers(address: number, length: number): number[] {
  return Array.from({ length: length / PAGE_SIZE }, (_, page) => address / PAGE_SIZE + page);
}

/** Reserve a piece of a memory map, in whole guest pages. */
export function reserve(
  map: readonly MemoryRange[],
  { address, length }: { readonly address: number; readonly length: number },
  pageSize: number,
  purpose: string,
): MemoryRange[] {
  const start = Math.floor(address / pageSize) * pageSize;
  const end = Math.ceil((address + length) / pageSize) * pageSize;
  return map.flatMap((range) => carve(range, start, end, purpose));
}

/** Reserve what a usable range has in common with [start, end). */
export function carve(
  range: MemoryRange,
  start: number,
  end: number,
  purpose: string,
): MemoryRange[] {
  const rangeEnd = range.address + range.length;
  const from = Math.max(range.address, start);
  const to = Math.min(rangeEnd, end);
  if (range.type !== 'usable' || from >= to) return [range];

  const pieces: MemoryRange[] = [
    { ...range, length: from - range.address },
    { address: from, length: to - from, type: 'reserved', purpose },
    { ...range, address: to, length: rangeEnd - to },
  ];
  return pieces.filter(({ length }) => length > 0);
}
