// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Sending: RNDIS messages in transmit buffers, through the send buffer where there is one, deferred
 * while there is no slot or no room, and given up when the device is closed (iPXE netvsc_transmit;
 * Linux netvsc_send).
 */

import type { ErrorName } from '../error.ts';
import { PAGE_SIZE } from '../machine.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Region } from '../memory/shared-memory.ts';
import type { TransmitResult } from '../net/device.ts';
import type { VmbusChannel } from '../vmbus/channel.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import type { Gpadl } from '../vmbus/gpadl.ts';
import { PacketType } from '../vmbus/protocol.ts';
import type { NetvscPolicy } from './policy.ts';
import {
  NVSP_NO_SEND_BUFFER,
  NvspRndisPacket,
  NvspStatus,
  NvspRndisPacketComplete,
  NvspType,
  RndisChannel,
} from './protocol.ts';
import type { Packet } from '../vmbus/packet.ts';
import { BASE_ID, type NvspRequests } from './requests.ts';
import { TransmitPool } from './transmit-pool.ts';

/** Where messages go, and who hears what became of them. */
export interface TransmitHost {
  /** The device's own channel, or undefined while it is closed. */
  readonly channel: VmbusChannel | undefined;
  /** The channel for a frame: the device's own or a sub-channel. */
  channelFor(buffer: number, length: number): VmbusChannel | undefined;
  /** A message was completed, or given up. */
  transmitted(sequence: number, error: ErrorName | undefined): void;
}

export class TransmitPath {
  readonly #device: VmbusDevice;
  readonly #policy: NetvscPolicy;
  readonly #host: TransmitHost;
  readonly #memory: GuestMemory;
  readonly #pool: TransmitPool;
  readonly #dataMessage: Uint8Array;
  readonly #controlMessage: Uint8Array;
  /** The message of a frame in the send buffer: section and length are filled in. */
  readonly #sectionMessage: Uint8Array;
  readonly #sectionView: DataView;
  #sendBuffer: Region | undefined;
  #sendGpadl: Gpadl | undefined;
  /** Length of a section of the send buffer, 0 for no use of it; and how many there are. */
  #sectionSize = 0;
  #sections = 0;

  constructor(
    device: VmbusDevice,
    policy: NetvscPolicy,
    messageLength: number,
    host: TransmitHost,
  ) {
    this.#device = device;
    this.#policy = policy;
    this.#host = host;
    this.#memory = device.pages.memory;
    this.#pool = new TransmitPool(device.pages, policy.transmitSlots, policy.deferredFrames);
    this.#dataMessage = rndisMessage(RndisChannel.DATA, messageLength);
    this.#controlMessage = rndisMessage(RndisChannel.CONTROL, messageLength);
    this.#sectionMessage = rndisMessage(RndisChannel.DATA, messageLength);
    this.#sectionView = new DataView(this.#sectionMessage.buffer);
  }

  // --- open and close ---

