// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A packet of the guest, copied out of the ring, and the rules that it must keep (`parse_packet`).
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../../../src/machine.ts';
import {
  COMPLETION_REQUESTED,
  GpaDirectHeader,
  GpaRange,
  PacketFooter,
  PacketHeader,
  PacketType,
} from '../../../src/vmbus/protocol.ts';
import type { GuestPacket } from './channel-interface.ts';
import type { IncomingRing } from './host-ring.ts';
import type { Keeper } from '../base/snapshot.ts';

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

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.bytes, this.view], (v) => ([this.bytes, this.view] = v));
    keeper.put([this.length, this.type], (v) => ([this.length, this.type] = v));
    keeper.put([this.flags], (v) => ([this.flags] = v));
    keeper.put([this.transactionIdLow], (v) => ([this.transactionIdLow] = v));
    keeper.put([this.transactionIdHigh], (v) => ([this.transactionIdHigh] = v));
    keeper.put([this.payloadOffset], (v) => ([this.payloadOffset] = v));
  }

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

// --- packets that lie in the ring ---

/** Bytes of a page number in a range. */
const PFN_SIZE = 8;

/**
 * Whether a packet that the guest has published and the host has not read points to a page from
 * `first` up to, and without, `end`. The host will read it there. What cannot be read ends the
 * search: the host will not get beyond it either.
 */
export function pointsTo(ring: IncomingRing, first: number, end: number): boolean {
  const packet = new PacketBuffer();
  const available = ring.available();
  for (let at = 0; at + DESCRIPTOR_SIZE <= available; at += packet.length + FOOTER_SIZE) {
    ring.peek(at, packet.bytes, 0, DESCRIPTOR_SIZE);
    if (packet.parseDescriptor(available - at, true) !== undefined) return false;
    if (packet.type !== PacketType.DATA_GPA_DIRECT) continue;
    packet.reserve(packet.length);
    ring.peek(at, packet.bytes, 0, packet.length);
    if (rangesPointTo(packet, first, end)) return true;
  }
  return false;
}

function rangesPointTo({ view, payloadOffset }: PacketBuffer, first: number, end: number): boolean {
  let ranges = view.getUint32(GpaDirectHeader.at.rangeCount, true);
  let at: number = GpaDirectHeader.size;
  for (; ranges > 0 && at + GpaRange.size <= payloadOffset; ranges--) {
    const length = view.getUint32(at + GpaRange.at.byteCount, true);
    const offset = view.getUint32(at + GpaRange.at.byteOffset, true);
    at += GpaRange.size;
    let pages = Math.ceil((offset + length) / PAGE_SIZE) - (offset >>> PAGE_SHIFT);
    for (; pages > 0 && at + PFN_SIZE <= payloadOffset; pages--, at += PFN_SIZE) {
      const pfn = Number(view.getBigUint64(at, true));
      if (pfn >= first && pfn < end) return true;
    }
  }
  return false;
}
