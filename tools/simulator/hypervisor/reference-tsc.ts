// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The free-running counter of the simulated processors (TSC, CNTVCT) and the reference TSC page of
 * the partition (TLFS, "Partition Reference Time Enlightenment"): sequence, scale and offset with
 * which a guest makes reference time of the counter. A live migration changes both.
 */

import {
  HV_REFERENCE_HZ,
  HV_REFERENCE_TSC_SEQUENCE_INVALID,
  ReferenceTscPage,
} from '../../../src/hyperv/protocol.ts';
import type { CounterTraits } from './architecture.ts';
import type { VirtualClock } from '../base/clock.ts';
import type { OverlayPage, OverlayPages } from './overlay.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Reference time is 10 MHz. */
const REFERENCE_HZ = BigInt(HV_REFERENCE_HZ);

/** Sequence values that do not count: 0 is "not valid", and so, historically, is all ones. */
const SEQUENCE_MAX = 0xfffffffe;

/** Another host, on which the counter is another one. */
export interface Migration {
  /** Rate of the counter there, in Hz; default: as here. */
  readonly frequency?: bigint | undefined;
  /** What the counter stands at there; default: it goes on. */
  readonly counter?: bigint | undefined;
  /** For how long the page is not valid, in ticks. Default 0. */
  readonly invalidTicks?: number;
}

export class ReferenceTsc {
  readonly page: OverlayPage;
  readonly #overlays: OverlayPages;
  readonly #clock: VirtualClock;
  /** Rate of the counter, and where it stood at a tick. */
  #frequency: bigint;
  #count: bigint;
  #since = 0;
  #sequence = 0;
  #enabled = false;
  /** Migrations under way: the page becomes valid after the last. */
  #migrations = 0;

  constructor(
    page: OverlayPage,
    overlays: OverlayPages,
    clock: VirtualClock,
    counter: CounterTraits,
  ) {
    this.page = page;
    this.#overlays = overlays;
    this.#clock = clock;
    this.#frequency = counter.frequency;
    this.#count = counter.atZero;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#frequency, this.#count], (v) => ([this.#frequency, this.#count] = v));
    keeper.put([this.#since, this.#sequence], (v) => ([this.#since, this.#sequence] = v));
    keeper.put([this.#enabled, this.#migrations], (v) => ([this.#enabled, this.#migrations] = v));
    keeper.keep(this.page, this.#overlays, this.#clock);
  }

  /** Rate of the counter in Hz. */
  get frequency(): bigint {
    return this.#frequency;
  }

  /** The counter. */
  counter(): bigint {
    const ticks = this.#clock.now - this.#since;
    // Of most hosts a whole number for each tick: no division of large numbers
    const frequency = Number(this.#frequency);
    const count = ticks * (frequency / HV_REFERENCE_HZ);
    const isExact = frequency <= Number.MAX_SAFE_INTEGER && count <= Number.MAX_SAFE_INTEGER;
    if (isExact && frequency % HV_REFERENCE_HZ === 0) return this.#count + BigInt(count);
    return this.#count + (BigInt(ticks) * this.#frequency) / REFERENCE_HZ;
  }

  /**
   * The register was written: put the page in order. While it is enabled the sequence counts up
   * with each write; disabled the page is not valid. (A guest never sees it half done: it does not
   * run meanwhile.)
   */
  update(enable: boolean): void {
    this.#enabled = enable;
    this.#publish();
  }

  /** Go on with another counter. Reference time goes on as if nothing had happened. */
  migrate({ frequency, counter, invalidTicks = 0 }: Migration): void {
    const count = counter ?? this.counter();
    this.#frequency = frequency ?? this.#frequency;
    this.#count = count;
    this.#since = this.#clock.now;
    this.#migrations++;
    this.#publish();
    this.#clock.schedule(invalidTicks, () => {
      this.#migrations--;
      this.#publish();
    });
  }

  /** Invalid, then the fields, then a sequence that was not there before (TLFS). */
  #publish(): void {
    const view = this.page.ownView;
    const { at } = ReferenceTscPage;
    view.setUint32(at.sequence, HV_REFERENCE_TSC_SEQUENCE_INVALID, true);
    if (this.#enabled && this.#migrations === 0) {
      this.#sequence = this.#sequence >= SEQUENCE_MAX ? 1 : this.#sequence + 1;
      const scale = (REFERENCE_HZ << 64n) / this.#frequency;
      view.setBigUint64(at.scale, scale, true);
      view.setBigInt64(at.offset, BigInt(this.#since) - ((this.#count * scale) >> 64n), true);
      view.setUint32(at.sequence, this.#sequence, true);
    }
    this.#overlays.refresh(this.page);
  }
}
