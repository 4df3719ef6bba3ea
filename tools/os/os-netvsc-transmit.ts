// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * RNDIS messages on their way to the host (`netvsc_send`): frames in sections of the send buffer,
 * the lowest free one first; control messages, and frames that fit into none, by their pages.
 */

import type { Region, SharedMemory } from '../../src/memory/shared-memory.ts';
import {
  NVSP_MESSAGE_SIZE_V6_1,
  NVSP_NO_SEND_BUFFER,
  NVSP_SEND_TABLE_SIZE,
  NvspRndisPacket,
  NvspRndisPacketComplete,
  NvspSendTable,
  NvspStatus,
  NvspType,
  NvspVersion,
  RndisChannel,
} from '../../src/netvsc/protocol.ts';
import { PageBuffers, sendPageBuffers } from '../../src/os/sending.ts';
import type { VmbusChannel } from '../../src/vmbus/channel.ts';
import type { Packet } from '../../src/vmbus/packet.ts';
import { NO_REQUEST_ID, RequestIds } from './os-request-ids.ts';

/** Memory of control messages: a request and what it carries (`rndis_request`). */
export const CONTROL_SIZE = 0x2000;

/** Memory of frames that fit into no section: `skb`s. */
const SKB_SIZE = 0x1000;
const SKB_COUNT = 4;

/** A channel, and the transaction IDs of what is on it. */
export interface TransmitQueue {
  readonly channel: VmbusChannel;
  readonly ids: RequestIds;
}

/** What became of a message. */
export type Outcome = 'good' | 'failed' | 'control' | 'unknown';

export class NetvscTransmit {
  /** What a request is about, beside the numbers of sections and `skb`s. */
  static readonly REQUEST = -1;
  static readonly CONTROL = -2;
  static readonly UNKNOWN = RequestIds.NOTHING;
  /** Numbers from here on are of `skb`s. */
  static readonly #FIRST_SKB = 0x10000;

  readonly #pages: SharedMemory;
  /** Memory of control messages and `skb`s: what packets point to. */
  region: Region | undefined;
  #sendBuffer: Region | undefined;
  #sectionSize = 0;
  #sections = new Uint8Array(0);
  readonly #skbs = new Uint8Array(SKB_COUNT);
  readonly #table = new Uint32Array(NVSP_SEND_TABLE_SIZE);
  readonly #buffers = new PageBuffers();
  readonly #message = new Uint8Array(NVSP_MESSAGE_SIZE_V6_1);
  readonly #view = new DataView(this.#message.buffer);
  /** Messages that the host has, of those in pages. */
  #inFlight = 0;

  constructor(pages: SharedMemory) {
    this.#pages = pages;
    this.#view.setUint32(NvspRndisPacket.at.type, NvspType.SEND_RNDIS_PACKET, true);
  }

  /** @throws HypxeError OutOfMemory */
  open(): void {
    this.region = this.#pages.allocate('tx-buffer', CONTROL_SIZE + SKB_COUNT * SKB_SIZE);
  }

  /** What the host has not completed it lets go of with the rings. */
  close(): void {
    if (this.region === undefined) return;
    this.#pages.free(this.region);
    this.region = this.#sendBuffer = undefined;
    this.#sections = new Uint8Array(0);
    this.#skbs.fill(0);
    this.#inFlight = 0;
  }

  /** The host has cut the send buffer into sections. */
  useSections(buffer: Region, size: number): void {
    this.#sendBuffer = buffer;
    this.#sectionSize = size;
    this.#sections = new Uint8Array(Math.floor(buffer.length / size));
  }

  /** Where a control message is written. */
  get control(): number {
    return this.region!.address;
  }

  /** Whether the host has anything of us (`netvsc_device_idle`). */
  get idle(): boolean {
    return this.#inFlight === 0 && !this.#sections.includes(1);
  }

  // --- spreading ---

