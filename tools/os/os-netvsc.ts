// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The network device of the loaded OS below RNDIS (`netvsc.c`): NVSP, its buffers, its channels.
 * The order of everything is Linux's. What waits for ever in Linux has a limit here.
 */

import { HypxeError, type ErrorName } from '../../src/error.ts';
import type { Log } from '../../src/events.ts';
import type { Region } from '../../src/memory/shared-memory.ts';
import { ETHERNET_HEADER } from '../../src/net/device.ts';
import {
  NVSP_MESSAGE_SIZE_V6_1,
  NVSP_SUBCHANNEL_ALLOCATE,
  NdisCapability,
  NvspInitComplete,
  NvspReceiveBufferComplete,
  NvspSendBufferComplete,
  NvspStatus,
  NvspSubchannelComplete,
  NvspType,
  NvspVersion,
} from '../../src/netvsc/protocol.ts';
import { waitFor, type Clock } from '../../src/time.ts';
import type { Gpadl } from '../../src/vmbus/gpadl.ts';
import type { Packet } from '../../src/vmbus/packet.ts';
import { PacketType, VmbusVersion } from '../../src/vmbus/protocol.ts';
import { wordBytes } from '../../src/wire.ts';
import { subchannelsOf } from '../../src/os/subchannels.ts';
import type { OsDevice } from './os-device.ts';
import { RECEIVE_LEGACY_MAX, type NetvscBuffers } from './os-netvsc-buffers.ts';
import { NetvscQueue, type QueueOwner } from './os-netvsc-queue.ts';
import { NetvscTransmit } from './os-netvsc-transmit.ts';
import { NO_RESPONSE_HIGH, NO_RESPONSE_LOW } from './os-request-ids.ts';

/** How long the host may take to answer, in ms: Linux waits for ever. */
const ANSWER_TIMEOUT_MS = 5000;

/** Versions, newest first (`ver_list`). */
const VERSIONS: readonly number[] = [
  NvspVersion.V6_1,
  NvspVersion.V6,
  NvspVersion.V5,
  NvspVersion.V4,
  NvspVersion.V2,
  NvspVersion.V1,
];

/** Coalesced segments: several ranges are one packet (`nvsp_2_vsc_capability.rsc`). */
const CAPABILITY_RSC = 0x80;

const MTU = 1500;
const NDIS_MAJOR = 6;
const NDIS_MINOR = 1;
const NDIS_MINOR_5 = 30;
const RECEIVE_BUFFER_ID = 0xcafe;
const SEND_BUFFER_ID = 0;

/** Least length of a section of the send buffer (NETVSC_MTU_MIN). */
const SECTION_MIN = 68;

/** What is done with RNDIS messages. */
export interface NetvscReceiver {
  /** One message, copied out of the receive buffer: `length` bytes from the start. */
  received(view: DataView, length: number): void;
  /** The messages that were sent with the host's news of them: a frame, or a control message. */
  transmitted(frame: boolean, good: boolean): void;
}

export class OsNetvsc implements QueueOwner {
  readonly device: OsDevice;
  readonly log: Log;
  readonly clock: Clock;
  readonly buffers: NetvscBuffers;
  readonly transmit: NetvscTransmit;
  receiver: NetvscReceiver | undefined;
  /** NVSP version, 0 before it was agreed on. */
  version = 0;
  /** The channel of the device, then the sub-channels. */
  readonly queues: NetvscQueue[] = [];
  #receiveBuffer: Region | undefined;
  #receiveGpadl: Gpadl | undefined;
  #sendBuffer: Region | undefined;
  #sendGpadl: Gpadl | undefined;
  /** The answer that is waited for, once it is there. */
  #answer: DataView | undefined;

  constructor(device: OsDevice, buffers: NetvscBuffers) {
    this.device = device;
    this.buffers = buffers;
    this.log = device.log;
    this.clock = device.connection.hv.clock;
    this.transmit = new NetvscTransmit(device.pages);
  }

  // --- set up ---

