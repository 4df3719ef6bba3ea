// SPDX-License-Identifier: GPL-2.0-or-later

/** Bytes as the text that trace files carry: lower-case hexadecimal without a prefix. */

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** The text of `bytes`. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += DIGITS[byte]!;
  return text;
}

/** The bytes of `text`. The text is known to be hexadecimal of an even length. */
export function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(i * 2, i * 2 + 2), 16);
  return bytes;
}

/** A number as `0x…`. */
export function hexNumber(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
