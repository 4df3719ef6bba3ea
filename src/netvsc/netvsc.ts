// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * NetVSC: carries RNDIS messages over a VMBus channel. Knows NVSP and moves RNDIS messages without
 * looking into them (iPXE drivers/net/netvsc.c).
 */

import { HypxeError, type ErrorName } from '../error.ts';
import type { Log } from '../events.ts';
import { PAGE_SIZE } from '../machine.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Region } from '../memory/shared-memory.ts';
import type { TransmitResult } from '../net/device.ts';
import type { RndisReceiver, RndisTransport } from '../rndis/transport.ts';
import { TICKS_PER_MS, type Clock } from '../time.ts';
import type { VmbusChannel } from '../vmbus/channel.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import type { Packet } from '../vmbus/packet.ts';
import type { Gpadl } from '../vmbus/gpadl.ts';
import type { NetvscPolicy } from './policy.ts';
import {
  NVSP_MESSAGE_SIZE,
  NvspRndisPacket,
  NvspRndisPacketComplete,
  NvspStatus,
  NvspType,
  NvspVersion,
} from './protocol.ts';
import { ReceiveRanges } from './receive-ranges.ts';
import { BASE_ID, NvspRequests, RequestId } from './requests.ts';
import { Subchannels, type SubchannelOwner } from './subchannels.ts';
import { TransmitPath, type TransmitHost } from './transmit-path.ts';

/** Frames in flight that the transaction IDs leave room for. */
const TRANSMIT_SLOTS_MAX = RequestId.INIT;

/** Frames that may be deferred: each takes a buffer of guest memory. */
const DEFERRED_FRAMES_MAX = 4096;

/** Longest packet: its length in units of 8 bytes is a 16-bit number, and the footer follows. */
const PACKET_MAX = 0xffff * 8 + 8;

/** Guest memory that is shared lies below 4 GiB. */
const ADDRESS_MAX = 2 ** 32;

/** Packets handled in one poll: a host that never stops must not keep us from everything else. */
const PACKETS_PER_POLL_MAX = 4096;

export class Netvsc implements RndisTransport, SubchannelOwner, TransmitHost {
  readonly name: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly memory: GuestMemory;
  receiver: RndisReceiver | undefined;
  readonly #device: VmbusDevice;
  readonly #policy: NetvscPolicy;
  readonly #completionPayload: Uint8Array;
  readonly #transmits: TransmitPath;
  readonly #subchannels: Subchannels;
  readonly #ranges: ReceiveRanges;
  #channel: VmbusChannel | undefined;
  #receiveBuffer: Region | undefined;
  #receiveGpadl: Gpadl | undefined;
  #polling = false;
  readonly #requests: NvspRequests;
  /** Whether to handle no more packets now: an answer has come, or a receiver closed the device. */
  readonly #stop: () => boolean;

  /** @throws HypxeError BadPolicy */
  constructor(device: VmbusDevice, policy: NetvscPolicy) {
    checkPolicy(policy);
    this.name = device.name;
    this.log = device.log;
    this.clock = device.connection.hv.clock;
    this.memory = device.pages.memory;
    this.#device = device;
    this.#policy = policy;
    this.#completionPayload = policy.completionPayload === 'status' ? completionStatus() : EMPTY;
    this.#requests = new NvspRequests(device, policy, () => this.pollPackets());
    this.#stop = () => this.#channel === undefined || this.#requests.isAnswered;
    const { messageLength } = this.#requests;
    this.#transmits = new TransmitPath(device, policy, messageLength, this);
    this.#subchannels = new Subchannels(device, policy, this);
    this.#ranges = new ReceiveRanges(policy.receiveBufferLength, policy.packetLength);
  }

  // --- open and close ---

  open(): void {
    try {
      // Buffers first: hosts want the receive buffer's GPADL torn down after the channel is closed,
      // so it is established before the channel is opened (iPXE cd68d93b6)
      this.#createReceiveBuffer();
      this.#transmits.open();
      const { outPages, inPages, packetLength, targetVps, flowControl } = this.#policy;
      const targetVp = targetVps[0] ?? 0;
      const packets = this.#transmits.buffers;
      const sizes = { outPages, inPages, packetLength, packets, targetVp, flowControl };
      this.#channel = this.#device.open(this, sizes);
      this.#requests.use(this.#channel);
      this.#channel.completionPayload = this.#completionPayload;
      this.#requests.initialise();
      this.#requests.sendNdisConfig();
      this.#requests.sendNdisVersion();
      this.#requests.sendReceiveBuffer(this.#receiveGpadl!.id);
      this.#transmits.configure(this.#requests);
    } catch (error) {
      this.#tearDown();
      throw error;
    }
  }

