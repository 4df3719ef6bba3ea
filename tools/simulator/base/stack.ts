// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A stack of objects that are used again. Arrays make and drop memory when they shrink and grow;
 * this one only grows.
 */

import type { Keeper } from './snapshot.ts';
export class Stack<T> {
  readonly #items: T[] = [];
  #size = 0;

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#size], (v) => ([this.#size] = v));
    keeper.keep(this.#items);
  }

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    this.#items[this.#size++] = item;
  }

  /** The item pushed last, or undefined. */
  pop(): T | undefined {
    return this.#size === 0 ? undefined : this.#items[--this.#size];
  }
}
