// SPDX-License-Identifier: GPL-2.0-or-later

/** A machine as the next firmware gets it: with the memory that the one before has handed on. */

import type { Machine, MemoryRange } from '../../src/machine.ts';
import { carve } from '../../src/memory/shared-memory.ts';
import { overlap, wholePages, without, type Piece } from '../simulator/base/memory-pieces.ts';
import { PassingArm64, PassingX64 } from '../simulator/base/passing-machine.ts';
import { RESIDENT_PURPOSE } from './san-boot.ts';

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
 * has not handed on, as the host has it, stays so, but its image is nobody's any more.
 *
 * @param inUse the image and the files beside it: they have whole pages
 * @param pageSize of the guest, in bytes
 */
export function mapOnceMore(
  given: readonly MemoryRange[],
  handedOn: readonly MemoryRange[],
  inUse: readonly Piece[],
  pageSize: number,
): readonly MemoryRange[] {
  const usable = (map: readonly MemoryRange[]) => map.filter(({ type }) => type === 'usable');
  const pages = inUse.map((piece) => wholePages(piece, pageSize));
  const resident = handedOn.filter(({ purpose }) => purpose === RESIDENT_PURPOSE);
  const kept = without(usable(given), [...usable(handedOn), ...pages, ...resident]);
  if (kept.length === 0) return given;
  return kept.reduce<MemoryRange[]>(
    (map, piece) => {
      const named = handedOn.find((range) => range.type === 'reserved' && overlap(range, piece));
      const { address, length } = piece;
      const purpose = named?.purpose ?? 'kept back';
      return map.flatMap((range) => carve(range, address, address + length, purpose));
    },
    [...given],
  );
}
