// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Interrupts of a processor that were raised and that its guest has not taken: by vector, as in the
 * request register of an APIC, so that one that is raised twice before it is taken comes once.
 */

import type { Keeper } from '../base/snapshot.ts';

/** Vectors that there are. */
const VECTORS = 256;

/** Vectors below are the processor's own: what is raised there is lost (Intel SDM, 11.5.2). */
const VECTOR_MIN = 16;

export class PendingInterrupts {
  readonly #raised = new Uint8Array(VECTORS);
  #count = 0;

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#count], (v) => ([this.#count] = v));
    keeper.keep(this.#raised);
  }

  raise(vector: number): void {
    if (vector < VECTOR_MIN || vector >= VECTORS || this.#raised[vector] === 1) return;
    this.#raised[vector] = 1;
    this.#count++;
  }

  /** Take the highest vector that was raised; undefined if none was. */
  take(): number | undefined {
    if (this.#count === 0) return undefined;
    const vector = this.#raised.lastIndexOf(1);
    this.#raised[vector] = 0;
    this.#count--;
    return vector;
  }

  clear(): void {
    this.#raised.fill(0);
    this.#count = 0;
  }
}
