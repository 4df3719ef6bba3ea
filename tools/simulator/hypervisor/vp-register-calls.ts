// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * HvGetVpRegisters and HvSetVpRegisters (TLFS, "HvCallGetVpRegisters"): the synthetic registers by
 * their HV_REGISTER_NAME, slow, with repetitions. On arm64 they are the only way to them.
 */

import { Cpuid, HvCall, HvRegister, HvStatus } from '../../../src/hyperv/protocol.ts';
import type { CpuidLeaves } from './cpuid.ts';
import type { HostEvents } from '../ledger/events.ts';
import { hex } from '../base/hex.ts';
import type { GuestRam } from '../base/guest-ram.ts';
import { address, checkBuffer, isFast, repCount, repStart } from './hypercall-frame.ts';
import type { HypercallFrame } from './hypercall-frame.ts';
import type { PartitionFaults } from './partition-faults.ts';
import { RegisterFault } from './register-file.ts';
import type { RegisterFile } from './register-file.ts';
import { CPUID_VP_REGISTERS, VP_REGISTERS } from './registers.ts';
import type { VirtualProcessor } from './virtual-processor.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Input header: u64 partition, u32 virtual processor, u8 VTL, 3 bytes of padding. */
const HEADER_SIZE = 16;
/** A name is a u32; a value has 16 bytes; HvSetVpRegisters pads the name to 16 bytes. */
const NAME_SIZE = 4;
const VALUE_SIZE = 16;
const ASSIGNMENT_SIZE = 32;

/** HV_PARTITION_ID_SELF is all ones in both words, HV_VP_INDEX_SELF is -2. */
const SELF = 0xffffffff;
const VP_SELF = 0xfffffffe;

/** Registers of 128 bits that are CPUID leaves on x64. */
const CPUID_REGISTERS = new Map<number, number>([
  [HvRegister.HYPERVISOR_VERSION, Cpuid.HV_HYPERVISOR_ID],
  [HvRegister.FEATURES, Cpuid.HV_FEATURES],
  [HvRegister.ENLIGHTENMENTS, Cpuid.HV_ENLIGHTENMENTS],
  [HvRegister.IMPLEMENTATION_LIMITS, Cpuid.HV_IMPLEMENTATION_LIMITS],
  [HvRegister.INTERFACE_VERSION, Cpuid.HV_INTERFACE_ID],
]);

/** Names of the registers, for the log. */
const CPUID_NAMES = new Map<number, string>(
  CPUID_VP_REGISTERS.map((name) => [HvRegister[name], name]),
);

export interface VpRegisterContext {
  readonly ram: GuestRam;
  readonly registers: RegisterFile;
  readonly processors: readonly VirtualProcessor[];
  readonly cpuid: CpuidLeaves;
  readonly events: HostEvents;
  readonly faults: PartitionFaults;
}

export class VpRegisterCalls {
  /** The value that {@link get} has read. */
  low = 0n;
  high = 0n;
  readonly #context: VpRegisterContext;

  constructor(context: VpRegisterContext) {
    this.#context = context;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.low, this.high], (v) => ([this.low, this.high] = v));
    keeper.keep(this.#context);
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
      ram.reader.getUint32(input, true) === SELF && ram.reader.getUint32(input + 4, true) === SELF;
    if (!self) return HvStatus.ACCESS_DENIED;
    const index = ram.reader.getUint32(input + 8, true);
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

  /** Read a register, into {@link low} and {@link high}. Returns the status. */
  get(vp: VirtualProcessor, number: number): number {
    const { registers, cpuid, events } = this.#context;
    const injected = this.#fault('get', number);
    if (injected !== undefined) return injected;
    const leaf = CPUID_REGISTERS.get(number);
    const register = VP_REGISTERS.get(number);
    if (leaf !== undefined) {
      const { eax, ebx, ecx, edx } = cpuid.read(leaf, vp.index);
      this.low = BigInt(eax) | (BigInt(ebx) << 32n);
      this.high = BigInt(ecx) | (BigInt(edx) << 32n);
    } else if (register === undefined) {
      return this.#unknown(number);
    } else {
      try {
        this.low = registers.read(vp, register);
        this.high = 0n;
      } catch (error) {
        return refusal(error);
      }
    }
    if (events.on) {
      const name = registerName(number);
      events.emit({ kind: 'register-read', register: number, name, value: this.low });
    }
    return HvStatus.SUCCESS;
  }

  /** Write a register. Returns the status. */
  set(vp: VirtualProcessor, number: number, value: bigint): number {
    const { registers, events } = this.#context;
    const injected = this.#fault('set', number);
    if (injected !== undefined) return injected;
    const register = VP_REGISTERS.get(number);
    if (register === undefined) {
      return CPUID_REGISTERS.has(number) ? HvStatus.INVALID_PARAMETER : this.#unknown(number);
    }
    if (events.on) {
      const { name } = register;
      const act = events.begin();
      events.emit({ kind: 'register-write', register: number, name, value, ...act });
    }
    try {
      registers.write(vp, register, value, 'HvSetVpRegisters');
      return HvStatus.SUCCESS;
    } catch (error) {
      return refusal(error);
    } finally {
      events.end();
    }
  }

  #get(vp: VirtualProcessor, nameAt: number, valueAt: number): number {
    const { ram } = this.#context;
    const status = this.get(vp, ram.reader.getUint32(nameAt, true));
    if (status !== HvStatus.SUCCESS) return status;
    ram.setU64(valueAt, this.low);
    ram.setU64(valueAt + 8, this.high);
    return status;
  }

  #set(vp: VirtualProcessor, at: number): number {
    const { reader } = this.#context.ram;
    return this.set(vp, reader.getUint32(at, true), reader.getBigUint64(at + 16, true));
  }

  #unknown(number: number): number {
    const { events } = this.#context;
    if (events.on) events.emit({ kind: 'unmodelled', what: `VP register ${hex(number)}` });
    return HvStatus.INVALID_PARAMETER;
  }

  /** Ask the hook of {@link PartitionFaults} for a status to fail with. */
  #fault(access: 'get' | 'set', number: number): number | undefined {
    const { faults, events } = this.#context;
    const status = faults.register?.(access, number);
    if (status !== undefined && events.on) {
      const text = `${access} of VP register ${registerName(number)} fails: ${hex(status)}`;
      events.emit({ kind: 'fault', text });
    }
    return status;
  }
}

function registerName(number: number): string {
  return VP_REGISTERS.get(number)?.name ?? CPUID_NAMES.get(number) ?? hex(number);
}

/** A register's refusal as a status; anything else is no affair of the guest's. */
function refusal(error: unknown): number {
  if (error instanceof RegisterFault) return HvStatus.INVALID_PARAMETER;
  throw error;
}