  /** Allocate the buffers. @throws HypxeError OutOfMemory, and as GpadlTable.establish */
  open(): void {
    this.#pool.open();
    if (this.#policy.sendBufferLength === 0) return;
    this.#sendBuffer = this.#device.pages.allocate('send-buffer', this.#policy.sendBufferLength);
    this.#sendGpadl = this.#device.establishGpadl(this.#sendBuffer);
  }

  /** Give the host the send buffer, if there is one. @throws as NvspRequests.sendSendBuffer */
  configure(requests: NvspRequests): void {
    if (this.#sendGpadl === undefined) return;
    const { length } = this.#sendBuffer!;
    this.#sectionSize = requests.sendSendBuffer(this.#sendGpadl.id, length);
    this.#sections = Math.floor(length / this.#sectionSize);
  }

  /** Take the send buffer back, if the host was given it. Never throws. */
  revoke(requests: NvspRequests): void {
    if (this.#sectionSize !== 0) requests.revokeSendBuffer();
    this.#sectionSize = this.#sections = 0;
  }

  /** The memory that packets point to, while there is any. */
  get buffers(): Region | undefined {
    return this.#pool.region;
  }

  /** Give the buffers back, once the channel is closed. */
  close(): void {
    this.#sectionSize = this.#sections = 0;
    this.#pool.close();
    if (this.#sendGpadl !== undefined) this.#device.teardownGpadl(this.#sendGpadl);
    if (this.#sendBuffer !== undefined) this.#device.pages.free(this.#sendBuffer);
    this.#sendGpadl = this.#sendBuffer = undefined;
  }

  /** Give up what is in flight, and ask the host to do the same. */
  cancel(): void {
    for (let id = this.#pool.firstInUse(); id >= 0; id = this.#pool.firstInUse()) {
      if (this.#policy.cancel) this.#host.channel!.sendCancellation(BASE_ID + id);
      this.#giveUp(id);
    }
  }

  /** Give up everything that is in flight or deferred. */
  abandon(): void {
    for (let id = this.#pool.firstInUse(); id >= 0; id = this.#pool.firstInUse()) this.#giveUp(id);
    while (this.#pool.deferred > 0) {
      const sequence = this.#pool.firstSequence;
      this.#pool.release(this.#pool.firstBuffer);
      this.#pool.shift();
      this.#host.transmitted(sequence, 'TransmitCancelled');
    }
  }

  #giveUp(id: number): void {
    const sequence = this.#pool.sequenceOf(id);
    this.#pool.complete(id, false);
    this.#host.transmitted(sequence, 'TransmitCancelled');
  }

  // --- sending ---

  get inFlight(): number {
    return this.#pool.inFlight;
  }

  allocate(control: boolean): number {
    return this.#pool.allocate(control);
  }

  /** Give a buffer back that was not sent. */
  release(buffer: number): void {
    this.#pool.release(buffer);
  }

  transmit(buffer: number, length: number, control: boolean, sequence: number): TransmitResult {
    // Frames keep their order; control messages go first
    const mayGo = control || this.#pool.deferred === 0;
    if (mayGo && this.#send(buffer, length, control, sequence)) return 'sent';
    if (!control && this.#pool.defer(buffer, length, sequence)) return 'deferred';
    this.#pool.release(buffer);
    return 'dropped';
  }

  /** Send what was deferred, as far as there are slots and room. */
  sendDeferred(): void {
    while (this.#pool.deferred > 0) {
      const { firstBuffer, firstLength, firstSequence } = this.#pool;
      if (!this.#send(firstBuffer, firstLength, false, firstSequence)) return;
      this.#pool.shift();
    }
  }

  #send(buffer: number, length: number, control: boolean, sequence: number): boolean {
    const section = control || length > this.#sectionSize ? -1 : this.#pool.nextId;
    const direct = section < 0 || section >= this.#sections;
    const id = this.#pool.take(buffer, control, sequence, direct);
    if (id < 0) return false;
    const { channel } = this.#host;
    const target = control ? channel : this.#host.channelFor(buffer, length);
    const sent = direct
      ? this.#sendDirect(target!, id, buffer, length, control)
      : this.#sendSection(target!, id, buffer, length);
    if (!sent) this.#pool.untake(id);
    return sent;
  }

  #sendDirect(
    channel: VmbusChannel,
    id: number,
    buffer: number,
    length: number,
    control: boolean,
  ): boolean {
    const message = control ? this.#controlMessage : this.#dataMessage;
    if (this.#policy.pages === 'one-range') {
      return channel.sendGpaDirect(BASE_ID + id, buffer, length, message, message.length);
    }
    const words = [0, 0];
    for (let at = buffer; at < buffer + length; words[1]!++) {
      const offset = at % PAGE_SIZE;
      const part = Math.min(buffer + length - at, PAGE_SIZE - offset);
      words.push(part, offset, (at - offset) / PAGE_SIZE, 0);
      at += part;
    }
    const type = PacketType.DATA_GPA_DIRECT;
    return channel.send(type, 1, BASE_ID + id, 0, words, words.length, message, message.length);
  }

  /** Copy a frame into the section that its ID has for itself (Linux netvsc_copy_to_send_buf). */
  #sendSection(channel: VmbusChannel, id: number, buffer: number, length: number): boolean {
    const section = this.#sendBuffer!.address + id * this.#sectionSize;
    this.#memory.bytes.copyWithin(section, buffer, buffer + length);
    this.#sectionView.setUint32(NvspRndisPacket.at.sendBufferIndex, id, true);
    this.#sectionView.setUint32(NvspRndisPacket.at.sendBufferSize, length, true);
    const { length: size } = this.#sectionMessage;
    return channel.sendInband(BASE_ID + id, this.#sectionMessage, size);
  }

  // --- completions ---

  /** A completion: false if it is not that of a message in flight. */
  completed(id: number, packet: Packet): boolean {
    if (!this.#pool.owns(id)) return false;

    // A completion without payload is a success; iPXE never looks at it
    let error: ErrorName | undefined;
    if (packet.payloadLength >= NvspRndisPacketComplete.size) {
      const status = packet.payload + NvspRndisPacketComplete.at.status;
      if (packet.view.getUint32(status, true) !== NvspStatus.SUCCESS) {
        error = 'TransmitFailed';
      }
    }
    const sequence = this.#pool.sequenceOf(id);
    this.#pool.complete(id, true);
    this.#host.transmitted(sequence, error);
    if (this.#pool.deferred > 0) this.sendDeferred();
    return true;
  }
}

/** The NVSP message beside an RNDIS message that is not in the send buffer. */
function rndisMessage(channelType: number, length: number): Uint8Array {
  const message = new Uint8Array(length);
  const view = new DataView(message.buffer);
  view.setUint32(NvspRndisPacket.at.type, NvspType.SEND_RNDIS_PACKET, true);
  view.setUint32(NvspRndisPacket.at.channelType, channelType, true);
  view.setUint32(NvspRndisPacket.at.sendBufferIndex, NVSP_NO_SEND_BUFFER, true);
  return message;
}
