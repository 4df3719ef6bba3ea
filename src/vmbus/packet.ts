// SPDX-License-Identifier: GPL-2.0-or-later

/** A packet of the host as it was copied out of the ring, and the fields that were read from it. */

import { PacketHeader, XferPageHeader, XferPageRange } from './protocol.ts';

/** A packet of the host: a private copy, checked. Valid until the next poll or send. */
export interface Packet {
  type: number;
  flags: number;
  /** Transaction ID, unsigned halves: a bigint would be allocated for every packet. */
  idLow: number;
  idHigh: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where the payload begins in `bytes`, and its length with padding. */
  payload: number;
  payloadLength: number;
  /** Transfer pages: the page set, and how many ranges follow the header. */
  pageSet: number;
  rangeCount: number;
}

/** Room for packets of up to `length` bytes. */
export function newPacket(length: number): Packet {
  const bytes = new Uint8Array(length);
  return {
    type: 0,
    flags: 0,
    idLow: 0,
    idHigh: 0,
    bytes,
    view: new DataView(bytes.buffer),
    payload: 0,
    payloadLength: 0,
    pageSet: 0,
    rangeCount: 0,
  };
}

/** Read the header that lies in `bytes`. Nothing of it is checked. */
export function readHeader(packet: Packet): void {
  const { view } = packet;
  const headerLength = view.getUint16(PacketHeader.at.headerQlen, true) * 8;
  packet.type = view.getUint16(PacketHeader.at.type, true);
  packet.flags = view.getUint16(PacketHeader.at.flags, true);
  packet.idLow = view.getUint32(PacketHeader.at.transactionId, true);
  packet.idHigh = view.getUint32(PacketHeader.at.transactionId + 4, true);
  packet.payload = headerLength;
  packet.payloadLength = view.getUint16(PacketHeader.at.qlen, true) * 8 - headerLength;
}

/** Read page set and number of ranges. @returns whether the ranges fill the header exactly */
export function readRanges(packet: Packet): boolean {
  packet.rangeCount = 0;
  if (packet.payload < XferPageHeader.size) return false;
  packet.pageSet = packet.view.getUint16(XferPageHeader.at.pageSet, true);
  packet.rangeCount = packet.view.getUint32(XferPageHeader.at.rangeCount, true);
  return packet.rangeCount === (packet.payload - XferPageHeader.size) / XferPageRange.size;
}
