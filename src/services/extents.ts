// SPDX-License-Identifier: GPL-2.0-or-later

/** Which bytes of a file have come: sorted, disjoint ranges. */

/** Most ranges: a host that writes with more holes than this has no reason to. */
const EXTENTS_MAX = 1024;

export class Extents {
  /** Begin and end of each range, in turns. */
  readonly #bounds: number[] = [];

  clear(): void {
    this.#bounds.length = 0;
  }

  /** Add [begin, end). Returns false, with nothing changed, if there would be too many ranges. */
  add(begin: number, end: number): boolean {
    const bounds = this.#bounds;
    const last = bounds.length - 1;
    if (begin >= end) return true;

    // In order, as almost always: the last range grows
    if (last > 0 && begin === bounds[last]) {
      bounds[last] = end;
      return true;
    }

    // Else join all ranges that it touches
    let first = 0;
    while (first < bounds.length && bounds[first + 1]! < begin) first += 2;
    let after = first;
    while (after < bounds.length && bounds[after]! <= end) after += 2;
    if (first === after && bounds.length >= 2 * EXTENTS_MAX) return false;
    const from = first < after ? Math.min(begin, bounds[first]!) : begin;
    const to = first < after ? Math.max(end, bounds[after - 1]!) : end;
    bounds.splice(first, after - first, from, to);
    return true;
  }

  /** Whether all of [0, size) is there. */
  covers(size: number): boolean {
    if (size === 0) return true;
    return this.#bounds.length >= 2 && this.#bounds[0] === 0 && this.#bounds[1]! >= size;
  }

  /** Bytes that are there. */
  get length(): number {
    let length = 0;
    for (let i = 0; i < this.#bounds.length; i += 2) {
      length += this.#bounds[i + 1]! - this.#bounds[i]!;
    }
    return length;
  }
}
