// SPDX-License-Identifier: GPL-2.0-or-later

/** RNDIS and the network device of the reference guest (iPXE net/rndis.c, net/netdevice.c). */

import {
  MediaState,
  Oid,
  PacketFilter,
  RNDIS_BODY,
  RndisHeader,
  RndisIndicateStatus,
  RndisInitialiseComplete,
  RndisKeepalive,
  RndisPacket,
  RndisQueryComplete,
  RndisRequest,
  RndisSetComplete,
  RndisStatus,
  RndisType,
} from '../../src/rndis/protocol.ts';
import { wordBytes } from '../../src/wire.ts';
import { GuestError, WAIT_TURNS, type GuestContext } from './guest.ts';
import type { Netvsc, NetvscReceiver } from './netvsc.ts';
import { infoIsSound } from './packet-info.ts';
import type { Message } from './transmits.ts';

const INITIALISE_ID = 0xe110e110;
const RETRY_STEP = 0x01000000;
const FILTER =
  PacketFilter.DIRECTED |
  PacketFilter.MULTICAST |
  PacketFilter.ALL_MULTICAST |
  PacketFilter.BROADCAST |
  PacketFilter.PROMISCUOUS;
const COMPLETION = 0x80000000;
const FRAME_MIN = 14;
const FRAME_MAX = 1514;
const ADDRESS = 6;

/** Bytes of the fields for addresses: iPXE's are longer than an address. */
const HW_ADDRESS = 8;
const LL_ADDRESS = 20;

/** Least lengths of answers. */
const ANSWERS: Readonly<Record<number, number>> = {
  [RndisType.INITIALISE_CMPLT]: RndisInitialiseComplete.size,
  [RndisType.QUERY_CMPLT]: RndisQueryComplete.size,
  [RndisType.SET_CMPLT]: RndisSetComplete.size,
};

/** What watches the device. */
export interface RndisObserver {
  transmitted(sequence: number, error: string | undefined): void;
  receiveError(error: string, buffer: Uint8Array, offset: number, length: number): void;
}

/** A request that is waited for. */
interface Awaited {
  readonly id: number;
  readonly type: number;
  /** Class of the error that answered it, '' for none, undefined before. */
  result: string | undefined;
}

export class RndisDevice implements NetvscReceiver {
  readonly name: string;
  readonly instance: string;
  readonly permanentAddress = new Uint8Array(ADDRESS);
  readonly address = new Uint8Array(ADDRESS);
  readonly maxFrame = FRAME_MAX;
  readonly statistics = { txGood: 0, txBad: 0, rxGood: 0, rxBad: 0 };
  link: 'unknown' | 'up' | 'down' = 'unknown';
  isOpen = false;
  receiver: { receive(buffer: Uint8Array, offset: number, length: number): void } | undefined;
  observer: RndisObserver | undefined;
  readonly #context: GuestContext;
  readonly #netvsc: Netvsc;
  #initialised = false;
  /** The filter is set. */
  #hears = false;
  #unanswered = 0;
  /** It has just not answered: nothing is waited for on the way out. */
  #isMute = false;
  #awaited: Awaited | undefined;
  #info = new Uint8Array(0);
  #sequence = 0;

  constructor(name: string, netvsc: Netvsc) {
    this.name = name;
    this.instance = netvsc.device.name;
    this.#netvsc = netvsc;
    this.#context = netvsc.context;
    netvsc.receiver = this;
  }

  // --- describe, open, close ---

