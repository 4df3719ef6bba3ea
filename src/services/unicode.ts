// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * UTF-16LE as the host writes names, UTF-8 as everybody else does, and text. What is no character
 * becomes U+FFFD: a name is never cut short or misread in silence (Linux `utf16s_to_utf8s` drops
 * unpaired surrogates).
 */

/** Stands for whatever is no character. */
const REPLACEMENT = 0xfffd;

/** Longest UTF-8 sequence. */
const UTF8_MAX = 4;

/** Least code point that needs a sequence of so many bytes. */
const UTF8_LEAST = [0, 0, 0x80, 0x800, 0x10000];

/**
 * UTF-16LE of a field as UTF-8.
 *
 * The text ends at the first NUL or, if there is none, with the field. Half a unit at the end of an
 * odd field is no character.
 *
 * @param length bytes of the field
 */
export function utf16ToUtf8(bytes: Uint8Array, offset: number, length: number): Uint8Array {
  const utf8 = new Uint8Array(3 * Math.ceil(length / 2));
  const end = offset + length;
  let used = 0;
  for (let at = offset; at < end; at += 2) {
    // A unit, with its other half if it is the first of a surrogate pair
    let point = at + 1 < end ? bytes[at]! | (bytes[at + 1]! << 8) : REPLACEMENT;
    if (point === 0) break;
    if (isHigh(point) && at + 3 < end) {
      const next = bytes[at + 2]! | (bytes[at + 3]! << 8);
      if (isLow(next)) {
        point = 0x10000 + ((point - 0xd800) << 10) + (next - 0xdc00);
        at += 2;
      }
    }
    used = putUtf8(utf8, used, isHigh(point) || isLow(point) ? REPLACEMENT : point);
  }
  return utf8.slice(0, used);
}

/** The text of UTF-8; each byte that belongs to no valid sequence is U+FFFD. */
export function utf8Text(bytes: Uint8Array, offset = 0, length = bytes.length - offset): string {
  const end = offset + length;
  let text = '';
  for (let at = offset; at < end;) {
    const size = sequenceLength(bytes, at, end);
    text += String.fromCodePoint(size === 0 ? REPLACEMENT : codePoint(bytes, at, size));
    at += Math.max(size, 1);
  }
  return text;
}

/** Length of the valid sequence at `at`, or 0. */
function sequenceLength(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at]!;
  const size = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : UTF8_MAX;
  if (size === 0 || at + size > end) return 0;
  for (let i = 1; i < size; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return 0;

  // Nothing in more bytes than it needs, no surrogates, nothing beyond the last plane
  const point = codePoint(bytes, at, size);
  const valid = point >= UTF8_LEAST[size]! && point <= 0x10ffff && !isHigh(point) && !isLow(point);
  return valid ? size : 0;
}

function codePoint(bytes: Uint8Array, at: number, size: number): number {
  let point = size === 1 ? bytes[at]! : bytes[at]! & (0x7f >> size);
  for (let i = 1; i < size; i++) point = (point << 6) | (bytes[at + i]! & 0x3f);
  return point;
}

/** Append a code point; returns where the next goes. */
function putUtf8(into: Uint8Array, at: number, point: number): number {
  if (point < 0x80) {
    into[at] = point;
    return at + 1;
  }
  const size = point < 0x800 ? 2 : point < 0x10000 ? 3 : UTF8_MAX;
  for (let i = size - 1, rest = point; i > 0; i--, rest >>= 6) into[at + i] = 0x80 | (rest & 0x3f);
  into[at] = ((0xf00 >> size) & 0xff) | (point >> (6 * (size - 1)));
  return at + size;
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}

function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit < 0xe000;
}
