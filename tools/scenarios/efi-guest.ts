// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A guest of a few lines with the habits of Microsoft's own firmware (mu_msvm EfiHvDxe, VmbusDxe):
 * it never writes SCONTROL, contacts at 3.0 without pages, waits for answers without end, writes
 * EOM only for messages that had others behind them, and leaves by UNLOAD.
 */

import {
  GuestOsId,
  HV_MESSAGE_PENDING,
  HvCall,
  Msr,
  PostMessage,
} from '../../src/hyperv/protocol.ts';
import { Sint, SynicMessage } from '../../src/hyperv/protocol.ts';
import type { X64Machine } from '../../src/machine.ts';
import {
  InitiateContact,
  MessageType,
  VMBUS_MESSAGE_CONNECTION_ID,
  VMBUS_MESSAGE_SINT,
  VmbusVersion,
} from '../../src/vmbus/protocol.ts';

/** Its interrupt vector for SINT 2. */
const VECTOR = 0x75n;

/** Messages that are taken on the way to an answer; the host has no reason for more. */
const MESSAGES_MAX = 64;

export class EfiGuest {
  readonly #cpu: X64Machine;
  readonly #view: DataView;
  readonly #hypercall: number;
  readonly #messages: number;
  readonly #events: number;
  readonly #input: number;

  /** @param at where its four pages are */
  constructor(cpu: X64Machine, at: number) {
    this.#cpu = cpu;
    this.#view = new DataView(cpu.memory);
    this.#hypercall = at;
    this.#messages = at + 0x1000;
    this.#events = at + 0x2000;
    this.#input = at + 0x3000;
  }

  /** Identity, hypercall page, SynIC pages, SINT: and no SCONTROL. */
  start(): void {
    const cpu = this.#cpu;
    cpu.wrmsr(Msr.GUEST_OS_ID, GuestOsId.UEFI);
    cpu.wrmsr(Msr.HYPERCALL, BigInt(this.#hypercall) | 1n);
    cpu.wrmsr(Msr.SIMP, BigInt(this.#messages) | 1n);
    cpu.wrmsr(Msr.SIEFP, BigInt(this.#events) | 1n);
    cpu.wrmsr(Msr.SINT0 + VMBUS_MESSAGE_SINT, VECTOR);
  }

  /** Whether the host accepts this version. Waits for its answer without end. */
  connect(version: number = VmbusVersion.V3_0): boolean {
    const { at, size } = InitiateContact;
    const contact = new DataView(new ArrayBuffer(size));
    contact.setUint32(at.version, version, true);
    this.#post(MessageType.INITIATE_CONTACT, contact);
    return this.#waitFor(MessageType.VERSION_RESPONSE).getUint8(8) !== 0;
  }

  /** ExitBootServices: UNLOAD, then everything off but SCONTROL. */
  exitBootServices(): void {
    this.#post(MessageType.UNLOAD, new DataView(new ArrayBuffer(8)));
    this.#waitFor(MessageType.UNLOAD_RESPONSE);
    const cpu = this.#cpu;
    cpu.wrmsr(Msr.SINT0 + VMBUS_MESSAGE_SINT, Sint.MASKED);
    for (const msr of [Msr.SIMP, Msr.SIEFP, Msr.HYPERCALL, Msr.GUEST_OS_ID]) cpu.wrmsr(msr, 0n);
  }

  #post(type: number, message: DataView): void {
    const { at } = PostMessage;
    const view = this.#view;
    message.setUint32(0, type, true);
    view.setUint32(this.#input + at.connectionId, VMBUS_MESSAGE_CONNECTION_ID, true);
    view.setUint32(this.#input + at.reserved, 0, true);
    view.setUint32(this.#input + at.type, 1, true);
    view.setUint32(this.#input + at.length, message.byteLength, true);
    new Uint8Array(view.buffer).set(new Uint8Array(message.buffer), this.#input + at.data);
    const [control, input] = [BigInt(HvCall.POST_MESSAGE), BigInt(this.#input)];
    const status = this.#cpu.callHypercallPage(this.#hypercall, control, input, 0n);
    if (status !== 0n) throw new Error(`HvPostMessage: status ${status}`);
  }

  /** Take messages up to one of a type. */
  #waitFor(type: number): DataView {
    const slot = this.#messages + VMBUS_MESSAGE_SINT * SynicMessage.size;
    for (let i = 0; i < MESSAGES_MAX; i++) {
      while (this.#view.getUint32(slot, true) === 0) this.#cpu.pause();
      const data = slot + SynicMessage.at.data;
      const message = new DataView(this.#view.buffer.slice(data, slot + SynicMessage.size));
      this.#view.setUint32(slot, 0, true);
      const flags = this.#view.getUint8(slot + SynicMessage.at.flags);
      if ((flags & HV_MESSAGE_PENDING) !== 0) this.#cpu.wrmsr(Msr.EOM, 0n);
      if (message.getUint32(0, true) === type) return message;
    }
    throw new Error(`no message of type ${type} among ${MESSAGES_MAX}`);
  }
}
