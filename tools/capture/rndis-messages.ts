// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Finds the RNDIS messages that the packets of a network channel only refer to: in the pages of a
 * GPA-direct packet, in a section of the send buffer, or in ranges of the receive buffer. It only
 * watches the bus, and reads guest memory at the moment a packet is taken or put.
 */

import { PAGE_SIZE } from '../../src/machine.ts';
import {
  NVSP_NO_SEND_BUFFER,
  NvspRndisPacket,
  NvspSendBuffer,
  NvspSendBufferComplete,
  NvspStatus,
  NvspType,
} from '../../src/netvsc/protocol.ts';
import {
  GpaDirectHeader,
  GpaRange,
  PacketHeader,
  PacketType,
  XferPageHeader,
  XferPageRange,
} from '../../src/vmbus/protocol.ts';
import type { HostEvent } from '../simulator/ledger/events.ts';
import type { Grant } from '../simulator/ledger/grants.ts';

type RingPacket = Extract<HostEvent, { kind: 'ring-packet' }>;

/** Most bytes that are attached to one packet. */
export const ATTACHED_MAX = 1 << 17;

/** Most ranges of one packet that are followed. */
const RANGES_MAX = 512;

/** How the purpose of a grant to a second VMBus driver ends: its GPADL numbers are its own. */
const SECOND_CLIENT = ' of the second client';

/** The buffers that a network channel has named. */
interface Buffers {
  receive: number | undefined;
  send: number | undefined;
  sectionSize: number;
}

/** Guest RAM: a buffer that is all of it, or what gives its bytes. */
export type CapturedMemory = ArrayBufferLike | (() => Uint8Array);

const NONE = new Uint8Array(0);

export class RndisMessages {
  /** Guest RAM as it is now: that of an emulator can be another buffer later. */
  readonly #ram: () => Uint8Array;
  readonly #gpadls = new Map<number, Grant>();
  readonly #buffers = new Map<number, Buffers>();

  constructor(memory: CapturedMemory) {
    const bytes = typeof memory === 'function' ? undefined : new Uint8Array(memory);
    this.#ram = typeof memory === 'function' ? memory : () => bytes!;
  }

  /** A grant came or went. Only the live GPADLs are kept. */
  granted(change: 'grant' | 'revoke', grant: Grant): void {
    const { gpadl, purpose } = grant;
    if (gpadl === undefined || purpose.endsWith(SECOND_CLIENT)) return;
    if (change === 'grant') this.#gpadls.set(gpadl, grant);
    else if (this.#gpadls.get(gpadl) === grant) this.#gpadls.delete(gpadl);
  }

  /** A channel is closed or gone. */
  closed(channel: number): void {
    this.#buffers.delete(channel);
  }

  /**
   * The RNDIS messages of a packet on a network channel, one after another, at most
   * {@link ATTACHED_MAX} bytes. Nothing for packets that refer to none, or to memory that is not
   * shared.
   *
   * @param primary the channel that the buffers belong to: for sub-channels that of their device
   */
  of(packet: RingPacket, primary: number): Uint8Array {
    const { bytes } = packet;
    if (packet.client !== undefined || bytes.length < PacketHeader.size) return NONE;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const header = view.getUint16(PacketHeader.at.headerQlen, true) * 8;
    if (packet.type === PacketType.DATA_XFER_PAGES) return this.#received(view, header, primary);
    if (header + 4 > bytes.length) return NONE;
    const body = new DataView(view.buffer, view.byteOffset + header, view.byteLength - header);
    this.#follow(body, packet, primary);
    if (packet.from !== 'guest' || packet.type === PacketType.COMPLETION) return NONE;
    if (body.getUint32(0, true) !== NvspType.SEND_RNDIS_PACKET) return NONE;
    if (packet.type === PacketType.DATA_GPA_DIRECT) return this.#direct(view, header);
    return this.#section(body, primary);
  }

  /** Learn of buffers and of the size of sections. */
  #follow(body: DataView, packet: RingPacket, primary: number): void {
    const type = body.getUint32(0, true);
    const buffers = this.#of(primary);
    const { gpadl } = NvspSendBuffer.at;
    if (packet.from === 'guest' && body.byteLength >= NvspSendBuffer.size) {
      if (type === NvspType.SEND_RECEIVE_BUFFER) buffers.receive = body.getUint32(gpadl, true);
      if (type === NvspType.SEND_SEND_BUFFER) buffers.send = body.getUint32(gpadl, true);
    }
    const complete = NvspSendBufferComplete;
    if (type !== NvspType.SEND_SEND_BUFFER_COMPLETE || body.byteLength < complete.size) return;
    const taken = body.getUint32(complete.at.status, true) === NvspStatus.SUCCESS;
    buffers.sectionSize = taken ? body.getUint32(complete.at.sectionSize, true) : 0;
  }

