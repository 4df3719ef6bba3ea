// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A count for each page of RAM. It takes memory only for parts of RAM in which something was
 * counted, so that a machine costs what its guest touches and not what RAM it has: a flat list for
 * 1 GiB took a tenth of a whole boot.
 */

import type { Keeper } from './snapshot.ts';

/** Pages whose counts lie together. */
const PART_SHIFT = 10;
const PART_MASK = (1 << PART_SHIFT) - 1;

export class PageCounts {
  /** How many pages there are. */
  readonly length: number;
  readonly #parts: (Uint32Array | undefined)[];

  constructor(length: number) {
    this.length = length;
    this.#parts = new Array<undefined>(Math.ceil(length / (1 << PART_SHIFT))).fill(undefined);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#parts);
  }

  /** The count of a page: 0 to 2^32 - 1. */
  of(page: number): number {
    const part = this.#parts[page >>> PART_SHIFT];
    return part === undefined ? 0 : part[page & PART_MASK]!;
  }

  /** Count a page once more. @returns its count before */
  add(page: number): number {
    const part = (this.#parts[page >>> PART_SHIFT] ??= new Uint32Array(1 << PART_SHIFT));
    return part[page & PART_MASK]!++;
  }

  /** Count a page that was counted once less. */
  take(page: number): void {
    this.#parts[page >>> PART_SHIFT]![page & PART_MASK]!--;
  }
}
