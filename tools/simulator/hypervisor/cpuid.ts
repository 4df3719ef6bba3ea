// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * CPUID of a simulated x64 processor: a fixed Intel processor (family 6, model 0x5e) under the
 * hypervisor of the host's profile. The leaves that firmware reads are those of the recorded iPXE
 * session (golden trace 01), without the features that this machine does not have (see
 * `cpuid-bits.ts`); the others of the hypervisor's range are by TLFS, "Feature Discovery". On arm64
 * the same words are registers of 128 bits.
 */

import { Cpuid, CPUID_HYPERVISOR_PRESENT, HV_INTERFACE_ID } from '../../../src/hyperv/protocol.ts';
import type { CpuidRegisters } from '../../../src/machine.ts';
import type { HostProfile } from '../profiles/profile.ts';
import type { Architecture } from './architecture.ts';
import { keptClaims } from './cpuid-bits.ts';

/** Changes by leaf: `{ 0x40000001: { eax: 0x4b4d564b } }` makes it another hypervisor. */
export type CpuidOverride = Readonly<Record<number, Partial<CpuidRegisters>>>;

/** Highest leaf of the hypervisor's range. */
const HV_MAX_LEAF = 0x4000000b;

/** Leaf 0x40000004 EBX: spinlock retries before the guest should notify the hypervisor. */
const SPINLOCK_RETRIES = 0xfff;

/** Leaf 0x40000003 ECX: deepest state of power of a processor, C2. */
const MAX_C_STATE = 2;

/** Leaf 0x40000005: most virtual and logical processors. */
const MAX_VIRTUAL_PROCESSORS = 240;
const MAX_LOGICAL_PROCESSORS = 512;

/** Where the processor's APIC ID stands in leaf 1 EBX. */
const APIC_ID_SHIFT = 24;

function leaf(eax: number, ebx: number, ecx: number, edx: number): CpuidRegisters {
  return { eax: eax >>> 0, ebx: ebx >>> 0, ecx: ecx >>> 0, edx: edx >>> 0 };
}

const NOTHING = leaf(0, 0, 0, 0);

export class CpuidLeaves {
  readonly #leaves = new Map<number, CpuidRegisters>();

  /** `override` is taken as it is: it may claim what is not there. */
  constructor(profile: HostProfile, architecture: Architecture, override: CpuidOverride = {}) {
    const set = (number: number, registers: CpuidRegisters): void => {
      this.#leaves.set(number, { ...registers, ...override[number] });
    };
    // "GenuineIntel", signature and features, with the hypervisor's bit in leaf 1 ECX
    set(Cpuid.MAX_BASIC, leaf(0x16, 0x756e6547, 0x6c65746e, 0x49656e69));
    set(Cpuid.FEATURES, leaf(0x506e3, 0x10800, 0x76fa3203 | CPUID_HYPERVISOR_PRESENT, 0x1f8bfbff));
    set(Cpuid.MAX_EXTENDED, leaf(0x80000008, 0, 0, 0));
    set(Cpuid.EXTENDED_FEATURES, leaf(0, 0, 0x121, 0x2c100800));

    // "Microsoft Hv"
    set(Cpuid.HV_VENDOR_ID, leaf(HV_MAX_LEAF, 0x7263694d, 0x666f736f, 0x76482074));
    set(Cpuid.HV_INTERFACE_ID, leaf(HV_INTERFACE_ID, 0, 0, 0));
    set(Cpuid.HV_HYPERVISOR_ID, leaf(profile.hypervisorBuild, profile.hypervisorVersion, 0, 1));
    const kept = keptClaims(profile, architecture);
    set(Cpuid.HV_FEATURES, leaf(kept.features, kept.privileges, MAX_C_STATE, kept.miscFeatures));
    set(Cpuid.HV_ENLIGHTENMENTS, leaf(kept.recommendations, SPINLOCK_RETRIES, 0, 0));
    set(Cpuid.HV_IMPLEMENTATION_LIMITS, leaf(MAX_VIRTUAL_PROCESSORS, MAX_LOGICAL_PROCESSORS, 0, 0));
    for (const [text, registers] of Object.entries(override)) {
      const number = Number(text);
      if (!this.#leaves.has(number)) this.#leaves.set(number, { ...NOTHING, ...registers });
    }
  }

  /** The leaf as processor `vp` sees it; leaves that do not exist read as zero. */
  read(number: number, vp: number): CpuidRegisters {
    const registers = this.#leaves.get(number >>> 0) ?? NOTHING;
    if (number !== Cpuid.FEATURES || vp === 0) return registers;
    return { ...registers, ebx: (registers.ebx | (vp << APIC_ID_SHIFT)) >>> 0 };
  }

  /** Whether there is a hypervisor at all. */
  get isPresent(): boolean {
    return (this.read(Cpuid.FEATURES, 0).ecx & CPUID_HYPERVISOR_PRESENT) !== 0;
  }

  /** Whether there is a hypervisor, and it is Hyper-V: only then are there synthetic registers. */
  get isHyperV(): boolean {
    return this.isPresent && this.read(Cpuid.HV_INTERFACE_ID, 0).eax === HV_INTERFACE_ID;
  }
}
