// SPDX-License-Identifier: GPL-2.0-or-later

/** What the methods of typed arrays read and write, in bytes of the buffer. */

/** Bytes from `start` on; none if `length` is 0. */
export interface Extent {
  readonly start: number;
  readonly length: number;
}

/** What a call touches. */
export interface MethodAccess {
  readonly reads: Extent;
  readonly writes: Extent;
}

/** What of a typed array counts here. */
export interface ArrayPlace {
  readonly length: number;
  readonly byteOffset: number;
  readonly BYTES_PER_ELEMENT: number;
}

const NONE: Extent = { start: 0, length: 0 };

/** Methods that read and write the whole array. */
const IN_PLACE = ['reverse', 'sort'];

/** Methods that touch nothing by themselves. */
const UNTOUCHING = ['subarray', 'constructor', 'hasOwnProperty', 'isPrototypeOf', 'valueOf'];

/** What `array[name](...args)` touches. Whatever is not known here reads the whole array. */
export function methodAccess(
  array: ArrayPlace,
  name: string,
  args: readonly unknown[],
): MethodAccess {
  const { length } = array;
  const first = args[0];
  const second = args[1];
  const third = args[2];
  switch (name) {
    case 'slice':
      return { reads: between(array, first, second), writes: NONE };
    case 'fill':
      return { reads: NONE, writes: between(array, second, third) };
    case 'copyWithin': {
      const from = between(array, second, third);
      const to = between(array, first, undefined);
      return { reads: from, writes: { start: to.start, length: Math.min(from.length, to.length) } };
    }
    case 'set': {
      const count = (first as { readonly length?: number } | undefined)?.length ?? 0;
      const offset = Number(second ?? 0);
      return { reads: NONE, writes: between(array, offset, offset + count) };
    }
    case 'at': {
      const index = relative(first, length, 0);
      return { reads: between(array, index, index + 1), writes: NONE };
    }
    default: {
      if (UNTOUCHING.includes(name)) return { reads: NONE, writes: NONE };
      const whole = between(array, 0, length);
      return { reads: whole, writes: IN_PLACE.includes(name) ? whole : NONE };
    }
  }
}

/** The bytes of elements `from` to `to`, as `slice` counts them. */
function between(array: ArrayPlace, from: unknown, to: unknown): Extent {
  const { length, byteOffset, BYTES_PER_ELEMENT: size } = array;
  const first = relative(from, length, 0);
  const end = relative(to, length, length);
  if (end <= first) return NONE;
  return { start: byteOffset + first * size, length: (end - first) * size };
}

/** An index that may count from the end. */
function relative(value: unknown, length: number, missing: number): number {
  if (value === undefined) return missing;
  const index = Math.trunc(Number(value)) || 0;
  return index < 0 ? Math.max(0, length + index) : Math.min(index, length);
}
