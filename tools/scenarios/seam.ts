// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Seams that make a correct guest wrong: what it reads of a register is not what is there, or a
 * message that it posts is never posted. So the broken half of a scenario is the fixed one but for
 * the one thing that it is about.
 */

import { HvCall, PostMessage } from '../../src/hyperv/protocol.ts';
import type { CpuidRegisters, MemoryRange, X64Machine } from '../../src/machine.ts';
import { MessageHeader } from '../../src/vmbus/protocol.ts';

export interface SeamFault {
  /** Value of a register instead of the one that is there. */
  readonly read?: (msr: number) => bigint | undefined;
  /** Whether a VMBus message of this type is kept from the host; the guest believes it was sent. */
  readonly keeps?: (type: number) => boolean;
}

export class FaultySeam implements X64Machine {
  readonly architecture = 'x64';
  readonly memory: ArrayBufferLike;
  readonly memoryMap: readonly MemoryRange[];
  readonly #machine: X64Machine;
  readonly #view: DataView;
  fault: SeamFault;

  constructor(machine: X64Machine, fault: SeamFault = {}) {
    this.memory = machine.memory;
    this.memoryMap = machine.memoryMap;
    this.#machine = machine;
    this.#view = new DataView(machine.memory);
    this.fault = fault;
  }

  cpuid(leaf: number, subleaf: number): CpuidRegisters {
    return this.#machine.cpuid(leaf, subleaf);
  }

  rdmsr(msr: number): bigint {
    return this.fault.read?.(msr) ?? this.#machine.rdmsr(msr);
  }

  wrmsr(msr: number, value: bigint): void {
    this.#machine.wrmsr(msr, value);
  }

  callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    const post = Number(control & 0xffffn) === HvCall.POST_MESSAGE;
    const at = Number(input) + PostMessage.at.data + MessageHeader.at.type;
    if (post && this.fault.keeps?.(this.#view.getUint32(at, true)) === true) return 0n;
    return this.#machine.callHypercallPage(page, control, input, output);
  }

  pause(): void {
    this.#machine.pause();
  }
}