  /** Open, agree, give the host its buffers (`netvsc_device_add`). @throws HypxeError */
  add(): void {
    this.transmit.open();
    this.queues.push(new NetvscQueue(this, this.device));
    this.#negotiate();
    this.#sendNdisVersion();
    this.#initBuffers();
  }

  #negotiate(): void {
    let status = 0;
    for (const version of VERSIONS) {
      const words = [NvspType.INIT, version, version];
      const answer = this.#request('INIT', words, NvspType.INIT_COMPLETE, NvspInitComplete.size);
      status = answer.getUint32(NvspInitComplete.at.status, true);
      if (status !== NvspStatus.SUCCESS) continue;
      this.version = version;
      if (version > NvspVersion.V1) this.#sendNdisConfig();
      return;
    }
    throw new HypxeError('NvspVersionRefused', `no NVSP version in common: status ${status}`);
  }

  #sendNdisConfig(): void {
    let capabilities: number = NdisCapability.IEEE8021Q;
    if (this.version >= NvspVersion.V5) {
      capabilities |= NdisCapability.SRIOV | NdisCapability.TEAMING;
    }
    if (this.version >= NvspVersion.V6_1) capabilities |= CAPABILITY_RSC;
    this.#tell([NvspType.SEND_NDIS_CONFIG, MTU + ETHERNET_HEADER, 0, capabilities]);
  }

  #sendNdisVersion(): void {
    const minor = this.version <= NvspVersion.V4 ? NDIS_MINOR : NDIS_MINOR_5;
    this.#tell([NvspType.SEND_NDIS_VERSION, NDIS_MAJOR, minor]);
  }

  /** `netvsc_init_buf`. */
  #initBuffers(): void {
    const { device, buffers } = this;
    const legacy = this.version <= NvspVersion.V2 ? RECEIVE_LEGACY_MAX : Infinity;
    this.#receiveBuffer = device.pages.allocate('rx-buffer', Math.min(buffers.receive, legacy));
    this.#receiveGpadl = device.establishGpadl(this.#receiveBuffer);
    const receive = this.#request(
      'receive buffer',
      [NvspType.SEND_RECEIVE_BUFFER, this.#receiveGpadl.id, RECEIVE_BUFFER_ID],
      NvspType.SEND_RECEIVE_BUFFER_COMPLETE,
      NvspReceiveBufferComplete.size,
    );
    const status = receive.getUint32(NvspReceiveBufferComplete.at.status, true);
    if (status !== NvspStatus.SUCCESS) {
      throw new HypxeError('ReceiveBufferRefused', `receive buffer: status ${status}`);
    }

    this.#sendBuffer = device.pages.allocate('send-buffer', buffers.send);
    this.#sendGpadl = device.establishGpadl(this.#sendBuffer);
    const send = this.#request(
      'send buffer',
      [NvspType.SEND_SEND_BUFFER, this.#sendGpadl.id, SEND_BUFFER_ID],
      NvspType.SEND_SEND_BUFFER_COMPLETE,
      NvspSendBufferComplete.size,
    );
    const sendStatus = send.getUint32(NvspSendBufferComplete.at.status, true);
    const section = send.getUint32(NvspSendBufferComplete.at.sectionSize, true);
    if (sendStatus !== NvspStatus.SUCCESS || section < SECTION_MIN) {
      const text = `send buffer: status ${sendStatus}, sections of ${section} bytes`;
      throw new HypxeError('SendBufferRefused', text);
    }
    this.transmit.useSections(this.#sendBuffer, section);
  }

  /**
   * Ask for sub-channels, and open those that the host offers (`rndis_set_subchannel`).
   *
   * @param count beside the device's own channel
   * @throws HypxeError
   */
  openSubchannels(count: number): void {
    const words = [NvspType.SUBCHANNEL, NVSP_SUBCHANNEL_ALLOCATE, count];
    const { size, at } = NvspSubchannelComplete;
    const answer = this.#request('sub-channels', words, NvspType.SUBCHANNEL, size);
    const status = answer.getUint32(at.status, true);
    const granted = answer.getUint32(at.count, true);
    if (status !== NvspStatus.SUCCESS || granted > count) {
      const text = `${count} sub-channels: status ${status}, ${granted} granted`;
      throw new HypxeError('BadCompletion', text);
    }
    // Each is opened when it is offered (netvsc_sc_open)
    const subchannels = subchannelsOf(this.device);
    waitFor(this.clock, ANSWER_TIMEOUT_MS, () => {
      this.device.connection.poll();
      this.poll();
      while (this.queues.length <= Math.min(subchannels.length, granted)) {
        this.queues.push(new NetvscQueue(this, subchannels[this.queues.length - 1] as OsDevice));
      }
      return this.queues.length > granted;
    });
    if (this.queues.length <= granted) {
      const text = `${this.queues.length - 1} of ${granted} sub-channels were offered`;
      this.log.error('NETVSC', this.device.name, text);
    }
    this.transmit.spread(this.queues.length);
  }

  // --- take down ---

  /**
   * Revoke the buffers, close, tear down: below 4.0 the buffers go first (`netvsc_device_remove`).
   * Never throws.
   */
  remove(): void {
    const early = this.device.connection.version < VmbusVersion.V4_0;
    this.#revoke(NvspType.REVOKE_RECEIVE_BUFFER, RECEIVE_BUFFER_ID, this.#receiveGpadl);
    if (early) this.#freeReceiveBuffer();
    this.#revoke(NvspType.REVOKE_SEND_BUFFER, SEND_BUFFER_ID, this.#sendGpadl);
    if (early) this.#freeSendBuffer();
    this.device.close();
    this.#releaseSubchannels();
    this.#freeReceiveBuffer();
    this.#freeSendBuffer();
    this.queues.length = 0;
    this.transmit.close();
  }

  /** The host takes closed sub-channels back: let their numbers go. */
  #releaseSubchannels(): void {
    const subchannels = subchannelsOf(this.device);
    for (const subchannel of subchannels.splice(0)) {
      if (subchannel.rescinded) subchannel.release();
      else subchannels.push(subchannel);
    }
  }

  #revoke(type: number, id: number, gpadl: Gpadl | undefined): void {
    if (gpadl === undefined || this.failure !== undefined) return;
    this.log.attempt('error', 'NETVSC', this.device.name, 'revoke', () => this.#tell([type, id]));
  }

  #freeReceiveBuffer(): void {
    if (this.#receiveGpadl) this.device.teardownGpadl(this.#receiveGpadl);
    if (this.#receiveBuffer) this.device.pages.free(this.#receiveBuffer);
    this.#receiveGpadl = this.#receiveBuffer = undefined;
  }

  #freeSendBuffer(): void {
    if (this.#sendGpadl) this.device.teardownGpadl(this.#sendGpadl);
    if (this.#sendBuffer) this.device.pages.free(this.#sendBuffer);
    this.#sendGpadl = this.#sendBuffer = undefined;
  }

  /** The connection is gone: forget all without a word. */
  abandon(): void {
    this.queues.length = 0;
    this.transmit.close();
    for (const region of [this.#receiveBuffer, this.#sendBuffer]) {
      if (region) this.device.pages.free(region);
    }
    this.#receiveBuffer = this.#sendBuffer = undefined;
  }

  /** Why nothing can be sent any more, or undefined. */
  get failure(): ErrorName | undefined {
    if (this.device.rescinded) return 'ChannelRescinded';
    const { channel } = this.device;
    return channel === undefined ? 'ChannelBroken' : channel.broken;
  }

  // --- NVSP ---

  /** Ask, and wait for the completion: its ID is never given back. @throws HypxeError */
  #request(what: string, words: readonly number[], type: number, length: number): DataView {
    const queue = this.queues[0]!;
    this.#answer = undefined;
    const message = wordBytes(NVSP_MESSAGE_SIZE_V6_1, ...words);
    const id = queue.ids.take(NetvscTransmit.REQUEST);
    if (!queue.channel.sendInband(id, message)) {
      throw new HypxeError(this.failure ?? 'RingFull', `could not send NVSP ${what}`);
    }
    waitFor(this.clock, ANSWER_TIMEOUT_MS, () => {
      this.device.connection.poll();
      this.poll();
      const { failure } = this;
      if (failure) throw new HypxeError(failure, `device gone during NVSP ${what}`);
      return this.#answer !== undefined;
    });
    const answer = this.#answer as DataView | undefined;
    if (!answer) throw new HypxeError('NoCompletion', `host did not complete NVSP ${what}`);
    const found = answer.byteLength < 4 ? 0 : answer.getUint32(0, true);
    if (answer.byteLength >= length && found === type) return answer;
    const text = `NVSP ${what}: type ${found} of ${answer.byteLength} bytes`;
    throw new HypxeError('BadCompletion', text);
  }

  /** Say what wants no answer. @throws HypxeError */
  #tell(words: readonly number[]): void {
    const { channel } = this.queues[0]!;
    const message = wordBytes(NVSP_MESSAGE_SIZE_V6_1, ...words);
    const [low, high] = [NO_RESPONSE_LOW, NO_RESPONSE_HIGH];
    if (channel.send(PacketType.DATA_INBAND, 0, low, high, message)) return;
    throw new HypxeError(this.failure ?? 'RingFull', `could not send NVSP type ${words[0]}`);
  }

  // --- packets ---

  /** Take what has come on the channels that have had an event. */
  poll(): void {
    for (const queue of this.queues) queue.poll();
  }

  completed(queue: NetvscQueue, packet: Packet): void {
    const { bytes, payload, payloadLength, idLow: id } = packet;
    const about = packet.idHigh === 0 ? queue.ids.about(id) : NetvscTransmit.UNKNOWN;
    if (about === NetvscTransmit.REQUEST) {
      this.#answer = new DataView(bytes.slice(payload, payload + payloadLength).buffer);
      return;
    }
    const outcome = this.transmit.completed(queue.ids, id, about, packet);
    if (outcome === 'unknown') {
      this.log.error('NETVSC', this.device.name, `unexpected completion 0x${id.toString(16)}`);
      return;
    }
    this.receiver?.transmitted(outcome !== 'control', outcome === 'good');
  }

  receivedInband(packet: Packet): void {
    const { view, payload, payloadLength } = packet;
    const type = payloadLength >= 4 ? view.getUint32(payload, true) : 0;
    if (type === NvspType.SEND_INDIRECTION_TABLE) this.transmit.useTable(packet, this.version);
  }

  /** Data of the host: each range is one RNDIS message (`netvsc_receive`). */
  receivedPages(queue: NetvscQueue, packet: Packet): void {
    const { view, payload, payloadLength, pageSet, rangeCount, idLow, idHigh } = packet;
    const type = payloadLength >= 4 ? view.getUint32(payload, true) : 0;
    if (type !== NvspType.SEND_RNDIS_PACKET || pageSet !== RECEIVE_BUFFER_ID) {
      this.log.error('NETVSC', this.device.name, `type ${type} in page set ${pageSet}: dropped`);
      return;
    }
    let good = true;
    for (let i = 0; i < rangeCount; i++) good = this.#receiveRange(packet, i) && good;
    queue.complete(idLow, idHigh, good);
  }

  #receiveRange(packet: Packet, index: number): boolean {
    const { offset, length } = NetvscQueue.range(packet, index);
    const region = this.#receiveBuffer;
    if (region === undefined || offset > region.length || length > region.length - offset) {
      this.log.error('NETVSC', this.device.name, `range [${offset},+${length}) is out of bounds`);
      return false;
    }
    const { bytes } = this.device.pages.memory;
    const start = region.address + offset;
    const copy = bytes.slice(start, start + length);
    this.receiver?.received(new DataView(copy.buffer), length);
    return true;
  }
}
