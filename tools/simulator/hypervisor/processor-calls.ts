// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The hypercalls that CPUID offers beside messages, events and registers: flushes of address
 * spaces, inter-processor interrupts, spin waits, extended capabilities, the start of processors
 * (TLFS, "Hypercall Reference"). Their input is checked as OpenVMM's `hv1_hypercall` and KVM check
 * it. Here is no TLB and there are no interrupts, so that nothing comes of most of them.
 */

import { Cpuid, HV_VP_INDEX_SELF, HvCall, HvStatus } from '../../../src/hyperv/protocol.ts';
import { PAGE_SIZE } from '../../../src/machine.ts';
import type { GuestRam } from '../base/guest-ram.ts';
import type { CpuidLeaves } from './cpuid.ts';
import { MiscFeature, Privilege, Recommendation } from './cpuid-bits.ts';
import {
  address,
  checkBuffer,
  isFast,
  isSimple,
  isVariable,
  repCount,
  repStart,
  variableWords,
} from './hypercall-frame.ts';
import type { HypercallFrame } from './hypercall-frame.ts';
import type { VirtualProcessor } from './virtual-processor.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Codes that no driver here uses. */
const HV_GET_VP_INDEX_FROM_APIC_ID = 0x009a;
const HV_EXT_QUERY_CAPABILITIES = 0x8001;

/** Statuses that no driver here meets. */
const INVALID_PARTITION_ID = 0x000d;
const INVALID_VP_INDEX = 0x000e;
const INVALID_VP_STATE = 0x0015;

/** Headers of flushes: u64 address space, u64 flags, u64 processor mask or sparse set. */
const FLUSH_HEADER = 24;
const FLUSH_SET_HEADER = 32;
/** HvFlush bits 0 to 3: all processors, all spaces, not the global ones, extended ranges. */
const FLUSH_FLAGS = 0xf;
const FLUSH_EXTENDED_RANGES = 0x8;
/** Headers of interrupts: u32 vector, u8 VTL, 3 bytes, u64 processor mask or sparse set. */
const IPI_HEADER = 16;
const IPI_SET_HEADER = 24;
/** Vectors that an interrupt may have. */
const VECTOR_MIN = 0x10;
const VECTOR_MAX = 0xff;

/** A set of processors: u64 format (0: sparse banks of 64, 1: all), u64 mask of banks, banks. */
const SET_SPARSE = 0;
const SET_ALL = 1;
const QUADWORD = 8;

/** HvStartVirtualProcessor: partition, processor, VTL, and a context of 224 bytes. */
const START_SIZE = 240;
/** HvGetVpIndexFromApicId: u64 partition, u8 VTL, 7 bytes, then u32 APIC IDs. */
const APIC_ID_HEADER = 16;

/** What the calls work on. */
export interface ProcessorCallContext {
  readonly ram: GuestRam;
  readonly cpuid: CpuidLeaves;
  readonly processors: readonly VirtualProcessor[];
}

export class ProcessorCalls {
  readonly #context: ProcessorCallContext;
  readonly #privileges: number;
  readonly #recommendations: number;
  readonly #extendedRanges: boolean;

  constructor(context: ProcessorCallContext) {
    this.#context = context;
    const { ebx, edx } = context.cpuid.read(Cpuid.HV_FEATURES, 0);
    this.#privileges = ebx;
    this.#extendedRanges =
      (ebx & Privilege.EXTENDED_GVA_RANGES) !== 0 && (edx & MiscFeature.EXTENDED_GVA_RANGES) !== 0;
    this.#recommendations = context.cpuid.read(Cpuid.HV_ENLIGHTENMENTS, 0).eax;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#context);
  }

