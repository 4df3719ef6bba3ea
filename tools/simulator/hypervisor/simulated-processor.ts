// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One virtual processor as its guest sees it: the seam {@link X64Machine}. Each call is an exit: it
 * costs virtual time, and the host looks at what the guest did meanwhile.
 */

import { Cpuid } from '../../../src/hyperv/protocol.ts';
import type { CpuidRegisters, MemoryRange, X64Machine } from '../../../src/machine.ts';
import { hex } from '../base/hex.ts';
import type { HypercallFrame } from './hypercall-frame.ts';
import { ProcessorExits } from './processor-exits.ts';
import type { ProcessorContext } from './processor-exits.ts';
import { RegisterFault } from './register-file.ts';
import { X64_MSRS } from './registers.ts';
import type { RegisterDefinition } from './registers.ts';
import type { VirtualProcessor } from './virtual-processor.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Results of hypercalls without repetitions: the status codes below this bound, made once. */
const RESULTS = Array.from({ length: 0x80 }, (_, status) => BigInt(status));

export class SimulatedProcessor implements X64Machine {
  readonly architecture = 'x64';
  readonly memory: ArrayBufferLike;
  readonly memoryMap: readonly MemoryRange[];
  readonly pageSize: number;
  readonly #context: ProcessorContext;
  readonly #vp: VirtualProcessor;
  readonly #exits: ProcessorExits;
  // 64-bit registers as words, without making a bigint
  readonly #registers = new BigUint64Array(3);
  readonly #words = new DataView(this.#registers.buffer);
  readonly #frame: HypercallFrame = {
    controlLow: 0,
    controlHigh: 0,
    inputLow: 0,
    inputHigh: 0,
    outputLow: 0,
    outputHigh: 0,
    repsDone: 0,
  };

  constructor(context: ProcessorContext, vp: VirtualProcessor) {
    this.memory = context.ram.memory;
    this.memoryMap = context.memoryMap;
    this.pageSize = context.pageSize;
    this.#context = context;
    this.#vp = vp;
    this.#exits = new ProcessorExits(context, vp);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#context, this.#vp, this.#exits, this.#registers, this.#words, this.#frame);
  }

  cpuid(leaf: number, subleaf: number): CpuidRegisters {
    // What is no number is the guest's mistake: thrown before the call begins, as everywhere here
    const [number, index] = [+leaf, subleaf >>> 0];
    this.#exits.exit('cpuid', number);
    let registers: CpuidRegisters;
    try {
      registers = this.#context.cpuid.read(number, this.#vp.index);
      if (this.#context.events.on) this.#tellCpuid(number, index, registers);
    } catch (error) {
      throw this.#exits.fail(error);
    }
    this.#exits.leave();
    return registers;
  }

  #tellCpuid(leaf: number, subleaf: number, { eax, ebx, ecx, edx }: CpuidRegisters): void {
    const { events } = this.#context;
    events.emit({ kind: 'cpuid', leaf: leaf >>> 0, out: [eax, ebx, ecx, edx] });
    if (subleaf !== 0 && leaf >= Cpuid.HV_VENDOR_ID) {
      events.emit({ kind: 'unmodelled', what: `CPUID ${hex(leaf)} sub-leaf ${hex(subleaf)}` });
    }
  }

  /** Costs as much time as the other calls: a guest that only looks at it sees it move. */
  rdtsc(): bigint {
    this.#exits.exit('rdtsc', 0);
    let count: bigint;
    try {
      count = this.#context.registers.referenceTsc.counter();
    } catch (error) {
      throw this.#exits.fail(error);
    }
    this.#exits.leave();
    return count;
  }

  rdmsr(msr: number): bigint {
    const number = +msr;
    this.#exits.exit('rdmsr', number);
    const { registers, events } = this.#context;
    const register = this.#register('rdmsr', number);
    try {
      const value = registers.read(this.#vp, register);
      if (events.on) events.emit({ kind: 'rdmsr', msr: number, value });
      this.#exits.leave();
      // A processor that reads it idles until something happens (TLFS, "Virtual Guest Idle State")
      if (register.role === 'guest-idle') this.#exits.pause();
      return value;
    } catch (error) {
      return this.#refused(error, `rdmsr ${register.name}`);
    }
  }

  wrmsr(msr: number, value: bigint): void {
    // The register first: what is no bigint is the guest's mistake
    this.#registers[0] = value;
    const number = +msr;
    this.#exits.exit('wrmsr', number);
    const { registers, events } = this.#context;
    const register = this.#register('wrmsr', number);
    try {
      if (events.on) {
        events.emit({ kind: 'wrmsr', msr: number, value: this.#registers[0], ...events.begin() });
      }
      registers.write(this.#vp, register, this.#registers[0], 'wrmsr');
    } catch (error) {
      this.#refused(error, `wrmsr ${register.name}`);
    } finally {
      events.end();
    }
    this.#exits.leave();
  }

  callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    // Registers first: the words of the call, for the watchdog and for the calls themselves
    const frame = this.#frame;
    this.#registers[0] = control;
    this.#registers[1] = input;
    this.#registers[2] = output;
    frame.controlLow = this.#words.getUint32(0, true);
    frame.controlHigh = this.#words.getUint32(4, true);
    frame.inputLow = this.#words.getUint32(8, true);
    frame.inputHigh = this.#words.getUint32(12, true);
    frame.outputLow = this.#words.getUint32(16, true);
    frame.outputHigh = this.#words.getUint32(20, true);
    const address = +page;
    this.#exits.exit('hypercall', frame.controlLow);
    const { registers, watchdog, hypercalls } = this.#context;
    const obstacle = registers.callObstacle(address);
    if (obstacle !== undefined) {
      return watchdog.crash(this.#vp.index, '#UD', `call to ${hex(address)}: ${obstacle}`);
    }
    const status = this.#call(hypercalls, frame);
    const result = RESULTS[status] ?? BigInt(status);
    this.#exits.leave();
    return frame.repsDone === 0 ? result : result | (BigInt(frame.repsDone) << 32n);
  }

  #call(hypercalls: ProcessorContext['hypercalls'], frame: HypercallFrame): number {
    try {
      return hypercalls.call(this.#vp, frame);
    } catch (error) {
      throw this.#exits.fail(error);
    }
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

  #register(instruction: 'rdmsr' | 'wrmsr', msr: number): RegisterDefinition {
    const register = X64_MSRS.get(msr);
    if (register !== undefined) return register;
    const { events, watchdog } = this.#context;
    try {
      if (events.on) events.emit({ kind: 'unmodelled', what: `MSR ${hex(msr)}` });
    } catch (error) {
      throw this.#exits.fail(error);
    }
    return watchdog.crash(this.#vp.index, '#GP', `${instruction} ${hex(msr)}: no such register`);
  }

  /** A refused access ends the guest; any other error is the simulator's own. */
  #refused(error: unknown, access: string): never {
    if (!(error instanceof RegisterFault)) throw this.#exits.fail(error);
    return this.#context.watchdog.crash(this.#vp.index, '#GP', `${access}: ${error.message}`);
  }
}
