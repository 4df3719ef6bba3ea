// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a PC's processor sees of the simulated host: CPUID, MSRs, the hypercall page, interrupts of
 * SINTs and of timers, and time. The other side is a {@link SimulatedMachine} that was made for the
 * PC's RAM.
 */

import {
  Cpuid,
  CPUID_HYPERVISOR_PRESENT,
  HV_ENABLE,
  HV_PAGE_REGISTER_MASK,
} from '../../../src/hyperv/protocol.ts';
import { PAGE_SIZE } from '../../../src/machine.ts';
import { GuestCrash } from '../../simulator/hypervisor/guest-end.ts';
import type { SimulatedMachine } from '../../simulator/machine.ts';
import type { PcBoard, PcEmulator } from './pc-emulator.ts';
import { Apic, Layout, Register } from './v86.ts';
import type { Keeper } from '../../simulator/base/snapshot.ts';

/** Instructions in a tick of 100 ns: a processor of 100 MIPS. */
export const INSTRUCTIONS_PER_TICK = 10;

const TICKS_PER_MS = 10_000;

/** The synthetic registers (TLFS, "MSRs"): all others are the emulator's. */
const MSR_FIRST = 0x40000000;
const MSR_LAST = 0x400001ff;
const Msr = {
  HYPERCALL: 0x40000001,
  TIME_REF_COUNT: 0x40000020,
  EOI: 0x40000070,
  TPR: 0x40000072,
} as const;

/** Highest leaf of the hypervisor's range that a guest looks at. */
const CPUID_LAST = 0x400000ff;

/**
 * A program that does nothing but read the counter waits: after so many reads in a row each takes
 * up to so many ticks more, but none beyond the next alarm. Policy: waits cost nothing.
 */
const WAIT_READS = 16;
const WAIT_TICKS = 1000;

/** SPURIOUS_VECTOR bit 8: the APIC is on. */
const APIC_ENABLED = 0x100;

/** What the guest does to the hypervisor. */
export interface PcTouch {
  readonly what: 'rdmsr' | 'wrmsr' | 'hypercall';
  readonly register: number;
  readonly value: bigint;
  /** Whether its processor translates addresses: a kernel does, a boot loader does not. */
  readonly paging: boolean;
}

/** Who wants to know what the guest does, before it is done. */
export interface PcObserver {
  /** The guest accesses a register of the hypervisor (other than its clock), or calls it. */
  touch(touch: PcTouch): void;
  /** A boot program says that it runs, in 16-bit or in 32-bit code. */
  bootReport(address: number, bits: 16 | 32): void;
  reset(): void;
}

/** Who steps in between the guest and the host. */
export interface PcSteps {
  /** The guest makes an exit. */
  exit(): void;
  /** It has written a register, or called the hypervisor. */
  step(what: 'wrmsr' | 'hypercall'): void;
  /** Whether a write of a register is refused: it faults. */
  refuses(register: number): boolean;
}

export class HostBoard implements PcBoard {
  /** Nobody does unless an exploration puts itself there. */
  steps: PcSteps | undefined;
  /** Accesses to registers, and hypercalls: signs of life. */
  touches = 0;
  readonly #pc: PcEmulator;
  readonly #observer: PcObserver;
  readonly #machine: SimulatedMachine;
  /** Instructions at the last look, and those that do not make a tick yet. */
  #seen: number;
  #rest = 0;
  /** Instructions in all. */
  #total = 0;
  #waits = 0;
  #inCpuid = false;
  #restarting = false;
  /** Vectors that end by themselves, once they have begun. */
  readonly #autoEoi = new Set<number>();
  #raised = false;
  #hypercallPage: number | undefined;