  /**
   * Ask for sub-channels, where there can be any: not before RNDIS is initialised (Linux
   * rndis_set_subchannel). Without them everything works, if slower.
   *
   * @throws HypxeError ChannelRescinded, Cancelled
   */
  initialised(): void {
    const { subchannels } = this.#policy;
    if (subchannels === 0 || this.#requests.version < NvspVersion.V5) return;
    try {
      const granted = this.#requests.requestSubchannels(subchannels);
      if (granted > 0) this.#subchannels.open(granted, this.#transmits.buffers);
      for (let i = 0; i < this.#subchannels.count; i++) {
        this.#subchannels.channel(i).completionPayload = this.#completionPayload;
      }
    } catch (error) {
      if (!(error instanceof HypxeError) || error.name === 'Cancelled') throw error;
      if (this.failure !== undefined) throw error;
      this.log.warning('NETVSC', this.name, `no sub-channels: ${error.message}`);
    }
  }

  close(): void {
    // Nothing is said to a host that does not listen. The channel of a device that was taken away
    // is closed already, and its rings may be gone
    if (this.failure === undefined) {
      this.#drain();
      this.#requests.revokeReceiveBuffer();
      this.#transmits.revoke(this.#requests);
      this.#transmits.cancel();
    }
    this.#tearDown();
  }

  /** Let go of everything without a word: the connection that it belonged to is gone. */
  abandon(): void {
    this.#channel = undefined;
    this.#transmits.abandon();
    this.#tearDown();
  }

  /** Undo what of {@link open} was done, in reverse. */
  #tearDown(): void {
    const opened = this.#channel !== undefined;
    if (opened) this.#transmits.abandon();
    this.#subchannels.forget();
    this.#device.close();
    this.#channel = undefined;
    this.#transmits.close();
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
    if (this.#policy.drainMs === 0) return;
    this.poll();
    if (this.#transmits.inFlight === 0) return;
    try {
      const deadline = this.clock.now() + this.#policy.drainMs * TICKS_PER_MS;
      while (this.#transmits.inFlight > 0 && this.clock.now() < deadline) {
        this.clock.pause();
        this.poll();
      }
    } catch (error) {
      // A clock that has stopped must not keep the rest from being closed
      if (!(error instanceof HypxeError)) throw error;
      this.log.error('NETVSC', this.name, error.message);
    }
  }

  // --- transmit ---

  get failure(): ErrorName | undefined {
    if (this.#device.rescinded) return 'ChannelRescinded';
    if (!this.#device.connection.hv.isRunning) return 'Quiesced';
    return this.#channel === undefined ? 'ChannelBroken' : this.#channel.broken;
  }

  get channel(): VmbusChannel | undefined {
    return this.#channel;
  }

  channelFor(buffer: number, length: number): VmbusChannel | undefined {
    return this.#subchannels.channelFor(this.#channel, buffer, length);
  }

  allocate(control: boolean): number {
    return this.#transmits.allocate(control);
  }

  transmit(buffer: number, length: number, control: boolean, sequence: number): TransmitResult {
    if (this.failure !== undefined) {
      this.#transmits.release(buffer);
      return 'dropped';
    }
    return this.#transmits.transmit(buffer, length, control, sequence);
  }

  transmitted(sequence: number, error: ErrorName | undefined): void {
    this.receiver?.transmitted(sequence, error);
  }

  /** There is room in a ring again. */
  writable(): void {
    if (this.failure === undefined) this.#transmits.sendDeferred();
  }

  // --- receive ---

  poll(): void {
    // Messages first: they may say that the device is gone
    this.#device.connection.poll();
    if (this.failure !== undefined) return;
    this.pollPackets();
    if (this.failure === undefined) this.#transmits.sendDeferred();
  }

  /** The host has set the event flag of one of the channels. */
  interrupted(): void {
    this.pollPackets();
  }

  pollPackets(): void {
    // A receiver that polls again finds the rest; no packet is handled inside another
    if (this.#polling || this.#channel === undefined) return;
    this.#polling = true;
    try {
      this.#pollChannel(this.#channel);
      if (this.#subchannels.count > 0) this.#pollSubchannels();
    } finally {
      this.#polling = false;
    }
  }

  #pollSubchannels(): void {
    this.#subchannels.dropLost();
    for (let i = 0; i < this.#subchannels.count && !this.#requests.isAnswered; i++) {
      this.#pollChannel(this.#subchannels.channel(i));
    }
  }

  #pollChannel(channel: VmbusChannel): void {
    if (channel.part !== undefined) {
      channel.part.drain(PACKETS_PER_POLL_MAX, this.#stop);
      return;
    }
    for (let i = 0; i < PACKETS_PER_POLL_MAX; i++) {
      // A receiver may have closed the device
      if (this.#channel === undefined || !channel.poll()) return;
      if (this.#requests.isAnswered) return;
    }
  }

  completed(packet: Packet): void {
    const id = packet.idHigh === 0 ? packet.idLow - BASE_ID : -1;
    if (this.#transmits.completed(id, packet) || this.#requests.completed(id, packet)) return;
    const text = `unexpected completion 0x${packet.idHigh.toString(16)}:${hex(packet.idLow)}`;
    this.malformed('UnexpectedCompletion', text);
  }

  receivedPages(packet: Packet): void {
    this.receivedPagesOn(this.#channel, packet);
  }

  receivedPagesOn(channel: VmbusChannel | undefined, packet: Packet): void {
    const { idLow, idHigh } = packet;
    const error = this.#checkPages(packet);
    if (error === undefined && this.#receiveBuffer !== undefined) {
      // Copy all messages, so that the host has its pages back before anything is done with them
      this.#ranges.copy(packet, this.memory, this.#receiveBuffer.address);
    }
    channel?.complete(idLow, idHigh);
    if (error === undefined) this.#deliver();
  }

  #checkPages(packet: Packet): ErrorName | undefined {
    let error: ErrorName | undefined;
    let text = '';
    const type = packet.payload + NvspRndisPacket.at.type;
    if (packet.pageSet !== this.#policy.receiveBufferId) {
      error = 'UnknownPageSet';
      text = `page set ${hex(packet.pageSet)}`;
    } else if (packet.payloadLength < NvspRndisPacket.size) {
      error = 'BadNvspMessage';
      text = `NVSP message of ${packet.payloadLength} bytes`;
    } else if (packet.view.getUint32(type, true) !== NvspType.SEND_RNDIS_PACKET) {
      error = 'UnsupportedMessage';
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
    if (type === NvspType.SEND_INDIRECTION_TABLE && this.#subchannels.count > 0) {
      this.#subchannels.useTable(packet, this.#requests.version);
      return;
    }
    this.malformed('UnsupportedMessage', `NVSP message type ${type} ignored`);
  }

  cancelled(packet: Packet): void {
    this.malformed('UnsupportedMessage', `host cancels ${hex(packet.idLow)}: ignored`);
  }

  malformed(kind: ErrorName, text: string): void {
    this.log.warning('NETVSC', this.name, text);
    this.receiver?.receiveFailed(kind, text);
  }
}

/** The payload of a completion: SEND_RNDIS_PACKET_COMPLETE with status 1. */
const EMPTY = new Uint8Array(0);

function completionStatus(): Uint8Array {
  const payload = new Uint8Array(NVSP_MESSAGE_SIZE);
  const view = new DataView(payload.buffer);
  view.setUint32(NvspRndisPacketComplete.at.type, NvspType.SEND_RNDIS_PACKET_COMPLETE, true);
  view.setUint32(NvspRndisPacketComplete.at.status, NvspStatus.SUCCESS, true);
  return payload;
}

function checkPolicy(policy: NetvscPolicy): void {
  const { receiveBufferLength, transmitSlots, deferredFrames, packetLength } = policy;
  const buffers =
    isWithin(receiveBufferLength, PAGE_SIZE, ADDRESS_MAX, PAGE_SIZE) &&
    isWithin(policy.sendBufferLength, 0, ADDRESS_MAX, PAGE_SIZE);
  const slots = isWithin(transmitSlots, 1, TRANSMIT_SLOTS_MAX, 1);
  const frames = isWithin(deferredFrames, 1, DEFERRED_FRAMES_MAX, 1);
  if (buffers && slots && frames && isWithin(packetLength, 128, PACKET_MAX, 8)) return;
  const text = `receive buffer ${receiveBufferLength}, ${transmitSlots} slots, ${deferredFrames}`;
  throw new HypxeError('BadPolicy', `${text} deferred, packets of ${packetLength}`);
}

/** Whether a number is a multiple of `unit` between two others. */
function isWithin(value: number, min: number, max: number, unit: number): boolean {
  return value >= min && value <= max && value % unit === 0;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
