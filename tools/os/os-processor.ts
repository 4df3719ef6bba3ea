// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One virtual processor of the loaded OS: the registers and pages that each of them has, set up and
 * taken down as Linux does it (`hv_synic_init`, `hv_cpu_init`, `hv_stimer_init` and their
 * opposites, with `read, change, write` everywhere).
 */

import {
  Cpuid,
  HV_ENABLE,
  HV_EVENT_FLAGS_SIZE,
  HV_MESSAGE_PENDING,
  HV_PAGE_REGISTER_MASK,
  HvFeature,
  HvMessageType,
  HvMiscFeature,
  Msr,
  Sint,
  StimerConfig,
  SynicMessage,
} from '../../src/hyperv/protocol.ts';
import { anyPlatform } from '../../src/any.ts';
import type { Platform } from '../../src/hyperv/platform.ts';
import { PAGE_SIZE, type Machine } from '../../src/machine.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import { osSint } from '../../src/os/sint.ts';
import { TICKS_PER_MS } from '../../src/time.ts';
import { VMBUS_MESSAGE_SINT } from '../../src/vmbus/protocol.ts';

/** Vectors of Linux on x86 (HYPERVISOR_CALLBACK_VECTOR, HYPERV_STIMER0_VECTOR), PPIs on arm64. */
const CALLBACK_VECTORS = { x64: 0xf3, arm64: 18 } as const;
const STIMER0_VECTORS = { x64: 0xedn, arm64: 17n } as const;

/** Interrupt vector of SINT 2 on a machine. */
export function callbackVector({ architecture }: Machine): number {
  return CALLBACK_VECTORS[architecture];
}

/** CPUID 0x40000003 EAX bit 4: the registers of the APIC, the VP assist page among them. */
const APIC_ACCESS = 1 << 4;

/** When an idle processor wants to be woken, in ms: a tickless kernel has nothing sooner to do. */
const TIMER_MS = 1000;

/** Where a processor's pages come from: whole pages, zeroed. @throws HypxeError OutOfMemory */
export type TakePage = (purpose: string) => number;

export class OsProcessor {
  readonly index: number;
  readonly machine: Machine;
  /** Its synthetic registers. */
  readonly platform: Platform;
  /** Guest physical addresses of the SynIC's pages; 0 while it has none. */
  messagePage = 0;
  eventPage = 0;
  readonly #memory: GuestMemory;
  #features = 0;
  #timer = false;

  constructor(index: number, machine: Machine, memory: GuestMemory) {
    this.index = index;
    this.machine = machine;
    this.platform = anyPlatform(machine);
    this.#memory = memory;
  }

  // --- set up ---

  /** Map pages for the SynIC and enable it (`hv_synic_enable_regs`). */
  mapSynic(takePage: TakePage): void {
    this.messagePage = takePage('message page');
    this.eventPage = takePage('event page');
    this.#setPage(Msr.SIMP, this.messagePage);
    this.#setPage(Msr.SIEFP, this.eventPage);
    this.enableSint();
    this.#change(Msr.SCONTROL, HV_ENABLE, 0n);
  }

  /** The SynIC's pages were mapped by the driver of the bus. */
  adoptSynic(): void {
    this.messagePage = Number(this.platform.read(Msr.SIMP) & ~HV_PAGE_REGISTER_MASK);
    this.eventPage = Number(this.platform.read(Msr.SIEFP) & ~HV_PAGE_REGISTER_MASK);
  }

  /** Unmask SINT 2, with automatic end of interrupt unless the host advises against it. */
  enableSint(): void {
    const set = osSint(callbackVector(this.machine))(this.platform);
    const clear = Sint.VECTOR_MASK | Sint.MASKED | Sint.AUTO_EOI;
    this.#change(Msr.SINT0 + VMBUS_MESSAGE_SINT, set, clear);
  }

