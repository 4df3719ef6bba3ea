// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The reference TSC page of the partition (TLFS, "Partition Reference Time Enlightenment"):
 * sequence, scale and offset with which a guest makes reference time of its time stamp counter. The
 * counter of the simulated processor runs at a fixed rate and ran before the partition was made, so
 * that the offset is not zero.
 */

import type { VirtualClock } from './clock.ts';
import type { OverlayPage } from './overlay.ts';

/** Counts of the time stamp counter per tick of 100 ns: a power of two, so that nothing rounds. */
const TSC_PER_TICK = 256n;

/** Reference time is 10 MHz. */
const REFERENCE_HZ = 10_000_000n;

/** The counter when the reference time was 0: ten seconds. */
const TSC_AT_ZERO = 10n * REFERENCE_HZ * TSC_PER_TICK;

/** Fields of the page (Linux `struct ms_hyperv_tsc_page`). */
const TscPage = { sequence: 0, scale: 8, offset: 16 } as const;

/** Sequence values that do not count: 0 is "not valid", and so, historically, is all ones. */
const SEQUENCE_MAX = 0xfffffffe;

export class ReferenceTsc {
  readonly page: OverlayPage;
  /** Rate of the counter in Hz. */
  readonly frequency = TSC_PER_TICK * REFERENCE_HZ;
  readonly #clock: VirtualClock;
  #sequence = 0;

  constructor(page: OverlayPage, clock: VirtualClock) {
    this.page = page;
    this.#clock = clock;
  }

  /** The time stamp counter. */
  counter(): bigint {
    return BigInt(this.#clock.now) * TSC_PER_TICK + TSC_AT_ZERO;
  }

  /**
   * The register was written: put the page in order. While it is enabled the sequence counts up
   * with each write; disabled the page is not valid. (A guest never sees it half done: it does not
   * run meanwhile.)
   */
  update(enable: boolean): void {
    const view = this.page.ownView;
    view.setUint32(TscPage.sequence, 0, true);
    if (!enable) return;
    this.#sequence = this.#sequence >= SEQUENCE_MAX ? 1 : this.#sequence + 1;
    view.setBigUint64(TscPage.scale, 2n ** 64n / TSC_PER_TICK, true);
    view.setBigInt64(TscPage.offset, -(TSC_AT_ZERO / TSC_PER_TICK), true);
    view.setUint32(TscPage.sequence, this.#sequence, true);
  }
}
