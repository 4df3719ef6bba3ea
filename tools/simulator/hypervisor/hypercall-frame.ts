// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A hypercall as the processor hands it over, and the checks that all calls of a kind share (TLFS,
 * "Hypercall Inputs"; OpenVMM `hv1_hypercall`).
 */

import { HvStatus } from '../../../src/hyperv/protocol.ts';
import { PAGE_SIZE } from '../../../src/machine.ts';
import type { GuestRam } from '../base/guest-ram.ts';

/** Control word, low half: input in registers. */
const FAST = 1 << 16;
/** Where the bits above `fast` begin: variable header, reserved bits, nested. */
const REST_SHIFT = 17;
/** Of these the variable header: bits 26:17. */
const HEADER_MASK = 0x3ff;
const HEADER_END = 27;
/** Control word, high half: repetitions, start index, and the reserved bits between. */
const REPS_MASK = 0xfff;
const START_SHIFT = 16;
const REPS_RESERVED = 0xf000f000;

/** A call, in 32-bit words: no bigint is made on the way. */
export interface HypercallFrame {
  controlLow: number;
  controlHigh: number;
  /** RDX and R8, or the input registers of a fast call. */
  inputLow: number;
  inputHigh: number;
  outputLow: number;
  outputHigh: number;
  /** Repetitions done, for the result of rep calls. */
  repsDone: number;
}

/** An address of two words; above 2^53 it is not exact, but then it is not RAM either. */
export function address(low: number, high: number): number {
  return high * 2 ** 32 + low;
}

/** Alignment, page and RAM of a buffer of a slow call (TLFS; OpenVMM `hv1_hypercall`). */
export function checkBuffer(ram: GuestRam, low: number, at: number, length: number): number {
  if ((low & 7) !== 0) return HvStatus.INVALID_ALIGNMENT;
  if ((low & (PAGE_SIZE - 1)) + length > PAGE_SIZE) return HvStatus.INVALID_HYPERCALL_INPUT;
  return ram.has(at, length) ? HvStatus.SUCCESS : HvStatus.INVALID_PARAMETER;
}

/** A simple call has neither repetitions nor a variable header, and no reserved bit. */
export function isSimple(frame: HypercallFrame): boolean {
  return frame.controlLow >>> REST_SHIFT === 0 && frame.controlHigh === 0;
}

/** A rep call has 1 to 4095 repetitions, a start below that, no variable header or reserved bit. */
export function isRep(frame: HypercallFrame): boolean {
  const count = repCount(frame);
  const start = repStart(frame);
  const reserved = frame.controlHigh & REPS_RESERVED;
  return frame.controlLow >>> REST_SHIFT === 0 && reserved === 0 && start < count;
}

/** No reserved bit is set: there may be a variable header, and repetitions. */
export function isVariable(frame: HypercallFrame): boolean {
  const reserved = frame.controlHigh & REPS_RESERVED;
  return frame.controlLow >>> HEADER_END === 0 && reserved === 0;
}

/** Length of the variable header, in words of 64 bits. */
export function variableWords(frame: HypercallFrame): number {
  return (frame.controlLow >>> REST_SHIFT) & HEADER_MASK;
}

/** Whether the input is in registers. */
export function isFast(frame: HypercallFrame): boolean {
  return (frame.controlLow & FAST) !== 0;
}

/** Repetitions of a rep call, and the first of them that is to be done. */
export function repCount(frame: HypercallFrame): number {
  return frame.controlHigh & REPS_MASK;
}

export function repStart(frame: HypercallFrame): number {
  return (frame.controlHigh >>> START_SHIFT) & REPS_MASK;
}
