// SPDX-License-Identifier: GPL-2.0-or-later

/** Messages of the SynIC, polled: one is taken out of its slot (iPXE hv_wait_for_message). */

import type { GuestMemory } from '../memory/guest-memory.ts';
import {
  HV_MESSAGE_PAYLOAD_MAX,
  HV_MESSAGE_PENDING,
  HvMessageType,
  SynicMessage,
} from './protocol.ts';

/** A message as it was copied out of its slot. */
export interface ReceivedMessage {
  /** SynIC message type. */
  type: number;
  /** Payload, zero beyond `length`: whoever reads beyond the end of a short message reads zeros. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  length: number;
  /** Another message waits until the host is told that the slot is free. */
  pending: boolean;
}

/** Room for a message. */
export function newMessage(): ReceivedMessage {
  const bytes = new Uint8Array(HV_MESSAGE_PAYLOAD_MAX);
  return { type: 0, bytes, view: new DataView(bytes.buffer), length: 0, pending: false };
}

/**
 * Take the message out of a slot, if there is one.
 *
 * The slot is copied once, then released: type 0 by compare-and-exchange, since the host may have
 * refilled a slot that somebody else has emptied; only then the pending flag is read, since the
 * host may set it until it sees the slot empty (Linux vmbus_signal_eom). An empty slot is never
 * written, also if somebody else who has emptied it has left the flag: the host may be filling it.
 *
 * @returns whether there was one. In any case {@link ReceivedMessage.pending} is the flag
 */
export function takeMessage(memory: GuestMemory, slot: number, message: ReceivedMessage): boolean {
  const { words } = memory;
  // The type makes the message valid: nothing of it is looked at before
  const word = Atomics.load(words, slot / 4);
  const taken = word !== HvMessageType.NONE;
  if (taken) {
    // Copy message; a length beyond the slot is cut (iPXE trusts it: its defect 5)
    const { bytes } = message;
    const length = Math.min(memory.u8(slot + SynicMessage.at.length), HV_MESSAGE_PAYLOAD_MAX);
    const data = slot + SynicMessage.at.data;
    message.type = memory.u32(slot + SynicMessage.at.type);
    message.length = length;
    for (let i = 0; i < length; i++) bytes[i] = memory.u8(data + i);
    bytes.fill(0, length);

    // Release slot, unless it holds another message already
    Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);
  }
  message.pending = (memory.u8(slot + SynicMessage.at.flags) & HV_MESSAGE_PENDING) !== 0;
  return taken;
}
