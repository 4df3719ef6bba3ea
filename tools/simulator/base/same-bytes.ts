// SPDX-License-Identifier: GPL-2.0-or-later

/** Comparing bytes, without a call for each. */

/** Whether an array has `expected`, all of it, from `at` on. */
export function sameBytes(bytes: ArrayLike<number>, expected: Uint8Array, at = 0): boolean {
  // Words where both lie at whole ones: images and pages do
  let i = 0;
  const start = bytes instanceof Uint8Array ? bytes.byteOffset + at : 1;
  const count = expected.length >>> 2;
  if (((start | expected.byteOffset) & 3) === 0 && at + 4 * count <= bytes.length && count > 0) {
    const words = new Int32Array((bytes as Uint8Array).buffer, start, count);
    const others = new Int32Array(expected.buffer, expected.byteOffset, count);
    for (let word = 0; word < count; word++) if (words[word] !== others[word]) return false;
    i = 4 * count;
  }
  for (; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
  return true;
}
