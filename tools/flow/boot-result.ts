// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The contract of a firmware bundle: what it exports, and what its `boot` must return. Bundles come
 * from anywhere, so what they return is checked before anybody relies on it.
 */

import type { ServedBootResult as BootResult } from '../../src/services/boot-services.ts';
import type { StoredFile } from '../../src/services/file-store.ts';
import type { Machine, MemoryRange } from '../../src/machine.ts';
import type { GuestInstance } from '../guests/guest-program.ts';
import { GUEST_IMAGE } from '../guests/guest-image.ts';
import { overlap, without } from '../simulator/base/memory-pieces.ts';
import { RESIDENT_PURPOSE } from './san-boot.ts';

/** Ranges of a map, and files: of longer lists a JavaScript guest's realm tells no more. */
const ENTRIES_MAX = 4096;

/** What a flow needs of a guest: a whole firmware, and for a SAN boot its drivers. */
export type Firmware = Required<Pick<GuestInstance, 'boot'>> & Pick<GuestInstance, 'createDriver'>;

/** A firmware has returned what is no {@link BootResult}. */
export class BadBootResult extends Error {
  constructor(text: string) {
    super(text);
    this.name = 'BadBootResult';
  }
}

/**
 * Check what a firmware's `boot` has returned. `image: null` of one that has booted says that it
 * loads nothing: what it has left behind is judged all the same. What may be left out is filled in:
 * `attempts`, and the `memoryMap` of a firmware that shares nothing.
 *
 * @throws BadBootResult
 */
export function readBootResult(
  value: unknown,
  machine: Pick<Machine, 'memory' | 'memoryMap'>,
): BootResult {
  const result = value as Partial<BootResult> | null | undefined;
  if (typeof result !== 'object' || result === null) {
    throw new BadBootResult(`boot() returned ${String(value)}`);
  }
  if ('then' in result) {
    throw new BadBootResult('boot() returned a promise, but firmware is synchronous');
  }
  const { status, error } = result;
  if (status !== 'booted' && status !== 'failed') {
    throw new BadBootResult(`boot() returned the status ${shown(status)}`);
  }
  const memoryMap = result.memoryMap ?? machine.memoryMap;
  const size = machine.memory.byteLength;
  checkMemoryMap(memoryMap, machine.memoryMap, size);
  // Who says that it loads nothing is judged by its handoff alone
  const loaded = status === 'booted' && (result.image as unknown) !== null;
  const image = loaded ? checkImage(result.image, memoryMap, size) : undefined;
  const { commandLine, shutdown } = result;
  const files = checkFiles(result.files, memoryMap, size);
  return {
    ...{ status, image, error, attempts: listOf(result.attempts), memoryMap: named(memoryMap) },
    ...(files && { files }),
    ...(typeof commandLine === 'string' ? { commandLine } : {}),
    ...(typeof shutdown === 'object' && shutdown !== null ? { shutdown } : {}),
  };
}

/** The files beside the image, if there are any. */
function checkFiles(
  files: unknown,
  map: readonly MemoryRange[],
  size: number,
): BootResult['files'] | undefined {
  if (files === undefined || files === null) return undefined;
  if (!Array.isArray(files)) throw new BadBootResult('files is no array');
  if (files.length > ENTRIES_MAX)
    throw new BadBootResult(`files has more than ${ENTRIES_MAX} entries`);
  return (files as (Partial<StoredFile> | null)[]).map((file) => {
    const [path, name] = [textOf(file?.path), textOf(file?.name)];
    checkPlace(file ?? {}, map, size, `file ${path}`);
    return { path, name, address: file!.address!, length: file!.length! };
  });
}

/** Objects in a list; nothing for what is none. */
function listOf<T extends object>(value: readonly T[] | undefined): readonly T[] {
  if (!Array.isArray(value)) return [];
  return (value as readonly T[]).filter((each) => typeof each === 'object' && each !== null);
}

/** Purposes that the tool itself gives: what a guest calls so is none of it. */
const OWN_PURPOSES: readonly unknown[] = [GUEST_IMAGE, RESIDENT_PURPOSE];

