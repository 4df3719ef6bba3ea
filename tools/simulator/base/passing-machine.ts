// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Machines that pass every call of their guest on to another one. Whoever stands between a guest
 * and its processor (counts, delays, leaves something out) extends one and overrides what it is
 * about.
 */

import {
  PAGE_SIZE,
  type Arm64Machine,
  type CpuidRegisters,
  type Machine,
  type MachineCommon,
  type MemoryRange,
  type X64Machine,
} from '../../../src/machine.ts';

abstract class PassingMachine<M extends MachineCommon> implements MachineCommon {
  /** The machine behind this one. */
  protected readonly machine: M;
  readonly memoryMap: readonly MemoryRange[];

  /** `memoryMap`: what the guest is told, if that is not the machine's. */
  constructor(machine: M, memoryMap = machine.memoryMap) {
    this.machine = machine;
    this.memoryMap = memoryMap;
  }

  get memory(): ArrayBufferLike {
    return this.machine.memory;
  }

  get pageSize(): number {
    return this.machine.pageSize ?? PAGE_SIZE;
  }

  pause(): void {
    this.machine.pause();
  }

  delay(ticks: number): void {
    waitOn(this.machine, ticks);
  }

  takeInterrupt(): number | undefined {
    return this.machine.takeInterrupt?.();
  }
}

/** Ticks of 100 ns that a pause of a machine without delays stands for: a millisecond. */
const PAUSE_TICKS = 10_000;

/** Wait for so many ticks of 100 ns, on any machine: where there are no delays, in pauses. */
export function waitOn(machine: MachineCommon, ticks: number): void {
  if (machine.delay !== undefined) return machine.delay(ticks);
  for (let left = Math.max(ticks, 1); left > 0; left -= PAUSE_TICKS) machine.pause();
}

/** Without RDTSC, which a machine need not have: its guest reads the reference counter. */
export class PassingX64 extends PassingMachine<X64Machine> implements X64Machine {
  readonly architecture = 'x64';

  cpuid(leaf: number, subleaf: number): CpuidRegisters {
    return this.machine.cpuid(leaf, subleaf);
  }

  rdmsr(msr: number): bigint {
    return this.machine.rdmsr(msr);
  }

  wrmsr(msr: number, value: bigint): void {
    this.machine.wrmsr(msr, value);
  }

  callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    return this.machine.callHypercallPage(page, control, input, output);
  }
}

export class PassingArm64 extends PassingMachine<Arm64Machine> implements Arm64Machine {
  readonly architecture = 'arm64';

  get hypercallConvention(): 'smccc' | 'immediate' {
    return this.machine.hypercallConvention ?? 'smccc';
  }

  get counterFrequency(): number {
    return this.machine.counterFrequency;
  }

  hvc(immediate: number, registers: BigUint64Array): void {
    this.machine.hvc(immediate, registers);
  }

  readCounter(): bigint {
    return this.machine.readCounter();
  }
}

/** A machine that passes everything on to `machine`, of the same architecture. */
export function passOn(machine: Machine): PassingX64 | PassingArm64 {
  return machine.architecture === 'x64' ? new PassingX64(machine) : new PassingArm64(machine);
}
