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
  MemoryRange,
  X64Machine,
} from '../../src/machine.ts';
import { TICKS_PER_MS, type VirtualClock } from '../simulator/base/clock.ts';
import { PassingArm64, PassingX64 } from '../simulator/base/passing-machine.ts';
import type { Keeper, Saved } from '../simulator/base/snapshot.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

/** Idle turns before they get longer, and how much longer: a part of the time idled so far. */
const IDLE_PAUSES = 64;
const IDLE_PART = 16;

/** Longest turn, in ticks. */
const TURN_MAX = 10_000 * TICKS_PER_MS;

/** What a step of the guest is. */
export type Step = 'wrmsr' | 'hypercall' | 'pause';

/** Hypercalls of an arm64 guest that are steps. */
const HVC_STEPS: Readonly<Record<number, Step>> = {
  [HvCall.SET_VP_REGISTERS]: 'wrmsr',
  [HvCall.POST_MESSAGE]: 'hypercall',
  [HvCall.SIGNAL_EVENT]: 'hypercall',
};

/** What is called on the way. */
export interface SeamListener {
  /** The guest makes an exit: whatever the host does of its own accord happens now. */
  exit(): void;
  /** A step of the guest is done. */
  step(what: Step): void;
  /** Whether the host refuses a register write of an x64 guest: it faults, and survives that. */
  refuses(register: number): boolean;
  /** Counts whatever happens on the bus: while it stands, nothing happens. */
  activity(): number;
}

/** #GP of a register write as a guest sees it that has a handler for it; see {@link Machine}. */
class RegisterFault extends Error {
  override readonly name = 'RegisterRefused';
  readonly status = undefined;

  constructor(register: number) {
    super(`#GP: write of register 0x${register.toString(16)}`);
  }
}

/** What both architectures do. */
class Stepping implements Saved {
  readonly memory: () => ArrayBufferLike;
  readonly #clock: VirtualClock;
  readonly #listener: SeamListener;
  #activity = 0;
  #idlePauses = 0;
  #idleSince = 0;

  constructor(clock: VirtualClock, listener: SeamListener, memory: () => ArrayBufferLike) {
    this.memory = memory;
    this.#clock = clock;
    this.#listener = listener;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#activity, this.#idlePauses], (v) => ([this.#activity, this.#idlePauses] = v));
    keeper.put([this.#idleSince], (v) => ([this.#idleSince] = v));
  }

  /** The guest is about to make an exit. */
  exit(): void {
    this.#listener.exit();
  }

  /** An exit that is a step is over. */
  step(what: Step): void {
    this.#listener.step(what);
  }

  refuses(register: number): boolean {
    return this.#listener.refuses(register);
  }

  /** A turn of a polling loop is over: longer and longer ones while nothing happens. */
  shortenIdling(): void {
    const clock = this.#clock;
    const activity = this.#listener.activity();
    if (activity !== this.#activity) {
      this.#activity = activity;
      this.#idlePauses = 0;
      this.#idleSince = clock.now;
      return;
    }
    if (++this.#idlePauses <= IDLE_PAUSES) return;

    // Never past the next thing that the host does
    const longer = Math.min(TURN_MAX, Math.floor((clock.now - this.#idleSince) / IDLE_PART));
    clock.advanceTo(Math.min(clock.now + longer, clock.nextEvent ?? Infinity));
  }
}

class SteppedX64 extends PassingX64 implements Saved {
  readonly #stepping: Stepping;

  constructor(machine: X64Machine, memoryMap: readonly MemoryRange[], stepping: Stepping) {
    super(machine, memoryMap);
    this.#stepping = stepping;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#stepping);
  }

  override get memory(): ArrayBufferLike {
    return this.#stepping.memory();
  }

  rdtsc(): bigint {
    return this.machine.rdtsc!();
  }

  override cpuid(leaf: number, subleaf: number): CpuidRegisters {
    this.#stepping.exit();
    return super.cpuid(leaf, subleaf);
  }

  override rdmsr(msr: number): bigint {
    this.#stepping.exit();
    return super.rdmsr(msr);
  }

  override wrmsr(msr: number, value: bigint): void {
    this.#stepping.exit();
    if (this.#stepping.refuses(msr)) throw new RegisterFault(msr);
    super.wrmsr(msr, value);
    this.#stepping.step('wrmsr');
  }

  override callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    this.#stepping.exit();
    const result = super.callHypercallPage(page, control, input, output);
    this.#stepping.step('hypercall');
    return result;
  }

  override pause(): void {
    this.#stepping.exit();
    super.pause();
    this.#stepping.shortenIdling();
    this.#stepping.step('pause');
  }

  /** As long as it says: whoever waits so often counts on it. */
  override delay(ticks: number): void {
    this.#stepping.exit();
    super.delay(ticks);
    this.#stepping.step('pause');
  }
}

class SteppedArm64 extends PassingArm64 implements Saved {
  readonly #stepping: Stepping;

  constructor(machine: Arm64Machine, memoryMap: readonly MemoryRange[], stepping: Stepping) {
    super(machine, memoryMap);
    this.#stepping = stepping;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#stepping);
  }

  override get memory(): ArrayBufferLike {
    return this.#stepping.memory();
  }

  /** Reading a register is no step: neither is it on x64. The SMCCC has the control word in X1. */
  override hvc(immediate: number, registers: BigUint64Array): void {
    const code = Number(registers[immediate === 0 ? 1 : 0]! & HvControl.CODE_MASK);
    this.#stepping.exit();
    super.hvc(immediate, registers);
    const step = HVC_STEPS[code];
    if (step !== undefined) this.#stepping.step(step);
  }

  override pause(): void {
    this.#stepping.exit();
    super.pause();
    this.#stepping.shortenIdling();
    this.#stepping.step('pause');
  }

  /** As long as it says: whoever waits so often counts on it. */
  override delay(ticks: number): void {
    this.#stepping.exit();
    super.delay(ticks);
    this.#stepping.step('pause');
  }
}

/** The seam of a machine with a listener on it. `memory` is asked for whenever the guest asks. */
export function steppedMachine(
  machine: SimulatedMachine,
  memoryMap: readonly MemoryRange[],
  listener: SeamListener,
  memory: () => ArrayBufferLike,
): Machine & Saved {
  const seam = machine.bootSeam;
  const stepping = new Stepping(machine.clock, listener, memory);
  return seam.architecture === 'x64'
    ? new SteppedX64(seam, memoryMap, stepping)
    : new SteppedArm64(seam, memoryMap, stepping);
}
