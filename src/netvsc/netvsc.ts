// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * NetVSC: carries RNDIS messages over a VMBus channel. Knows NVSP and moves RNDIS messages without
 * looking into them (iPXE drivers/net/netvsc.c).
 */

import { HypxeError, type ErrorKind } from '../error.ts';
import type { Log } from '../events.ts';
import { PAGE_SIZE } from '../machine.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Region } from '../memory/shared-memory.ts';
import type { TransmitResult } from '../net/device.ts';
import type { RndisReceiver, RndisTransport } from '../rndis/transport.ts';
import { TICKS_PER_MS, type Clock } from '../time.ts';
import type { ChannelHandler, VmbusChannel } from '../vmbus/channel.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import { VmbusError } from '../vmbus/errors.ts';
import type { Packet } from '../vmbus/packet.ts';
import type { Gpadl } from '../vmbus/gpadl.ts';
import { NetvscError } from './errors.ts';
import type { NetvscPolicy } from './policy.ts';
import {
  NVSP_MESSAGE_SIZE,
  NVSP_NO_SEND_BUFFER,
  NvspRndisPacket,
  NvspRndisPacketComplete,
  NvspStatus,
  NvspType,
  RndisChannel,
} from './protocol.ts';
import { ReceiveRanges } from './receive-ranges.ts';
import { BASE_ID, NvspRequests, PAGE_SET, RequestId } from './requests.ts';
import { TransmitPool } from './transmit-pool.ts';

/** Frames in flight that the transaction IDs leave room for. */
const TRANSMIT_SLOTS_MAX = RequestId.INIT;

/** Packets handled in one poll: a host that never stops must not keep us from everything else. */
const PACKETS_PER_POLL_MAX = 4096;

export class Netvsc implements RndisTransport, ChannelHandler {
  readonly name: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly memory: GuestMemory;
  receiver: RndisReceiver | undefined;
  readonly #device: VmbusDevice;
  readonly #policy: NetvscPolicy;
  readonly #pool: TransmitPool;
  readonly #ranges: ReceiveRanges;
  #channel: VmbusChannel | undefined;
  #receiveBuffer: Region | undefined;
  #receiveGpadl: Gpadl | undefined;
  #polling = false;
  readonly #requests: NvspRequests;

  /** @throws HypxeError BadPolicy */
  constructor(device: VmbusDevice, policy: NetvscPolicy) {
    checkPolicy(policy);
    this.name = device.name;
    this.log = device.log;
    this.clock = device.connection.hv.clock;
    this.memory = device.pages.memory;
    this.#device = device;
    this.#policy = policy;
    this.#requests = new NvspRequests(this.#device, () => this.#pollPackets());
    this.#pool = new TransmitPool(device.pages, policy.transmitSlots, policy.deferredFrames);
    this.#ranges = new ReceiveRanges(policy.receiveBufferLength, policy.packetLength);
  }

  // --- open and close ---

  open(): void {
    try {
      // Buffers first: hosts want the receive buffer's GPADL torn down after the channel is closed,
      // so it is established before the channel is opened (iPXE cd68d93b6)
      this.#createReceiveBuffer();
      this.#pool.open();
      const { outPages, inPages, packetLength } = this.#policy;
      this.#channel = this.#device.open(this, { outPages, inPages, packetLength });
      this.#requests.use(this.#channel);
      if (this.#policy.completionPayload === 'status') {
        this.#channel.completionPayload = completionStatus();
      }
      this.#requests.initialise();
      this.#requests.sendNdisVersion();
      this.#requests.sendReceiveBuffer(this.#receiveGpadl!.id);
    } catch (error) {
      this.#tearDown();
      throw error;
    }
  }

  close(): void {
    if (this.#channel !== undefined) {
      this.#drain();
      this.#requests.revokeReceiveBuffer();
      this.#cancelTransmits();
    }
    this.#tearDown();
  }

  /**
   * Let go of everything without a word: the connection that it belonged to is gone.
   *
   * @param letGo whether the host has let go of all memory
   */
  abandon(letGo = true): void {
    this.#channel = undefined;
    this.#abandonTransmits();
    this.#pool.close(letGo ? 'the end of the connection' : undefined);
    this.#tearDown();
  }

