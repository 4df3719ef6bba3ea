// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The memory of the loaded OS: what it takes of the map that it was handed, and what it sets aside.
 */

import { PAGE_SIZE, type MemoryRange } from '../../src/machine.ts';
import { MapAllocator, type PageAllocator, type PageRun } from '../../src/memory/allocator.ts';

/**
 * Least memory for a crash kernel, and its part of the whole: as `crashkernel=` is chosen. Where
 * there is less (a crash kernel that keeps room for another one), half of it, if that is enough.
 */
const CRASH_KERNEL_MIN = 2 << 20;
const CRASH_KERNEL_PART = 8;
const CRASH_KERNEL_LEAST = 3 << 18;

/** Nothing is set aside below this: a PC has its own things there. */
const LOW_MEMORY_END = 0x100000;

export class OsMemory implements PageAllocator {
  readonly map: readonly MemoryRange[];
  /** Where a crash kernel would run; undefined if there is no room for one. */
  readonly crashKernel: PageRun | undefined;
  /** Something was asked for, and there was no room for it. */
  exhausted = false;
  readonly #allocator: MapAllocator;
  readonly #onAllocate: ((address: number, length: number) => void) | undefined;

  /**
   * @param onAllocate told of everything that the OS takes for its own use
   * @param withCrashKernel whether memory for a crash kernel is set aside
   * @param pageSize size of the guest's pages
   */
  constructor(
    map: readonly MemoryRange[],
    onAllocate: ((address: number, length: number) => void) | undefined,
    withCrashKernel: boolean,
    pageSize: number | undefined,
  ) {
    this.map = map;
    this.#allocator = new MapAllocator(map, pageSize);
    this.#onAllocate = onAllocate;
    if (!withCrashKernel) return;
    const usable = map.filter(({ type }) => type === 'usable');
    const total = usable.reduce((sum, { length }) => sum + length, 0);
    const wanted = Math.max(CRASH_KERNEL_MIN, Math.floor(total / CRASH_KERNEL_PART));
    const length = Math.min(wanted, Math.floor(total / 2));
    if (length < CRASH_KERNEL_LEAST) return;
    this.crashKernel = this.#allocator.allocateLow(length, LOW_MEMORY_END);
  }

  allocate(length: number, align: number): number | undefined {
    const address = this.#allocator.allocate(length, align);
    if (address === undefined) this.exhausted = true;
    else this.#onAllocate?.(address, Math.ceil(length / PAGE_SIZE) * PAGE_SIZE);
    return address;
  }

  free(address: number, length: number): void {
    this.#allocator.free(address, length);
  }

  /** The map of a crash kernel: its own memory, and the dead kernel's, which it only reads. */
  crashMap(): MemoryRange[] {
    const own = this.crashKernel;
    if (own === undefined) return this.map.map(reserveForDump);
    const end = own.address + own.length;
    return this.map.flatMap((range) => {
      const rangeEnd = range.address + range.length;
      if (range.type !== 'usable' || range.address > own.address || rangeEnd < end) {
        return [reserveForDump(range)];
      }
      const pieces = [
        { ...reserveForDump(range), length: own.address - range.address },
        { address: own.address, length: own.length, type: 'usable' as const },
        { ...reserveForDump(range), address: end, length: rangeEnd - end },
      ];
      return pieces.filter(({ length }) => length > 0);
    });
  }
}

function reserveForDump(range: MemoryRange): MemoryRange {
  if (range.type !== 'usable') return range;
  return { ...range, type: 'reserved', purpose: 'memory of the crashed kernel, for the dump' };
}
