// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The hypervisor layer of the reference guest: detection, registers, posted and received messages,
 * signals (iPXE arch/x86/drivers/hyperv/hyperv.c).
 */

import {
  CPUID_HYPERVISOR_PRESENT,
  Cpuid,
  GuestOsId,
  HV_ENABLE,
  HV_HYPERCALL_LOCKED,
  HV_INTERFACE_ID,
  HV_MESSAGE_PAYLOAD_MAX,
  HV_MESSAGE_PENDING,
  HV_PAGE_REGISTER_MASK,
  HvCall,
  HvFeature,
  HvPrivilege,
  HvStatus,
  Msr,
  PostMessage,
  SINT_COUNT,
  STIMER_COUNT,
  SignalEvent,
  Sint,
  SynicMessage,
} from '../../src/hyperv/protocol.ts';
import { GuestError, type Block, type GuestContext } from './guest.ts';

/** Vector of an unmasked SINT: IRQ 13. */
const VECTOR = 0x75n;

/** Attempts to post a message to a host that says "later"; the pauses between them double. */
const POST_TRIES = 12;
const POST_LATER: readonly number[] = [
  HvStatus.INSUFFICIENT_MEMORY,
  HvStatus.INVALID_CONNECTION_ID,
  HvStatus.INSUFFICIENT_BUFFERS,
  HvStatus.TIME_OUT,
];

/** Bits of a page register and of a SINT that stay as they are found. */
const PAGE_KEPT = HV_PAGE_REGISTER_MASK & ~HV_ENABLE;
const SINT_KEPT = ~0x1f00ffn;

/** Registers that an earlier owner may have left on: first, count, feature, kept bits, at reset. */
const LEFT_ON = [
  [Msr.STIMER0_CONFIG, 2 * STIMER_COUNT, HvFeature.SYNTHETIC_TIMERS, 0n, 0n],
  [Msr.SINT0, SINT_COUNT, HvFeature.SYNIC, SINT_KEPT, Sint.MASKED],
  [Msr.SIEFP, 2, HvFeature.SYNIC, PAGE_KEPT, 0n],
  [Msr.VP_ASSIST_PAGE, 1, HvFeature.INTR_CONTROL, PAGE_KEPT, 0n],
  [Msr.REFERENCE_TSC, 1, HvFeature.REFERENCE_TSC, PAGE_KEPT, 0n],
] as const;

/** A message as it was copied out of its slot; reads as zero beyond its end. */
export interface GuestMessage {
  readonly synicType: number;
  readonly length: number;
  readonly view: DataView;
}

export class Hypervisor {
  readonly context: GuestContext;
  /** Mapped, and not quiesced. */
  running = false;
  #pages: Block[] = [];
  #input: Block | undefined;
  #scontrol = 0n;

  constructor(context: GuestContext) {
    this.context = context;
  }

  // --- probe and remove ---

  /** @throws GuestError */
  probe(): void {
    this.#detect();
    this.#scontrol = this.#read(Msr.SCONTROL);
    if (!this.context.has('earlier-owner-switched-off')) this.#switchOff();
    try {
      for (const purpose of ['hypercall', 'simp', 'siefp'])
        this.#pages.push(this.context.allocate(purpose, 4096));
      this.#input = this.context.allocate('message-buffer', PostMessage.size, PostMessage.size);
    } catch (error) {
      this.free();
      throw error;
    }
    try {
      this.map();
    } catch (error) {
      this.unmap(true);
      this.free();
      throw error;
    }
  }

