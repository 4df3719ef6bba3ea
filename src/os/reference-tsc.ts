// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The reference TSC page (TLFS 12.6) as a clock: time without an exit for each look at it (Linux
 * hv_init_tsc_clocksource).
 */

import type { Log } from '../events.ts';
import type { HvPart } from '../hyperv/hyperv-options.ts';
import type { HyperV } from '../hyperv/hyperv.ts';
import type { ClockSource } from '../hyperv/platform.ts';
import {
  Cpuid,
  HV_ENABLE,
  HV_PAGE_REGISTER_MASK,
  HV_REFERENCE_TSC_SEQUENCE_INVALID,
  HvFeature,
  Msr,
  ReferenceTscPage,
} from '../hyperv/protocol.ts';
import { PAGE_SIZE, type Machine } from '../machine.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Region } from '../memory/shared-memory.ts';

/** How often the page is read while the host keeps changing it. */
const TSC_TRIES_MAX = 16;

/** Bits of the register that stay as they are. */
const RESERVED = HV_PAGE_REGISTER_MASK & ~HV_ENABLE;

/** What the ledger calls it. */
const BY = 'register REFERENCE_TSC';

/**
 * Plugs into the hypervisor layer: as long as that is mapped the time comes from the page, where
 * host and machine have it and the architecture has no better clock of its own.
 */
export class ReferenceTsc implements HvPart {
  readonly #hv: HyperV;
  #region: Region | undefined;

  constructor(hv: HyperV) {
    this.#hv = hv;
    hv.parts.push(this);
  }

  /** @throws HypxeError OutOfMemory, RegisterRefused */
  mapped(): void {
    const { platform, pages, clock, log } = this.#hv;
    const counter = counterOf(platform.machine);
    const { eax: features } = platform.facts(Cpuid.HV_FEATURES);
    if (!counter || !(features & HvFeature.REFERENCE_TSC) || clock.source !== clock.counter) return;
    const { address } = (this.#region ??= pages.allocate('reference-tsc', PAGE_SIZE));
    pages.share(this.#region, BY);
    const kept = platform.read(Msr.REFERENCE_TSC) & RESERVED;
    platform.write(Msr.REFERENCE_TSC, kept | BigInt(address) | HV_ENABLE);
    clock.use(referenceTsc(pages.memory, address, counter, log));
  }

  /** What the host refuses to unmap stays in the ledger. @throws HypxeError RegisterRefused */
  unmapping(): void {
    const { platform, pages, clock } = this.#hv;
    if (!this.#region) return;
    clock.use();
    platform.write(Msr.REFERENCE_TSC, platform.read(Msr.REFERENCE_TSC) & RESERVED);
    pages.revoke(this.#region, BY);
    pages.free(this.#region);
    this.#region = undefined;
  }
}

/** Reads the processor's counter; undefined if the machine has none. */
function counterOf(machine: Machine): (() => bigint) | undefined {
  if (machine.architecture === 'arm64') return () => machine.readCounter();
  return machine.rdtsc && (() => machine.rdtsc!());
}

/**
 * Sequence, scale and offset with which the processor's counter becomes reference time.
 *
 * @param page guest physical address of the page, mapped
 * @param counter reads the processor's counter
 */
export function referenceTsc(
  memory: GuestMemory,
  page: number,
  counter: () => bigint,
  log: Log,
): ClockSource {
  // Loads in their order, each an acquire: what lies between two looks at the sequence is of one
  // piece (Linux hv_read_tsc_page has smp_rmb there; the page is the host's, so no word of it can
  // be a barrier)
  const word = (at: number): number => memory.acquire32(page + at);
  // They change with a migration, and are asked for all the time: the same words, the same number
  const long = (at: number): (() => bigint) => {
    let [low, high, value] = [0, 0, 0n];
    return () => {
      const first = word(at);
      const second = word(at + 4);
      if (first === low && second === high) return value;
      low = first;
      high = second;
      return (value = BigInt(low) | (BigInt(high) << 32n));
    };
  };
  const [scaleOf, offsetOf] = [long(ReferenceTscPage.at.scale), long(ReferenceTscPage.at.offset)];
  const sequence = (): number => word(ReferenceTscPage.at.sequence);
  let told = false;

  // Undefined if sequence 0 says that the page does not count now, or if a page that changes with
  // every look never settles. Exact to the tick: the product has 128 bits
  const read = (): number | undefined => {
    for (let i = 0; i < TSC_TRIES_MAX; i++) {
      const before = sequence();
      if (before === HV_REFERENCE_TSC_SEQUENCE_INVALID) return undefined;
      const scale = scaleOf();
      const offset = BigInt.asIntN(64, offsetOf());
      const count = counter();
      if (sequence() === before) return Number(((count * scale) >> 64n) + offset);
    }
    if (!told) log.warning('HV', '', 'reference TSC page never settles: counter used');
    told = true;
    return undefined;
  };
  return { name: 'reference TSC page', read };
}
