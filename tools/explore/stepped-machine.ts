// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The seam between the explored guest and the simulated processor: every call passes here, is
 * counted as a step where it is one, and gives the fault plan its turn. Idle waiting is shortened:
 * a guest that polls for long without anything happening is given longer and longer turns.
 */

import type { CpuidRegisters, MemoryRange, X64Machine } from '../../src/machine.ts';
import { TICKS_PER_MS } from '../simulator/clock.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { SimulatedProcessor } from '../simulator/simulated-processor.ts';

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

export class SteppedMachine implements X64Machine {
  readonly architecture = 'x64';
  readonly memoryMap: readonly MemoryRange[];
  readonly #machine: SimulatedMachine;
  readonly #processor: SimulatedProcessor;
  readonly #listener: SeamListener;
  readonly #memory: () => ArrayBufferLike;
  #activity = 0;
  #idlePauses = 0;
  #idleSince = 0;

  /** `memory` is called whenever the guest asks for its memory. */
  constructor(
    machine: SimulatedMachine,
    memoryMap: readonly MemoryRange[],
    listener: SeamListener,
    memory: () => ArrayBufferLike,
  ) {
    this.memoryMap = memoryMap;
    this.#machine = machine;
    this.#processor = machine.bootProcessor;
    this.#listener = listener;
    this.#memory = memory;
  }

  get memory(): ArrayBufferLike {
    return this.#memory();
  }

  cpuid(leaf: number, subleaf: number): CpuidRegisters {
    this.#listener.exit();
    return this.#processor.cpuid(leaf, subleaf);
  }

  rdtsc(): bigint {
    return this.#processor.rdtsc();
  }

  rdmsr(msr: number): bigint {
    this.#listener.exit();
    return this.#processor.rdmsr(msr);
  }

  wrmsr(msr: number, value: bigint): void {
    this.#listener.exit();
    this.#processor.wrmsr(msr, value);
    this.#listener.step('wrmsr');
  }

  callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    this.#listener.exit();
    const result = this.#processor.callHypercallPage(page, control, input, output);
    this.#listener.step('hypercall');
    return result;
  }

  pause(): void {
    this.#listener.exit();
    this.#processor.pause();
    this.#shortenIdling();
    this.#listener.step('pause');
  }

  #shortenIdling(): void {
    const { clock } = this.#machine;
    const { activity } = this.#listener;
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
