// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * NVSP requests: the messages that set a NetVSC up and take it down, one at a time, each with its
 * completion and a time limit (iPXE netvsc_control and its callers).
 */

import { HypxeError } from '../error.ts';
import { ETHERNET_HEADER } from '../net/device.ts';
import { TICKS_PER_MS } from '../time.ts';
import type { VmbusChannel } from '../vmbus/channel.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import type { Packet } from '../vmbus/packet.ts';
import type { NetvscPolicy } from './policy.ts';
import {
  NVSP_MESSAGE_SIZE,
  NVSP_MESSAGE_SIZE_V6_1,
  NVSP_RECEIVE_BUFFER_COMPLETE_MIN,
  NVSP_SUBCHANNEL_ALLOCATE,
  NdisCapability,
  NvspInit,
  NvspInitComplete,
  NvspNdisConfig,
  NvspNdisVersion,
  NvspReceiveBufferComplete,
  NvspRevokeBuffer,
  NvspRndisPacket,
  NvspSendBuffer,
  NvspSendBufferComplete,
  NvspStatus,
  NvspSubchannelComplete,
  NvspSubchannelRequest,
  NvspType,
  NvspVersion,
} from './protocol.ts';

/** Transaction IDs count from here (iPXE NETVSC_BASE_XID). */
export const BASE_ID = 0x18ae0000;

/** Transaction IDs of requests, relative to the base; frames have 0 to 31. */
export const RequestId = {
  INIT: 0x20,
  NDIS_VERSION: 0x21,
  SEND_BUFFER: 0x22,
  REVOKE: 0x23,
  SEND_SEND_BUFFER: 0x24,
  SUBCHANNEL: 0x25,
  NDIS_CONFIG: 0x26,
} as const;

/** Page set of the firmware's receive buffer (iPXE NETVSC_RX_BUF_PAGESET). */
export const PAGE_SET = 0xbead;

/** NDIS version that is announced, up to NVSP 4 and from 5 on (Linux netvsc_connect_vsp). */
const NDIS_MAJOR = 6;
const NDIS_MINOR = 1;
const NDIS_MINOR_5 = 30;

/** ID of the send buffer (Linux NETVSC_SEND_BUFFER_ID). */
const SEND_BUFFER_ID = 0;

/** Least length of a section of the send buffer (Linux NETVSC_MTU_MIN). */
const SECTION_MIN = 68;

/** A message that is told, not asked: it has no transaction. */
const TOLD = 0;

/** How long the host may take to complete a request, in ms. */
const REQUEST_TIMEOUT_MS = 1000;

/** Longest part of a completion that is looked at. */
const ANSWER_MAX = 64;

/** Offset of the type in every NVSP message. */
const { type: NVSP_TYPE } = NvspRndisPacket.at;

/** No request is waited for; no answer has come. */
const NOTHING = -1;

export class NvspRequests {
  readonly #device: VmbusDevice;
  readonly #policy: NetvscPolicy;
  /** Handles what has come in the ring. */
  readonly #poll: () => void;
  #channel: VmbusChannel | undefined;
  /** Length of all messages, on the ring: Linux always sends that of 6.1. */
  readonly messageLength: number;
  /** Message under construction. */
  readonly #message = new Uint8Array(NVSP_MESSAGE_SIZE_V6_1);
  readonly #view = new DataView(this.#message.buffer);
  /** Request that is waited for, and its answer. */
  #awaited = NOTHING;
  readonly #answer = new Uint8Array(ANSWER_MAX);
  readonly #answerView = new DataView(this.#answer.buffer);
  #answerLength = NOTHING;

  /** NVSP version that was agreed on, 0 before. */
  version = 0;

  constructor(device: VmbusDevice, policy: NetvscPolicy, poll: () => void) {
    const long = policy.nvspVersions.includes(NvspVersion.V6_1);
    this.#device = device;
    this.#policy = policy;
    this.messageLength = long ? NVSP_MESSAGE_SIZE_V6_1 : NVSP_MESSAGE_SIZE;
    this.#poll = poll;
  }

  /** Requests go over this channel from now on. */
  use(channel: VmbusChannel): void {
    this.#channel = channel;
  }

