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
import { LARGE_SEND_MAX } from './offloads/large-send.ts';
import { NO_TAG } from './offloads/vlan.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Longest per-packet information in front of a frame; real hosts have about ten kinds. */
export const PACKET_INFO_MAX = 1024;

/** Types of per-packet information of 4 bytes (Linux `ndis_per_pkt_info_type`). */
export const PacketInfo = {
  CHECKSUM: 0,
  LARGE_SEND: 2,
  VLAN: 6,
  HASH: 8,
  /** Of the host's own ("internal"): which piece of a packet this is. */
  PACKET_ID: 0x80000001,
} as const;
const INFO_SIZE = RndisPacketInfo.size + 4;

/** Most of them in front of a frame. */
const INFOS_MAX = 4;

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
  /** Checksum information of the guest, 0 for none, and its VLAN information or NO_TAG. */
  checksum = 0;
  vlan = NO_TAG;
  /** Information of a large send, 0 for none. */
  largeSend = 0;

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.length, this.dataAt], (v) => ([this.length, this.dataAt] = v));
    keeper.put([this.dataLength, this.checksum], (v) => ([this.dataLength, this.checksum] = v));
    keeper.put([this.vlan, this.largeSend], (v) => ([this.vlan, this.largeSend] = v));
    keeper.keep(this.#header, this.#view, this.#info, this.#infoView);
  }

  /**
   * Read the message that begins at `at`. Returns what is wrong with it, or undefined. The checks
   * are OpenVMM's (`handle_rndis_packet_message`); `frameMax` is this host's own bound, but for
   * large sends.
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
    const bad = this.#parseInfo(message, at);
    if (bad !== undefined) return bad;
    const most = this.largeSend === 0 ? frameMax : LARGE_SEND_MAX;
    if (this.dataLength > most) return `frame of ${this.dataLength} bytes exceeds the MTU`;
    return undefined;
  }

  /** Per-packet information: well formed, and in the same piece of memory as the header. */
  #parseInfo(message: GuestMessage, at: number): string | undefined {
    this.checksum = 0;
    this.vlan = NO_TAG;
    this.largeSend = 0;
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
      const type = this.#infoView.getUint32(i + RndisPacketInfo.at.type, true);
      const bad = this.#take(type, i + data, size - data);
      if (bad !== undefined) return bad;
      i += size;
    }
    return undefined;
  }

  /** What the guest asks for its frame. Returns what is wrong with it. */
  #take(type: number, at: number, length: number): string | undefined {
    const { CHECKSUM, LARGE_SEND, VLAN } = PacketInfo;
    if (type !== CHECKSUM && type !== VLAN && type !== LARGE_SEND) return undefined;
    if (length < 4) return `per-packet information of type ${type} with ${length} bytes`;
    const value = this.#infoView.getUint32(at, true);
    if (type === CHECKSUM) this.checksum = value;
    else if (type === LARGE_SEND) this.largeSend = value;
    else this.vlan = value;
    return undefined;
  }
}

/** The header of a message for the guest, and the information behind it. */
export class DataHeader {
  readonly bytes = new Uint8Array(RndisPacket.size + INFOS_MAX * INFO_SIZE);
  readonly #view = new DataView(this.bytes.buffer);
  /** Bytes of header and information. */
  length = RndisPacket.size;

  constructor() {
    this.#view.setUint32(RndisHeader.at.type, RndisType.PACKET, true);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.length], (v) => ([this.length] = v));
    keeper.keep(this.bytes, this.#view);
  }

  /** Begin a message without information. */
  begin(): void {
    this.length = RndisPacket.size;
  }

  /** Whether information of a type was added. */
  has(type: number): boolean {
    for (let at = RndisPacket.size; at < this.length; at += INFO_SIZE)
      if (this.#view.getUint32(at + RndisPacketInfo.at.type, true) === type) return true;
    return false;
  }

  /** Add information of 4 bytes: a type of {@link PacketInfo}, at most {@link INFOS_MAX}. */
  add(type: number, value: number): void {
    const at = this.length;
    this.#view.setUint32(at + RndisPacketInfo.at.size, INFO_SIZE, true);
    this.#view.setUint32(at + RndisPacketInfo.at.type, type, true);
    this.#view.setUint32(at + RndisPacketInfo.at.dataOffset, RndisPacketInfo.size, true);
    this.#view.setUint32(at + RndisPacketInfo.size, value, true);
    this.length += INFO_SIZE;
  }

  /** Set the length of the message, where its data begins from its start, and their length. */
  set(length: number, dataAt: number, dataLength: number): void {
    const info = this.length - RndisPacket.size;
    const infoAt = info === 0 ? 0 : RndisPacket.size - RNDIS_BODY;
    this.#view.setUint32(RndisHeader.at.length, length, true);
    this.#view.setUint32(RndisPacket.at.dataOffset, dataAt - RNDIS_BODY, true);
    this.#view.setUint32(RndisPacket.at.dataLength, dataLength, true);
    this.#view.setUint32(RndisPacket.at.ppiOffset, infoAt, true);
    this.#view.setUint32(RndisPacket.at.ppiLength, info, true);
  }
}
