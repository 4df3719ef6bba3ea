// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The Internet checksum (RFC 1071) over the 16-bit words of a frame, taken in the byte order of the
 * machine: the sum does not depend on it as long as the result is stored in the same order
 * (RFC 1071, 2 B). Sums are plain numbers, folded at the end.
 */

/** Whether this machine has the low byte first. */
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** A 16-bit value as the word that it is on the wire. */
export function networkWord(value: number): number {
  return LITTLE_ENDIAN ? ((value & 0xff) << 8) | (value >>> 8) : value;
}

/**
 * Sum of the words of `length` bytes at byte `at`, which is even. With an odd length the byte
 * after the last one must be zero.
 */
export function sumWords(words: Uint16Array, at: number, length: number): number {
  const end = (at + length + 1) >> 1;
  let sum = 0;
  for (let i = at >> 1; i < end; i++) sum += words[i]!;
  return sum;
}

/**
 * Copy `length` bytes at `from` of `data` to byte `at` (even) of a frame, and return their sum: a
 * block is touched once. With an odd length a zero byte follows.
 */
export function copyAndSum(
  words: Uint16Array,
  at: number,
  data: Uint8Array,
  from: number,
  length: number,
): number {
  const high = LITTLE_ENDIAN ? 8 : 0;
  const low = 8 - high;
  const pairs = from + (length & ~1);
  let to = at >> 1;
  let sum = 0;
  for (let i = from; i < pairs; i += 2) {
    const word = (data[i]! << low) | (data[i + 1]! << high);
    words[to++] = word;
    sum += word;
  }
  if ((length & 1) !== 0) {
    words[to] = data[pairs]! << low;
    sum += words[to]!;
  }
  return sum;
}

/** A sum folded to 16 bits. */
export function foldSum(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}
