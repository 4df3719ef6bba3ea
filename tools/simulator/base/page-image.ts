// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Memory at a moment, by page: what two moments have in common is there once. What a guest writes
 * nobody sees: all of memory is looked at, 64 bits at a time, and what differs is copied.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';

/** Double words of a page. */
const DOUBLE_WORDS = PAGE_SIZE / 8;

/** A page that nothing was written to, and what most of RAM is. */
const ZERO = new BigInt64Array(DOUBLE_WORDS);

/** Pages in order of their addresses; nobody writes to one. */
export type PageImage = readonly BigInt64Array[];

/** Where memory lies in a buffer that has more in it. */
export interface MemoryWindow {
  readonly offset: number;
  readonly length: number;
}

/** What memory has now: whole pages. Pages that are as in `before` are those. */
export function takeImage(
  memory: ArrayBufferLike,
  before: PageImage = [],
  window: MemoryWindow = whole(memory),
): PageImage {
  const now = doubleWords(memory, window);
  const image: BigInt64Array[] = [];
  for (let first = 0; first < now.length; first += DOUBLE_WORDS) {
    const was = before[image.length] ?? ZERO;
    if (isSame(now, first, was)) image.push(was);
    else if (was !== ZERO && isZero(now, first)) image.push(ZERO);
    else image.push(now.slice(first, first + DOUBLE_WORDS));
  }
  return image;
}

/** Let memory have it again. Nothing is looked at first: to write is quicker, zeros most of all. */
export function putImage(
  image: PageImage,
  memory: ArrayBufferLike,
  { offset, length }: MemoryWindow = whole(memory),
): void {
  const bytes = new Uint8Array(memory, offset, length);
  for (let page = 0; page < image.length; page++) {
    const contents = image[page]!;
    if (contents !== ZERO) {
      bytes.set(new Uint8Array(contents.buffer), page * PAGE_SIZE);
      continue;
    }
    const first = page;
    while (image[page + 1] === ZERO) page++;
    bytes.fill(0, first * PAGE_SIZE, (page + 1) * PAGE_SIZE);
  }
}

/** Bytes that an image takes beyond what another one has already. */
export function imageBytes(image: PageImage, other: PageImage = []): number {
  const own = image.filter((contents, page) => contents !== ZERO && contents !== other[page]);
  return own.length * PAGE_SIZE;
}

function whole({ byteLength }: ArrayBufferLike): MemoryWindow {
  return { offset: 0, length: byteLength };
}

/** To look at: where memory begins in the middle of a double word it is a copy. */
function doubleWords(memory: ArrayBufferLike, { offset, length }: MemoryWindow): BigInt64Array {
  return offset % 8 === 0
    ? new BigInt64Array(memory, offset, length / 8)
    : new BigInt64Array(memory.slice(offset, offset + length));
}

/** Whether the double words from `first` on are those of a page. Unrolled: RAM is long. */
function isSame(now: BigInt64Array, first: number, page: BigInt64Array): boolean {
  if (page === ZERO) return isZero(now, first);
  for (let i = 0, at = first; i < DOUBLE_WORDS; i += 4, at += 4) {
    const differ =
      (now[at]! ^ page[i]!) |
      (now[at + 1]! ^ page[i + 1]!) |
      (now[at + 2]! ^ page[i + 2]!) |
      (now[at + 3]! ^ page[i + 3]!);
    if (differ !== 0n) return false;
  }
  return true;
}

/** ... of a page of zeros, which takes half the time. */
function isZero(now: BigInt64Array, first: number): boolean {
  const end = first + DOUBLE_WORDS;
  for (let at = first; at < end; at += 4)
    if ((now[at]! | now[at + 1]! | now[at + 2]! | now[at + 3]!) !== 0n) return false;
  return true;
}
