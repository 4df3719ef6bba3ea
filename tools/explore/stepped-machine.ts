// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The seam between the explored guest and the simulated processor: every call passes here, is
 * counted as a step where it is one, and gives the fault plan its turn. Idle waiting is shortened:
 * a guest that polls for long without anything happening is given longer and longer turns.
 */

import { HvCall, HvControl } from '../../src/hyperv/protocol.ts';
import type {
  Arm64Machine,
  CpuidRegisters,
  Machine,
  MachineCommon,
  MemoryRange,
  X64Machine,
} from '../../src/machine.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

/** Idle turns before they get longer, and how much longer: a part of the time idled so far. */
const IDLE_PAUSES = 64;
const IDLE_PART = 16;

/** Longest turn, in ticks. */
const TURN_MAX = 10_000 * TICKS_PER_MS;

/** What is called on the way. */
export interface SeamListener {
  /** The guest makes an exit: whatever the host does of its own accord happens now. */
  exit(): void;
  /** A step of the guest is done. */
  step(what: 'wrmsr' | 'hypercall' | 'pause'): void;
  /** Counts whatever happens on the bus: while it stands, nothing happens. */
  readonly activity: number;
}

/** A machine whose calls pass through {@link SeamListener}. */
export type SteppedMachine = Machine;

/** What both architectures have. */
abstract class SteppedCommon implements MachineCommon {
  readonly memoryMap: readonly MemoryRange[];
  protected readonly listener: SeamListener;
  readonly #machine: SimulatedMachine;
  readonly #memory: () => ArrayBufferLike;
  #activity = 0;
  #idlePauses = 0;
  #idleSince = 0;

  constructor(
    machine: SimulatedMachine,
    memoryMap: readonly MemoryRange[],
    listener: SeamListener,
    memory: () => ArrayBufferLike,
  ) {
    this.memoryMap = memoryMap;
    this.listener = listener;
    this.#machine = machine;
    this.#memory = memory;
  }

  get memory(): ArrayBufferLike {
    return this.#memory();
  }

  pause(): void {
    this.listener.exit();
    this.#machine.bootSeam.pause();
    this.#shortenIdling();
    this.listener.step('pause');
  }

  #shortenIdling(): void {
    const { clock } = this.#machine;
    const { activity } = this.listener;
    if (activity !== this.#activity) {
      this.#activity = activity;
      this.#idlePauses = 0;
      this.#idleSince = clock.now;
      return;
    }
    if (++this.#idlePauses <= IDLE_PAUSES) return;

    // Never past the next thing that the host does
    const longer = Math.min(TURN_MAX, Math.floor((clock.now - this.#idleSince) / IDLE_PART));
    clock.advanceTo(Math.min(clock.now + longer, clock.nextAlarm ?? Infinity));
  }
}

class SteppedX64 extends SteppedCommon implements X64Machine {
  readonly architecture = 'x64';
  readonly #processor: X64Machine;

  constructor(processor: X64Machine, ...common: ConstructorParameters<typeof SteppedCommon>) {
    super(...common);
    this.#processor = processor;
  }

  cpuid(leaf: number, subleaf: number): CpuidRegisters {
    this.listener.exit();
    return this.#processor.cpuid(leaf, subleaf);
  }

  rdtsc(): bigint {
    return this.#processor.rdtsc!();
  }

  rdmsr(msr: number): bigint {
    this.listener.exit();
    return this.#processor.rdmsr(msr);
  }

  wrmsr(msr: number, value: bigint): void {
    this.listener.exit();
    this.#processor.wrmsr(msr, value);
    this.listener.step('wrmsr');
  }

  callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    this.listener.exit();
    const result = this.#processor.callHypercallPage(page, control, input, output);
    this.listener.step('hypercall');
    return result;
  }
}

class SteppedArm64 extends SteppedCommon implements Arm64Machine {
  readonly architecture = 'arm64';
  readonly counterFrequency: number;
  readonly #processor: Arm64Machine;

  constructor(processor: Arm64Machine, ...common: ConstructorParameters<typeof SteppedCommon>) {
    super(...common);
    this.counterFrequency = processor.counterFrequency;
    this.#processor = processor;
  }

  /** Reading a register is no step: neither is it on x64. The SMCCC has the control word in X1. */
  hvc(immediate: number, registers: BigUint64Array): void {
    const code = Number(registers[immediate === 0 ? 1 : 0]! & HvControl.CODE_MASK);
    this.listener.exit();
    this.#processor.hvc(immediate, registers);
    if (code === HvCall.SET_VP_REGISTERS) this.listener.step('wrmsr');
    else if (code === HvCall.POST_MESSAGE || code === HvCall.SIGNAL_EVENT) {
      this.listener.step('hypercall');
    }
  }

  readCounter(): bigint {
    return this.#processor.readCounter();
  }
}

/** The seam of a machine with a listener on it. `memory` is asked for whenever the guest asks. */
export function steppedMachine(
  machine: SimulatedMachine,
  memoryMap: readonly MemoryRange[],
  listener: SeamListener,
  memory: () => ArrayBufferLike,
): SteppedMachine {
  const seam = machine.bootSeam;
  return seam.architecture === 'x64'
    ? new SteppedX64(seam, machine, memoryMap, listener, memory)
    : new SteppedArm64(seam, machine, memoryMap, listener, memory);
}
