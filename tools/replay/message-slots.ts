// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The message side of the recorded host's SynIC: one slot of one message for each SINT, a queue
 * behind it, and delivery on EOM or when a SINT is unmasked, as the recording's host has it.
 */

import {
  HV_MESSAGE_PAYLOAD_MAX,
  HV_MESSAGE_PENDING,
  SINT_COUNT,
  SynicMessage,
} from '../../src/hyperv/protocol.ts';

/** Most messages that wait for one slot. */
export const MESSAGE_QUEUE_MAX = 4096;

interface QueuedMessage {
  readonly type: number;
  readonly payload: Uint8Array;
  /** The host says that more waits, whether there is more or not. */
  readonly pending: boolean;
}

/** What the slots need to know of the registers. */
export interface SlotRegisters {
  /** Address of the message page, or undefined while SynIC or page are disabled. */
  readonly messagePage: number | undefined;
  isMasked(sint: number): boolean;
}

/** Message slots and queues. */
export class MessageSlots {
  readonly #view: DataView;
  readonly #registers: SlotRegisters;
  readonly #delivered: (type: number, payload: Uint8Array) => void;
  readonly #queues: QueuedMessage[][] = Array.from({ length: SINT_COUNT }, () => []);

  /** @param delivered is told of each message that reaches its slot. */
  constructor(
    view: DataView,
    registers: SlotRegisters,
    delivered: (type: number, payload: Uint8Array) => void,
  ) {
    this.#view = view;
    this.#registers = registers;
    this.#delivered = delivered;
  }

  /** Send a message. Returns whether there was room for it. */
  post(sint: number, type: number, payload: Uint8Array, pending = false): boolean {
    const queue = this.#queues[sint];
    if (queue === undefined || queue.length >= MESSAGE_QUEUE_MAX) return false;
    const busy = queue.length > 0 || !this.#isFree(sint);
    queue.push({ type, payload, pending });
    if (!busy) this.#deliver(sint);
    else this.#setPending(sint);
    return true;
  }

  /** End of message: each free slot takes the next message of its queue. */
  endOfMessage(): void {
    for (let sint = 0; sint < SINT_COUNT; sint++) {
      if (this.#queues[sint]!.length > 0 && this.#isFree(sint)) this.#deliver(sint);
    }
  }

  #slot(sint: number): number | undefined {
    const page = this.#registers.messagePage;
    if (page === undefined || this.#registers.isMasked(sint)) return undefined;
    return page + sint * SynicMessage.size;
  }

  #isFree(sint: number): boolean {
    const slot = this.#slot(sint);
    return slot !== undefined && this.#view.getUint32(slot + SynicMessage.at.type, true) === 0;
  }

  #setPending(sint: number): void {
    const slot = this.#slot(sint);
    if (slot === undefined || this.#isFree(sint)) return;
    const at = slot + SynicMessage.at.flags;
    this.#view.setUint8(at, this.#view.getUint8(at) | HV_MESSAGE_PENDING);
  }

  #deliver(sint: number): void {
    const slot = this.#slot(sint)!;
    const queue = this.#queues[sint]!;
    const { type, payload, pending } = queue.shift()!;
    // Payload and header first, the type last: it makes the message visible
    const bytes = payload.subarray(0, HV_MESSAGE_PAYLOAD_MAX);
    const data = slot + SynicMessage.at.data;
    bytes.forEach((byte, i) => this.#view.setUint8(data + i, byte));
    this.#view.setUint8(slot + SynicMessage.at.length, payload.length);
    const flags = queue.length > 0 || pending ? HV_MESSAGE_PENDING : 0;
    this.#view.setUint8(slot + SynicMessage.at.flags, flags);
    this.#view.setUint32(slot + SynicMessage.at.type, type, true);
    this.#delivered(type, payload);
  }
}
