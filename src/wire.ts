// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Wire structures as data: the size of a structure and the place of each field, so that drivers,
 * the simulated host, the decoder of the replay and the tests against the golden layouts all read
 * one definition. All multi-byte fields are little-endian, all structures packed.
 */

/** A structure. `at.field` is the byte offset of the field, `sizes.field` its length in bytes. */
export interface Struct<F extends string> {
  /** Name as in the field's documents (TLFS, Linux, iPXE). */
  readonly name: string;
  /** Length in bytes, without a flexible array at the end. */
  readonly size: number;
  readonly at: Readonly<Record<F, number>>;
  readonly sizes: Readonly<Record<F, number>>;
}

/** A field: [offset, length], both in bytes. A flexible array at the end has length 0. */
export type Field = readonly [offset: number, length: number];

/**
 * Define a structure.
 *
 * @throws RangeError if a field does not lie within `size`: a mistake in the definition.
 */
export function struct<F extends string>(
  name: string,
  size: number,
  fields: Readonly<Record<F, Field>>,
): Struct<F> {
  const at = {} as Record<F, number>;
  const sizes = {} as Record<F, number>;
  for (const key of Object.keys(fields) as F[]) {
    const [offset, length] = fields[key];
    if (offset < 0 || offset + length > size)
      throw new RangeError(`${name}.${key} exceeds ${size}`);
    at[key] = offset;
    sizes[key] = length;
  }
  return { name, size, at, sizes };
}

/** A GUID in the canonical text form as its 16 bytes on the wire (first three fields swapped). */
export function guidBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  let at = 0;
  for (const to of GUID_ORDER) {
    if (text[at] === '-') at++;
    bytes[to] = parseInt(text.slice(at, (at += 2)), 16);
  }
  return bytes;
}

/** The canonical lower-case text of a GUID that lies at `offset` of `bytes` in its wire form. */
export function guidText(bytes: Uint8Array, offset = 0): string {
  let text = '';
  for (let i = 0; i < 16; i++) {
    if (i > 3 && i < 11 && i % 2 === 0) text += '-';
    text += byteHex(bytes[offset + GUID_ORDER[i]!]!);
  }
  return text;
}

/** A byte as two hexadecimal digits. */
export function byteHex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

/** Little-endian 32-bit words as bytes, and zeros behind them up to `length`. */
export function wordBytes(length: number, ...words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < 4 * words.length; at++) bytes[at] = words[at >>> 2]! >>> (8 * (at & 3));
  return bytes;
}

/** A number for people, as `0x1f`. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

/** Where the nth byte of the canonical text lies on the wire. */
const GUID_ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
