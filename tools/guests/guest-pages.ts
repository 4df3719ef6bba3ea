// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The memory that a guest takes and gives back, and the memory map that it hands on: what it has
 * not given back is reserved, with its purpose.
 */

import type { MemoryRange } from '../../src/machine.ts';
import { MapAllocator, type PageAllocator } from '../../src/memory/allocator.ts';
import { carve } from '../../src/memory/shared-memory.ts';
import type { Keeper, Saved } from '../simulator/base/snapshot.ts';
import { hex } from '../simulator/base/hex.ts';
import { GuestFault } from './guest-error.ts';

/** Most pieces that a guest may hold at a time, reserved ones included. */
const PIECES_MAX = 65536;

interface Piece {
  readonly address: number;
  readonly length: number;
  readonly purpose: string;
}

/** An allocator that goes with a snapshot. */
export class SavedAllocator extends MapAllocator implements Saved {
  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.holes);
  }
}

export class GuestPages implements Saved {
  readonly #allocator: PageAllocator;
  readonly #pageSize: number;
  #held: Piece[] = [];
  readonly #reserved: Piece[] = [];

  constructor(allocator: PageAllocator, pageSize: number) {
    this.#allocator = allocator;
    this.#pageSize = pageSize;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#held], (v) => ([this.#held] = v));
    keeper.keep(this.#reserved);
    keeper.demand('where its pages come from', this.#allocator);
  }

  /** Address of whole pages, or undefined without room. @throws GuestFault */
  allocate(bytes: number, purpose: string): number | undefined {
    const length = this.#whole(bytes);
    if (length === 0) throw new GuestFault('page_alloc of 0 bytes');
    if (this.#held.length >= PIECES_MAX) return undefined;
    const address = this.#allocator.allocate(length, this.#pageSize, purpose);
    if (address !== undefined) this.#held.push({ address, length, purpose });
    return address;
  }

  /** Give pages back: all of an allocation or a part. @throws GuestFault for others */
  free(address: number, bytes: number): void {
    const length = this.#whole(bytes);
    const end = address + length;
    const piece = this.#held.find((p) => p.address <= address && end <= p.address + p.length);
    if (piece === undefined || length === 0 || address % this.#pageSize !== 0) {
      throw new GuestFault(`page_free of ${bytes} bytes at ${hex(address)}: not allocated`);
    }
    const { purpose } = piece;
    const rest = [
      { address: piece.address, length: address - piece.address, purpose },
      { address: end, length: piece.address + piece.length - end, purpose },
    ];
    this.#held = this.#held.filter((other) => other !== piece);
    this.#held.push(...rest.filter((each) => each.length > 0));
    this.#allocator.free(address, length, purpose);
  }

  /** A range of the guest's own allocator is kept. @throws GuestFault */
  reserve(address: number, bytes: number, purpose: string): void {
    if (this.#reserved.length >= PIECES_MAX) throw new GuestFault('too many calls of reserve');
    const start = Math.floor(address / this.#pageSize) * this.#pageSize;
    const length = this.#whole(address + bytes - start);
    this.#reserved.push({ address: start, length, purpose });
  }

  /** What the guest has not given back. */
  get kept(): readonly Piece[] {
    return [...this.#held, ...this.#reserved];
  }

  /** A memory map with what was not given back reserved in it. */
  memoryMap(map: readonly MemoryRange[]): MemoryRange[] {
    let ranges = [...map];
    for (const { address, length, purpose } of this.kept) {
      ranges = ranges.flatMap((range) => carve(range, address, address + length, purpose));
    }
    return ranges;
  }

  #whole(bytes: number): number {
    return Math.ceil(bytes / this.#pageSize) * this.#pageSize;
  }
}
