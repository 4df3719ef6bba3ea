// SPDX-License-Identifier: GPL-2.0-or-later

/** Seeded random numbers: one seed decides a whole run, on every engine. */

import type { Keeper } from './snapshot.ts';

/**
 * sfc32 (public domain, Chris Doty-Humphrey): four 32-bit words of state, only integer operations,
 * so the same sequence in Node, in a browser and in QuickJS.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** `seed` is any integer; its low 53 bits count. `stream` gives independent sequences. */
  constructor(seed: number, stream = 0) {
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 2 ** 32) >>> 0;
    this.#c = stream >>> 0;
    for (let i = 0; i < 12; i++) this.u32();
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#a, this.#b, this.#c], (v) => ([this.#a, this.#b, this.#c] = v));
    keeper.put([this.#counter], (v) => ([this.#counter] = v));
  }

  /** An unsigned 32-bit number. */
  u32(): number {
    const result = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0;
    return result >>> 0;
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor((this.u32() / 2 ** 32) * limit);
  }

  /** True with the given probability (0 to 1). Draws a number even for 0 and 1. */
  chance(probability: number): boolean {
    return this.u32() / 2 ** 32 < probability;
  }
}
