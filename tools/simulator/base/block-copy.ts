// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Copying bytes between two arrays without a new object per copy: `to.set(from.subarray(…))` makes
 * one each time, which is all the garbage that a simulated network would make.
 */

/** From this length on words are copied. */
const WORDS_MIN = 32;

/** Copies blocks. Remembers a view of each array that it has met, for as long as that lives. */
export class BlockCopy {
  readonly #views = new WeakMap<Uint8Array, DataView>();
  /** The arrays of the last copy: most copies are from and to the same ones. */
  #from: Uint8Array | undefined;
  #to: Uint8Array | undefined;
  #source!: DataView;
  #target!: DataView;

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
      if (from !== this.#from) this.#source = this.#view((this.#from = from));
      if (to !== this.#to) this.#target = this.#view((this.#to = to));
      const source = this.#source;
      const target = this.#target;
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

  #view(bytes: Uint8Array): DataView {
    let view = this.#views.get(bytes);
    if (view === undefined) {
      view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      this.#views.set(bytes, view);
    }
    return view;
  }
}