  /** Carry a call out. Returns the status; undefined if the host has no such call. */
  call(code: number, frame: HypercallFrame): number | undefined {
    const { REMOTE_TLB_FLUSH, CLUSTER_IPI, EX_PROCESSOR_MASKS } = Recommendation;
    switch (code) {
      case HvCall.NOTIFY_LONG_SPIN_WAIT:
        return isSimple(frame) ? this.#buffer(frame, QUADWORD) : HvStatus.INVALID_HYPERCALL_INPUT;
      case HvCall.FLUSH_VIRTUAL_ADDRESS_SPACE:
        return this.#offers(REMOTE_TLB_FLUSH, () => this.#flush(frame, false, false));
      case HvCall.FLUSH_VIRTUAL_ADDRESS_LIST:
        return this.#offers(REMOTE_TLB_FLUSH, () => this.#flush(frame, true, false));
      case HvCall.FLUSH_VIRTUAL_ADDRESS_SPACE_EX:
        return this.#offers(REMOTE_TLB_FLUSH | EX_PROCESSOR_MASKS, () =>
          this.#flush(frame, false, true),
        );
      case HvCall.FLUSH_VIRTUAL_ADDRESS_LIST_EX:
        return this.#offers(REMOTE_TLB_FLUSH | EX_PROCESSOR_MASKS, () =>
          this.#flush(frame, true, true),
        );
      case HvCall.SEND_IPI:
        return this.#offers(CLUSTER_IPI, () => this.#interrupt(frame, false));
      case HvCall.SEND_IPI_EX:
        return this.#offers(CLUSTER_IPI | EX_PROCESSOR_MASKS, () => this.#interrupt(frame, true));
      case HV_EXT_QUERY_CAPABILITIES:
        return this.#permits(Privilege.EXTENDED_HYPERCALLS) ?? this.#capabilities(frame);
      case HvCall.START_VP:
        return this.#permits(Privilege.START_VP) ?? this.#start(frame);
      case HV_GET_VP_INDEX_FROM_APIC_ID:
        return this.#permits(Privilege.START_VP) ?? this.#indices(frame);
      default:
        return undefined;
    }
  }

  /** A call that hosts have which recommend it. */
  #offers(recommendations: number, call: () => number): number | undefined {
    const all = (this.#recommendations & recommendations) === recommendations;
    return all ? call() : undefined;
  }

  #permits(privilege: number): number | undefined {
    return (this.#privileges & privilege) !== 0 ? undefined : HvStatus.ACCESS_DENIED;
  }

  /** Flushes of a whole space or of a list of ranges, for a mask or a set of processors. */
  #flush(frame: HypercallFrame, list: boolean, set: boolean): number {
    const reps = repCount(frame);
    if (list ? reps === 0 || repStart(frame) >= reps : reps !== 0) {
      return HvStatus.INVALID_HYPERCALL_INPUT;
    }
    if (!isVariable(frame) || (!set && variableWords(frame) !== 0)) {
      return HvStatus.INVALID_HYPERCALL_INPUT;
    }
    const header = set ? FLUSH_SET_HEADER : FLUSH_HEADER;
    const length = header + (variableWords(frame) + reps) * QUADWORD;
    const failure = this.#memory(frame, length);
    if (failure !== HvStatus.SUCCESS) return failure;

    // Flags, and who is to flush
    const { reader: view } = this.#context.ram;
    const at = address(frame.inputLow, frame.inputHigh);
    const flags = view.getUint32(at + 8, true);
    if ((flags & ~FLUSH_FLAGS) !== 0 || view.getUint32(at + 12, true) !== 0) {
      return HvStatus.INVALID_PARAMETER;
    }
    if ((flags & FLUSH_EXTENDED_RANGES) !== 0 && !(list && this.#extendedRanges)) {
      return HvStatus.INVALID_PARAMETER;
    }
    if (set) {
      const bad = this.#checkSet(at + 16, variableWords(frame));
      if (bad !== HvStatus.SUCCESS) return bad;
    }
    frame.repsDone = reps;
    return HvStatus.SUCCESS;
  }

  /** An interrupt to a mask of the first 64 processors, or to a set. */
  #interrupt(frame: HypercallFrame, set: boolean): number {
    if (!isVariable(frame) || repCount(frame) !== 0) return HvStatus.INVALID_HYPERCALL_INPUT;
    if (!set && variableWords(frame) !== 0) return HvStatus.INVALID_HYPERCALL_INPUT;
    const { reader: view } = this.#context.ram;
    let vector = frame.inputLow;
    let vtl = frame.inputHigh;
    if (set || !isFast(frame)) {
      const length = set ? IPI_SET_HEADER + variableWords(frame) * QUADWORD : IPI_HEADER;
      const failure = this.#memory(frame, length);
      if (failure !== HvStatus.SUCCESS) return failure;
      const at = address(frame.inputLow, frame.inputHigh);
      vector = view.getUint32(at, true);
      vtl = view.getUint32(at + 4, true);
      if (set) {
        const bad = this.#checkSet(at + 8, variableWords(frame));
        if (bad !== HvStatus.SUCCESS) return bad;
      }
    }
    if (vector < VECTOR_MIN || vector > VECTOR_MAX || vtl !== 0) return HvStatus.INVALID_PARAMETER;
    return HvStatus.SUCCESS;
  }

  /** A set of processors, with as many banks behind it as its mask has bits. */
  #checkSet(at: number, words: number): number {
    const { reader: view } = this.#context.ram;
    const format = view.getBigUint64(at, true);
    if (format === BigInt(SET_ALL)) return HvStatus.SUCCESS;
    if (format !== BigInt(SET_SPARSE)) return HvStatus.INVALID_PARAMETER;
    let mask = view.getBigUint64(at + QUADWORD, true);
    let banks = 0;
    for (; mask !== 0n; mask >>= 1n) banks += Number(mask & 1n);
    return banks === words ? HvStatus.SUCCESS : HvStatus.INVALID_HYPERCALL_INPUT;
  }

  /** HvExtCallQueryCapabilities: there are no extended capabilities. */
  #capabilities(frame: HypercallFrame): number {
    if (!isSimple(frame) || isFast(frame)) return HvStatus.INVALID_HYPERCALL_INPUT;
    const { ram } = this.#context;
    const output = address(frame.outputLow, frame.outputHigh);
    const failure = checkBuffer(ram, frame.outputLow, output, QUADWORD);
    if (failure === HvStatus.SUCCESS) ram.setU64(output, 0n);
    return failure;
  }

  /** HvStartVirtualProcessor: all of them run from the beginning. */
  #start(frame: HypercallFrame): number {
    if (!isSimple(frame)) return HvStatus.INVALID_HYPERCALL_INPUT;
    const failure = this.#memory(frame, START_SIZE);
    if (failure !== HvStatus.SUCCESS) return failure;
    const at = address(frame.inputLow, frame.inputHigh);
    if (!this.#isSelf(at)) return INVALID_PARTITION_ID;
    const index = this.#context.ram.reader.getUint32(at + 8, true);
    const exists = index === HV_VP_INDEX_SELF || index < this.#context.processors.length;
    return exists ? INVALID_VP_STATE : INVALID_VP_INDEX;
  }

  /** HvGetVpIndexFromApicId: they are the same here. */
  #indices(frame: HypercallFrame): number {
    const reps = repCount(frame);
    const start = repStart(frame);
    if (start >= reps || !isVariable(frame) || variableWords(frame) !== 0) {
      return HvStatus.INVALID_HYPERCALL_INPUT;
    }
    let failure = this.#memory(frame, APIC_ID_HEADER + reps * 4);
    if (failure !== HvStatus.SUCCESS) return failure;
    const { ram, processors } = this.#context;
    const output = address(frame.outputLow, frame.outputHigh);
    failure = checkBuffer(ram, frame.outputLow, output, reps * 4);
    if (failure !== HvStatus.SUCCESS) return failure;
    const at = address(frame.inputLow, frame.inputHigh);
    if (!this.#isSelf(at)) return INVALID_PARTITION_ID;
    frame.repsDone = start;
    for (let i = start; i < reps; i++) {
      const id = ram.reader.getUint32(at + APIC_ID_HEADER + i * 4, true);
      if (id >= processors.length) return HvStatus.INVALID_PARAMETER;
      ram.setU32(output + i * 4, id);
      frame.repsDone = i + 1;
    }
    return HvStatus.SUCCESS;
  }

  /** The calling partition: all ones in both words. */
  #isSelf(at: number): boolean {
    return this.#context.ram.reader.getBigUint64(at, true) === 0xffffffffffffffffn;
  }

  /** Input of up to 16 bytes may be in registers. */
  #buffer(frame: HypercallFrame, length: number): number {
    return isFast(frame) ? HvStatus.SUCCESS : this.#memory(frame, length);
  }

  /** Input that is in memory alone: with XMM registers it would fit, but the seam has none. */
  #memory(frame: HypercallFrame, length: number): number {
    if (isFast(frame) || length > PAGE_SIZE) return HvStatus.INVALID_HYPERCALL_INPUT;
    const at = address(frame.inputLow, frame.inputHigh);
    return checkBuffer(this.#context.ram, frame.inputLow, at, length);
  }
}