  /** @throws GuestError */
  describe(): void {
    this.#start(() => {
      this.#query(Oid.OID_802_3_PERMANENT_ADDRESS);
      this.#takeAddress(this.permanentAddress, HW_ADDRESS);
      this.#query(Oid.OID_802_3_CURRENT_ADDRESS);
      this.#takeAddress(this.address, LL_ADDRESS);
      // None is set (iPXE register_netdev)
      if (this.address.every((byte) => byte === 0)) this.address.set(this.permanentAddress);
    });
    this.#stop();
  }

  #takeAddress(address: Uint8Array, room: number): void {
    const checked = !this.#context.has('addresses-checked');
    if (checked && this.#info.length !== ADDRESS) throw new GuestError('EINVAL', 'bad address');
    address.set(this.#info.subarray(0, Math.min(room, ADDRESS)));
  }

  /** @throws GuestError */
  open(): void {
    if (this.isOpen) return;
    this.#start(() => {
      this.#filter(FILTER);
      this.#hears = true;
    });
    this.isOpen = true;
  }

  #start(action: () => void): void {
    this.#isMute = false;
    this.#netvsc.open();
    try {
      this.#request(RndisType.INITIALISE, INITIALISE_ID, 1, 0, 2048);
      this.#initialised = true;
      action();
      this.#query(Oid.GEN_MEDIA_CONNECT_STATUS);
      if (this.#info.length !== 4)
        throw new GuestError(this.#context.has('error-classes') ? 'EPROTO' : 'EINVAL', 'bad link');
      const state = new DataView(this.#info.buffer).getUint32(0, true);
      this.#setLink(state === MediaState.CONNECTED);
    } catch (error) {
      const { errno } = error as Partial<GuestError>;
      this.#isMute = errno === 'ETIMEDOUT' && !this.#context.has('failed-open-clears-filter');
      this.#stop();
      throw error;
    }
  }

  #stop(): void {
    if (this.#hears && !this.#context.has('failed-open-clears-filter'))
      this.#attempt(() => this.#filter(0));
    this.#hears = false;
    if (this.#initialised) {
      this.#initialised = false;
      this.#attempt(() => this.#send(RndisType.HALT, 0));
    }
    this.#netvsc.close();
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    if (this.#context.has('failed-open-clears-filter')) this.#attempt(() => this.#filter(0));
    this.#stop();
  }

  /** @throws GuestError */
  reset(): void {
    if (!this.isOpen) return;
    this.close();
    this.open();
  }

  #attempt(action: () => void): void {
    const { failure } = this.#netvsc;
    if (failure !== undefined && !this.#context.has('old-channel-not-closed')) return;
    try {
      action();
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
    }
  }

  #setLink(up: boolean): void {
    this.link = up ? 'up' : 'down';
    this.#context.emit({ kind: 'link', name: this.name, up });
  }

  // --- requests ---

  #filter(filter: number): void {
    this.#oid(RndisType.SET, Oid.GEN_CURRENT_PACKET_FILTER, filter);
  }

  #query(oid: number): void {
    this.#info = new Uint8Array(0);
    this.#oid(RndisType.QUERY, oid);
  }

  #oid(type: number, oid: number, ...info: number[]): void {
    const late = this.#context.has('late-answers-belong-to-their-request');
    const id = late ? oid : (oid ^ (this.#unanswered * RETRY_STEP)) >>> 0;
    const offset = RndisRequest.size - RNDIS_BODY;
    this.#request(type, id, oid, 4 * info.length, offset, 0, ...info);
  }

  /** @throws GuestError */
  #request(type: number, id: number, ...words: number[]): void {
    const context = this.#context;
    const awaited: Awaited = { id, type: type + COMPLETION, result: undefined };
    this.#awaited = awaited;
    try {
      this.#send(type, id, ...words);
      this.#unanswered++;
      const most = this.#isMute ? 0 : WAIT_TURNS;
      for (let turns = 0; ; turns++) {
        // iPXE pauses once more after the answer, and does not look after the last pause
        const prompt = !context.has('prompt-waits');
        if (!prompt && turns === WAIT_TURNS) throw new GuestError('ETIMEDOUT', 'no answer');
        if (!prompt && awaited.result !== undefined) break;
        this.#netvsc.poll();
        if (prompt && awaited.result !== undefined) break;
        const { failure } = this.#netvsc;
        if (prompt && failure !== undefined) throw new GuestError(failure, 'device gone');
        if (prompt && turns === most) throw new GuestError('ETIMEDOUT', 'no answer');
        context.delay();
      }
      this.#unanswered--;
    } finally {
      this.#awaited = undefined;
    }
    if (awaited.result !== '') throw new GuestError(awaited.result!, 'request failed');
  }

  /** @throws GuestError */
  #send(type: number, ...words: number[]): void {
    const length = RndisHeader.size + 4 * words.length;
    const bytes = wordBytes(length, type, length, ...words);
    const sent = this.#netvsc.transmits.transmit({ bytes, frame: undefined });
    if (sent !== 'sent') throw new GuestError(sent, 'message not sent');
  }

  // --- transmit ---

  transmit(frame: Uint8Array, length: number): 'sent' | 'deferred' | 'dropped' {
    const sequence = this.#sequence++;
    const { has } = this.#context;
    const long = length > FRAME_MAX && !has('frame-length-limited');
    let sent = has('drop-is-named') ? 'ENETUNREACH' : 'dropped';
    if (this.isOpen && !long) {
      const total = RndisPacket.size + length;
      const offset = RndisPacket.size - RNDIS_BODY;
      const bytes = new Uint8Array(total);
      bytes.set(wordBytes(16, RndisType.PACKET, total, offset, length));
      bytes.set(frame.subarray(0, length), RndisPacket.size);
      try {
        sent = this.#netvsc.transmits.transmit({ bytes, frame: sequence });
      } catch (error) {
        if (!(error instanceof GuestError)) throw error;
        sent = error.errno;
      }
    }
    if (sent === 'deferred' && has('deferral-is-no-error')) this.statistics.txBad++;
    if (sent === 'sent' || sent === 'deferred') return sent;
    this.statistics.txBad++;
    if (has('drop-is-named')) this.observer?.transmitted(sequence, sent);
    return 'dropped';
  }

  transmitted({ frame }: Message, errno: string | undefined): void {
    if (frame === undefined) return;
    if (errno === undefined) this.statistics.txGood++;
    else this.statistics.txBad++;
    this.observer?.transmitted(frame, errno);
  }

  // --- receive ---

  poll(): void {
    if (this.isOpen) this.#netvsc.poll();
  }

  received(bytes: Uint8Array): void {
    const { has } = this.#context;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const { length } = bytes;
    const type = length < RndisHeader.size ? 0 : view.getUint32(0, true);
    let errno: string | undefined;
    if (length < RndisHeader.size) errno = 'EINVAL';
    else if (ANSWERS[type] !== undefined) this.#answered(view, type);
    else if (type === RndisType.PACKET) errno = this.#packet(bytes, view);
    else if (type === RndisType.INDICATE_STATUS) errno = this.#status(view);
    else if (type === RndisType.KEEPALIVE && !has('keepalive-answered'))
      errno = this.#keepalive(view);
    else errno = 'EPROTO';
    if (errno !== undefined) this.#receiveError(errno, bytes);
  }

  #packet(bytes: Uint8Array, view: DataView): string | undefined {
    const { has } = this.#context;
    if (bytes.length < RndisPacket.size) return 'EINVAL';
    const offset = view.getUint32(RndisPacket.at.dataOffset, true);
    const length = view.getUint32(RndisPacket.at.dataLength, true);
    const body = bytes.length - RNDIS_BODY;
    if (offset > body || length > body - offset) return 'EINVAL';
    if (length < FRAME_MIN && !has('short-frames-rejected')) return 'EINVAL';
    if (!has('packet-info-checked') && !infoIsSound(view)) return 'EINVAL';
    this.statistics.rxGood++;
    this.receiver?.receive(bytes, RNDIS_BODY + offset, length);
    return undefined;
  }

  #status(view: DataView): string | undefined {
    if (view.byteLength < RndisIndicateStatus.size) return 'EINVAL';
    const status = view.getUint32(RndisIndicateStatus.at.status, true);
    if (status === RndisStatus.MEDIA_CONNECT) this.#setLink(true);
    else if (status === RndisStatus.MEDIA_DISCONNECT) this.#setLink(false);
    else if (status !== RndisStatus.TASK_OFFLOAD_CURRENT_CONFIG) return 'ENOTSUP';
    return undefined;
  }

  #keepalive(view: DataView): string | undefined {
    if (view.byteLength < RndisKeepalive.size) return 'EINVAL';
    const id = view.getUint32(RndisKeepalive.at.requestId, true);
    this.#attempt(() => this.#send(RndisType.KEEPALIVE_CMPLT, id, RndisStatus.SUCCESS));
    return undefined;
  }

  /** An answer: iPXE acts on it whether or not it was asked for, and looks at its ID only. */
  #answered(view: DataView, type: number): void {
    const { has } = this.#context;
    const awaited = this.#awaited;
    const whole = view.byteLength >= ANSWERS[type]!;
    if (!whole && has('short-answers-wake')) return;
    const told = view.byteLength >= RNDIS_BODY + 4;
    const id = told ? view.getUint32(RNDIS_BODY, true) : (awaited?.id ?? 0);
    const mine = awaited !== undefined && id === awaited.id && awaited.result === undefined;
    const right = has('answers-have-their-type') || type === awaited?.type;
    if (has('answers-have-their-type')) this.#unasked(view, type, id, mine);
    if (!mine || !right) return;
    if (!whole) {
      awaited.result = 'EINVAL';
      return;
    }
    if (view.getUint32(RndisSetComplete.at.status, true) !== RndisStatus.SUCCESS)
      awaited.result = 'EIO';
    else if (type !== RndisType.QUERY_CMPLT) awaited.result = '';
    else awaited.result = this.#takeInfo(view) ? '' : 'EINVAL';
  }

  /** iPXE: an answer about the link counts even if nobody asks. */
  #unasked(view: DataView, type: number, id: number, mine: boolean): void {
    if (mine || type !== RndisType.QUERY_CMPLT || id !== Oid.GEN_MEDIA_CONNECT_STATUS) return;
    if (view.getUint32(RndisSetComplete.at.status, true) !== RndisStatus.SUCCESS) return;
    if (!this.#takeInfo(view) || this.#info.length !== 4) return;
    this.#setLink(new DataView(this.#info.buffer).getUint32(0, true) === MediaState.CONNECTED);
  }

  #takeInfo(view: DataView): boolean {
    const offset = view.getUint32(RndisQueryComplete.at.infoOffset, true);
    const length = view.getUint32(RndisQueryComplete.at.infoLength, true);
    const body = view.byteLength - RNDIS_BODY;
    if (offset > body || length > body - offset) return false;
    const from = view.byteOffset + RNDIS_BODY + offset;
    this.#info = Uint8Array.from(new Uint8Array(view.buffer, from, length));
    return true;
  }

  dropped(errno: string): void {
    this.#receiveError(errno, new Uint8Array(0));
  }

  #receiveError(errno: string, bytes: Uint8Array): void {
    this.statistics.rxBad++;
    this.observer?.receiveError(errno, bytes, 0, bytes.length);
  }
}
