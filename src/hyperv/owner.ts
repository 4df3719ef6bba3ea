// SPDX-License-Identifier: GPL-2.0-or-later

/** Registers on their way back to what they are at reset: ours, and those of an earlier owner. */

import type { Log } from '../events.ts';
import type { Detected } from './detect.ts';
import type { Platform } from './platform.ts';
import {
  HV_ENABLE,
  HV_PAGE_REGISTER_MASK,
  HvFeature,
  Msr,
  SINT_COUNT,
  STIMER_COUNT,
  Sint,
} from './protocol.ts';

/** Bits of page registers and of SINTs that stay as they are. */
export const PAGE_RESERVED = HV_PAGE_REGISTER_MASK & ~HV_ENABLE;
export const SINT_RESERVED = ~0x1f00ffn;

/**
 * Registers of a processor that an earlier owner may have left on, in the order in which they are
 * switched off: the first, how many, the feature that they need, reserved bits, value at reset.
 */
const LEFT: readonly (readonly [number, number, number, bigint, bigint])[] = [
  [Msr.STIMER0_CONFIG, 2 * STIMER_COUNT, HvFeature.SYNTHETIC_TIMERS, 0n, 0n],
  [Msr.SINT0, SINT_COUNT, HvFeature.SYNIC, SINT_RESERVED, Sint.MASKED],
  [Msr.SIEFP, 2, HvFeature.SYNIC, PAGE_RESERVED, 0n],
  [Msr.VP_ASSIST_PAGE, 1, HvFeature.INTR_CONTROL, PAGE_RESERVED, 0n],
  [Msr.REFERENCE_TSC, 1, HvFeature.REFERENCE_TSC, PAGE_RESERVED, 0n],
  [Msr.HYPERCALL, 1, HvFeature.HYPERCALL, PAGE_RESERVED, 0n],
];

/**
 * Switch off what an earlier owner has left on our processor, before any memory is used: timers,
 * which send messages; SINTs; then the pages, which lie where they like. What the host refuses is
 * logged.
 */
export function takeOver(platform: Platform, { facts, hypercall }: Detected, log: Log): void {
  for (const [first, count, need, reserved, value] of LEFT) {
    // Where there is no hypercall page there is no such register
    if (first === Msr.HYPERCALL && !hypercall) continue;
    for (let i = 0; facts.eax & need && i < count; i++) {
      log.attempt('error', 'HV', '', 'while undoing', () =>
        resetRegister(platform, first + i, reserved, value),
      );
    }
  }
}

/** As it is at reset, but for reserved bits. @throws HypxeError RegisterRefused */
export function resetRegister(
  platform: Platform,
  register: number,
  reserved: bigint,
  reset: bigint,
): void {
  const old = platform.read(register);
  const value = (old & reserved) | reset;
  if (old !== value) platform.write(register, value);
}