  /**
   * Agree on a version: the first of the policy's that the host knows (Linux negotiate_nvsp_ver).
   *
   * @throws HypxeError VersionRefused, and as #request
   */
  initialise(): void {
    this.version = 0;
    const { nvspVersions } = this.#policy;
    let status = 0;
    for (const version of nvspVersions) {
      this.#begin(NvspType.INIT);
      this.#view.setUint32(NvspInit.at.minVersion, version, true);
      this.#view.setUint32(NvspInit.at.maxVersion, version, true);
      const length = this.#request(RequestId.INIT, 'INIT');
      const valid = length >= NvspInitComplete.size && this.#answerType === NvspType.INIT_COMPLETE;
      if (!valid) this.#badCompletion('INIT', length);
      status = this.#answerView.getUint32(NvspInitComplete.at.status, true);
      if (status === NvspStatus.SUCCESS) {
        this.version = version;
        return;
      }
    }
    const asked = nvspVersions.map(hex).join(', ');
    throw new HypxeError('NvspVersionRefused', `NVSP ${asked} refused: status ${status}`);
  }

  /** Announce MTU and capabilities, from NVSP 2 on. @throws HypxeError as #request */
  sendNdisConfig(): void {
    if (this.version < NvspVersion.V2) return;
    this.#begin(NvspType.SEND_NDIS_CONFIG);
    this.#view.setUint32(NvspNdisConfig.at.mtu, this.#policy.mtu + ETHERNET_HEADER, true);
    let capabilities: number = NdisCapability.IEEE8021Q;
    // Without teaming a guest hears of no change of speed (Linux). Coalescing it could not undo
    if (this.version >= NvspVersion.V5) {
      capabilities |= NdisCapability.SRIOV | NdisCapability.TEAMING;
    }
    this.#view.setUint32(NvspNdisConfig.at.capabilities, capabilities, true);
    this.#tell(this.#policy.awaitNdis, RequestId.NDIS_CONFIG, 'NDIS configuration');
  }

  /** Announce the NDIS version. @throws HypxeError as #request */
  sendNdisVersion(): void {
    const minor = this.version >= NvspVersion.V5 ? NDIS_MINOR_5 : NDIS_MINOR;
    this.#begin(NvspType.SEND_NDIS_VERSION);
    this.#view.setUint32(NvspNdisVersion.at.major, NDIS_MAJOR, true);
    this.#view.setUint32(NvspNdisVersion.at.minor, minor, true);
    // The completion may be empty
    this.#tell(this.#policy.awaitNdis, RequestId.NDIS_VERSION, 'NDIS version');
  }

  /** Give the host the receive buffer. @throws HypxeError ReceiveBufferRefused, as #request */
  sendReceiveBuffer(gpadl: number): void {
    this.#begin(NvspType.SEND_RECEIVE_BUFFER);
    this.#view.setUint32(NvspSendBuffer.at.gpadl, gpadl, true);
    this.#view.setUint16(NvspSendBuffer.at.id, this.#policy.receiveBufferId, true);
    const length = this.#request(RequestId.SEND_BUFFER, 'receive buffer');
    const type = NvspType.SEND_RECEIVE_BUFFER_COMPLETE;
    const valid = length >= NVSP_RECEIVE_BUFFER_COMPLETE_MIN && this.#answerType === type;
    if (!valid) this.#badCompletion('receive buffer', length);
    const status = this.#answerView.getUint32(NvspReceiveBufferComplete.at.status, true);
    if (status === NvspStatus.SUCCESS) return;
    const text = `receive buffer refused: status ${status}`;
    throw new HypxeError('ReceiveBufferRefused', text);
  }

  /**
   * Give the host the send buffer.
   *
   * @param length of the buffer, in bytes
   * @returns length of its sections, as the host cuts it
   * @throws HypxeError SendBufferRefused, as #request
   */
  sendSendBuffer(gpadl: number, length: number): number {
    this.#begin(NvspType.SEND_SEND_BUFFER);
    this.#view.setUint32(NvspSendBuffer.at.gpadl, gpadl, true);
    this.#view.setUint16(NvspSendBuffer.at.id, SEND_BUFFER_ID, true);
    const { size, at } = NvspSendBufferComplete;
    const answer = this.#request(RequestId.SEND_SEND_BUFFER, 'send buffer');
    const valid = answer >= size && this.#answerType === NvspType.SEND_SEND_BUFFER_COMPLETE;
    if (!valid) this.#badCompletion('send buffer', answer);
    const status = this.#answerView.getUint32(at.status, true);
    const sectionSize = this.#answerView.getUint32(at.sectionSize, true);
    if (status === NvspStatus.SUCCESS && sectionSize >= SECTION_MIN && sectionSize <= length) {
      return sectionSize;
    }
    const text = `send buffer refused: status ${status}, sections of ${sectionSize} bytes`;
    throw new HypxeError('SendBufferRefused', text);
  }

