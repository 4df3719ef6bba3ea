// SPDX-License-Identifier: GPL-2.0-or-later

/** A transfer-page packet in the making: ranges, each one RNDIS message in one section. */

import { NVSP_NO_SEND_BUFFER, NvspRndisPacket, NvspType } from '../../../src/netvsc/protocol.ts';
import {
  COMPLETION_REQUESTED,
  PacketHeader,
  PacketType,
  XferPageHeader,
  XferPageRange,
} from '../../../src/vmbus/protocol.ts';
import { RANGES_MAX } from '../profiles/knob-values.ts';
import { NO_ROOM, type Outbox } from './faults.ts';
import type { ReceiveBuffer } from './receive-buffer.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Room for a range that a status or a fault adds to a full packet. */
const RANGES_SPARE = 2;

/** Offsets in the type-specific header, which begins after the common one. */
const SET_ID_AT = XferPageHeader.at.pageSet - PacketHeader.size;
const COUNT_AT = XferPageHeader.at.rangeCount - PacketHeader.size;
const RANGES_AT = XferPageHeader.size - PacketHeader.size;

export class TransferPages {
  readonly #outbox: Outbox;
  readonly #extra = new Uint8Array(RANGES_AT + (RANGES_MAX + RANGES_SPARE) * XferPageRange.size);
  readonly #view = new DataView(this.#extra.buffer);
  readonly #payload: Uint8Array;
  readonly #messageSize: number;
  readonly #queue: number;
  #first = -1;
  #last = -1;
  /** Ranges so far. */
  count = 0;

  /**
   * `channelType` is that of the NVSP header; `messageSize` the length of NVSP messages; `queue`
   * the index of the sub-channel, 0 for the primary one.
   */
  constructor(outbox: Outbox, channelType: number, messageSize: number, queue: number) {
    this.#outbox = outbox;
    this.#queue = queue;
    this.#messageSize = messageSize;
    this.#payload = new Uint8Array(messageSize);
    const payload = new DataView(this.#payload.buffer);
    payload.setUint32(NvspRndisPacket.at.type, NvspType.SEND_RNDIS_PACKET, true);
    payload.setUint32(NvspRndisPacket.at.channelType, channelType, true);
    payload.setUint32(NvspRndisPacket.at.sendBufferIndex, NVSP_NO_SEND_BUFFER, true);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#first, this.#last], (v) => ([this.#first, this.#last] = v));
    keeper.put([this.count], (v) => ([this.count] = v));
    keeper.keep(this.#outbox, this.#extra, this.#view, this.#payload);
  }

  /** Add a message of `length` bytes that lies in `section`. Flush at {@link RANGES_MAX}. */
  add(buffer: ReceiveBuffer, section: number, length: number): void {
    const at = RANGES_AT + this.count * XferPageRange.size;
    this.#view.setUint32(at + XferPageRange.at.length, length, true);
    this.#view.setUint32(at + XferPageRange.at.offset, buffer.offset(section), true);
    if (this.count === 0) this.#first = section;
    else buffer.chain(this.#last, section);
    this.#last = section;
    this.count++;
  }

  /** Do not send what is there: its sections are free again. */
  abandon(buffer: ReceiveBuffer): void {
    if (this.count > 0) buffer.sent(this.#first, 0);
    this.count = 0;
  }

  /**
   * Send what is there and begin anew. False if the ring has no room: the sections are free again
   * then and the messages lost (OpenVMM `rx_dropped_ring_full`).
   *
   * The transaction ID is the first section (OpenVMM) with the packet's number in the high half,
   * so that a completion that comes twice cannot free the section's next packet.
   */
  flush(buffer: ReceiveBuffer): boolean {
    if (this.count === 0) return true;
    this.#view.setUint16(SET_ID_AT, buffer.id, true);
    this.#view.setUint32(COUNT_AT, this.count, true);
    const copies = this.#outbox.send(
      PacketType.DATA_XFER_PAGES,
      COMPLETION_REQUESTED,
      this.#first,
      buffer.number(this.#first, this.#queue),
      this.#extra,
      RANGES_AT + this.count * XferPageRange.size,
      this.#payload,
      this.#messageSize,
    );
    buffer.sent(this.#first, Math.max(copies, 0));
    this.count = 0;
    return copies !== NO_ROOM;
  }
}