  #detect(): void {
    const { machine, has } = this.context;
    const fail = (errno: string, text: string): never => {
      throw new GuestError(errno, text);
    };
    const leaf = (number: number) => machine.cpuid(number, 0);
    if (!(leaf(Cpuid.FEATURES).ecx & CPUID_HYPERVISOR_PRESENT)) fail('ENODEV', 'no hypervisor');
    if (leaf(Cpuid.HV_INTERFACE_ID).eax !== HV_INTERFACE_ID) fail('ENODEV', 'not Hyper-V');
    const { eax, ebx } = leaf(Cpuid.HV_FEATURES);
    if (!(eax & HvFeature.HYPERCALL)) fail('ENODEV', 'no hypercall register');
    if (!(eax & HvFeature.SYNIC)) fail('ENODEV', 'no SynIC');
    if (!(ebx & HvPrivilege.POST_MESSAGES)) fail('EACCES', 'may not post');
    if (!(ebx & HvPrivilege.SIGNAL_EVENTS)) fail('EACCES', 'may not signal');
    if (!has('reference-time-required') && !(eax & HvFeature.TIME_REF_COUNT))
      fail('ENODEV', 'no reference time');
    const owner = this.#read(Msr.GUEST_OS_ID);
    if (owner === GuestOsId.UEFI) fail('ENOTSUP', 'owned by UEFI');
    if (has('hypercall-page-checked')) return;
    if (owner === GuestOsId.UEFI_ARM64) fail('ENOTSUP', 'owned by UEFI');
    if (this.#read(Msr.HYPERCALL) & HV_HYPERCALL_LOCKED) fail('ENOTSUP', 'hypercall page locked');
  }

  #switchOff(): void {
    const { eax } = this.context.machine.cpuid(Cpuid.HV_FEATURES, 0);
    for (const [first, count, need, kept, reset] of LEFT_ON) {
      for (let i = 0; eax & need && i < count; i++) this.#restore(first + i, kept, reset);
    }
    if (this.#read(Msr.HYPERCALL) !== 0n) this.#restore(Msr.HYPERCALL, PAGE_KEPT, 0n);
  }

  /** Take the machine back: somebody else may have had it. @throws GuestError */
  takeBack(): void {
    if (!this.context.has('earlier-owner-switched-off')) {
      this.#detect();
      this.#switchOff();
    }
    this.map();
  }

  /** Identity, hypercall page, SynIC. @throws GuestError */
  map(): void {
    const [hypercall, simp, siefp] = this.#pages;
    this.#write(Msr.GUEST_OS_ID, GuestOsId.IPXE);
    this.context.bytes.fill(0, hypercall!.address, hypercall!.address + 4096);
    const value = this.#mapPage(Msr.HYPERCALL, hypercall!);
    if (!this.context.has('hypercall-page-checked') && this.#read(Msr.HYPERCALL) !== value)
      throw new GuestError('EIO', 'hypercall page refused');
    for (const page of [simp!, siefp!])
      this.context.bytes.fill(0, page.address, page.address + 4096);
    this.#mapPage(Msr.SIMP, simp!);
    this.#mapPage(Msr.SIEFP, siefp!);
    this.#write(Msr.SCONTROL, this.#read(Msr.SCONTROL) | HV_ENABLE);
    this.running = true;
  }

  #mapPage(register: number, page: Block): bigint {
    const kept = this.#read(register) & HV_PAGE_REGISTER_MASK;
    const value = kept | BigInt(page.address) | HV_ENABLE;
    this.#write(register, value);
    return value;
  }

