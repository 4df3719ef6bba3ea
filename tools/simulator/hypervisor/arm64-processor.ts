// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One virtual processor of an arm64 partition as its guest sees it: the seam {@link Arm64Machine}.
 * Hypercalls come by HVC, in the SMCCC's form (immediate 0) or the older one (immediate 1); the
 * synthetic registers are reached by HvGetVpRegisters and HvSetVpRegisters, in registers or through
 * memory. There is no hypercall page, no CPUID and no MSR.
 */

import {
  HV_SMCCC_HYPERCALL,
  HV_SMCCC_UID,
  HvCall,
  HvStatus,
  SMCCC_VENDOR_HYP_UID,
} from '../../../src/hyperv/protocol.ts';
import type { Arm64Machine, MemoryRange } from '../../../src/machine.ts';
import { hex } from '../base/hex.ts';
import { isFast, repCount, type HypercallFrame } from './hypercall-frame.ts';
import { ProcessorExits } from './processor-exits.ts';
import type { ProcessorContext } from './processor-exits.ts';
import type { VirtualProcessor } from './virtual-processor.ts';
import type { Keeper } from '../base/snapshot.ts';

/** SMCCC: the function is not known. */
const SMCCC_NOT_SUPPORTED = 0xffffffffffffffffn;

/** Where a form has its words: control, first input, first output of a register read. */
const FORMS = [
  { control: 1, input: 2, output: 6 },
  { control: 0, input: 1, output: 15 },
] as const;

const WORD = 0xffffffffn;
const PARTITION_SELF = 0xffffffffffffffffn;
const VP_SELF = 0xfffffffe;

export class Arm64Processor implements Arm64Machine {
  readonly architecture = 'arm64';
  readonly memory: ArrayBufferLike;
  readonly memoryMap: readonly MemoryRange[];
  readonly pageSize: number;
  readonly counterFrequency: number;
  readonly hypercallConvention: 'smccc' | 'immediate';
  readonly #context: ProcessorContext;
  readonly #vp: VirtualProcessor;
  readonly #exits: ProcessorExits;
  readonly #frame: HypercallFrame = {
    controlLow: 0,
    controlHigh: 0,
    inputLow: 0,
    inputHigh: 0,
    outputLow: 0,
    outputHigh: 0,
    repsDone: 0,
  };

  constructor(
    context: ProcessorContext,
    vp: VirtualProcessor,
    convention: 'smccc' | 'immediate' = 'smccc',
  ) {
    this.memory = context.ram.memory;
    this.memoryMap = context.memoryMap;
    this.pageSize = context.pageSize;
    this.hypercallConvention = convention;
    this.counterFrequency = Number(context.registers.referenceTsc.frequency);
    this.#context = context;
    this.#vp = vp;
    this.#exits = new ProcessorExits(context, vp);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#context, this.#vp, this.#exits, this.#frame);
  }

  hvc(immediate: number, x: BigUint64Array): void {
    const form = FORMS[immediate];
    // An array of another realm is one, too
    const isArray = Object.prototype.toString.call(x) === '[object BigUint64Array]';
    if (form === undefined || !isArray || x.length < 18) {
      this.#exits.exit('hvc', immediate);
      const text = `hvc #${immediate} with ${isArray ? x.length : 'no'} registers`;
      this.#context.watchdog.crash(this.#vp.index, '#UD', text);
    }
    this.#exits.exit('hvc', Number(x[form.control]! & WORD));
    try {
      if (immediate !== 0 || !this.#smccc(x)) x[0] = this.#hypercall(x, form);
    } catch (error) {
      throw this.#exits.fail(error);
    }
    this.#exits.leave();
  }

  readCounter(): bigint {
    this.#exits.exit('counter', 0);
    const count = this.#context.registers.referenceTsc.counter();
    this.#exits.leave();
    return count;
  }

  pause(): void {
    this.#exits.pause();
  }

  delay(ticks: number): void {
    this.#exits.delay(ticks);
  }

  takeInterrupt(): number | undefined {
    return this.#vp.interrupts.take();
  }

  /** Functions of the SMCCC other than hypercalls. True if it was one. */
  #smccc(x: BigUint64Array): boolean {
    const id = Number(x[0]! & WORD);
    if (id === HV_SMCCC_HYPERCALL) return false;
    const { cpuid, events } = this.#context;
    if (id === SMCCC_VENDOR_HYP_UID && cpuid.isPresent) {
      const words = cpuid.isHyperV ? HV_SMCCC_UID : OTHER_UID;
      words.forEach((word, i) => (x[i] = BigInt(word)));
      return true;
    }
    if (events.on && id !== SMCCC_VENDOR_HYP_UID) {
      events.emit({ kind: 'unmodelled', what: `SMCCC function ${hex(id)}` });
    }
    x[0] = SMCCC_NOT_SUPPORTED;
    return true;
  }

  #hypercall(x: BigUint64Array, form: (typeof FORMS)[number]): bigint {
    const frame = this.#frame;
    split(x[form.control]!, frame, 'controlLow', 'controlHigh');
    split(x[form.input]!, frame, 'inputLow', 'inputHigh');
    split(x[form.input + 1]!, frame, 'outputLow', 'outputHigh');
    const code = frame.controlLow & 0xffff;
    const registers = code === HvCall.GET_VP_REGISTERS || code === HvCall.SET_VP_REGISTERS;
    const status =
      registers && isFast(frame)
        ? this.#registerCall(code, x, form)
        : this.#context.hypercalls.call(this.#vp, frame);
    return BigInt(status) | (BigInt(frame.repsDone) << 32n);
  }

  /** A register read or written in registers: one, since no more fits. */
  #registerCall(code: number, x: BigUint64Array, form: (typeof FORMS)[number]): number {
    const frame = this.#frame;
    const { hypercalls, processors } = this.#context;
    frame.repsDone = 0;
    if (repCount(frame) !== 1) return HvStatus.INVALID_HYPERCALL_INPUT;
    if (x[form.input] !== PARTITION_SELF) return HvStatus.ACCESS_DENIED;
    const index = Number(x[form.input + 1]! & WORD);
    const vp = index === VP_SELF ? this.#vp : processors[index];
    if (vp === undefined) return HvStatus.INVALID_PARAMETER;
    const name = Number(x[form.input + 2]! & WORD);
    const set = code === HvCall.SET_VP_REGISTERS;
    const at = set ? form.input + 4 : form.output;
    const status = hypercalls.registerAccess(vp, code, name, x, at);
    if (status === HvStatus.SUCCESS) frame.repsDone = 1;
    return status;
  }
}

/** What another hypervisor answers: KVM's (Linux ARM_SMCCC_VENDOR_HYP_UID_KVM). */
const OTHER_UID = [0xb66fb428, 0xe911c52e, 0x564bcaa9, 0x743a004d];

/** The two words of a register. */
function split(
  value: bigint,
  frame: HypercallFrame,
  low: 'controlLow' | 'inputLow' | 'outputLow',
  high: 'controlHigh' | 'inputHigh' | 'outputHigh',
): void {
  frame[low] = Number(value & WORD);
  frame[high] = Number(value >> 32n);
}
