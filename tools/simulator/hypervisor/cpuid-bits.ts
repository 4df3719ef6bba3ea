// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The bits of the hypervisor's CPUID leaves 0x40000003 and 0x40000004, and which of them this
 * machine can keep. Names are those of the TLFS ("Feature Discovery", HV_PARTITION_PRIVILEGE_MASK)
 * and of OpenVMM's `hvdef`. A profile has what the real host says; the machine offers of that only
 * what is behind it, so that a guest which believes CPUID finds all that it was promised.
 */

import {
  HvFeature,
  HvMiscFeature,
  HvPrivilege,
  HvRecommendation,
} from '../../../src/hyperv/protocol.ts';
import type { Architecture } from './architecture.ts';

/** CPUID 0x40000003 EAX: access to registers. */
export const Feature = {
  VP_RUNTIME: 1 << 0,
  ...HvFeature,
  /** EOI, ICR and TPR of x64, and the VP assist page. */
  APIC: 1 << 4,
  GUEST_IDLE: 1 << 10,
  FREQUENCY: 1 << 11,
  REENLIGHTENMENT: 1 << 13,
} as const;

/** CPUID 0x40000003 EBX: hypercalls that the partition may make. */
export const Privilege = {
  ...HvPrivilege,
  /** HvFlushVirtualAddressList takes large ranges. */
  EXTENDED_GVA_RANGES: 1 << 15,
  VP_REGISTERS: 1 << 17,
  EXTENDED_HYPERCALLS: 1 << 20,
  START_VP: 1 << 21,
} as const;

/** CPUID 0x40000003 EDX. */
export const MiscFeature = {
  ...HvMiscFeature,
  GUEST_IDLE: 1 << 5,
  NPIEP: 1 << 12,
  EXTENDED_GVA_RANGES: 1 << 14,
  SINT_POLLING: 1 << 17,
  HYPERCALL_LOCK: 1 << 18,
} as const;

/** CPUID 0x40000004 EAX: hypercalls and registers that the guest should use. */
export const Recommendation = {
  ...HvRecommendation,
  REMOTE_TLB_FLUSH: 1 << 2,
  APIC_MSRS: 1 << 3,
  CLUSTER_IPI: 1 << 10,
  EX_PROCESSOR_MASKS: 1 << 11,
  // These say something of the host, and there is nothing to use
  RELAXED_TIMING: 1 << 5,
  DIRECT_LOCAL_FLUSH: 1 << 17,
  NO_CORE_SHARING: 1 << 18,
} as const;

/** What a host says of itself: the bits of {@link HostProfile}. */
export interface Claims {
  readonly features: number;
  readonly privileges: number;
  readonly miscFeatures: number;
  readonly recommendations: number;
}

function all(bits: Readonly<Record<string, number>>): number {
  return Object.values(bits).reduce((mask, bit) => mask | bit, 0);
}

/**
 * What the machine can keep. Not among it, though hosts say it: fast hypercalls with XMM registers
 * (which the seam does not carry), VTLs, debugging, machine checks, NUMA distances, and nested
 * virtualisation.
 */
const X64: Claims = {
  features: all(Feature),
  privileges: all(Privilege),
  miscFeatures: all(MiscFeature),
  recommendations: all(Recommendation),
};

/** Without what only an x64 processor has: its APIC, its TSC, its MSRs. */
const ARM64: Claims = {
  features: X64.features & ~(Feature.GUEST_IDLE | Feature.FREQUENCY | Feature.REENLIGHTENMENT),
  privileges: X64.privileges,
  miscFeatures:
    X64.miscFeatures &
    ~(
      MiscFeature.GUEST_IDLE |
      MiscFeature.FREQUENCY_MSRS |
      MiscFeature.NPIEP |
      MiscFeature.HYPERCALL_LOCK
    ),
  recommendations: X64.recommendations & ~(Recommendation.APIC_MSRS | Recommendation.CLUSTER_IPI),
};

/** Of what a host says of itself, what a machine of this architecture can keep. */
export function keptClaims(claims: Claims, architecture: Architecture): Claims {
  const kept = architecture === 'x64' ? X64 : ARM64;
  return {
    features: claims.features & kept.features,
    privileges: claims.privileges & kept.privileges,
    miscFeatures: claims.miscFeatures & kept.miscFeatures,
    recommendations: claims.recommendations & kept.recommendations,
  };
}
