// SPDX-License-Identifier: GPL-2.0-or-later

/** What guest RAM and its map must be like. */

import { GUEST_PAGE_SIZES, type MemoryRange } from '../../../src/machine.ts';
import { hex } from '../base/hex.ts';

/** Smallest guest RAM: 2 MiB, so that there is something above the first mebibyte. */
const MEMORY_MIN = 0x200000;

/** @throws RangeError for memory that makes no machine */
export function checkMemory(size: number, pageSize: number): void {
  if (!GUEST_PAGE_SIZES.includes(pageSize)) throw new RangeError(`pages of ${pageSize} bytes`);
  if (size < MEMORY_MIN || size % pageSize !== 0) {
    throw new RangeError(`${size} bytes of memory: not whole pages, or less than ${MEMORY_MIN}`);
  }
}

/** @throws RangeError for a map that is none of such memory */
export function checkMemoryMap(map: readonly MemoryRange[], size: number): void {
  let end = 0;
  for (const range of map) {
    const past = range.address + range.length;
    if (range.address < end || range.length <= 0) {
      throw new RangeError(`memory map: ${hex(range.address)} overlaps or is out of order`);
    }
    if (range.type === 'usable' && past > size) {
      throw new RangeError(`memory map: ${hex(range.address)} is usable beyond the end of RAM`);
    }
    end = past;
  }
}
