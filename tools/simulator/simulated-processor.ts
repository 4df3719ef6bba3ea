// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One virtual processor as its guest sees it: the seam {@link X64Machine}. Each call is an exit: it
 * costs virtual time, and the host looks at what the guest did meanwhile.
 */

import { Cpuid } from '../../src/hyperv/protocol.ts';
import type { CpuidRegisters, MemoryRange, X64Machine } from '../../src/machine.ts';
import { TICKS_PER_MS } from './clock.ts';
import type { VirtualClock } from './clock.ts';
import type { CpuidLeaves } from './cpuid.ts';
import type { HostEvents } from './events.ts';
import { hex } from './guest-end.ts';
import type { GuestRam } from './guest-ram.ts';
import type { HypercallFrame } from './hypercall-frame.ts';
import type { Hypercalls } from './hypercalls.ts';
import { RegisterFault } from './register-file.ts';
import type { RegisterFile } from './register-file.ts';
import { X64_MSRS } from './registers.ts';
import type { RegisterDefinition } from './registers.ts';
import type { VirtualProcessor } from './virtual-processor.ts';
import type { SeamCall, Watchdog } from './watchdog.ts';

/** Virtual time of one call of the seam, so that a guest that only spins sees time pass. */
export const SEAM_CALL_TICKS = 1;

/** Longest step of `pause()`: an alarm that comes before cuts it short. */
export const PAUSE_TICKS = TICKS_PER_MS;

/** Results of hypercalls without repetitions: the status codes below this bound, made once. */
const RESULTS = Array.from({ length: 0x80 }, (_, status) => BigInt(status));

/** What a processor works on. */
export interface ProcessorContext {
  readonly ram: GuestRam;
  readonly memoryMap: readonly MemoryRange[];
  readonly clock: VirtualClock;
  readonly events: HostEvents;
  readonly cpuid: CpuidLeaves;
  readonly registers: RegisterFile;
  readonly hypercalls: Hypercalls;
  readonly watchdog: Watchdog;
  /** All processors: an exit of one lets the host look at all. */
  readonly processors: readonly VirtualProcessor[];
}

export class SimulatedProcessor implements X64Machine {
  readonly architecture = 'x64';
  readonly memory: ArrayBufferLike;
  readonly memoryMap: readonly MemoryRange[];
  readonly #context: ProcessorContext;
  readonly #vp: VirtualProcessor;
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
    this.memory = context.ram.buffer;
    this.memoryMap = context.memoryMap;
    this.#context = context;
    this.#vp = vp;
  }

  cpuid(leaf: number, subleaf: number): CpuidRegisters {
    this.#exit('cpuid', leaf);
    const { cpuid, events } = this.#context;
    const registers = cpuid.read(leaf, this.#vp.index);
    if (events.on) {
      const { eax, ebx, ecx, edx } = registers;
      events.emit({ kind: 'cpuid', leaf: leaf >>> 0, out: [eax, ebx, ecx, edx] });
      if (subleaf !== 0 && leaf >= Cpuid.HV_VENDOR_ID) {
        events.emit({ kind: 'unmodelled', what: `CPUID ${hex(leaf)} sub-leaf ${hex(subleaf)}` });
      }
    }
    return registers;
  }

  /** Costs as much time as the other calls: a guest that only looks at it sees it move. */
  rdtsc(): bigint {
    this.#exit('rdtsc', 0);
    return this.#context.registers.referenceTsc.counter();
  }

  rdmsr(msr: number): bigint {
    this.#exit('rdmsr', msr);
    const { registers, events } = this.#context;
    const register = this.#register('rdmsr', msr);
    try {
      const value = registers.read(this.#vp, register);
      if (events.on) events.emit({ kind: 'rdmsr', msr, value });
      return value;
    } catch (error) {
      return this.#refused(error, `rdmsr ${register.name}`);
    }
  }

  wrmsr(msr: number, value: bigint): void {
    this.#exit('wrmsr', msr);
    const { registers, events } = this.#context;
    const register = this.#register('wrmsr', msr);
    this.#registers[0] = value;
    if (events.on) events.emit({ kind: 'wrmsr', msr, value: this.#registers[0]! });
    try {
      registers.write(this.#vp, register, this.#registers[0]!, 'wrmsr');
    } catch (error) {
      this.#refused(error, `wrmsr ${register.name}`);
    }
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
    this.#exit('hypercall', frame.controlLow);
    const { registers, watchdog, hypercalls } = this.#context;
    const obstacle = registers.callObstacle(page);
    if (obstacle !== undefined) {
      return watchdog.crash(this.#vp.index, '#UD', `call to ${hex(page)}: ${obstacle}`);
    }
    const status = hypercalls.call(this.#vp, frame);
    const result = RESULTS[status] ?? BigInt(status);
    return frame.repsDone === 0 ? result : result | (BigInt(frame.repsDone) << 32n);
  }

  pause(): void {
    const { watchdog, clock } = this.#context;
    watchdog.enter(this.#vp.index, 'pause', 0);
    // To the next alarm, but by one tick at least: time never stands still
    const least = clock.now + SEAM_CALL_TICKS;
    const alarm = clock.nextAlarm;
    let until = clock.now + PAUSE_TICKS;
    if (alarm !== undefined && alarm < until) until = alarm > least ? alarm : least;
    clock.advanceTo(until);
    this.#look();
  }

  /** An exit of the guest: time passes, and the host looks around. */
  #exit(call: SeamCall, argument: number): void {
    const { watchdog, clock } = this.#context;
    watchdog.enter(this.#vp.index, call, argument);
    // What the guest did before the call comes before what happens during it
    this.#look();
    clock.advanceTo(clock.now + SEAM_CALL_TICKS);
  }

  #look(): void {
    const { processors } = this.#context;
    for (let i = 0; i < processors.length; i++) processors[i]!.exit();
  }

  #register(instruction: 'rdmsr' | 'wrmsr', msr: number): RegisterDefinition {
    const register = X64_MSRS.get(msr);
    if (register !== undefined) return register;
    const { events, watchdog } = this.#context;
    if (events.on) events.emit({ kind: 'unmodelled', what: `MSR ${hex(msr)}` });
    return watchdog.crash(this.#vp.index, '#GP', `${instruction} ${hex(msr)}: no such register`);
  }

  /** A refused access ends the guest; any other error is the simulator's own. */
  #refused(error: unknown, access: string): never {
    if (!(error instanceof RegisterFault)) throw error;
    return this.#context.watchdog.crash(this.#vp.index, '#GP', `${access}: ${error.message}`);
  }
}
