// SPDX-License-Identifier: GPL-2.0-or-later

/** Pieces of memory, as sets of bytes. */

import type { MemoryRange } from '../../../src/machine.ts';

/** A piece of memory. */
export type Piece = Pick<MemoryRange, 'address' | 'length'>;

/** Whether two pieces have a byte in common; none has an empty one. */
export function overlap(one: Piece, other: Piece): boolean {
  if (one.length === 0 || other.length === 0) return false;
  return one.address < other.address + other.length && other.address < one.address + one.length;
}

/** What of some pieces is in none of others, in order; an empty piece is nothing. */
export function without(pieces: readonly Piece[], others: readonly Piece[]): Piece[] {
  const whole = pieces.filter(({ length }) => length > 0);
  let rest: Piece[] = whole.map(({ address, length }) => ({ address, length }));
  for (const other of others) {
    rest = rest.flatMap((piece) => {
      if (!overlap(piece, other)) return [piece];
      const end = piece.address + piece.length;
      const behind = other.address + other.length;
      return [
        { address: piece.address, length: Math.max(0, other.address - piece.address) },
        { address: behind, length: Math.max(0, end - behind) },
      ].filter(({ length }) => length > 0);
    });
  }
  return rest;
}

/** The pages in which a piece lies, whole. */
export function wholePages({ address, length }: Piece, pageSize: number): Piece {
  const first = Math.floor(address / pageSize) * pageSize;
  const end = Math.ceil((address + length) / pageSize) * pageSize;
  return { address: first, length: end - first };
}
