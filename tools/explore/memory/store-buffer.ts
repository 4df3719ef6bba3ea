// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Stores of the guest that other processors need not see yet. On x64 a processor has a store
 * buffer: its stores become visible in their order, but later than its own loads (Intel SDM 3A,
 * 8.2). On arm64 they become visible in any order that respects stores to the same place. What
 * orders them is not known here: whoever does calls {@link StoreBuffer.drain}.
 *
 * The guest sees its own stores at once, so they are in memory; they are taken out of it while the
 * host acts, and put back afterwards.
 */

import { PAGE_SHIFT } from '../../../src/machine.ts';

/** Stores that wait at most; a processor has room for about as many (Skylake 56, Zen 3 64). */
export const STORES_MAX = 64;

/** Longest store that can wait: a longer one (a fill, a copy) is visible with its last byte. */
const STORE_LENGTH_MAX = 64;

interface Store {
  address: number;
  length: number;
  /** What was there before, and what the guest stored. */
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  hidden: boolean;
  /** A barrier between stores stands in front of it. */
  fenced: boolean;
}

export class StoreBuffer {
  readonly #bytes: Uint8Array;
  /** The first {@link #count} wait, oldest first. */
  readonly #stores: Store[] = [];
  #count = 0;
  #page = -1;
  #fence = false;
  /** Whether the newest one is to another page than the one before it: part of another thing. */
  isNewestApart = false;

  constructor(memory: Uint8Array) {
    this.#bytes = memory;
    for (let i = 0; i < STORES_MAX; i++) {
      this.#stores.push({
        ...{ address: 0, length: 0, hidden: false, fenced: false },
        before: new Uint8Array(STORE_LENGTH_MAX),
        after: new Uint8Array(STORE_LENGTH_MAX),
      });
    }
  }

  /** Stores that wait. */
  get count(): number {
    return this.#count;
  }

  /**
   * Stores that a store of `length` bytes makes visible: all in front of a long one, else the
   * oldest if there is no room.
   */
  pushedOut(length: number): number {
    if (length > STORE_LENGTH_MAX) return this.#count;
    return this.#count === STORES_MAX ? 1 : 0;
  }

  /** The guest is about to store. */
  enter(address: number, length: number): void {
    const page = address >>> PAGE_SHIFT;
    this.isNewestApart = page !== this.#page;
    this.#page = page;
    // All pieces of a long one follow those that wait
    if (length > STORE_LENGTH_MAX) return this.drain();
    if (this.#count === STORES_MAX) {
      this.#stores.push(this.#stores.shift()!);
      this.#count--;
    }
    const store = this.#stores[this.#count++]!;
    store.address = address;
    store.length = length;
    store.fenced = this.#fence;
    this.#fence = false;
    for (let i = 0; i < length; i++) store.before[i] = this.#bytes[address + i]!;
  }

  /** No store from now on is visible before one that waits. */
  fence(): void {
    this.#fence = this.#count > 0;
  }

  /** Everything that waits is visible. */
  drain(): void {
    this.#count = 0;
    this.#fence = false;
  }

  /**
   * Take stores out of memory: those that `visible` does not want to be seen, by their index from
   * the oldest, and whatever was stored over them.
   */
  hide(visible: (index: number, count: number) => boolean): void {
    for (let i = 0; i < this.#count; i++) this.#stores[i]!.hidden = !visible(i, this.#count);
    this.#closeFences();
    for (let i = 0; i < this.#count; i++) this.#stores[i]!.hidden ||= this.#overHidden(i);
    for (let i = this.#count - 1; i >= 0; i--) {
      const { address, length, before, after, hidden } = this.#stores[i]!;
      if (!hidden) continue;
      for (let j = 0; j < length; j++) {
        after[j] = this.#bytes[address + j]!;
        this.#bytes[address + j] = before[j]!;
      }
    }
  }

  /** Put back what was hidden. What was visible once is visible for good. */
  show(): void {
    let kept = 0;
    let fenced = false;
    for (let i = 0; i < this.#count; i++) {
      const store = this.#stores[i]!;
      const { address, length, after, hidden } = store;
      // The barrier stays behind those that wait, whatever stood behind it
      fenced ||= store.fenced;
      if (!hidden) continue;
      store.fenced = fenced && kept > 0;
      fenced = false;
      for (let j = 0; j < length; j++) this.#bytes[address + j] = after[j]!;
      this.#stores[i] = this.#stores[kept]!;
      this.#stores[kept++] = store;
    }
    this.#count = kept;
  }

  /** Each store that waits, from the oldest; or only the first `count` of them. */
  each(visit: (address: number, length: number) => void, count = this.#count): void {
    for (let i = 0; i < count; i++) visit(this.#stores[i]!.address, this.#stores[i]!.length);
  }

  /** Whoever sees a store behind a barrier sees all in front of it. */
  #closeFences(): void {
    let seen = false;
    let all = false;
    for (let i = this.#count - 1; i >= 0; i--) {
      const store = this.#stores[i]!;
      if (all) store.hidden = false;
      seen ||= !store.hidden;
      all ||= seen && store.fenced;
    }
  }

  /** Whether store `index` overlaps with an older one that is hidden. */
  #overHidden(index: number): boolean {
    const { address, length } = this.#stores[index]!;
    for (let i = 0; i < index; i++) {
      const other = this.#stores[i]!;
      if (!other.hidden) continue;
      if (other.address < address + length && address < other.address + other.length) return true;
    }
    return false;
  }
}