  /** Map the VP assist page, and arm the timer: what the host has of it. */
  start(takePage: TakePage): void {
    const facts = this.platform.facts(Cpuid.HV_FEATURES);
    this.#features = facts.eax;
    if (this.#features & APIC_ACCESS) {
      this.#setPage(Msr.VP_ASSIST_PAGE, takePage('VP assist page'));
    }
    if (!(this.#features & HvFeature.SYNTHETIC_TIMERS)) return;
    const direct = (facts.edx & HvMiscFeature.STIMER_DIRECT) !== 0;
    const mode = direct
      ? StimerConfig.DIRECT_MODE |
        (STIMER0_VECTORS[this.machine.architecture] << StimerConfig.APIC_VECTOR_SHIFT)
      : BigInt(VMBUS_MESSAGE_SINT) << StimerConfig.SINT_SHIFT;
    const config = StimerConfig.ENABLE | StimerConfig.AUTO_ENABLE | mode;
    this.platform.write(Msr.STIMER0_CONFIG, config);
    this.#timer = true;
    this.#armTimer();
  }

  // --- interrupts ---

  /** The interrupt handler: the timer is armed again, events are taken. VMBus messages stay. */
  interrupt(): void {
    if (this.messagePage === 0) return;
    const slot = this.slot;
    if (this.#memory.u32(slot + SynicMessage.at.type) === HvMessageType.TIMER_EXPIRED) {
      this.takeMessage();
    }
    // A one-shot timer that has expired is disabled
    if (this.#timer && !(this.platform.read(Msr.STIMER0_CONFIG) & StimerConfig.ENABLE)) {
      this.#armTimer();
    }
    this.takeEvents();
  }

  /** Clear the event flags of SINT 2, as the handler does before it looks at the channels. */
  takeEvents(): number[] {
    const flags: number[] = [];
    const page = this.eventPage + VMBUS_MESSAGE_SINT * HV_EVENT_FLAGS_SIZE;
    for (let at = 0; at < HV_EVENT_FLAGS_SIZE; at += 4) {
      const word = this.#memory.u32(page + at);
      if (word === 0) continue;
      this.#memory.set32(page + at, 0);
      for (let bit = 0; bit < 32; bit++) if (word & (1 << bit)) flags.push(at * 8 + bit);
    }
    return flags;
  }

  /** Address of the slot of SINT 2. */
  get slot(): number {
    return this.messagePage + VMBUS_MESSAGE_SINT * SynicMessage.size;
  }

  /**
   * Empty the slot of SINT 2, and say so if more wait (`vmbus_signal_eom`).
   *
   * @param by the processor that runs: EOM is its own register
   */
  takeMessage(by: Platform = this.platform): void {
    this.#memory.set32(this.slot + SynicMessage.at.type, HvMessageType.NONE);
    const flags = this.#memory.u8(this.slot + SynicMessage.at.flags);
    if (flags & HV_MESSAGE_PENDING) by.write(Msr.EOM, 0n);
  }

  /**
   * A hypercall by the instruction itself: what a crashing processor has left.
   *
   * @param page the hypercall page, where there is one and the register does not tell
   */
  hypercall(control: bigint, input: bigint, page?: number): number {
    const { machine, platform } = this;
    if (machine.architecture !== 'x64') return platform.call(control, input);
    page ??= Number(platform.read(Msr.HYPERCALL) & ~HV_PAGE_REGISTER_MASK);
    return Number(machine.callHypercallPage(page, control, input, 0n) & 0xffffn);
  }

  // --- take down ---

  /** COUNT, then CONFIG (`hv_ce_shutdown`). */
  stopTimer(): void {
    if (!this.#timer) return;
    this.platform.write(Msr.STIMER0_COUNT, 0n);
    this.platform.write(Msr.STIMER0_CONFIG, 0n);
    this.#timer = false;
  }

  /** SINT 2, message page, event page, control (`hv_synic_disable_regs`). */
  disableSynic(): void {
    this.#change(Msr.SINT0 + VMBUS_MESSAGE_SINT, Sint.MASKED, 0n);
    this.#clearPage(Msr.SIMP);
    this.#clearPage(Msr.SIEFP);
    this.#change(Msr.SCONTROL, 0n, HV_ENABLE);
  }

  /** Else the hypervisor goes on writing to the page (`hv_cpu_die`). */
  disableAssistPage(): void {
    if (this.#features & APIC_ACCESS) this.platform.write(Msr.VP_ASSIST_PAGE, 0n);
  }

  // --- registers ---

  #armTimer(): void {
    const now = this.platform.read(Msr.TIME_REF_COUNT);
    this.platform.write(Msr.STIMER0_COUNT, now + BigInt(TIMER_MS * TICKS_PER_MS));
  }

  #setPage(register: number, address: number): void {
    this.#memory.zero(address, PAGE_SIZE);
    this.#change(register, BigInt(address) | HV_ENABLE, ~HV_PAGE_REGISTER_MASK);
  }

  #clearPage(register: number): void {
    this.#change(register, 0n, ~HV_PAGE_REGISTER_MASK | HV_ENABLE);
  }

  #change(register: number, set: bigint, clear: bigint): void {
    const old = this.platform.read(register);
    this.platform.write(register, BigInt.asUintN(64, (old & ~clear) | set));
  }
}
