// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * HvGetVpRegisters and HvSetVpRegisters (TLFS, "HvCallGetVpRegisters"): the synthetic registers by
 * their HV_REGISTER_NAME, slow, with repetitions. On arm64 they are the only way to them.
 */

import { Cpuid, HvCall, HvStatus } from '../../src/hyperv/protocol.ts';
import type { CpuidLeaves } from './cpuid.ts';
import type { GuestRam } from './guest-ram.ts';
import { address, checkBuffer, isFast, repCount, repStart } from './hypercall-frame.ts';
import type { HypercallFrame } from './hypercall-frame.ts';
import { RegisterFault } from './register-file.ts';
import type { RegisterFile } from './register-file.ts';
import { VP_REGISTERS } from './registers.ts';
import type { VirtualProcessor } from './virtual-processor.ts';

/** Input header: u64 partition, u32 virtual processor, u8 VTL, 3 bytes of padding. */
const HEADER_SIZE = 16;
/** A name is a u32; a value has 16 bytes; HvSetVpRegisters pads the name to 16 bytes. */
const NAME_SIZE = 4;
const VALUE_SIZE = 16;
const ASSIGNMENT_SIZE = 32;

/** HV_PARTITION_ID_SELF is all ones in both words, HV_VP_INDEX_SELF is -2. */
const SELF = 0xffffffff;
const VP_SELF = 0xfffffffe;

/** Registers of 128 bits that CPUID leaves hold on x64: version, features, enlightenments. */
const CPUID_REGISTERS = new Map<number, number>([
  [0x00000100, Cpuid.HV_HYPERVISOR_ID],
  [0x00000200, Cpuid.HV_FEATURES],
  [0x00000201, Cpuid.HV_ENLIGHTENMENTS],
]);

export interface VpRegisterContext {
  readonly ram: GuestRam;
  readonly registers: RegisterFile;
  readonly processors: readonly VirtualProcessor[];
  readonly cpuid: CpuidLeaves;
}

export class VpRegisterCalls {
  readonly #context: VpRegisterContext;

  constructor(context: VpRegisterContext) {
    this.#context = context;
  }

  /** Carry the call out. A register that fails ends it, with those before it done. */
  call(caller: VirtualProcessor, code: number, frame: HypercallFrame): number {
    const { ram } = this.#context;
    const count = repCount(frame);
    const start = repStart(frame);
    const set = code === HvCall.SET_VP_REGISTERS;
    if (isFast(frame)) return HvStatus.INVALID_HYPERCALL_INPUT;

    // Both buffers, before anything happens
    const input = address(frame.inputLow, frame.inputHigh);
    const inputLength = HEADER_SIZE + count * (set ? ASSIGNMENT_SIZE : NAME_SIZE);
    let failure = checkBuffer(ram, frame.inputLow, input, inputLength);
    if (failure !== HvStatus.SUCCESS) return failure;
    const output = address(frame.outputLow, frame.outputHigh);
    if (!set) {
      failure = checkBuffer(ram, frame.outputLow, output, count * VALUE_SIZE);
      if (failure !== HvStatus.SUCCESS) return failure;
    }

    // Only the own partition
    const self =
      ram.view.getUint32(input, true) === SELF && ram.view.getUint32(input + 4, true) === SELF;
    if (!self) return HvStatus.ACCESS_DENIED;
    const index = ram.view.getUint32(input + 8, true);
    const vp = index === VP_SELF ? caller : this.#context.processors[index];
    if (vp === undefined) return HvStatus.INVALID_PARAMETER;

    frame.repsDone = start;
    for (let i = start; i < count; i++) {
      const status = set
        ? this.#set(vp, input + HEADER_SIZE + i * ASSIGNMENT_SIZE)
        : this.#get(vp, input + HEADER_SIZE + i * NAME_SIZE, output + i * VALUE_SIZE);
      if (status !== HvStatus.SUCCESS) return status;
      frame.repsDone = i + 1;
    }
    return HvStatus.SUCCESS;
  }

  #get(vp: VirtualProcessor, nameAt: number, valueAt: number): number {
    const { ram, registers, cpuid } = this.#context;
    const name = ram.view.getUint32(nameAt, true);
    const leaf = CPUID_REGISTERS.get(name);
    if (leaf !== undefined) {
      const { eax, ebx, ecx, edx } = cpuid.read(leaf, vp.index);
      [eax, ebx, ecx, edx].forEach((word, i) => ram.view.setUint32(valueAt + 4 * i, word, true));
      return HvStatus.SUCCESS;
    }
    const register = VP_REGISTERS.get(name);
    if (register === undefined) return HvStatus.INVALID_PARAMETER;
    try {
      const value = registers.read(vp, register);
      ram.view.setBigUint64(valueAt, value, true);
      ram.view.setBigUint64(valueAt + 8, 0n, true);
      return HvStatus.SUCCESS;
    } catch (error) {
      return refusal(error);
    }
  }

  #set(vp: VirtualProcessor, at: number): number {
    const { ram, registers } = this.#context;
    const register = VP_REGISTERS.get(ram.view.getUint32(at, true));
    if (register === undefined) return HvStatus.INVALID_PARAMETER;
    try {
      registers.write(vp, register, ram.view.getBigUint64(at + 16, true), 'HvSetVpRegisters');
      return HvStatus.SUCCESS;
    } catch (error) {
      return refusal(error);
    }
  }
}

/** A register's refusal as a status; anything else is no affair of the guest's. */
function refusal(error: unknown): number {
  if (error instanceof RegisterFault) return HvStatus.INVALID_PARAMETER;
  throw error;
}
