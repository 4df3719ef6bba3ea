// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Loads of the guest that are made earlier than they stand in the program: on arm64 a load may be
 * done before an older one, so that it finds what was there before the host wrote, though the older
 * one finds what the host wrote. An acquire or a barrier in between forbids it. Twice the same
 * place never goes back in time.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';

export class StaleLoads {
  readonly #bytes: Uint8Array;
  /** By address: what a later load may still find. */
  readonly #old = new Map<number, number>();
  /** What is in memory in place of the truth, for one load. */
  readonly #shown: [address: number, truth: number][] = [];
  #pages: { readonly address: number; readonly before: Uint8Array }[] = [];

  constructor(memory: Uint8Array) {
    this.#bytes = memory;
  }

  /** The host is about to write to some of these pages. */
  before(pfns: Iterable<number>): void {
    this.#pages = Array.from(pfns, (pfn) => {
      const address = pfn * PAGE_SIZE;
      return { address, before: this.#bytes.slice(address, address + PAGE_SIZE) };
    });
  }

  /** It has written; the load at hand, of `length` bytes at `address`, finds what it wrote. */
  after(address: number, length: number): void {
    for (const { address: page, before } of this.#pages) {
      for (let i = 0; i < PAGE_SIZE; i++) {
        if (this.#bytes[page + i] === before[i] || this.#old.has(page + i)) continue;
        this.#old.set(page + i, before[i]!);
      }
    }
    this.#pages = [];
    for (let i = 0; i < length; i++) this.#old.delete(address + i);
  }

  /** A load: `early` if it may find what was there before. */
  load(address: number, length: number, early: boolean): void {
    if (this.#old.size === 0) return;
    for (let i = address; i < address + length; i++) {
      const old = this.#old.get(i);
      if (old === undefined) continue;
      if (!early) this.#old.delete(i);
      else {
        this.#shown.push([i, this.#bytes[i]!]);
        this.#bytes[i] = old;
      }
    }
  }

  /** The load is over. */
  restore(): void {
    for (const [address, truth] of this.#shown.splice(0)) this.#bytes[address] = truth;
  }

  /** Nothing later is done before this. */
  order(): void {
    this.restore();
    this.#old.clear();
  }
}
