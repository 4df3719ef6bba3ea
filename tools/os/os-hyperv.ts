// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the loaded OS does at the seam besides what the drivers do: interrupts, and its own posting.
 */

import { HyperV, type HyperVOptions } from '../../src/hyperv/hyperv.ts';
import type { Platform } from '../../src/hyperv/platform.ts';
import type { Log } from '../../src/events.ts';
import type {
  Arm64Machine,
  CpuidRegisters,
  Machine,
  MachineCommon,
  MemoryRange,
  X64Machine,
} from '../../src/machine.ts';
import { PAGE_SIZE } from '../../src/machine.ts';
import type { SharedMemory } from '../../src/memory/shared-memory.ts';
import { MessageHeader, MessageType, OpenChannel } from '../../src/vmbus/protocol.ts';

/**
 * A processor whose guest takes interrupts: they come while it does nothing. The drivers poll, as
 * firmware must, so that the handler has nothing to do but what polling does not.
 */
export function interruptedMachine(machine: Machine, interrupt: () => void): Machine {
  return machine.architecture === 'x64'
    ? new InterruptedX64(machine, interrupt)
    : new InterruptedArm64(machine, interrupt);
}

class Interrupted implements MachineCommon {
  readonly memory: ArrayBufferLike;
  readonly memoryMap: readonly MemoryRange[];
  readonly pageSize: number;
  readonly #machine: MachineCommon;
  readonly #interrupt: () => void;

  constructor(machine: MachineCommon, interrupt: () => void) {
    this.memory = machine.memory;
    this.memoryMap = machine.memoryMap;
    this.pageSize = machine.pageSize ?? PAGE_SIZE;
    this.#machine = machine;
    this.#interrupt = interrupt;
  }

  pause(): void {
    this.#machine.pause();
    this.#interrupt();
  }
}

class InterruptedX64 extends Interrupted implements X64Machine {
  readonly architecture = 'x64';
  readonly #machine: X64Machine;

  constructor(machine: X64Machine, interrupt: () => void) {
    super(machine, interrupt);
    this.#machine = machine;
  }

  cpuid(leaf: number, subleaf: number): CpuidRegisters {
    return this.#machine.cpuid(leaf, subleaf);
  }

  rdmsr(msr: number): bigint {
    return this.#machine.rdmsr(msr);
  }

  wrmsr(msr: number, value: bigint): void {
    this.#machine.wrmsr(msr, value);
  }

  callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    return this.#machine.callHypercallPage(page, control, input, output);
  }
}

class InterruptedArm64 extends Interrupted implements Arm64Machine {
  readonly architecture = 'arm64';
  readonly hypercallConvention: 'smccc' | 'immediate';
  readonly counterFrequency: number;
  readonly #machine: Arm64Machine;

  constructor(machine: Arm64Machine, interrupt: () => void) {
    super(machine, interrupt);
    this.#machine = machine;
    this.hypercallConvention = machine.hypercallConvention ?? 'smccc';
    this.counterFrequency = machine.counterFrequency;
  }

  hvc(immediate: number, registers: BigUint64Array): void {
    this.#machine.hvc(immediate, registers);
  }

  readCounter(): bigint {
    return this.#machine.readCounter();
  }
}

/** How the OS posts. */
export interface PostHabits {
  /** Processors that take the events of channels, in turn (Linux `init_vp_index`). */
  readonly eventVps: readonly number[];
  /** Whether a message that the host refuses for the moment is posted again. */
  readonly retries: boolean;
}

/** The hypervisor layer with the habits of an OS. */
export class OsHyperV extends HyperV {
  readonly #habits: PostHabits;
  /** Connection ID of the last message. */
  lastConnectionId = 0;
  #opened = 0;

  constructor(
    platform: Platform,
    pages: SharedMemory,
    log: Log,
    habits: PostHabits,
    options: HyperVOptions,
  ) {
    super(platform, pages, log, options);
    this.#habits = habits;
  }

  override postMessage(
    connectionId: number,
    type: number,
    payload: Uint8Array,
    length: number,
    retry = true,
  ): void {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    if (view.getUint32(MessageHeader.at.type, true) === MessageType.OPEN_CHANNEL) {
      const { eventVps } = this.#habits;
      const vp = eventVps[this.#opened++ % eventVps.length]!;
      view.setUint32(OpenChannel.at.targetVp, vp, true);
    }
    this.lastConnectionId = connectionId;
    super.postMessage(connectionId, type, payload, length, retry && this.#habits.retries);
  }
}
