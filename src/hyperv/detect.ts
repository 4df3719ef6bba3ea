// SPDX-License-Identifier: GPL-2.0-or-later

/** Is there a Hyper-V that we can use, and may? (iPXE hv_check_hv, hv_check_features) */

import { HypxeError, type ErrorName } from '../error.ts';
import type { CpuidRegisters } from '../machine.ts';
import type { Platform } from './platform.ts';
import { Cpuid, GuestOsId, HV_HYPERCALL_LOCKED, HvFeature, HvPrivilege, Msr } from './protocol.ts';

/** What the partition must be allowed: word of CPUID 0x40000003, bit, what it lacks without. */
type Need = readonly [word: 'eax' | 'ebx', bit: number, name: ErrorName, text: string];
const HYPERCALLS: Need = ['eax', HvFeature.HYPERCALL, 'NoHypercallRegister', 'no hypercall MSR'];
const NEEDED: readonly Need[] = [
  ['eax', HvFeature.SYNIC, 'NoSynic', 'no SynIC registers'],
  ['ebx', HvPrivilege.POST_MESSAGES, 'NoPostMessages', 'may not post messages'],
  ['ebx', HvPrivilege.SIGNAL_EVENTS, 'NoSignalEvents', 'may not signal events'],
  ['eax', HvFeature.TIME_REF_COUNT, 'NoReferenceTime', 'no reference counter'],
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
  const hasPage = platform.hypercallPage !== undefined;
  for (const [word, bit, name, text] of hasPage ? [HYPERCALLS, ...NEEDED] : NEEDED) {
    if (facts[word] & bit) continue;
    const seen = `features are 0x${facts.eax.toString(16)}:0x${facts.ebx.toString(16)}`;
    throw new HypxeError(name, `${text} (${seen})`);
  }

  // Do not steal ownership from the Gen 2 UEFI firmware: that crashes the VM (iPXE 936657832)
  const owner = platform.read(Msr.GUEST_OS_ID);
  if (owner === GuestOsId.UEFI || owner === GuestOsId.UEFI_ARM64) {
    throw new HypxeError('OwnedByUefi', 'guest is owned by the Gen 2 UEFI firmware');
  }

  // A locked hypercall page cannot be moved: writing the register would fault
  const hypercall = hasPage ? platform.read(Msr.HYPERCALL) : undefined;
  if (hypercall !== undefined && hypercall & HV_HYPERCALL_LOCKED) {
    const text = `hypercall register is locked at 0x${hypercall.toString(16)}`;
    throw new HypxeError('HypercallPageLocked', text);
  }
  return { facts, hypercall };
}
