// SPDX-License-Identifier: GPL-2.0-or-later

/** A machine that counts what its guest asks of it, and passes everything on. */

import { HvCall, HvControl, Msr } from '../../src/hyperv/protocol.ts';
import type { CpuidRegisters } from '../../src/machine.ts';
import { PassingX64 } from '../simulator/base/passing-machine.ts';

/** What a guest has asked of its machine. */
export interface WorkCounts {
  /** HvPostMessage and HvSignalEvent together. */
  hypercalls: number;
  messages: number;
  signals: number;
  /** Registers read and written, without the two below. */
  reads: number;
  writes: number;
  /** Writes of EOM. */
  eoms: number;
  /** Reads of TIME_REF_COUNT. */
  clockReads: number;
  cpuids: number;
  pauses: number;
}

export function noWork(): WorkCounts {
  return {
    hypercalls: 0,
    messages: 0,
    signals: 0,
    reads: 0,
    writes: 0,
    eoms: 0,
    clockReads: 0,
    cpuids: 0,
    pauses: 0,
  };
}

/** Add `other` to `counts`. */
export function addWork(counts: WorkCounts, other: Readonly<WorkCounts>): void {
  for (const key of Object.keys(counts) as (keyof WorkCounts)[]) counts[key] += other[key];
}

/** Count one register access. */
export function countRegister(counts: WorkCounts, msr: number, write: boolean): void {
  if (write && msr === Msr.EOM) counts.eoms++;
  else if (!write && msr === Msr.TIME_REF_COUNT) counts.clockReads++;
  else if (write) counts.writes++;
  else counts.reads++;
}

/** The control words of the two calls of the data path: comparing them makes no bigint. */
const CONTROL_SIGNAL = BigInt(HvCall.SIGNAL_EVENT);
const CONTROL_POST = BigInt(HvCall.POST_MESSAGE);

function codeOf(control: bigint): number {
  if (control === CONTROL_SIGNAL) return HvCall.SIGNAL_EVENT;
  if (control === CONTROL_POST) return HvCall.POST_MESSAGE;
  return Number(control & HvControl.CODE_MASK);
}

/** Count one hypercall. */
export function countHypercall(counts: WorkCounts, code: number): void {
  counts.hypercalls++;
  if (code === HvCall.POST_MESSAGE) counts.messages++;
  if (code === HvCall.SIGNAL_EVENT) counts.signals++;
}

export class CountingMachine extends PassingX64 {
  /** Counts up; replace it to begin anew. */
  counts: WorkCounts = noWork();

  override cpuid(leaf: number, subleaf: number): CpuidRegisters {
    this.counts.cpuids++;
    return super.cpuid(leaf, subleaf);
  }

  override rdmsr(msr: number): bigint {
    countRegister(this.counts, msr, false);
    return super.rdmsr(msr);
  }

  override wrmsr(msr: number, value: bigint): void {
    countRegister(this.counts, msr, true);
    super.wrmsr(msr, value);
  }

  override callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    countHypercall(this.counts, codeOf(control));
    return super.callHypercallPage(page, control, input, output);
  }

  override pause(): void {
    this.counts.pauses++;
    super.pause();
  }
}