  /** Undo what of {@link open} was done, in reverse. */
  #tearDown(): void {
    const opened = this.#channel !== undefined;
    if (opened) this.#abandonTransmits();
    const confirmed = this.#device.close();
    this.#channel = undefined;
    this.#pool.close(confirmed ? 'GPADL_TORNDOWN of the rings' : undefined);
    this.#destroyReceiveBuffer();
  }

  #createReceiveBuffer(): void {
    const { receiveBufferLength } = this.#policy;
    const region = this.#device.pages.allocate('rx-buffer', receiveBufferLength);
    this.#receiveBuffer = region;
    this.#receiveGpadl = this.#device.establishGpadl(region);
  }

  #destroyReceiveBuffer(): void {
    // Continue in any case: what is not torn down stays reserved
    if (this.#receiveGpadl !== undefined) this.#device.teardownGpadl(this.#receiveGpadl);
    if (this.#receiveBuffer !== undefined) this.#device.pages.free(this.#receiveBuffer);
    this.#receiveGpadl = this.#receiveBuffer = undefined;
  }

  /** Give frames in flight a moment to be completed: then nothing needs to be cancelled. */
  #drain(): void {
    if (this.#policy.drainMs === 0 || this.failure !== undefined) return;
    this.poll();
    if (this.#pool.inFlight === 0) return;
    try {
      const deadline = this.clock.now() + this.#policy.drainMs * TICKS_PER_MS;
      while (this.#pool.inFlight > 0 && this.clock.now() < deadline) {
        this.clock.pause();
        this.poll();
      }
    } catch (error) {
      // A clock that has stopped must not keep the rest from being closed
      if (!(error instanceof HypxeError)) throw error;
      this.log.error('NETVSC', this.name, error.message);
    }
  }

  #cancelTransmits(): void {
    for (let id = this.#pool.firstInUse(); id >= 0; id = this.#pool.firstInUse()) {
      const sequence = this.#pool.sequenceOf(id);
      this.#channel!.sendCancellation(BASE_ID + id);
      this.#pool.complete(id, false);
      this.receiver?.transmitted(sequence, NetvscError.TransmitCancelled);
    }
  }

  /** Give up everything that is in flight or deferred. */
  #abandonTransmits(): void {
    for (let id = this.#pool.firstInUse(); id >= 0; id = this.#pool.firstInUse()) {
      const sequence = this.#pool.sequenceOf(id);
      this.#pool.complete(id, false);
      this.receiver?.transmitted(sequence, NetvscError.TransmitCancelled);
    }
    while (this.#pool.deferred > 0) {
      const sequence = this.#pool.firstSequence;
      this.#pool.release(this.#pool.firstBuffer);
      this.#pool.shift();
      this.receiver?.transmitted(sequence, NetvscError.TransmitCancelled);
    }
  }

  // --- transmit ---

  get failure(): ErrorKind | undefined {
    if (this.#device.rescinded) return VmbusError.ChannelRescinded;
    return this.#channel === undefined ? VmbusError.ChannelBroken : this.#channel.broken;
  }

  allocate(control: boolean): number {
    return this.#pool.allocate(control);
  }

  transmit(buffer: number, length: number, control: boolean, sequence: number): TransmitResult {
    if (this.failure !== undefined || !this.#device.connection.hv.isRunning) {
      this.#pool.release(buffer);
      return 'dropped';
    }
    // Frames keep their order; control messages go first
    const mayGo = control || this.#pool.deferred === 0;
    if (mayGo && this.#send(buffer, length, control, sequence)) return 'sent';
    if (!control && this.#pool.defer(buffer, length, sequence)) return 'deferred';
    this.#pool.release(buffer);
    return 'dropped';
  }

  #send(buffer: number, length: number, control: boolean, sequence: number): boolean {
    const id = this.#pool.take(buffer, control, sequence);
    if (id < 0) return false;
    const message = control ? CONTROL_MESSAGE : DATA_MESSAGE;
    const { length: size } = message;
    if (this.#channel!.sendGpaDirect(BASE_ID + id, buffer, length, message, size)) return true;
    this.#pool.untake(id);
    return false;
  }

  #sendDeferred(): void {
    while (this.#pool.deferred > 0) {
      const { firstBuffer, firstLength, firstSequence } = this.#pool;
      if (!this.#send(firstBuffer, firstLength, false, firstSequence)) return;
      this.#pool.shift();
    }
  }

  // --- receive ---

  poll(): void {
    // Messages first: they may say that the device is gone
    this.#device.connection.poll();
    if (this.#device.rescinded) return;
    this.#pollPackets();
    if (this.#pool.deferred > 0 && this.failure === undefined) this.#sendDeferred();
  }

  #pollPackets(): void {
    // A receiver that polls again finds the rest; no packet is handled inside another
    if (this.#polling || this.#channel === undefined) return;
    this.#polling = true;
    try {
      for (let i = 0; i < PACKETS_PER_POLL_MAX; i++) {
        if (this.#channel === undefined || !this.#channel.poll()) return;
        if (this.#requests.isAnswered) return;
      }
    } finally {
      this.#polling = false;
    }
  }

  completed(packet: Packet): void {
    const id = packet.idHigh === 0 ? packet.idLow - BASE_ID : -1;
    if (this.#pool.owns(id)) {
      this.#transmitted(id, packet);
    } else if (this.#requests.completed(id, packet)) {
      return;
    } else {
      const text = `unexpected completion 0x${packet.idHigh.toString(16)}:${hex(packet.idLow)}`;
      this.malformed(NetvscError.UnexpectedCompletion, text);
    }
  }

  #transmitted(id: number, packet: Packet): void {
    // A completion without payload is a success; iPXE never looks at it
    let error: ErrorKind | undefined;
    if (packet.payloadLength >= NvspRndisPacketComplete.size) {
      const status = packet.payload + NvspRndisPacketComplete.at.status;
      if (packet.view.getUint32(status, true) !== NvspStatus.SUCCESS) {
        error = NetvscError.TransmitFailed;
      }
    }
    const sequence = this.#pool.sequenceOf(id);
    this.#pool.complete(id, true);
    this.receiver?.transmitted(sequence, error);
    if (this.#pool.deferred > 0) this.#sendDeferred();
  }

  receivedPages(packet: Packet): void {
    const { idLow, idHigh } = packet;
    const error = this.#checkPages(packet);
    if (error === undefined && this.#receiveBuffer !== undefined) {
      // Copy all messages, so that the host has its pages back before anything is done with them
      this.#ranges.copy(packet, this.memory, this.#receiveBuffer.address);
    }
    this.#channel?.complete(idLow, idHigh);
    if (error === undefined) this.#deliver();
  }

  #checkPages(packet: Packet): ErrorKind | undefined {
    let error: ErrorKind | undefined;
    let text = '';
    const type = packet.payload + NvspRndisPacket.at.type;
    if (packet.pageSet !== PAGE_SET) {
      error = NetvscError.UnknownPageSet;
      text = `page set ${hex(packet.pageSet)}`;
    } else if (packet.payloadLength < NvspRndisPacket.size) {
      error = NetvscError.BadMessage;
      text = `NVSP message of ${packet.payloadLength} bytes`;
    } else if (packet.view.getUint32(type, true) !== NvspType.SEND_RNDIS_PACKET) {
      error = NetvscError.UnsupportedMessage;
      text = `NVSP message type ${packet.view.getUint32(type, true)}`;
    }
    if (error !== undefined) this.malformed(error, text);
    return error;
  }

  /** Hand the copied messages over, in the order of their ranges (iPXE reverses it: defect 2). */
  #deliver(): void {
    const ranges = this.#ranges;
    for (let i = 0; i < ranges.count; i++) {
      const failure = ranges.failure(i);
      if (failure !== undefined) {
        this.malformed(failure, `range ${i} lies outside of the receive buffer`);
        continue;
      }
      this.receiver?.received(ranges.bytes, ranges.view, ranges.offset(i), ranges.length(i));
    }
  }

  receivedInband(packet: Packet): void {
    // Announcements of virtual functions and the like: nothing that a firmware could use
    const type = packet.payloadLength >= 4 ? packet.view.getUint32(packet.payload, true) : 0;
    this.malformed(NetvscError.UnsupportedMessage, `NVSP message type ${type} ignored`);
  }

  cancelled(packet: Packet): void {
    this.malformed(NetvscError.UnsupportedMessage, `host cancels ${hex(packet.idLow)}: ignored`);
  }

  malformed(kind: ErrorKind, text: string): void {
    this.log.warning('NETVSC', this.name, text);
    this.receiver?.receiveFailed(kind, text);
  }
}

/** The NVSP message beside an RNDIS message: data or control, never in the send buffer. */
function rndisMessage(channelType: number): Uint8Array {
  const message = new Uint8Array(NVSP_MESSAGE_SIZE);
  const view = new DataView(message.buffer);
  view.setUint32(NvspRndisPacket.at.type, NvspType.SEND_RNDIS_PACKET, true);
  view.setUint32(NvspRndisPacket.at.channelType, channelType, true);
  view.setUint32(NvspRndisPacket.at.sendBufferIndex, NVSP_NO_SEND_BUFFER, true);
  return message;
}

const DATA_MESSAGE = rndisMessage(RndisChannel.DATA);
const CONTROL_MESSAGE = rndisMessage(RndisChannel.CONTROL);

/** The payload of a completion: SEND_RNDIS_PACKET_COMPLETE with status 1. */
function completionStatus(): Uint8Array {
  const payload = new Uint8Array(NVSP_MESSAGE_SIZE);
  const view = new DataView(payload.buffer);
  view.setUint32(NvspRndisPacketComplete.at.type, NvspType.SEND_RNDIS_PACKET_COMPLETE, true);
  view.setUint32(NvspRndisPacketComplete.at.status, NvspStatus.SUCCESS, true);
  return payload;
}

function checkPolicy(policy: NetvscPolicy): void {
  const { receiveBufferLength, transmitSlots, deferredFrames, packetLength } = policy;
  const pages = receiveBufferLength > 0 && receiveBufferLength % PAGE_SIZE === 0;
  const slots = transmitSlots >= 1 && transmitSlots <= TRANSMIT_SLOTS_MAX && deferredFrames >= 1;
  if (pages && slots && packetLength >= 128 && packetLength % 8 === 0) return;
  const text = `receive buffer ${receiveBufferLength}, ${transmitSlots} slots, ${deferredFrames}`;
  throw new HypxeError(NetvscError.BadPolicy, `${text} deferred, packets of ${packetLength}`);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
