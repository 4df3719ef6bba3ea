// SPDX-License-Identifier: GPL-2.0-or-later

/** Guest RAM and the machines that are made for it, in one place. */

import { PAGE_SIZE, type MemoryRange } from '../../src/machine.ts';
import { defaultMemoryMap } from '../simulator/hypervisor/partition.ts';
import { SimulatedMachine, type SimulatedMachineOptions } from '../simulator/machine.ts';
import type { GuestInstance } from './guest-program.ts';

/** A guest's RAM, and what of it the guest lies in. */
export type GuestMemory = Pick<GuestInstance, 'memory' | 'image'>;

/**
 * The machine for a guest's RAM. What the guest lies in is reserved in the memory map.
 *
 * @throws RangeError for options that make no machine
 */
export function machineFor(
  { memory, image }: GuestMemory,
  options: Omit<SimulatedMachineOptions, 'memory'>,
): SimulatedMachine {
  const { pageSize = PAGE_SIZE } = options;
  const map = options.memoryMap ?? defaultMemoryMap(memory.byteLength, pageSize);
  return new SimulatedMachine({ ...options, memory, memoryMap: withReserved(map, image) });
}

/** A memory map in which some ranges are reserved, sorted by address. */
export function withReserved(
  map: readonly MemoryRange[],
  reserved: readonly MemoryRange[],
): readonly MemoryRange[] {
  let ranges = [...map];
  for (const one of reserved) {
    const end = one.address + one.length;
    ranges = ranges.flatMap((range) => {
      const rangeEnd = range.address + range.length;
      if (rangeEnd <= one.address || end <= range.address) return [range];
      return [
        { ...range, length: Math.max(0, one.address - range.address) },
        { ...range, address: end, length: Math.max(0, rangeEnd - end) },
      ].filter(({ length }) => length > 0);
    });
    ranges.push({ ...one, type: 'reserved' });
  }
  return ranges.sort((a, b) => a.address - b.address);
}
