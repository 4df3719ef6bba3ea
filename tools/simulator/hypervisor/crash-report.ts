// SPDX-License-Identifier: GPL-2.0-or-later

/** What a guest says of its own crash, through the crash registers (TLFS, "Guest Crash MSRs"). */

import { hex } from '../base/hex.ts';
import type { GuestRam } from '../base/guest-ram.ts';

/** Crash parameters P0 to P4; P3 and P4 may be address and length of a text. */
export const CRASH_PARAMETERS = 5;
const TEXT_ADDRESS = 3;
const TEXT_LENGTH = 4;

/** Most bytes of the text that are logged. */
const CRASH_TEXT_MAX = 4096;

/** The report in one line; `hasText`: the guest left a text in memory. */
export function crashReport(
  ram: GuestRam,
  vp: number,
  parameters: BigUint64Array,
  hasText: boolean,
): string {
  let report = `guest reported a crash on VP ${vp}:`;
  for (let i = 0; i < CRASH_PARAMETERS; i++) report += ` P${i}=${hex(parameters[i]!)}`;
  const address = Number(parameters[TEXT_ADDRESS]);
  const length = Math.min(Number(parameters[TEXT_LENGTH]), CRASH_TEXT_MAX);
  if (!hasText || !ram.has(address, length)) return report;
  report += ' ';
  for (let i = 0; i < length; i++) report += printable(ram.contents[address + i]!);
  return report;
}

/** A byte of the text as a character. */
function printable(byte: number): string {
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.';
}