/** A map whose purposes are texts, and the guest's own. */
function named(map: readonly MemoryRange[]): readonly MemoryRange[] {
  const isGood = ({ purpose }: MemoryRange): boolean =>
    purpose === undefined || (typeof purpose === 'string' && !OWN_PURPOSES.includes(purpose));
  if (map.every(isGood)) return map;
  return map.map((range) =>
    isGood(range) ? range : { ...range, purpose: `the guest's "${textOf(range.purpose)}"` },
  );
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** What the next owner finds in memory: the image, and the files beside it. */
export function memoryInUse(result: BootResult): Pick<MemoryRange, 'address' | 'length'>[] {
  const files = result.files?.filter(({ length }) => length > 0) ?? [];
  return result.image === undefined ? files : [result.image, ...files];
}

/**
 * A map that is handed on: of what the guest was `given`, and of each byte it says one thing. What
 * a guest lies in while it runs is the next owner's as well.
 */
function checkMemoryMap(
  map: readonly MemoryRange[],
  given: readonly MemoryRange[],
  size: number,
): void {
  if (!Array.isArray(map)) throw new BadBootResult('memoryMap is no array');
  if (map.length > ENTRIES_MAX)
    throw new BadBootResult(`memoryMap has more than ${ENTRIES_MAX} ranges`);
  for (const [i, range] of (map as Partial<MemoryRange>[]).entries()) {
    const { address, length, type } = range ?? {};
    if (!isPiece(address, length)) {
      throw new BadBootResult(`memoryMap[${i}] has no address and length`);
    }
    if (type !== 'usable' && type !== 'reserved') {
      throw new BadBootResult(`memoryMap[${i}] is ${shown(type)}`);
    }
    if (type === 'usable' && address! + length! > size) {
      throw new BadBootResult(`memoryMap[${i}] is usable beyond the end of RAM`);
    }
  }
  // In order, so that whatever meets lies side by side
  const sorted = [...map].sort((a, b) => a.address - b.address || a.length - b.length);
  const mine = given.filter(({ type, purpose }) => type === 'usable' || purpose === GUEST_IMAGE);
  let last: MemoryRange | undefined;
  for (const range of sorted) {
    const clash = last !== undefined && overlap(last, range) ? last : undefined;
    if (clash !== undefined && [clash.type, range.type].includes('usable')) {
      const [free, other] = range.type === 'usable' ? [range, clash] : [clash, range];
      throw new BadBootResult(`memoryMap calls ${at(free)} usable, and ${at(other)} ${other.type}`);
    }
    if (last === undefined || range.address + range.length > last.address + last.length)
      last = range;
    if (range.type !== 'usable' || without([range], mine).length === 0) continue;
    throw new BadBootResult(`memoryMap calls ${at(range)} usable, which the guest was not given`);
  }
}

function at({ address, length }: MemoryRange): string {
  return `0x${address.toString(16)} to 0x${(address + length).toString(16)}`;
}

function checkImage(
  image: BootResult['image'],
  map: readonly MemoryRange[],
  size: number,
): NonNullable<BootResult['image']> {
  checkPlace(image, map, size, 'image');
  const { name, device, address, length } = image!;
  return { name: textOf(name), address, length, device: textOf(device) };
}

/** What is handed on must lie in RAM, and outside of what is free. */
function checkPlace(
  place: Partial<Pick<MemoryRange, 'address' | 'length'>> | undefined,
  map: readonly MemoryRange[],
  size: number,
  what: string,
): void {
  const { address, length } = place ?? {};
  if (!isPiece(address, length) || address! + length! > size) {
    throw new BadBootResult(`boot() booted, but returned no ${what} that lies in RAM`);
  }
  const inMap = map.some(
    (range) =>
      range.type === 'usable' &&
      range.address < address! + length! &&
      address! < range.address + range.length,
  );
  if (inMap) throw new BadBootResult(`the ${what} lies in memory that memoryMap calls usable`);
}

function isPiece(address: number | undefined, length: number | undefined): boolean {
  return [address, length].every((value) => Number.isSafeInteger(value) && value! >= 0);
}

/** What a guest has put there, whatever it is: objects of data say nothing by themselves. */
function shown(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