  /** `scontrol`: the SynIC, too. */
  unmap(scontrol: boolean): void {
    this.running = false;
    if (scontrol && this.context.has('scontrol-as-found'))
      this.#write(Msr.SCONTROL, this.#read(Msr.SCONTROL) & ~HV_ENABLE);
    else if (scontrol && !(this.#scontrol & HV_ENABLE)) this.#write(Msr.SCONTROL, this.#scontrol);
    for (const register of [Msr.SIEFP, Msr.SIMP, Msr.HYPERCALL])
      this.#write(register, this.#read(register) & PAGE_KEPT);
    this.#write(Msr.GUEST_OS_ID, 0n);
  }

  free(): void {
    if (this.#input !== undefined) this.context.free(this.#input);
    for (const page of this.#pages) this.context.free(page);
    this.#pages = [];
    this.#input = undefined;
  }

  quiesce(): void {
    for (let sint = 0; sint < SINT_COUNT; sint++) this.disableSint(sint);
    this.unmap(false);
  }

  /** Whether somebody has the SynIC message page enabled. */
  get isMapped(): boolean {
    return (this.#read(Msr.SIMP) & HV_ENABLE) !== 0n;
  }

  // --- registers ---

  #read(register: number): bigint {
    return this.context.machine.rdmsr(register);
  }

  #write(register: number, value: bigint): void {
    this.context.machine.wrmsr(register, value);
  }

  #restore(register: number, kept: bigint, reset: bigint): void {
    const old = this.#read(register);
    const value = (old & kept) | reset;
    if (value !== old) this.#write(register, value);
  }

  enableSint(sint: number): void {
    const old = this.#read(Msr.SINT0 + sint);
    const kept = this.context.has('sints-as-at-reset') ? ~(Sint.MASKED | 0xffn) : SINT_KEPT;
    this.#write(Msr.SINT0 + sint, (old & kept) | Sint.AUTO_EOI | VECTOR);
  }

  disableSint(sint: number): void {
    if (!this.context.has('sints-as-at-reset')) {
      if (this.running) this.#restore(Msr.SINT0 + sint, SINT_KEPT, Sint.MASKED);
      return;
    }
    const old = this.#read(Msr.SINT0 + sint);
    if (old & Sint.MASKED) return;
    this.#write(Msr.SINT0 + sint, (old & ~Sint.AUTO_EOI) | Sint.MASKED);
  }

  // --- messages and events ---

  /** @throws GuestError EPLATFORM with the status, EPIPE while quiesced */
  post(connection: number, type: number, payload: Uint8Array): void {
    const { context } = this;
    if (!this.running && !context.has('quiesced-device-is-silent'))
      throw new GuestError('EPIPE', 'quiesced');
    for (let attempt = 1, pause = 1; ; attempt++, pause *= 2) {
      const { address } = this.#input!;
      context.bytes.fill(0, address, address + PostMessage.size);
      context.view.setUint32(address + PostMessage.at.connectionId, connection, true);
      context.view.setUint32(address + PostMessage.at.type, type, true);
      context.view.setUint32(address + PostMessage.at.length, payload.length, true);
      context.bytes.set(payload, address + PostMessage.at.data);
      const status = this.#call(HvCall.POST_MESSAGE);
      if (status === 0) return;
      const again = POST_LATER.includes(status) && !context.has('posts-are-retried');
      if (!again || attempt === POST_TRIES)
        throw new GuestError(`EPLATFORM(0x${status.toString(16)})`, 'post failed');
      for (let i = 0; i < pause; i++) context.delay();
    }
  }

  /** Returns the status of the hypercall. */
  signal(connection: number): number {
    const { context } = this;
    if (!this.running && !context.has('quiesced-device-is-silent'))
      return HvStatus.INVALID_CONNECTION_ID;
    const { address } = this.#input!;
    context.bytes.fill(0, address, address + SignalEvent.size);
    context.view.setUint32(address + SignalEvent.at.connectionId, connection, true);
    return this.#call(HvCall.SIGNAL_EVENT);
  }

  #call(code: number): number {
    const page = this.#pages[0]!.address;
    const input = BigInt(this.#input!.address);
    return Number(this.context.machine.callHypercallPage(page, BigInt(code), input, 0n) & 0xffffn);
  }

  /** Take the message of a SINT, if there is one. */
  receive(sint: number): GuestMessage | undefined {
    const { view, bytes } = this.context;
    if (!this.running) return undefined;
    const slot = this.#pages[1]!.address + sint * SynicMessage.size;
    const synicType = view.getUint32(slot + SynicMessage.at.type, true);
    if (synicType === 0) return undefined;
    const length = Math.min(bytes[slot + SynicMessage.at.length]!, HV_MESSAGE_PAYLOAD_MAX);
    const payload = new Uint8Array(256);
    const data = slot + SynicMessage.at.data;
    payload.set(bytes.subarray(data, data + length));
    view.setUint32(slot + SynicMessage.at.type, 0, true);
    const pending = bytes[slot + SynicMessage.at.flags]! & HV_MESSAGE_PENDING;
    if (pending && !this.context.has('prompt-waits')) this.endOfMessage();
    return { synicType, length, view: new DataView(payload.buffer) };
  }

  endOfMessage(): void {
    this.#write(Msr.EOM, 0n);
  }
}
