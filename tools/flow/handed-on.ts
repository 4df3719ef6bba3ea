// SPDX-License-Identifier: GPL-2.0-or-later

/** A machine as the next firmware gets it: with the memory that the one before has handed on. */

import type { Machine, MemoryRange } from '../../src/machine.ts';
import { carve } from '../../src/memory/shared-memory.ts';
import { PassingArm64, PassingX64 } from '../simulator/base/passing-machine.ts';
import { RESIDENT_PURPOSE } from './san-boot.ts';

/** A piece of memory. */
type Piece = Pick<MemoryRange, 'address' | 'length'>;

/** The machine with another memory map; itself if the map is its own. */
export function withMap(machine: Machine, map: readonly MemoryRange[]): Machine {
  if (map === machine.memoryMap) return machine;
  if (machine.architecture === 'arm64') return new PassingArm64(machine, map);
  const { rdtsc } = machine;
  const passing = new PassingX64(machine, map);
  return rdtsc === undefined ? passing : Object.assign(passing, { rdtsc: () => machine.rdtsc!() });
}

/**
 * The memory of a firmware that boots when all that came after the last one is gone: what that one
 * has reserved because the host has it stays so, but its image is nobody's any more.
 *
 * @param inUse the image and the files beside it
 */
export function mapOnceMore(
  given: readonly MemoryRange[],
  handedOn: readonly MemoryRange[],
  inUse: readonly Piece[],
): readonly MemoryRange[] {
  const kept = handedOn.filter(
    (range) =>
      range.type === 'reserved' &&
      range.purpose !== RESIDENT_PURPOSE &&
      given.some((piece) => piece.type === 'usable' && overlaps(piece, range)) &&
      !inUse.some((piece) => overlaps(piece, range)),
  );
  if (kept.length === 0) return given;
  return kept.reduce<MemoryRange[]>(
    (map, { address, length, purpose = '' }) =>
      map.flatMap((range) => carve(range, address, address + length, purpose)),
    [...given],
  );
}

function overlaps(one: Piece, other: Piece): boolean {
  return one.address < other.address + other.length && other.address < one.address + one.length;
}