  #of(channel: number): Buffers {
    let buffers = this.#buffers.get(channel);
    if (buffers === undefined) {
      buffers = { receive: undefined, send: undefined, sectionSize: 0 };
      this.#buffers.set(channel, buffers);
    }
    return buffers;
  }

  /** The ranges of a transfer-page packet: in the receive buffer. */
  #received(view: DataView, header: number, primary: number): Uint8Array {
    const grant = this.#gpadls.get(this.#of(primary).receive ?? -1);
    if (grant === undefined || view.byteLength < XferPageHeader.size) return NONE;
    const end = Math.min(header, view.byteLength);
    const count = Math.min(view.getUint32(XferPageHeader.at.rangeCount, true), RANGES_MAX);
    const out = new Gather(this.#ram());
    for (let i = 0; i < count; i++) {
      const at = XferPageHeader.size + i * XferPageRange.size;
      if (at + XferPageRange.size > end) break;
      const length = view.getUint32(at + XferPageRange.at.length, true);
      if (!out.add(grant, view.getUint32(at + XferPageRange.at.offset, true), length)) break;
    }
    return out.bytes;
  }

  /** A section of the send buffer. */
  #section(body: DataView, primary: number): Uint8Array {
    if (body.byteLength < NvspRndisPacket.size) return NONE;
    const index = body.getUint32(NvspRndisPacket.at.sendBufferIndex, true);
    const { send, sectionSize } = this.#of(primary);
    const grant = this.#gpadls.get(send ?? -1);
    if (index === NVSP_NO_SEND_BUFFER || grant === undefined) return NONE;
    const out = new Gather(this.#ram());
    const size = body.getUint32(NvspRndisPacket.at.sendBufferSize, true);
    out.add(grant, index * sectionSize, Math.min(size, sectionSize));
    return out.bytes;
  }

  /** The pages that a GPA-direct packet names. */
  #direct(view: DataView, header: number): Uint8Array {
    const out = new Gather(this.#ram());
    const end = Math.min(header, view.byteLength);
    if (end < GpaDirectHeader.size) return NONE;
    const count = Math.min(view.getUint32(GpaDirectHeader.at.rangeCount, true), RANGES_MAX);
    let at = GpaDirectHeader.size;
    for (let i = 0; i < count && at + GpaRange.size <= end; i++) {
      const length = view.getUint32(at + GpaRange.at.byteCount, true);
      const offset = view.getUint32(at + GpaRange.at.byteOffset, true);
      const pages = Math.ceil((offset + length) / PAGE_SIZE);
      at += GpaRange.size;
      if (at + pages * 8 > end) break;
      const pfns = Array.from({ length: pages }, (_, page) =>
        Number(view.getBigUint64(at + page * 8, true)),
      );
      out.add({ pfns, offset, length }, 0, length);
      at += pages * 8;
    }
    return out.bytes;
  }
}

/** Collects pieces of guest memory. */
class Gather {
  readonly #memory: Uint8Array;
  readonly #pieces: Uint8Array[] = [];
  #length = 0;

  constructor(memory: Uint8Array) {
    this.#memory = memory;
  }

  /** What was collected, in an array of its own. */
  get bytes(): Uint8Array {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const piece of this.#pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  /** Add `length` bytes from `offset` of a buffer on. False, and nothing, if they are not in it. */
  add(buffer: Pick<Grant, 'pfns' | 'offset' | 'length'>, offset: number, length: number): boolean {
    if (offset + length > buffer.length || this.#length + length > ATTACHED_MAX) return false;
    let at = buffer.offset + offset;
    let left = length;
    while (left > 0) {
      const inPage = at % PAGE_SIZE;
      const size = Math.min(left, PAGE_SIZE - inPage);
      const start = buffer.pfns[Math.floor(at / PAGE_SIZE)]! * PAGE_SIZE + inPage;
      const piece = new Uint8Array(size);
      const memory = this.#memory;
      if (start + size <= memory.length) piece.set(memory.subarray(start, start + size));
      this.#pieces.push(piece);
      this.#length += size;
      at += size;
      left -= size;
    }
    return true;
  }
}
