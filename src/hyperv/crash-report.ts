// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The report of a crash of the firmware itself to the host (TLFS, guest crash enlightenment; Linux
 * hyperv_report_panic, hyperv_report_panic_msg): five parameters, then the control register. Where
 * the host takes a message, P3 and P4 are its address and length.
 */

import type { SharedMemory } from '../memory/shared-memory.ts';
import { PAGE_SIZE } from '../machine.ts';
import type { Platform } from './platform.ts';
import { CrashControl, HvMiscFeature } from './protocol.ts';

/** P0: it was this firmware: "hypxe". Hosts show the parameters, and know no codes of firmware. */
const CRASH_CODE = 0x6879707865n;

/** Longest message: a page, as hosts read no more (Linux HV_HYP_PAGE_SIZE). */
const MESSAGE_MAX = PAGE_SIZE;

/** Characters that are not ASCII are shown as this. */
const OTHER = 0x3f;

/**
 * Report a crash, as far as the host takes it.
 *
 * @param identity P1, as Linux has it: the guest OS identity
 * @param text what happened, if there is room for it in guest memory
 * @returns whether the host was told
 * @throws HypxeError RegisterRefused
 */
export function reportCrash(
  platform: Platform,
  pages: SharedMemory,
  identity: bigint,
  text: string,
): boolean {
  // What the host takes: the control register reads as that
  if (!(platform.miscFeatures() & HvMiscFeature.GUEST_CRASH)) return false;
  const supported = platform.read('CRASH_CTL');
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
  platform.write('CRASH_P0', CRASH_CODE);
  platform.write('CRASH_P1', identity);
  platform.write('CRASH_P2', 0n);
  platform.write('CRASH_P3', region === undefined ? 0n : BigInt(region.address));
  platform.write('CRASH_P4', region === undefined ? 0n : BigInt(length));
  const message = region === undefined ? 0n : CrashControl.MESSAGE;
  platform.write('CRASH_CTL', CrashControl.NOTIFY | message);
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
