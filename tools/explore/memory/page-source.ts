// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The source of the firmware's shared pages, watched: each allocation can fail, has pages around it
 * that nobody may read, and when it is given back the host must hold nothing of it.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import type { PageAllocator } from '../../../src/memory/allocator.ts';
import type { Keeper, Saved } from '../../simulator/base/snapshot.ts';
import type { Grant } from '../../simulator/ledger/grants.ts';
import type { PlaceCounter } from '../counter.ts';

/** Called with what was given back and with what the host still holds of it. */
export type FreedEarly = (purpose: string, grant: Grant) => void;

export class PageSource implements PageAllocator, Saved {
  readonly #allocator: PageAllocator;
  readonly #counter: PlaceCounter;
  readonly #liveAt: (first: number, end: number) => readonly Grant[];
  readonly #freedEarly: FreedEarly;
  /** By page: whether some of it is allocated. */
  readonly #pages: Uint8Array;
  #failEver = false;

  /** `pages`: one byte for each page of RAM, kept up to date. */
  constructor(
    allocator: PageAllocator,
    counter: PlaceCounter,
    pages: Uint8Array,
    liveAt: (first: number, end: number) => readonly Grant[],
    freedEarly: FreedEarly,
  ) {
    this.#allocator = allocator;
    this.#counter = counter;
    this.#pages = pages;
    this.#liveAt = liveAt;
    this.#freedEarly = freedEarly;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#failEver], (v) => ([this.#failEver] = v));
    keeper.keep(this.#pages);
    keeper.demand('where its pages come from', this.#allocator);
  }

  allocate(length: number, align: number, purpose: string): number | undefined {
    for (const fault of this.#counter.arrive('alloc', () => ({ what: purpose }))) {
      this.#counter.fire(fault);
      if (fault.kind === 'fail-ever') this.#failEver = true;
      return undefined;
    }
    if (this.#failEver) return undefined;

    // A page of its own before and behind: reading beyond an end reads nobody's
    const whole = wholePages(length);
    const address = this.#allocator.allocate(whole + 2 * PAGE_SIZE, PAGE_SIZE, purpose);
    if (address === undefined) return undefined;
    const at = Math.ceil((address + PAGE_SIZE) / align) * align;
    this.#mark(at, whole, 1);
    return at;
  }

  free(address: number, length: number, purpose: string): void {
    const whole = wholePages(length);
    const first = Math.floor(address / PAGE_SIZE);
    const end = Math.ceil((address + length) / PAGE_SIZE);
    for (const grant of this.#liveAt(first, end)) this.#freedEarly(purpose, grant);
    this.#mark(address, whole, 0);
    this.#allocator.free(address - PAGE_SIZE, whole + 2 * PAGE_SIZE, purpose);
  }

  #mark(address: number, length: number, value: number): void {
    const first = Math.floor(address / PAGE_SIZE);
    this.#pages.fill(value, first, Math.ceil((address + length) / PAGE_SIZE));
  }
}

function wholePages(length: number): number {
  return Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
}