  /**
   * Ask for sub-channels (Linux rndis_set_subchannel).
   *
   * @returns how many the host will offer: at most as many as asked for, 0 if it refuses
   * @throws HypxeError as #request
   */
  requestSubchannels(count: number): number {
    this.#begin(NvspType.SUBCHANNEL);
    this.#view.setUint32(NvspSubchannelRequest.at.operation, NVSP_SUBCHANNEL_ALLOCATE, true);
    this.#view.setUint32(NvspSubchannelRequest.at.count, count, true);
    const { size, at } = NvspSubchannelComplete;
    const length = this.#request(RequestId.SUBCHANNEL, 'sub-channels');
    if (length < size || this.#answerType !== NvspType.SUBCHANNEL) {
      this.#badCompletion('sub-channels', length);
    }
    if (this.#answerView.getUint32(at.status, true) !== NvspStatus.SUCCESS) return 0;
    return Math.min(this.#answerView.getUint32(at.count, true), count);
  }

  /** Take the receive buffer back. Never throws. */
  revokeReceiveBuffer(): void {
    this.#revoke(NvspType.REVOKE_RECEIVE_BUFFER, this.#policy.receiveBufferId);
  }

  /** Take the send buffer back. Never throws. */
  revokeSendBuffer(): void {
    this.#revoke(NvspType.REVOKE_SEND_BUFFER, SEND_BUFFER_ID);
  }

  #revoke(type: number, id: number): void {
    this.#begin(type);
    this.#view.setUint16(NvspRevokeBuffer.at.id, id, true);
    try {
      this.#tell(this.#policy.awaitRevoke, RequestId.REVOKE, 'revoke');
    } catch (error) {
      // Some hosts never complete it (OpenVMM). The GPADL decides when the buffer is free
      if (!(error instanceof HypxeError)) throw error;
      this.#device.log.info('NETVSC', this.#device.name, `revoke not confirmed: ${error.message}`);
    }
  }

  // --- sending and waiting ---

  #begin(type: number): void {
    this.#message.fill(0);
    this.#view.setUint32(NVSP_TYPE, type, true);
  }

  get #answerType(): number {
    return this.#answerView.getUint32(NVSP_TYPE, true);
  }

  /** Send the message begun, as a request or without a transaction. @throws as #request */
  #tell(asRequest: boolean, id: number, what: string): void {
    if (asRequest) this.#request(id, what);
    else this.#send(TOLD, what);
  }

  #send(id: number, what: string): void {
    const channel = this.#channel!;
    if (channel.sendInband(id, this.#message, this.messageLength)) return;
    throw new HypxeError(channel.broken ?? 'RingFull', `no room for NVSP ${what}`);
  }

  /**
   * Send the message begun and wait for its completion.
   *
   * @returns length of the answer (in `#answer`, zero beyond it)
   * @throws HypxeError NoCompletion, RingFull, ChannelRescinded, ChannelBroken
   */
  #request(id: number, what: string): number {
    const channel = this.#channel!;
    const { clock } = this.#device.connection.hv;
    this.#awaited = id;
    this.#answerLength = NOTHING;
    try {
      this.#send(BASE_ID + id, what);
      const deadline = clock.now() + REQUEST_TIMEOUT_MS * TICKS_PER_MS;
      for (let expired = false; ; expired = clock.now() >= deadline) {
        // Messages too: they may say that the device is gone
        this.#device.connection.poll();
        this.#poll();
        if (this.#answerLength !== NOTHING) return this.#answerLength;
        if (this.#device.rescinded) throw this.#device.rescindedError();
        if (channel.broken) throw new HypxeError(channel.broken, 'channel was given up');
        if (expired) break;
        clock.pause();
      }
    } finally {
      // A late answer must not be taken for another request's (iPXE's defect 10)
      this.#awaited = NOTHING;
    }
    const text = `host did not complete NVSP ${what} within ${REQUEST_TIMEOUT_MS} ms`;
    throw new HypxeError('NoCompletion', text);
  }

  #badCompletion(what: string, length: number): never {
    const text = `completion of NVSP ${what}: type ${this.#answerType}, ${length} bytes`;
    throw new HypxeError('BadCompletion', text);
  }

  /** Whether the request that is waited for has its answer. */
  get isAnswered(): boolean {
    return this.#awaited !== NOTHING && this.#answerLength !== NOTHING;
  }

  /** A completion: true if it is the one that is waited for. Its payload is copied. */
  completed(id: number, packet: Packet): boolean {
    if (id !== this.#awaited || id === NOTHING) return false;
    const length = Math.min(packet.payloadLength, ANSWER_MAX);
    this.#answer.fill(0);
    for (let i = 0; i < length; i++) this.#answer[i] = packet.bytes[packet.payload + i]!;
    this.#answerLength = length;
    return true;
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
