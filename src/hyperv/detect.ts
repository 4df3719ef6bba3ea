// SPDX-License-Identifier: GPL-2.0-or-later

/** Is there a Hyper-V that we can use, and may? (iPXE hv_check_hv, hv_check_features) */

import { HypxeError, type ErrorName } from '../error.ts';
import type { CpuidRegisters } from '../machine.ts';
import { hex } from '../wire.ts';
import type { Platform } from './platform.ts';
import { Cpuid, GuestOsId, HvFeature, HvPrivilege, Msr } from './protocol.ts';

/** What the partition must be allowed: word of CPUID 0x40000003, bit, what it lacks without. */
type Need = readonly [word: 'eax' | 'ebx', bit: number, name: ErrorName];
const NEEDED: readonly Need[] = [
  ['eax', HvFeature.HYPERCALL, 'NoHypercallRegister'],
  ['eax', HvFeature.SYNIC, 'NoSynic'],
  ['ebx', HvPrivilege.POST_MESSAGES, 'NoPostMessages'],
  ['ebx', HvPrivilege.SIGNAL_EVENTS, 'NoSignalEvents'],
  ['eax', HvFeature.TIME_REF_COUNT, 'NoReferenceTime'],
];

/** What was found. */
export interface Detected {
  /** CPUID 0x40000003. */
  readonly facts: CpuidRegisters;
  /** The hypercall register as it is, where there is one. */
  readonly hypercall: bigint | undefined;
}

/**
 * Look for Hyper-V, and for all that is needed of it. Writes no register.
 *
 * @throws HypxeError with the name of what is missing
 */
export function detect(platform: Platform): Detected {
  platform.identify();

  // Check for features and privileges: touching what is missing reboots a guest (iPXE b6889eaa1)
  const facts = platform.facts(Cpuid.HV_FEATURES);
  for (const [word, bit, name] of NEEDED.slice(platform.hypercallRegister ? 0 : 1)) {
    if (facts[word] & bit) continue;
    throw new HypxeError(name, `features are ${hex(facts.eax)}:${hex(facts.ebx)}`);
  }

  // Do not steal ownership from the Gen 2 UEFI firmware: that crashes the VM (iPXE 936657832)
  const owner = platform.read(Msr.GUEST_OS_ID);
  if (owner === GuestOsId.UEFI || owner === GuestOsId.UEFI_ARM64) {
    throw new HypxeError('OwnedByUefi', `guest identity is ${hex(owner)}`);
  }

  return { facts, hypercall: platform.hypercallRegister?.() };
}
