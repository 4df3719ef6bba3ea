// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * How much memory the guest shares through GPADLs, over all of its connections: hosts have a limit,
 * so that a guest cannot use their resources up (Linux Documentation/virt/hyperv/vmbus.rst). A page
 * that is shared twice counts twice.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Snapshot for the audit and the loaded OS. */
export interface SharedMemoryInspection {
  /** Bytes shared now, and the most that ever were. */
  readonly bytes: number;
  readonly peakBytes: number;
  /** The host's limit in bytes, 0 for none. */
  readonly maxBytes: number;
  /** GPADLs that were refused because of it. */
  readonly refusals: number;
}

export class SharedMemory {
  readonly #maxPages: number;
  #pages = 0;
  #peak = 0;
  #refusals = 0;

  /** `maxBytes` 0: no limit. */
  constructor(maxBytes: number) {
    this.#maxPages = maxBytes === 0 ? Infinity : Math.floor(maxBytes / PAGE_SIZE);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#pages, this.#peak], (v) => ([this.#pages, this.#peak] = v));
    keeper.put([this.#refusals], (v) => ([this.#refusals] = v));
  }

  /** Whether so many pages more may be shared; a no is counted. */
  fits(pages: number): boolean {
    if (this.#pages + pages <= this.#maxPages) return true;
    this.#refusals++;
    return false;
  }

  add(pages: number): void {
    this.#pages += pages;
    this.#peak = Math.max(this.#peak, this.#pages);
  }

  remove(pages: number): void {
    this.#pages -= pages;
  }

  inspect(): SharedMemoryInspection {
    return {
      bytes: this.#pages * PAGE_SIZE,
      peakBytes: this.#peak * PAGE_SIZE,
      maxBytes: Number.isFinite(this.#maxPages) ? this.#maxPages * PAGE_SIZE : 0,
      refusals: this.#refusals,
    };
  }
}