  /** `machine` was made for the RAM of `pc`, and its interrupts go to {@link interrupt}. */
  constructor(pc: PcEmulator, machine: SimulatedMachine, observer: PcObserver) {
    this.#pc = pc;
    this.#machine = machine;
    this.#observer = observer;
    this.#seen = pc.instructions;
    pc.onMoved = (buffer) => machine.partition.retakeMemory(buffer);
    pc.attach(this);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.steps, this.touches], (v) => ([this.steps, this.touches] = v));
    keeper.put([this.#seen, this.#rest], (v) => ([this.#seen, this.#rest] = v));
    keeper.put([this.#total, this.#waits], (v) => ([this.#total, this.#waits] = v));
    keeper.put([this.#inCpuid, this.#restarting], (v) => ([this.#inCpuid, this.#restarting] = v));
    keeper.put(
      [this.#raised, this.#hypercallPage],
      (v) => ([this.#raised, this.#hypercallPage] = v),
    );
    keeper.keep(this.#autoEoi);
  }

  /** Instructions that the guest has run. */
  get instructions(): number {
    this.#count();
    return this.#total;
  }

  /** Start the processor anew: its counter of instructions begins at 0 on the way. */
  restart(reboot: () => void): void {
    this.sync(0);
    this.#restarting = true;
    reboot();
    this.#restarting = false;
    this.#seen = this.#pc.instructions;
    this.#autoEoi.clear();
    this.#hypercallPage = undefined;
    this.#raised = false;
  }

  /** Let the clock see the instructions since the last time. */
  sync(ticks: number): void {
    this.#rest += this.#count();
    const passed = Math.floor(this.#rest / INSTRUCTIONS_PER_TICK);
    this.#rest -= passed * INSTRUCTIONS_PER_TICK;
    const { clock } = this.#machine;
    if (passed + ticks > 0) clock.advanceTo(clock.now + passed + ticks);
  }

  microtick(): number {
    this.sync(1);
    // Half a tick more: what is made of it by multiplication is never below the tick
    return (this.#machine.clock.now + 0.5) / TICKS_PER_MS;
  }

  /** Nothing runs until something is due: the next alarm, or a device in so many ms. */
  idle(ms: number): void {
    const { clock } = this.#machine;
    const due = clock.now + Math.max(1, Math.floor(ms * TICKS_PER_MS));
    clock.advanceTo(Math.min(due, clock.nextAlarm ?? due));
  }

  cpuid(): boolean {
    if (this.#inCpuid) return false;
    const pc = this.#pc;
    const leaf = pc.register(Register.EAX) >>> 0;
    if (leaf === Cpuid.FEATURES) {
      // The processor is the emulator's, the hypervisor's bit is not
      this.#inCpuid = true;
      pc.exports.instr_0FA2();
      this.#inCpuid = false;
      const { ecx } = this.#machine.bootProcessor.cpuid(leaf, 0);
      const bit = CPUID_HYPERVISOR_PRESENT;
      const own = pc.register(Register.ECX) & ~bit;
      pc.setRegister(Register.ECX, own | (ecx & bit));
      return true;
    }
    if (leaf < Cpuid.HV_VENDOR_ID || leaf > CPUID_LAST) return false;
    this.sync(0);
    // No leaf here has sub-leaves, and SeaBIOS leaves anything in ECX
    const { eax, ebx, ecx, edx } = this.#machine.bootProcessor.cpuid(leaf, 0);
    pc.setRegister(Register.EAX, eax);
    pc.setRegister(Register.EBX, ebx);
    pc.setRegister(Register.ECX, ecx);
    pc.setRegister(Register.EDX, edx);
    // In compiled code it is not the last of a block: interrupts wait for the next exit
    return true;
  }

  rdmsr(): boolean {
    const pc = this.#pc;
    const msr = pc.register(Register.ECX) >>> 0;
    if (!this.#isOurs(msr)) return false;
    this.sync(0);
    if (msr === Msr.TIME_REF_COUNT) this.#wait();
    else this.#touch('rdmsr', msr, 0n);
    this.steps?.exit();
    const value = this.#attempt(() => this.#machine.bootProcessor.rdmsr(msr));
    if (value === undefined) return true;
    pc.setRegister(Register.EAX, Number(value & 0xffffffffn) | 0);
    pc.setRegister(Register.EDX, Number(value >> 32n) | 0);
    return this.#exit();
  }

  wrmsr(): boolean {
    const pc = this.#pc;
    const msr = pc.register(Register.ECX) >>> 0;
    if (!this.#isOurs(msr)) return false;
    this.sync(0);
    const value = wide(pc.register(Register.EDX), pc.register(Register.EAX));
    this.#touch('wrmsr', msr, value);
    this.steps?.exit();
    if (this.steps?.refuses(msr) === true) {
      pc.fault('#GP');
      return true;
    }
    const done = this.#attempt(() => {
      this.#machine.bootProcessor.wrmsr(msr, value);
      return true;
    });
    if (done === undefined) return true;
    this.steps?.step('wrmsr');
    if (msr === Msr.HYPERCALL) this.#pageMoved(value);
    if (msr === Msr.EOI) this.#endOfInterrupt();
    if (msr === Msr.TPR) this.#apic[Apic.tpr] = Number(value & 0xffn);
    return this.#exit();
  }

  hypercall(): boolean {
    const pc = this.#pc;
    const hypercall = this.#machine.partition.inspection.msr(0, Msr.HYPERCALL)!;
    if ((hypercall & HV_ENABLE) === 0n) return false;
    const page = Number(hypercall & ~HV_PAGE_REGISTER_MASK);
    const linear = pc.word(Layout.previousInstructionPointer);
    const address = pc.cpu.translate_address_system_read(linear) >>> 0;
    if (address - (address % PAGE_SIZE) !== page) return false;
    this.sync(0);
    this.#touch('hypercall', pc.register(Register.EAX) & 0xffff, 0n);
    // 32-bit convention (TLFS, "Hypercall Inputs"): EDX:EAX, EBX:ECX, EDI:ESI
    const control = wide(pc.register(Register.EDX), pc.register(Register.EAX));
    const input = wide(pc.register(Register.EBX), pc.register(Register.ECX));
    const output = wide(pc.register(Register.EDI), pc.register(Register.ESI));
    this.steps?.exit();
    const result = this.#attempt(() =>
      this.#machine.bootProcessor.callHypercallPage(page, control, input, output),
    );
    if (result === undefined) return true;
    this.steps?.step('hypercall');
    pc.setRegister(Register.EAX, Number(result & 0xffffffffn) | 0);
    pc.setRegister(Register.EDX, Number(result >> 32n) | 0);
    return this.#exit();
  }

  bootReport(address: number, bits: 16 | 32): void {
    this.sync(0);
    this.#observer.bootReport(address, bits);
  }

  reset(): void {
    this.#observer.reset();
  }

  random(): number {
    return this.#machine.partition.random.u32() | 0;
  }

  /** The hypervisor raises an interrupt: it waits in the APIC from now on. */
  interrupt(vector: number, autoEoi: boolean): void {
    const apic = this.#apic;
    if ((apic[Apic.spuriousVector]! & APIC_ENABLED) === 0) return;
    if (autoEoi) this.#autoEoi.add(vector);
    else this.#autoEoi.delete(vector);
    this.#endThoseThatEndThemselves();
    apic[Apic.irr + (vector >> 5)]! |= 1 << (vector & 31);
    this.#raised = true;
  }

  // --- privately ---

  /** The words of the local APIC. */
  get #apic(): Int32Array {
    const at = this.#pc.exports.get_apic_addr() >> 2;
    return this.#pc.words.subarray(at, at + 46);
  }

  #isOurs(msr: number): boolean {
    if (msr < MSR_FIRST || msr > MSR_LAST) return false;
    // From another privilege level it is a fault, which the emulator raises itself
    return this.#pc.bytes[Layout.privilegeLevel] === 0;
  }

  /** The hypercall page is somewhere else: what was compiled of its old and new place is gone. */
  #pageMoved(value: bigint): void {
    if (this.#hypercallPage !== undefined) this.#pc.codeChanged(this.#hypercallPage);
    const enabled = (value & HV_ENABLE) !== 0n;
    this.#hypercallPage = enabled ? Number(value & ~HV_PAGE_REGISTER_MASK) : undefined;
    if (this.#hypercallPage !== undefined) this.#pc.codeChanged(this.#hypercallPage);
  }

  #touch(what: PcTouch['what'], register: number, value: bigint): void {
    this.#waits = 0;
    this.touches++;
    const paging = this.#pc.word(Layout.controlRegisters) < 0;
    this.#observer.touch({ what, register, value, paging });
  }

  #wait(): void {
    if (++this.#waits <= WAIT_READS) return;
    const { clock } = this.#machine;
    const until = Math.min(clock.now + WAIT_TICKS, clock.nextAlarm ?? Infinity);
    if (until > clock.now) clock.advanceTo(until);
  }

  /** Do what the guest asks for; what the hypervisor refuses is a fault. Undefined: it was one. */
  #attempt<T>(action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof GuestCrash)) throw error;
      // It is the guest's to handle
      this.#machine.partition.recover();
      this.#pc.fault(error.fault === '#UD' ? '#UD' : '#GP');
      return undefined;
    }
  }

  /** Back to the guest: interrupts reach it before its next instruction. Always true. */
  #exit(): boolean {
    this.#endThoseThatEndThemselves();
    if (!this.#raised) return true;
    this.#raised = false;
    this.#pc.handleInterrupts();
    this.#endThoseThatEndThemselves();
    return true;
  }

  #endThoseThatEndThemselves(): void {
    if (this.#autoEoi.size === 0) return;
    const apic = this.#apic;
    for (const vector of this.#autoEoi) {
      const word = vector >> 5;
      const bit = 1 << (vector & 31);
      if ((apic[Apic.irr + word]! & bit) === 0) apic[Apic.isr + word]! &= ~bit;
    }
  }

  /** End the interrupt of the highest vector that has begun. */
  #endOfInterrupt(): void {
    const apic = this.#apic;
    for (let word = 7; word >= 0; word--) {
      const value = apic[Apic.isr + word]!;
      if (value === 0) continue;
      apic[Apic.isr + word] = value & ~(1 << (31 - Math.clz32(value)));
      return;
    }
  }

  #count(): number {
    if (this.#restarting) return 0;
    const now = this.#pc.instructions;
    const more = (now - this.#seen) >>> 0;
    this.#seen = now;
    this.#total += more;
    return more;
  }
}

function wide(high: number, low: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
