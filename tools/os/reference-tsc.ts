// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The clock of the loaded OS: the reference TSC page (TLFS "Reference TSC", Linux
 * `hv_read_tsc_page`).
 */

import {
  Cpuid,
  HV_ENABLE,
  HV_PAGE_REGISTER_MASK,
  HV_REFERENCE_TSC_SEQUENCE_INVALID,
  HvFeature,
  Msr,
  ReferenceTscPage,
} from '../../src/hyperv/protocol.ts';
import type { Platform } from '../../src/hyperv/platform.ts';
import type { Machine } from '../../src/machine.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import { TICKS_PER_MS } from '../../src/time.ts';
import type { TakePage } from './os-processor.ts';

/** IA32_TIME_STAMP_COUNTER: what RDTSC reads. */
const MSR_TSC = 0x10;

/** How often a page that changes while it is read is read again. */
const READS_MAX = 1000;

/** What clocks may differ by: reading them takes time. */
const TOLERANCE_TICKS = BigInt(TICKS_PER_MS);

export class ReferenceTsc {
  readonly #machine: Machine;
  readonly #platform: Platform;
  readonly #memory: GuestMemory;
  /** Guest physical address of the page, 0 if there is none. */
  page = 0;

  constructor(machine: Machine, platform: Platform, memory: GuestMemory) {
    this.#machine = machine;
    this.#platform = platform;
    this.#memory = memory;
  }

  /** Map the page, if the host has one. */
  map(takePage: TakePage): void {
    if (!(this.#platform.facts(Cpuid.HV_FEATURES).eax & HvFeature.REFERENCE_TSC)) return;
    this.page = takePage('reference TSC page');
    const old = this.#platform.read(Msr.REFERENCE_TSC) & HV_PAGE_REGISTER_MASK;
    this.#platform.write(Msr.REFERENCE_TSC, old | BigInt(this.page) | HV_ENABLE);
  }

  /** Clear the enable bit and no more: a root partition may not change the address. */
  unmap(platform: Platform = this.#platform): void {
    if (this.page === 0) return;
    platform.write(Msr.REFERENCE_TSC, platform.read(Msr.REFERENCE_TSC) & ~HV_ENABLE);
  }

  /**
   * Compare with the reference counter.
   *
   * @returns what is wrong, or undefined; a host without the page, or whose page says that it is
   * not valid, is right
   */
  check(): string | undefined {
    if (this.page === 0) return undefined;
    const counter = this.#platform.read(Msr.TIME_REF_COUNT);
    const time = this.#read();
    if (time === undefined) return undefined;
    const difference = time > counter ? time - counter : counter - time;
    if (difference <= TOLERANCE_TICKS) return undefined;
    return `the reference TSC page says ${time}, the reference counter ${counter}`;
  }

  /** Time by the page, in ticks; undefined if the page is not valid. */
  #read(): bigint | undefined {
    const { view } = this.#memory;
    const { at } = ReferenceTscPage;
    for (let i = 0; i < READS_MAX; i++) {
      const sequence = view.getUint32(this.page + at.sequence, true);
      if (sequence === HV_REFERENCE_TSC_SEQUENCE_INVALID) return undefined;
      const scale = view.getBigUint64(this.page + at.scale, true);
      const offset = view.getBigInt64(this.page + at.offset, true);
      const tsc = counter(this.#machine);
      if (view.getUint32(this.page + at.sequence, true) !== sequence) continue;
      return ((tsc * scale) >> 64n) + offset;
    }
    return undefined;
  }
}

/** TSC or CNTVCT. */
function counter(machine: Machine): bigint {
  if (machine.architecture !== 'x64') return machine.readCounter();
  return machine.rdtsc === undefined ? machine.rdmsr(MSR_TSC) : machine.rdtsc();
}
