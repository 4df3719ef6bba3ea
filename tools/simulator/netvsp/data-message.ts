// SPDX-License-Identifier: GPL-2.0-or-later

/** RNDIS data messages: checking those of the guest, and the headers of those for the guest. */

import {
  RNDIS_BODY,
  RndisHeader,
  RndisPacket,
  RndisPacketInfo,
  RndisType,
} from '../../../src/rndis/protocol.ts';
import type { GuestMessage } from './guest-message.ts';

/** Longest per-packet information in front of a frame; real hosts have about ten kinds. */
export const PACKET_INFO_MAX = 1024;

/** Checksum information (`PPI_TCP_IP_CHECKSUM`), 4 bytes: 0 is that nothing was checked. */
const PPI_CHECKSUM = 0;
const PPI_CHECKSUM_LENGTH = RndisPacketInfo.size + 4;

/** One RNDIS_PACKET_MSG of the guest. */
export class DataMessage {
  readonly #header = new Uint8Array(RndisPacket.size);
  readonly #view = new DataView(this.#header.buffer);
  readonly #info = new Uint8Array(PACKET_INFO_MAX);
  readonly #infoView = new DataView(this.#info.buffer);
  /** MessageLength: where the next message of the same packet begins. */
  length = 0;
  /** Where the frame lies in the guest's message, and its length. */
  dataAt = 0;
  dataLength = 0;

  /**
   * Read the message that begins at `at`. Returns what is wrong with it, or undefined. The checks
   * are OpenVMM's (`handle_rndis_packet_message`); `frameMax` is this host's own bound.
   */
  parse(message: GuestMessage, at: number, frameMax: number): string | undefined {
    const left = message.length - at;
    if (left < RndisPacket.size) return `RNDIS packet message of ${left} bytes`;
    message.read(at, this.#header, RndisPacket.size);
    const view = this.#view;
    const type = view.getUint32(RndisHeader.at.type, true);
    if (type !== RndisType.PACKET) return `RNDIS type ${type} among packet messages`;
    this.length = view.getUint32(RndisHeader.at.length, true);
    if (this.length < RndisPacket.size || this.length > left)
      return `RNDIS length ${this.length}, ${left} bytes are there`;

    // No out-of-band data, no virtual connection
    if (
      view.getUint32(RndisPacket.at.oobOffset, true) !== 0 ||
      view.getUint32(RndisPacket.at.oobLength, true) !== 0 ||
      view.getUint32(RndisPacket.at.oobCount, true) !== 0 ||
      view.getUint32(RndisPacket.at.reserved, true) !== 0
    )
      return 'RNDIS packet message with out-of-band data or a virtual connection';

    // The frame lies in the message, behind the header
    const offset = RNDIS_BODY + view.getUint32(RndisPacket.at.dataOffset, true);
    this.dataAt = at + offset;
    this.dataLength = view.getUint32(RndisPacket.at.dataLength, true);
    if (this.dataLength === 0 || offset + this.dataLength > this.length)
      return `RNDIS data of ${this.dataLength} bytes at ${offset} outside the message`;
    if (this.dataLength > frameMax) return `frame of ${this.dataLength} bytes exceeds the MTU`;
    return this.#parseInfo(message, at);
  }

  /** Per-packet information: well formed, and in the same piece of memory as the header. */
  #parseInfo(message: GuestMessage, at: number): string | undefined {
    const length = this.#view.getUint32(RndisPacket.at.ppiLength, true);
    const offset = RNDIS_BODY + this.#view.getUint32(RndisPacket.at.ppiOffset, true);
    const end = length === 0 ? RndisPacket.size : offset + length;
    if (end > this.length) return 'per-packet information outside the message';
    if (at + Math.max(end, RndisPacket.size) > message.pieceEnd(at))
      return 'RNDIS headers split between ranges';
    if (length === 0) return undefined;
    if (length > PACKET_INFO_MAX) return `${length} bytes of per-packet information`;
    message.read(at + offset, this.#info, length);
    for (let i = 0; i < length;) {
      if (length - i < RndisPacketInfo.size) return 'per-packet information cut off';
      const size = this.#infoView.getUint32(i + RndisPacketInfo.at.size, true);
      const data = this.#infoView.getUint32(i + RndisPacketInfo.at.dataOffset, true);
      if (size < RndisPacketInfo.size || size > length - i || data > size)
        return `per-packet information of ${size} bytes`;
      i += size;
    }
    return undefined;
  }
}

/** The header of a message for the guest, with or without per-packet information. */
export class DataHeader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(withInfo: boolean) {
    const size = RndisPacket.size + (withInfo ? PPI_CHECKSUM_LENGTH : 0);
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
    this.#view.setUint32(RndisHeader.at.type, RndisType.PACKET, true);
    if (!withInfo) return;
    this.#view.setUint32(RndisPacket.at.ppiOffset, RndisPacket.size - RNDIS_BODY, true);
    this.#view.setUint32(RndisPacket.at.ppiLength, PPI_CHECKSUM_LENGTH, true);
    const at = RndisPacket.size;
    this.#view.setUint32(at + RndisPacketInfo.at.size, PPI_CHECKSUM_LENGTH, true);
    this.#view.setUint32(at + RndisPacketInfo.at.type, PPI_CHECKSUM, true);
    this.#view.setUint32(at + RndisPacketInfo.at.dataOffset, RndisPacketInfo.size, true);
  }

  /** Set the length of the message, where its data begins from its start, and their length. */
  set(length: number, dataAt: number, dataLength: number): void {
    this.#view.setUint32(RndisHeader.at.length, length, true);
    this.#view.setUint32(RndisPacket.at.dataOffset, dataAt - RNDIS_BODY, true);
    this.#view.setUint32(RndisPacket.at.dataLength, dataLength, true);
  }
}
