// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The report of a crash of the firmware itself to the host (TLFS, guest crash enlightenment; Linux
 * hyperv_report_panic, hyperv_report_panic_msg): five parameters, then the control register. Where
 * the host takes a message, P3 and P4 are its address and length.
 */

import type { HyperV } from '../hyperv/hyperv.ts';
import type { Platform } from '../hyperv/platform.ts';
import { Cpuid, CrashControl, HvMiscFeature, HvRegister, Msr } from '../hyperv/protocol.ts';
import { PAGE_SIZE } from '../machine.ts';
import type { SharedMemory } from '../memory/shared-memory.ts';

/** P0: it was this firmware: "hypxe". Hosts show the parameters, and know no codes of firmware. */
const CRASH_CODE = 0x6879707865n;

/** Longest message: a page, as hosts read no more (Linux HV_HYP_PAGE_SIZE). */
const MESSAGE_MAX = PAGE_SIZE;

/** Characters that are not ASCII are shown as this. */
const OTHER = 0x3f;

/**
 * Tell the host that the firmware itself has failed. Never throws: whoever calls has an error that
 * matters more.
 *
 * @returns whether the host was told: not if the machine is not ours, or the host takes no reports
 */
export function reportCrash(hv: HyperV, error: unknown): boolean {
  try {
    return hv.identity !== 0n && report(hv, String(error));
  } catch {
    return false;
  }
}

/** The registers of a report: the firmware has no use for them, and arm64 no other names. */
export function crashRegisters({ machine }: Platform): typeof Msr | typeof HvRegister {
  return machine.architecture === 'arm64' ? HvRegister : Msr;
}

/** P1 is the guest OS identity, as Linux has it. @throws HypxeError RegisterRefused */
function report({ platform, pages, identity }: HyperV, text: string): boolean {
  const crash = crashRegisters(platform);
  // What the host takes: the control register reads as that
  if (!(platform.facts(Cpuid.HV_FEATURES).edx & HvMiscFeature.GUEST_CRASH)) return false;
  const supported = platform.read(crash.CRASH_CTL);
  if (!(supported & CrashControl.NOTIFY)) return false;
  const withMessage = (supported & CrashControl.MESSAGE) !== 0n && text.length > 0;

  // The message. The host reads it while the register is written: nothing stays shared
  const region = withMessage ? allocate(pages) : undefined;
  const length = Math.min(text.length, MESSAGE_MAX);
  for (let i = 0; region !== undefined && i < length; i++) {
    const code = text.charCodeAt(i);
    pages.memory.set8(region.address + i, code < 0x80 ? code : OTHER);
  }

  // The parameters, then the notification
  platform.write(crash.CRASH_P0, CRASH_CODE);
  platform.write(crash.CRASH_P1, identity);
  platform.write(crash.CRASH_P2, 0n);
  platform.write(crash.CRASH_P3, region === undefined ? 0n : BigInt(region.address));
  platform.write(crash.CRASH_P4, region === undefined ? 0n : BigInt(length));
  const message = region === undefined ? 0n : CrashControl.MESSAGE;
  platform.write(crash.CRASH_CTL, CrashControl.NOTIFY | message);
  if (region !== undefined) pages.free(region);
  return true;
}

/** Memory for the message; a firmware that has none left reports without. */
function allocate(pages: SharedMemory) {
  try {
    return pages.allocate('crash-message', MESSAGE_MAX);
  } catch {
    return undefined;
  }
}