  /** Until the host says better flows are spread evenly. */
  spread(queues: number): void {
    for (let i = 0; i < this.#table.length; i++) this.#table[i] = i % queues;
  }

  /** The queue of a flow (`netvsc_get_tx_queue`). */
  queueOf(hash: number, queues: number): number {
    return this.#table[hash & (NVSP_SEND_TABLE_SIZE - 1)]! % queues;
  }

  /** Take the host's table of queues (`netvsc_send_table`). */
  useTable({ payload, payloadLength, view }: Packet, version: number): void {
    const { size, at } = NvspSendTable;
    const bytes = 4 * NVSP_SEND_TABLE_SIZE;
    if (payloadLength < size) return;
    const count = view.getUint32(payload + at.count, true);
    let offset = view.getUint32(payload + at.offset, true);
    // Hosts up to version 6 give a wrong offset
    const long = payloadLength >= NVSP_MESSAGE_SIZE_V6_1 + bytes;
    if (version <= NvspVersion.V6 && long) offset = NVSP_MESSAGE_SIZE_V6_1;
    if (count !== NVSP_SEND_TABLE_SIZE || offset > payloadLength - bytes) return;
    for (let i = 0; i < count; i++) {
      this.#table[i] = view.getUint32(payload + offset + 4 * i, true);
    }
  }

  // --- send ---

  /** Send the control message that was written. @returns false if there is no room */
  sendControl(queue: TransmitQueue, length: number): boolean {
    return this.#sendPages(queue, NetvscTransmit.CONTROL, this.control, length);
  }

  /** Send a frame in its RNDIS message. @returns false if there is no room for it now */
  sendFrame(queue: TransmitQueue, message: Uint8Array, length: number): boolean {
    const { bytes } = this.#pages.memory;
    const section = length <= this.#sectionSize ? this.#sections.indexOf(0) : -1;
    if (section >= 0) {
      const start = this.#sendBuffer!.address + section * this.#sectionSize;
      bytes.set(message.subarray(0, length), start);
      if (!this.#sendInband(queue, section, length)) return false;
      this.#sections[section] = 1;
      return true;
    }
    const skb = this.#skbs.indexOf(0);
    if (skb < 0 || length > SKB_SIZE) return false;
    const start = this.control + CONTROL_SIZE + skb * SKB_SIZE;
    bytes.set(message.subarray(0, length), start);
    if (!this.#sendPages(queue, NetvscTransmit.#FIRST_SKB + skb, start, length)) return false;
    this.#skbs[skb] = 1;
    return true;
  }

  #sendInband({ ids, channel }: TransmitQueue, section: number, length: number): boolean {
    const id = ids.take(section);
    if (id === NO_REQUEST_ID) return false;
    this.#fill(RndisChannel.DATA, section, length);
    const sent = channel.sendInband(id, this.#message);
    if (!sent) ids.give(id);
    return sent;
  }

  #sendPages(
    { ids, channel }: TransmitQueue,
    about: number,
    start: number,
    length: number,
  ): boolean {
    const id = ids.take(about);
    if (id === NO_REQUEST_ID) return false;
    const control = about === NetvscTransmit.CONTROL;
    const channelType = control ? RndisChannel.CONTROL : RndisChannel.DATA;
    this.#fill(channelType, NVSP_NO_SEND_BUFFER, 0);
    this.#buffers.clear();
    this.#buffers.add(start, length);
    this.#pages.share(this.region!, 'GPA direct packets');
    const message = this.#message;
    const sent = sendPageBuffers(channel, id, this.#buffers, message, message.length);
    if (sent) this.#inFlight++;
    else ids.give(id);
    return sent;
  }

  #fill(channelType: number, index: number, size: number): void {
    this.#view.setUint32(NvspRndisPacket.at.channelType, channelType, true);
    this.#view.setUint32(NvspRndisPacket.at.sendBufferIndex, index, true);
    this.#view.setUint32(NvspRndisPacket.at.sendBufferSize, size, true);
  }

  /** The host is done with a message. */
  completed(ids: RequestIds, id: number, about: number, packet: Packet): Outcome {
    if (about === NetvscTransmit.UNKNOWN) return 'unknown';
    ids.give(id);
    const first = NetvscTransmit.#FIRST_SKB;
    if (about >= 0 && about < first) this.#sections[about] = 0;
    else {
      if (about >= first) this.#skbs[about - first] = 0;
      if (--this.#inFlight === 0 && this.region) this.#pages.revoke(this.region, 'completion');
    }
    if (about === NetvscTransmit.CONTROL) return 'control';
    const { view, payload, payloadLength } = packet;
    const told = payloadLength >= NvspRndisPacketComplete.size;
    const status = told
      ? view.getUint32(payload + NvspRndisPacketComplete.at.status, true)
      : NvspStatus.SUCCESS;
    return status === NvspStatus.SUCCESS ? 'good' : 'failed';
  }
}
