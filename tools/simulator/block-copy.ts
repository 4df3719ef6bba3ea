// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Copying bytes between two arrays without a new object per copy: `to.set(from.subarray(…))` makes
 * one each time, which is all the garbage that a simulated network would make.
 */

/** From this length on words are copied. */
const WORDS_MIN = 24;

/** Copies blocks; remembers a view of the last two arrays, so keep one copier per pair of them. */
export class BlockCopy {
  #from: Uint8Array | undefined;
  #fromView: DataView = new DataView(new ArrayBuffer(0));
  #to: Uint8Array | undefined;
  #toView: DataView = new DataView(new ArrayBuffer(0));

  /**
   * Copy `length` bytes. The arrays must not be two views of overlapping memory.
   *
   * @throws RangeError if either side is too short.
   */
  copy(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
    if (fromAt < 0 || toAt < 0 || fromAt + length > from.length || toAt + length > to.length)
      throw new RangeError(`copy of ${length} bytes outside an array`);

    // The whole of an array: the engine's own copy needs no view
    if (fromAt === 0 && length === from.length) {
      to.set(from, toAt);
      return;
    }

    // Words first, unrolled: about four times as fast as bytes
    let at = 0;
    if (length >= WORDS_MIN) {
      const source = this.#viewOfSource(from);
      const target = this.#viewOfTarget(to);
      for (; at + 16 <= length; at += 16) {
        const a = fromAt + at;
        const b = toAt + at;
        target.setInt32(b, source.getInt32(a, true), true);
        target.setInt32(b + 4, source.getInt32(a + 4, true), true);
        target.setInt32(b + 8, source.getInt32(a + 8, true), true);
        target.setInt32(b + 12, source.getInt32(a + 12, true), true);
      }
    }
    for (; at < length; at++) to[toAt + at] = from[fromAt + at]!;
  }

  #viewOfSource(from: Uint8Array): DataView {
    if (from !== this.#from) {
      this.#from = from;
      this.#fromView = new DataView(from.buffer, from.byteOffset, from.length);
    }
    return this.#fromView;
  }

  #viewOfTarget(to: Uint8Array): DataView {
    if (to !== this.#to) {
      this.#to = to;
      this.#toView = new DataView(to.buffer, to.byteOffset, to.length);
    }
    return this.#toView;
  }
}
