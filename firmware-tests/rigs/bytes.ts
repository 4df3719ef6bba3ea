// SPDX-License-Identifier: GPL-2.0-or-later

/** Bytes as tests write them down: hexadecimal text, little-endian words, patterns. */

/** Two lower-case digits for each byte. */
export function hex(bytes: ArrayLike<number>): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The bytes of hexadecimal text; spaces do not count. */
export function unhex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/[0-9a-f]{2}/gi) ?? [], (digits) => parseInt(digits, 16));
}

/** Little-endian words as hexadecimal. */
export function words(...values: number[]): string {
  return hex(new Uint8Array(Uint32Array.from(values).buffer));
}

/** The codes of the characters of a text. */
export function ascii(text: string): number[] {
  return Array.from(text, (character) => character.charCodeAt(0));
}
