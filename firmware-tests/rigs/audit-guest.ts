// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A guest of a few lines for the tests of the audit: it has nothing of the drivers, and does what
 * it is told, also what no guest should do.
 */

import {
  HvCall,
  HvMessageType,
  Msr,
  PostMessage,
  SINT_COUNT,
  STIMER_COUNT,
  Sint,
  SynicMessage,
} from '../../src/hyperv/protocol.ts';
import type { X64Machine } from '../../src/machine.ts';
import {
  InitiateContact,
  MessageType,
  VMBUS_MESSAGE_CONNECTION_ID,
} from '../../src/vmbus/protocol.ts';

/** Where its pages are: above the first 2 MiB. */
export const GUEST_PAGES = {
  hypercall: 0x200000,
  simp: 0x201000,
  siefp: 0x202000,
  input: 0x203000,
  interrupt: 0x204000,
  monitorIn: 0x205000,
  monitorOut: 0x206000,
  spare: 0x210000,
} as const;

const ENABLE = 1n;
const VECTOR = 0x75n;
const SINT = 2;

export class Guest {
  readonly machine: X64Machine;
  readonly #view: DataView;

  constructor(machine: X64Machine) {
    this.machine = machine;
    this.#view = new DataView(machine.memory);
  }

  // --- up ---

  start(): void {
    const { machine } = this;
    machine.wrmsr(Msr.GUEST_OS_ID, 0x8100_0000_0000_0001n);
    machine.wrmsr(Msr.HYPERCALL, BigInt(GUEST_PAGES.hypercall) | ENABLE);
    machine.wrmsr(Msr.SIMP, BigInt(GUEST_PAGES.simp) | ENABLE);
    machine.wrmsr(Msr.SIEFP, BigInt(GUEST_PAGES.siefp) | ENABLE);
    machine.wrmsr(Msr.SINT0 + SINT, VECTOR);
    machine.wrmsr(Msr.SCONTROL, ENABLE);
  }

  /** Contact the host, and wait for its answer. Returns whether it accepted. */
  connect(version: number): boolean {
    const message = new DataView(new ArrayBuffer(InitiateContact.size));
    message.setUint32(0, MessageType.INITIATE_CONTACT, true);
    message.setUint32(InitiateContact.at.version, version, true);
    message.setUint32(InitiateContact.at.interruptPage, GUEST_PAGES.interrupt, true);
    message.setUint32(InitiateContact.at.monitorIn, GUEST_PAGES.monitorIn, true);
    message.setUint32(InitiateContact.at.monitorOut, GUEST_PAGES.monitorOut, true);
    this.post(new Uint8Array(message.buffer));
    return this.take()[8] === 1;
  }

  /** Post a VMBus message; a number alone is one that has nothing but its type. */
  post(message: Uint8Array | number): void {
    const { input, hypercall } = GUEST_PAGES;
    const bytes =
      typeof message === 'number' ? Uint8Array.of(message, 0, 0, 0, 0, 0, 0, 0) : message;
    this.#view.setUint32(input + PostMessage.at.connectionId, VMBUS_MESSAGE_CONNECTION_ID, true);
    this.#view.setUint32(input + PostMessage.at.type, 1, true);
    this.#view.setUint32(input + PostMessage.at.length, bytes.length, true);
    bytes.forEach((byte, i) => this.#view.setUint8(input + PostMessage.at.data + i, byte));
    const control = BigInt(HvCall.POST_MESSAGE);
    const result = this.machine.callHypercallPage(hypercall, control, BigInt(input), 0n);
    if (result !== 0n) throw new Error(`HvPostMessage: ${result}`);
  }

  /** Wait for a message and leave it in its slot. */
  wait(): void {
    const type = GUEST_PAGES.simp + SINT * SynicMessage.size;
    for (let i = 0; i < 10_000; i++) {
      if (this.#view.getUint32(type, true) !== HvMessageType.NONE) return;
      this.machine.pause();
    }
    throw new Error('no message came');
  }

  /** Wait for a message and take it. */
  take(): Uint8Array {
    this.wait();
    const slot = GUEST_PAGES.simp + SINT * SynicMessage.size;
    const length = this.#view.getUint8(slot + SynicMessage.at.length);
    const from = slot + SynicMessage.at.data;
    const payload = new Uint8Array(this.machine.memory).slice(from, from + length);
    this.#view.setUint32(slot, HvMessageType.NONE, true);
    this.machine.wrmsr(Msr.EOM, 0n);
    return payload;
  }

  /** Take messages up to one of a type. */
  takeUntil(type: number): void {
    for (let i = 0; i < 100; i++) if (this.take()[0] === type) return;
    throw new Error(`no message of type ${type} came`);
  }

  // --- down ---

  /** UNLOAD, and its answer. */
  unload(): void {
    this.post(MessageType.UNLOAD);
    this.takeUntil(MessageType.UNLOAD_RESPONSE);
  }

  /**
   * The order of mu_msvm (`EfiHvExitBootServices`): timers, SINTs, SIMP, SIEFP, hypercall page,
   * identity. SCONTROL is left on.
   */
  stop(): void {
    const { machine } = this;
    for (let i = 0; i < STIMER_COUNT; i++) {
      machine.wrmsr(Msr.STIMER0_COUNT + 2 * i, 0n);
      machine.wrmsr(Msr.STIMER0_CONFIG + 2 * i, 0n);
    }
    for (let i = 0; i < SINT_COUNT; i++) machine.wrmsr(Msr.SINT0 + i, Sint.MASKED);
    for (const msr of [Msr.SIMP, Msr.SIEFP, Msr.HYPERCALL, Msr.GUEST_OS_ID]) machine.wrmsr(msr, 0n);
  }
}
