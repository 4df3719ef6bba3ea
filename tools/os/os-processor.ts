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

/** Vectors of Linux on x86 (HYPERVISOR_CALLBACK_VECTOR, HYPERV_STIMER0_VECTOR), a PPI on arm64. */
const CALLBACK_VECTORS = { x64: 0xf3, arm64: 18 } as const;
const STIMER0_VECTOR = 0xedn;

/** Nothing is allocated where nothing has come. */
const NO_EVENTS: number[] = [];

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
  /** Input of its hypercalls: there is no allocating in a crash. */
  inputPage = 0;
  readonly #memory: GuestMemory;
  /** Whether it has a VP assist page. */
  #assist = false;
  /** Reference time at which its timer expires, in ticks; 0 while it has none. */
  #expiry = 0;
  #timerMessages = false;
  readonly #now: () => number;

  /** @param now reference time, in ticks */
  constructor(index: number, machine: Machine, memory: GuestMemory, now: () => number) {
    this.index = index;
    this.machine = machine;
    this.platform = anyPlatform(machine);
    this.#memory = memory;
    this.#now = now;
  }

  // --- set up ---

  /**
   * Come online (`hv_common_cpu_init`, `hv_cpu_init`): a page for the input of hypercalls, and the
   * VP assist page, whatever the register held; arm64 has none.
   */
  start(takePage: TakePage): void {
    this.inputPage = takePage('input of hypercalls');
    if (this.machine.architecture !== 'x64') return;
    this.platform.read(Msr.VP_INDEX);
    if (!(this.platform.facts(Cpuid.HV_FEATURES).eax & APIC_ACCESS)) return;
    this.platform.write(Msr.VP_ASSIST_PAGE, BigInt(takePage('VP assist page')) | HV_ENABLE);
    this.#assist = true;
  }

  /** Map pages for the SynIC and enable it (`hv_synic_enable_regs`). */
  mapSynic(takePage: TakePage): void {
    this.messagePage = takePage('message page');
    this.eventPage = takePage('event page');
    this.#setPage(Msr.SIMP, this.messagePage);
    this.#setPage(Msr.SIEFP, this.eventPage);
    this.#enableSint();
    this.#change(Msr.SCONTROL, HV_ENABLE, 0n);
  }

  /** Unmask SINT 2, with automatic end of interrupt unless the host advises against it. */
  #enableSint(): void {
    const set = osSint(callbackVector(this.machine))(this.platform);
    const clear = Sint.VECTOR_MASK | Sint.MASKED | Sint.AUTO_EOI;
    this.#change(Msr.SINT0 + VMBUS_MESSAGE_SINT, set, clear);
  }

  /**
   * Set the timer up, if the host has one that tells in this way (`hv_stimer_init`): with an
   * interrupt of its own from the start, with messages once there is a SynIC. arm64 has a timer of
   * its own.
   */
  startTimer(by: 'interrupt' | 'message'): void {
    if (this.machine.architecture !== 'x64') return;
    const facts = this.platform.facts(Cpuid.HV_FEATURES);
    if (!(facts.eax & HvFeature.SYNTHETIC_TIMERS)) return;
    const direct = (facts.edx & HvMiscFeature.STIMER_DIRECT) !== 0;
    if (direct !== (by === 'interrupt')) return;
    const mode = direct
      ? StimerConfig.DIRECT_MODE | (STIMER0_VECTOR << StimerConfig.APIC_VECTOR_SHIFT)
      : BigInt(VMBUS_MESSAGE_SINT) << StimerConfig.SINT_SHIFT;
    this.#timerMessages = !direct;

    // Shut down first, then one-shot
    this.platform.write(Msr.STIMER0_COUNT, 0n);
    this.platform.write(Msr.STIMER0_CONFIG, 0n);
    const config = StimerConfig.ENABLE | StimerConfig.AUTO_ENABLE | mode;
    this.platform.write(Msr.STIMER0_CONFIG, config);
    this.#armTimer();
  }

  // --- interrupts ---

  /**
   * The interrupt handler: the timer is armed again, events are taken. VMBus messages stay.
   *
   * @returns the event flags that were set
   */
  interrupt(): number[] {
    if (this.messagePage === 0) return NO_EVENTS;
    if (this.#memory.u32(this.slot + SynicMessage.at.type) === HvMessageType.TIMER_EXPIRED) {
      this.takeMessage();
      this.timerExpired();
    }
    // An interrupt of the timer's own is not seen: it comes when it is due
    if (!this.#timerMessages && this.#expiry !== 0 && this.#now() >= this.#expiry) {
      this.timerExpired();
    }
    return this.takeEvents();
  }

  /** A one-shot timer that has expired is disabled: arm it again (`hv_ce_set_next_event`). */
  timerExpired(): void {
    if (this.#expiry !== 0) this.#armTimer();
  }

  /** Clear the event flags of SINT 2, as the handler does before it looks at the channels. */
  takeEvents(): number[] {
    let flags = NO_EVENTS;
    const page = this.eventPage + VMBUS_MESSAGE_SINT * HV_EVENT_FLAGS_SIZE;
    for (let at = 0; at < HV_EVENT_FLAGS_SIZE; at += 4) {
      const word = this.#memory.u32(page + at);
      if (word === 0) continue;
      if (flags === NO_EVENTS) flags = [];
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

  // --- take down ---

  /** COUNT, then CONFIG (`hv_ce_shutdown`). */
  stopTimer(): void {
    if (this.#expiry === 0) return;
    this.platform.write(Msr.STIMER0_COUNT, 0n);
    this.platform.write(Msr.STIMER0_CONFIG, 0n);
    this.#expiry = 0;
  }

  /** SINT 2, message page, event page, control (`hv_synic_disable_regs`). */
  disableSynic(): void {
    if (this.messagePage === 0) return;
    this.#change(Msr.SINT0 + VMBUS_MESSAGE_SINT, Sint.MASKED, 0n);
    this.#clearPage(Msr.SIMP);
    this.#clearPage(Msr.SIEFP);
    this.#change(Msr.SCONTROL, 0n, HV_ENABLE);
  }

  /** Else the hypervisor goes on writing to the page (`hv_cpu_die`). */
  disableAssistPage(): void {
    if (this.#assist) this.platform.write(Msr.VP_ASSIST_PAGE, 0n);
    this.#assist = false;
  }

  // --- registers ---

  #armTimer(): void {
    this.#expiry = this.#now() + TIMER_MS * TICKS_PER_MS;
    this.platform.write(Msr.STIMER0_COUNT, BigInt(this.#expiry));
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
