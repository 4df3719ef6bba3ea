// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A packet of the guest, copied out of the ring, and the rules that it must keep (`parse_packet`).
 */

import {
  COMPLETION_REQUESTED,
  GpaDirectHeader,
  PacketFooter,
  PacketHeader,
  PacketType,
} from '../../../src/vmbus/protocol.ts';
import type { GuestPacket } from './channel-interface.ts';

export const DESCRIPTOR_SIZE = PacketHeader.size;
export const FOOTER_SIZE = PacketFooter.size;

/** Longest packet that the 16-bit length in units of 8 can name, without the footer. */
export const PACKET_MAX = 0xffff * 8;

/** Room that a buffer begins with: most packets are no longer. */
const ROOM_MIN = 1024;

/**
 * {@link GuestPacket}, filled anew by each receive; or a packet in the making. It has as much room
 * as the longest one so far has needed.
 */
export class PacketBuffer implements GuestPacket {
  bytes: Uint8Array = new Uint8Array(ROOM_MIN);
  view: DataView = new DataView(this.bytes.buffer);
  length = 0;
  type = 0;
  flags = 0;
  transactionIdLow = 0;
  transactionIdHigh = 0;
  payloadOffset = 0;

  /** Have room for `length` bytes; the first `kept` stay. */
  reserve(length: number, kept = 0): void {
    const { bytes } = this;
    if (length <= bytes.length) return;
    this.bytes = new Uint8Array(Math.max(length, 2 * bytes.length));
    this.bytes.set(bytes.subarray(0, kept));
    this.view = new DataView(this.bytes.buffer);
  }

  /**
   * Check the descriptor that was copied to the start of `bytes` and take it in. Returns what is
   * wrong, or undefined.
   *
   * @param available bytes in the ring, footer included
   * @param lenient take unknown flags, and no types that only hosts send (QEMU)
   */
  parseDescriptor(available: number, lenient = false): string | undefined {
    const { view } = this;
    const at = PacketHeader.at;
    const type = view.getUint16(at.type, true);
    const headerLength = view.getUint16(at.headerQlen, true) * 8;
    const length = view.getUint16(at.qlen, true) * 8;
    const flags = view.getUint16(at.flags, true);
    if (headerLength < DESCRIPTOR_SIZE) return `packet header of ${headerLength} bytes`;
    if (length < headerLength) return `packet of ${length} bytes with ${headerLength} of header`;
    // OpenVMM counts without the footer and then reads past the write index: the same silence
    if (length + FOOTER_SIZE > available)
      return `packet of ${length} bytes where ${available} with footer are`;
    if (!lenient && (flags & ~COMPLETION_REQUESTED) !== 0)
      return `packet flags 0x${flags.toString(16)}`;
    const bad = lenient ? checkGuestType(type) : checkType(type, headerLength);
    if (bad !== undefined) return bad;

    this.type = type;
    this.flags = flags;
    this.length = length;
    this.payloadOffset = headerLength;
    this.transactionIdLow = view.getUint32(at.transactionId, true);
    this.transactionIdHigh = view.getUint32(at.transactionId + 4, true);
    return undefined;
  }

  /** Check what lies behind the descriptor, once it is copied too. */
  checkRanges(): string | undefined {
    if (this.type !== PacketType.DATA_GPA_DIRECT) return undefined;
    const count = this.view.getUint32(GpaDirectHeader.at.rangeCount, true);
    return count === 0 ? 'GPA-direct packet without ranges' : undefined;
  }
}

/** Types that QEMU takes (`vmbus_channel_recv_peek`). */
function checkGuestType(type: number): string | undefined {
  const known =
    type === PacketType.DATA_GPA_DIRECT ||
    type === PacketType.DATA_INBAND ||
    type === PacketType.COMPLETION;
  return known ? undefined : `packet type ${type}`;
}

function checkType(type: number, headerLength: number): string | undefined {
  switch (type) {
    case PacketType.DATA_XFER_PAGES:
    case PacketType.DATA_GPA_DIRECT:
      if (headerLength < GpaDirectHeader.size) return `packet type ${type} without range count`;
      return undefined;
    case PacketType.DATA_INBAND:
    case PacketType.COMPLETION:
      return undefined;
    // Whether a cancellation is allowed is the device's decision (knob `cancelPacket`)
    case PacketType.CANCELLATION:
      return undefined;
    default:
      return `packet type ${type}`;
  }
}
