// SPDX-License-Identifier: GPL-2.0-or-later

/** The memory map as the platform hands it over, checked once before anything is taken of it. */

import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import type { Machine, MemoryRange } from '../machine.ts';
import { carve } from './shared-memory.ts';

/** The members that are looked at before anything else, and what each is. */
const MEMBERS = {
  memory: (value: unknown) => (value as Partial<ArrayBufferLike> | null)?.byteLength !== undefined,
  memoryMap: Array.isArray,
} as const;

/** Whoever calls from JavaScript is told what is missing. @throws HypxeError BadMachine */
export function checkMachine(machine: Partial<Machine> | undefined): Machine {
  for (const [name, isGood] of Object.entries(MEMBERS)) {
    const value: unknown = machine?.[name as keyof typeof MEMBERS];
    const is = value === null ? 'null' : typeof value;
    if (!isGood(value)) throw new HypxeError('BadMachine', `machine.${name} is ${is}`);
  }
  return machine as Machine;
}

/**
 * The map of a machine as it can be used: sorted, and what is usable is RAM that is there and in no
 * other range. Where ranges overlap, reserved is reserved and the first usable one counts (Linux
 * e820__update_table). What cannot be used as it is said to be is told to `log`.
 */
export function soundMap(machine: Machine, log?: Log): MemoryRange[] {
  const { memory, memoryMap } = machine;
  const isUsable = ({ type }: MemoryRange): boolean => type === 'usable';
  const sound = memoryMap.filter((range) => !isUsable(range));
  for (const range of memoryMap.filter(isUsable)) {
    const { address } = range;
    const length = Math.min(range.length, memory.byteLength - address);
    let pieces: MemoryRange[] = address >= 0 && length > 0 ? [{ ...range, length }] : [];
    for (const other of sound) {
      const end = other.address + other.length;
      pieces = pieces.flatMap((piece) => carve(piece, other.address, end, '')).filter(isUsable);
    }
    sound.push(...pieces);
    if (pieces[0]?.length !== range.length)
      log?.warning(
        'HV',
        '',
        `${range.length} bytes at 0x${address.toString(16)}: not all of it is usable RAM`,
      );
  }
  return sound.sort((a, b) => a.address - b.address);
}
