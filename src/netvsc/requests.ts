// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * NVSP requests: the messages that set a NetVSC up and take it down, one at a time, each with its
 * completion and a time limit (iPXE netvsc_control and its callers).
 */

import { HypxeError } from '../error.ts';
import { TICKS_PER_MS } from '../time.ts';
import type { VmbusChannel } from '../vmbus/channel.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import { VmbusError } from '../vmbus/errors.ts';
import type { Packet } from '../vmbus/packet.ts';
import { NetvscError } from './errors.ts';
import {
  NVSP_MESSAGE_SIZE,
  NVSP_RECEIVE_BUFFER_COMPLETE_MIN,
  NvspInit,
  NvspInitComplete,
  NvspNdisVersion,
  NvspReceiveBufferComplete,
  NvspRevokeBuffer,
  NvspRndisPacket,
  NvspSendBuffer,
  NvspStatus,
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
} as const;

/** Page set of the receive buffer: any number would do (iPXE NETVSC_RX_BUF_PAGESET). */
export const PAGE_SET = 0xbead;

/** NDIS version that is announced. */
const NDIS_MAJOR = 6;
const NDIS_MINOR = 1;

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
  /** Handles what has come in the ring. */
  readonly #poll: () => void;
  #channel: VmbusChannel | undefined;
  /** Message under construction. */
  readonly #message = new Uint8Array(NVSP_MESSAGE_SIZE);
  readonly #view = new DataView(this.#message.buffer);
  /** Request that is waited for, and its answer. */
  #awaited = NOTHING;
  readonly #answer = new Uint8Array(ANSWER_MAX);
  readonly #answerView = new DataView(this.#answer.buffer);
  #answerLength = NOTHING;

  constructor(device: VmbusDevice, poll: () => void) {
    this.#device = device;
    this.#poll = poll;
  }

  /** Requests go over this channel from now on. */
  use(channel: VmbusChannel): void {
    this.#channel = channel;
  }

  /** Agree on NVSP version 1. @throws HypxeError VersionRefused, and as #request */
  initialise(): void {
    this.#begin(NvspType.INIT);
    this.#view.setUint32(NvspInit.at.minVersion, NvspVersion.V1, true);
    this.#view.setUint32(NvspInit.at.maxVersion, NvspVersion.V1, true);
    const length = this.#request(RequestId.INIT, 'INIT');
    const valid = length >= NvspInitComplete.size && this.#answerType === NvspType.INIT_COMPLETE;
    if (!valid) this.#badCompletion('INIT', length);
    const status = this.#answerView.getUint32(NvspInitComplete.at.status, true);
    if (status === NvspStatus.SUCCESS) return;
    throw new HypxeError(NetvscError.VersionRefused, `NVSP version 1 refused: status ${status}`);
  }

  /** Announce the NDIS version. @throws HypxeError as #request */
  sendNdisVersion(): void {
    this.#begin(NvspType.SEND_NDIS_VERSION);
    this.#view.setUint32(NvspNdisVersion.at.major, NDIS_MAJOR, true);
    this.#view.setUint32(NvspNdisVersion.at.minor, NDIS_MINOR, true);
    // The completion may be empty
    this.#request(RequestId.NDIS_VERSION, 'NDIS version');
  }

  /** Give the host the receive buffer. @throws HypxeError ReceiveBufferRefused, as #request */
  sendReceiveBuffer(gpadl: number): void {
    this.#begin(NvspType.SEND_RECEIVE_BUFFER);
    this.#view.setUint32(NvspSendBuffer.at.gpadl, gpadl, true);
    this.#view.setUint16(NvspSendBuffer.at.id, PAGE_SET, true);
    const length = this.#request(RequestId.SEND_BUFFER, 'receive buffer');
    const type = NvspType.SEND_RECEIVE_BUFFER_COMPLETE;
    const valid = length >= NVSP_RECEIVE_BUFFER_COMPLETE_MIN && this.#answerType === type;
    if (!valid) this.#badCompletion('receive buffer', length);
    const status = this.#answerView.getUint32(NvspReceiveBufferComplete.at.status, true);
    if (status === NvspStatus.SUCCESS) return;
    const text = `receive buffer refused: status ${status}`;
    throw new HypxeError(NetvscError.ReceiveBufferRefused, text);
  }

  /** Take the receive buffer back. Never throws. */
  revokeReceiveBuffer(): void {
    this.#begin(NvspType.REVOKE_RECEIVE_BUFFER);
    this.#view.setUint16(NvspRevokeBuffer.at.id, PAGE_SET, true);
    try {
      this.#request(RequestId.REVOKE, 'revoke');
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
      if (!channel.sendInband(BASE_ID + id, this.#message, NVSP_MESSAGE_SIZE)) {
        channel.requireIntact();
        throw new HypxeError(VmbusError.RingFull, `no room for NVSP ${what}`);
      }
      const deadline = clock.now() + REQUEST_TIMEOUT_MS * TICKS_PER_MS;
      for (let expired = false; ; expired = clock.now() >= deadline) {
        // Messages too: they may say that the device is gone
        this.#device.connection.poll();
        this.#poll();
        if (this.#answerLength !== NOTHING) return this.#answerLength;
        if (this.#device.rescinded) throw this.#device.rescindedError();
        channel.requireIntact();
        if (expired) break;
        clock.pause();
      }
    } finally {
      // A late answer must not be taken for another request's (iPXE's defect 10)
      this.#awaited = NOTHING;
    }
    const text = `host did not complete NVSP ${what} within ${REQUEST_TIMEOUT_MS} ms`;
    throw new HypxeError(NetvscError.NoCompletion, text);
  }

  #badCompletion(what: string, length: number): never {
    const text = `completion of NVSP ${what}: type ${this.#answerType}, ${length} bytes`;
    throw new HypxeError(NetvscError.BadCompletion, text);
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
