// SPDX-License-Identifier: GPL-2.0-or-later

/** Bytes from structure definitions: a writer that shares nothing with the drivers. */

import * as assert from 'uvu/assert';
import type { Struct } from '../../../src/wire.ts';

type Value = number | bigint | Uint8Array;

/** The bytes of a structure; fields that are not given are zero. */
export function encode<F extends string>(
  layout: Struct<F>,
  values: Readonly<Partial<Record<F, Value>>>,
): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  const view = new DataView(bytes.buffer);
  for (const key of Object.keys(values) as F[]) {
    const value = values[key]!;
    const [at, size] = [layout.at[key], layout.sizes[key]];
    if (value instanceof Uint8Array) {
      assert.ok(value.length <= size, `${layout.name}.${key} holds ${size} bytes`);
      bytes.set(value, at);
    } else if (size === 1) view.setUint8(at, Number(value));
    else if (size === 2) view.setUint16(at, Number(value), true);
    else if (size === 4) view.setUint32(at, Number(value), true);
    else if (size === 8) view.setBigUint64(at, BigInt(value), true);
    else throw new Error(`${layout.name}.${key} is not a number`);
  }
  return bytes;
}

/** Several pieces one after the other, filled up with zeros to `length`. */
export function join(length: number | undefined, ...pieces: Uint8Array[]): Uint8Array {
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const bytes = new Uint8Array(length ?? total);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** A register of 64 bits as it lies in memory. */
export function u64(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}

/** `count` page numbers from `first` on. */
export function pfns(first: number, count: number): Uint8Array {
  return join(undefined, ...Array.from({ length: count }, (_, i) => u64(BigInt(first + i))));
}

/** `count` bytes, counting from `first`. */
export function counting(first: number, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => first + i);
}
