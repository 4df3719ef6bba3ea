// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Where the time comes from: the reference counter, the reference TSC page, or arm64's own counter.
 * Each gives ticks of 100 ns; none promises to be monotonic, which is the clock's business.
 */

import type { Log } from '../events.ts';
import { PAGE_SIZE } from '../machine.ts';
import type { Region, SharedMemory } from '../memory/shared-memory.ts';
import type { Platform, PlatformCounter } from './platform.ts';
import {
  HV_ENABLE,
  HV_PAGE_REGISTER_MASK,
  HV_REFERENCE_HZ,
  HV_REFERENCE_TSC_SEQUENCE_INVALID,
  ReferenceTscPage,
} from './protocol.ts';

/** How often the TSC page is read while the host keeps changing it. */
const TSC_TRIES_MAX = 16;

/** Frequencies that a counter may have, in Hz: below a tick it is no clock. */
const FREQUENCY_MIN = HV_REFERENCE_HZ / 10;
const FREQUENCY_MAX = 100_000_000_000;

const HALF = 64n;

export interface ClockSource {
  /** For the boot log. */
  readonly name: string;
  /** Ticks of 100 ns, or undefined if it cannot tell at the moment. */
  read(): number | undefined;
  /** Give back what it has mapped. */
  unmap(): void;
}

/** The partition reference counter: a register, 10 MHz (TLFS 12.3). Always there. */
export function counterSource(platform: Platform): ClockSource {
  return {
    name: 'reference counter',
    read: () => Number(platform.read('TIME_REF_COUNT')),
    unmap() {},
  };
}

/**
 * arm64's virtual counter: Hyper-V guarantees its frequency (Linux clocks.rst). Undefined if the
 * frequency is none that a counter can have.
 */
export function architecturalSource(counter: PlatformCounter, log: Log): ClockSource | undefined {
  const { frequency } = counter;
  if (frequency === undefined) return undefined;
  if (!(frequency >= FREQUENCY_MIN && frequency <= FREQUENCY_MAX)) {
    log.warning('HV', '', `counter frequency of ${frequency} Hz is impossible: not used`);
    return undefined;
  }
  const hz = BigInt(Math.round(frequency));
  return {
    name: `architectural counter, ${frequency} Hz`,
    read: () => Number((counter.read() * BigInt(HV_REFERENCE_HZ)) / hz),
    unmap() {},
  };
}

/**
 * The reference TSC page (TLFS 12.6): sequence, scale and offset with which the processor's counter
 * becomes reference time. An overlay page: shared while it is mapped.
 */
export class ReferenceTscSource implements ClockSource {
  readonly name = 'reference TSC page';
  readonly #platform: Platform;
  readonly #counter: PlatformCounter;
  readonly #pages: SharedMemory;
  readonly #region: Region;
  readonly #log: Log;
  #told = false;

  /** Map the page. @throws HypxeError OutOfMemory, RegisterRefused */
  constructor(platform: Platform, counter: PlatformCounter, pages: SharedMemory, log: Log) {
    this.#platform = platform;
    this.#counter = counter;
    this.#pages = pages;
    this.#log = log;
    this.#region = pages.allocate('reference-tsc', PAGE_SIZE);
    pages.share(this.#region, 'register REFERENCE_TSC');
    try {
      this.#write(BigInt(this.#region.address) | HV_ENABLE);
    } catch (error) {
      pages.revoke(this.#region, 'register REFERENCE_TSC was refused');
      pages.free(this.#region);
      throw error;
    }
  }

  /**
   * Reference time by the page, or undefined: sequence 0 says that the page does not count now, and
   * a page that changes with every look never settles. Exact to the tick: the product has 128 bits.
   */
  read(): number | undefined {
    const { view } = this.#pages.memory;
    const page = this.#region.address;
    for (let i = 0; i < TSC_TRIES_MAX; i++) {
      const sequence = view.getUint32(page + ReferenceTscPage.at.sequence, true);
      if (sequence === HV_REFERENCE_TSC_SEQUENCE_INVALID) return undefined;
      const scale = view.getBigUint64(page + ReferenceTscPage.at.scale, true);
      const offset = view.getBigInt64(page + ReferenceTscPage.at.offset, true);
      const count = this.#counter.read();
      if (view.getUint32(page + ReferenceTscPage.at.sequence, true) !== sequence) continue;
      return Number(((count * scale) >> HALF) + offset);
    }
    if (!this.#told) this.#log.warning('HV', '', 'reference TSC page never settles: counter used');
    this.#told = true;
    return undefined;
  }

  unmap(): void {
    this.#write(0n);
    this.#pages.revoke(this.#region, 'register REFERENCE_TSC');
    this.#pages.free(this.#region);
  }

  #write(value: bigint): void {
    const old = this.#platform.read('REFERENCE_TSC') & HV_PAGE_REGISTER_MASK & ~HV_ENABLE;
    this.#platform.write('REFERENCE_TSC', old | value);
  }
}

/**
 * The best clock that the machine offers: arm64's own counter, else the reference TSC page, else
 * the reference counter.
 */
export function bestSource(platform: Platform, pages: SharedMemory, log: Log): ClockSource {
  const { counter } = platform;
  if (counter !== undefined) {
    const own = architecturalSource(counter, log);
    if (own !== undefined) return own;
    if (counter.hasReferencePage) return new ReferenceTscSource(platform, counter, pages, log);
  }
  return counterSource(platform);
}
