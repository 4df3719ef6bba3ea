// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Whole pages of a grant as one stretch of memory, for what the host touches often (rings, the
 * interrupt and monitor pages): the translation is done once, and whether the grant still lives is
 * checked at each access, as the ledger does.
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../../../src/machine.ts';
import type { Grant } from '../ledger/grants.ts';
import type { GuestRam } from '../base/guest-ram.ts';
import type { Keeper } from '../base/snapshot.ts';

export class GrantMemory {
  readonly grant: Grant;
  /** Length in bytes. */
  readonly length: number;
  readonly #ram: GuestRam;
  /** Page numbers: addresses would be objects to an engine that does not optimise. */
  readonly #pfns: Uint32Array;

  /**
   * Pages `firstPage` to `firstPage + pages - 1` of a grant that begins at a page's start.
   *
   * @throws RangeError if the pages are not all granted and RAM: a mistake in the simulator.
   */
  constructor(ram: GuestRam, grant: Grant, firstPage: number, pages: number) {
    if (grant.offset !== 0 || (firstPage + pages) * PAGE_SIZE > grant.length)
      throw new RangeError(`grant ${grant.id} has no pages ${firstPage} to ${firstPage + pages}`);
    this.#ram = ram;
    this.grant = grant;
    this.length = pages * PAGE_SIZE;
    this.#pfns = new Uint32Array(pages);
    for (let page = 0; page < pages; page++) {
      const pfn = grant.pfns[firstPage + page]!;
      if (!ram.has(pfn * PAGE_SIZE, PAGE_SIZE))
        throw new RangeError(`grant ${grant.id} is not RAM`);
      this.#pfns[page] = pfn;
    }
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.grant, this.#ram, this.#pfns);
  }

  /** Whether a page is one of the first `pages` of these. */
  has(pfn: number, pages = this.#pfns.length): boolean {
    return this.#pfns.subarray(0, pages).includes(pfn);
  }

  /** The little-endian word at `at`, a multiple of 4. */
  u32(at: number): number {
    this.#check();
    return this.#ram.reader.getUint32(this.#address(at), true);
  }

  /** Write the little-endian word at `at`, a multiple of 4. */
  setU32(at: number, value: number): void {
    this.#check();
    if (this.grant.access !== 'write') throw new Error(`grant ${this.grant.id} is read-only`);
    this.#ram.setU32(this.#address(at), value);
  }

  /** Where the first word that is not 0 lies in [at, end), or `end`; multiples of 4. */
  findWord(at: number, end: number): number {
    this.#check();
    const { readerWords: words } = this.#ram;
    for (let begin = at; begin < end;) {
      const pageEnd = Math.min(end, (begin | (PAGE_SIZE - 1)) + 1);
      let i = this.#address(begin) / 4;
      const last = i + (pageEnd - begin) / 4;
      for (; i < last; i++) if (words[i] !== 0) return pageEnd - (last - i) * 4;
      begin = pageEnd;
    }
    return end;
  }

  /** Copy `length` bytes at `at` to `into[to…]`. */
  read(at: number, into: Uint8Array, to: number, length: number): void {
    this.#check();
    for (let done = 0; done < length;) {
      const address = this.#address(at + done);
      const run = Math.min(length - done, PAGE_SIZE - (address & (PAGE_SIZE - 1)));
      this.#ram.read(address, into, to + done, run);
      done += run;
    }
  }

  /** Copy `length` bytes of `from[start…]` to `at`. */
  write(at: number, from: Uint8Array, start: number, length: number): void {
    this.#check();
    if (this.grant.access !== 'write') throw new Error(`grant ${this.grant.id} is read-only`);
    for (let done = 0; done < length;) {
      const address = this.#address(at + done);
      const run = Math.min(length - done, PAGE_SIZE - (address & (PAGE_SIZE - 1)));
      this.#ram.write(address, from, start + done, run);
      done += run;
    }
  }

  #address(at: number): number {
    return this.#pfns[at >>> PAGE_SHIFT]! * PAGE_SIZE + (at & (PAGE_SIZE - 1));
  }

  #check(): void {
    if (this.grant.revokedAt !== undefined)
      throw new Error(`grant ${this.grant.id} (${this.grant.purpose}) was revoked`);
  }
}
