// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * RNDIS: a network device over anything that carries RNDIS messages. Knows nothing of Hyper-V
 * (iPXE net/rndis.c).
 */

import { HypxeError, type ErrorName } from '../error.ts';
import {
  ETHERNET_FRAME_MAX,
  ETHERNET_HEADER,
  type FrameReceiver,
  type LinkState,
  type NetDevice,
  type NetObserver,
  type NetStatistics,
  type TransmitResult,
} from '../net/device.ts';
import { FrameQueue } from '../net/frame-queue.ts';
import { hex, wordBytes } from '../wire.ts';
import { isInside, LENGTH_MIN, vlanOf } from './packet-info.ts';
import {
  MediaState,
  Oid,
  PacketFilter,
  RNDIS_BODY,
  RndisHeader,
  RndisPacket,
  RndisQueryComplete,
  RndisRequest,
  RndisSetComplete,
  RndisStatus,
  RndisType,
} from './protocol.ts';
import type { RndisReceiver, RndisTransport } from './transport.ts';
import { isTimeout, SEQUENCE_CONTROL, waitAnswer } from './transport.ts';

/** Request ID of INITIALISE (iPXE RNDIS_INIT_ID); requests for an OID have the OID as their ID. */
const INITIALISE_ID = 0xe110e110;

/** Added to the ID of a request whose like has timed out: its late answer is not this one's. */
const RETRY_ID_STEP = 0x01000000;

/** RNDIS version 1.0, and the longest transfer that is announced (iPXE RNDIS_MTU). */
const VERSION = [1, 0, 2048];

/** Everything: a boot client must hear whatever it is sent (iPXE rndis_open). */
const OPEN_FILTER =
  PacketFilter.DIRECTED |
  PacketFilter.MULTICAST |
  PacketFilter.ALL_MULTICAST |
  PacketFilter.BROADCAST |
  PacketFilter.PROMISCUOUS;

/** Added to the type of a request: the type of its answer. */
const COMPLETION = 0x80000000;

const MALFORMED = -1; // in place of a status: the answer had none
/** Length of a MAC address. */
const ADDRESS_LENGTH = 6;
const EMPTY: Uint8Array = new Uint8Array(0);

/** What is wrong with a message. */
type Failure = ErrorName | undefined;

export class RndisDevice implements NetDevice, RndisReceiver {
  readonly name: string;
  readonly instance: string;
  readonly permanentAddress: Uint8Array = new Uint8Array(ADDRESS_LENGTH);
  readonly address: Uint8Array = new Uint8Array(ADDRESS_LENGTH);
  readonly maxFrame = ETHERNET_FRAME_MAX;
  readonly statistics: NetStatistics = { txGood: 0, txBad: 0, rxGood: 0, rxBad: 0 };
  link: LinkState = 'unknown';
  isOpen = false;
  receiver: FrameReceiver | undefined;
  observer: NetObserver | undefined;
  readonly #transport: RndisTransport;
  #initialised = false;
  #hears = false;
  #isMute = false; // it has not answered: nothing is waited for on the way out
  /** Requests that were not answered, since the device was made. */
  #unanswered = 0;
  /** Request that is waited for, its answer's type; once answered its status and information. */
  #awaitedId = 0;
  #awaitedType = 0;
  #status: number | undefined;
  #info = EMPTY;
  #sequence = 0;
  /** Frames that the transport has no room for. */
  readonly #queue = new FrameQueue();

  constructor(name: string, transport: RndisTransport) {
    this.name = name;
    this.instance = transport.name;
    this.#transport = transport;
    transport.receiver = this;
  }

  // --- describe, open, close ---

  /** Learn addresses and link state: a complete open and close. @throws HypxeError, closed */
  describe(): void {
    this.#start(() => {
      const query = (oid: number) => this.#query(oid, ADDRESS_LENGTH, 'BadAddress');
      this.permanentAddress.set(query(Oid.OID_802_3_PERMANENT_ADDRESS));
      this.address.set(query(Oid.OID_802_3_CURRENT_ADDRESS));
      if (this.address.every((byte) => !byte)) this.address.set(this.permanentAddress); // None set
    });
    this.#stop();
  }

  open(): void {
    if (this.isOpen) return;
    this.#start(() => {
      this.#transport.initialised();
      this.#requestOid(RndisType.SET, Oid.GEN_CURRENT_PACKET_FILTER, OPEN_FILTER);
      this.#hears = true;
    });
    this.isOpen = true;
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#stop();
  }

  /** The device below was lost and found again: what was open is opened anew. @throws HypxeError */
  reset(): void {
    const wasOpen = this.isOpen;
    this.close();
    if (wasOpen) this.open();
  }

  /**
   * Open the transport, initialise, do something more, and ask for the link. With a device that
   * does not answer all of it is tried again: a late answer then finds another channel.
   */
  #start(action: () => void): void {
    const { policy, log } = this.#transport;
    for (let tries = 1; ; tries++) {
      try {
        this.#tryStart(action);
        return;
      } catch (error) {
        if (!isTimeout(error) || tries >= policy.tries) throw error;
        log.warning('RNDIS', this.instance, `${error.message}: trying again`);
      }
    }
  }

  #tryStart(action: () => void): void {
    this.#isMute = false;
    this.#transport.open();
    try {
      this.#request(RndisType.INITIALISE, INITIALISE_ID, ...VERSION);
      this.#initialised = true;
      action();
      const info = this.#query(Oid.GEN_MEDIA_CONNECT_STATUS, 4, 'BadRndisMessage');
      this.#setLink(new DataView(info.buffer).getUint32(0, true) === MediaState.CONNECTED);
    } catch (error) {
      this.#isMute = isTimeout(error);
      this.#stop();
      throw error;
    }
  }

  /** Undo {@link #start}, in reverse. There is no answer to a HALT. */
  #stop(): void {
    // Without this, receiving may be dead after the next open (iPXE 67291465e)
    const clear = () => this.#requestOid(RndisType.SET, Oid.GEN_CURRENT_PACKET_FILTER, 0);
    if (this.#hears) this.#attempt('receive filter not cleared', clear);
    this.#hears = false;
    if (this.#initialised) {
      this.#initialised = false;
      this.#attempt('not halted', () => this.#send(RndisType.HALT, 0));
    }
    this.#transport.close();
    for (let place; (place = this.#queue.next); this.#queue.shift())
      this.transmitted(place.sequence, 'TransmitCancelled');
  }

  #setLink(up: boolean): void {
    this.link = up ? 'up' : 'down';
    this.#transport.log.info('RNDIS', this.instance, `link is ${this.link}`);
    this.#transport.log.emit({ kind: 'link', name: this.name, up });
    this.observer?.linkChanged(up);
  }

  // --- requests ---

  /** Read an object of a length. @throws HypxeError as #request; `error` for another length */
  #query(oid: number, length: number, error: ErrorName): Uint8Array {
    this.#requestOid(RndisType.QUERY, oid);
    if (this.#info.length === length) return this.#info;
    throw new HypxeError(error, `object ${hex(oid)} of ${this.#info.length} bytes`);
  }

  #requestOid(type: number, oid: number, ...info: number[]): void {
    const id = (oid ^ (this.#unanswered * RETRY_ID_STEP)) >>> 0;
    const offset = RndisRequest.size - RNDIS_BODY;
    this.#request(type, id, oid, 4 * info.length, offset, 0, ...info);
  }

  /**
   * Send a request and wait for its answer.
   *
   * @param words what follows the request ID
   * @throws HypxeError NoAnswer, RequestFailed, BadRndisMessage, NoBuffer; what broke the transport
   */
  #request(type: number, id: number, ...words: number[]): void {
    const what = `message ${hex(type)} ${hex(id)}`;
    this.#awaitedId = id;
    this.#awaitedType = type + COMPLETION;
    this.#status = undefined;
    try {
      this.#send(type, id, ...words);
      this.#unanswered++;
      const timeoutMs = this.#isMute ? 0 : this.#transport.policy.answerMs;
      waitAnswer(this.#transport, timeoutMs, what, 'NoAnswer', () => {
        this.#transport.poll();
        return this.#status !== undefined;
      });
      this.#unanswered--;
    } finally {
      this.#awaitedType = 0;
    }
    if (this.#status === RndisStatus.SUCCESS) return;
    if (this.#status === MALFORMED) throw new HypxeError('BadRndisMessage', `answer to ${what}`);
    throw new HypxeError('RequestFailed', `${what}: status ${hex(this.#status!)}`, this.#status);
  }

  /** Send a control message of words. @throws HypxeError NoBuffer, or what broke the transport */
  #send(type: number, ...words: number[]): void {
    const { memory } = this.#transport;
    const length = RndisHeader.size + 4 * words.length;
    const buffer = this.#transport.allocate(true);
    if (buffer !== 0) {
      memory.bytes.set(wordBytes(length, type, length, ...words), buffer);
      if (this.#transport.transmit(buffer, length, SEQUENCE_CONTROL)) return;
    }
    throw new HypxeError(this.#transport.failure ?? 'NoBuffer', `message ${hex(type)} not sent`);
  }

  #warn(text: string): void {
    this.#transport.log.warning('RNDIS', this.instance, text);
  }

  /** What a device that is gone needs not be told, and what goes on without it. */
  #attempt(what: string, action: () => void): void {
    if (this.#transport.failure) return;
    this.#transport.log.attempt('warning', 'RNDIS', this.instance, what, action);
  }

  // --- transmit ---

  transmit(frame: Uint8Array, length: number): TransmitResult {
    const sequence = this.#sequence++;
    let result: TransmitResult = 'dropped';

    // Check that it can be sent at all
    const fits = this.isOpen && length <= this.maxFrame && length <= frame.length;
    if (!fits) this.#warn(`frame of ${length} bytes dropped`);
    else if (!this.#transport.failure) {
      // Frames keep their order
      if (!this.#queue.next && this.#transmit(frame, length, sequence)) result = 'sent';
      else if (this.waiting < this.#transport.policy.deferredFrames) {
        this.#queue.push(frame, length, sequence);
        result = 'deferred';
      }
    }
    if (result === 'dropped') this.statistics.txBad++;
    return result;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  writable(): void {
    for (let place; (place = this.#queue.next); this.#queue.shift())
      if (!this.#transmit(place.frame, place.length, place.sequence)) return;
  }

  #transmit(frame: Uint8Array, length: number, sequence: number): boolean {
    const buffer = this.#transport.allocate(false);
    if (buffer === 0) return false;

    // Construct message around a copy of the frame
    const { memory } = this.#transport;
    const total = RndisPacket.size + length;
    memory.zero(buffer, RndisPacket.size);
    memory.set32(buffer + RndisPacket.at.type, RndisType.PACKET);
    memory.set32(buffer + RndisPacket.at.length, total);
    memory.set32(buffer + RndisPacket.at.dataOffset, RndisPacket.size - RNDIS_BODY);
    memory.set32(buffer + RndisPacket.at.dataLength, length);

    // A part of an array would take a view for each frame. What lies behind the frame is not sent
    const whole = frame.length <= this.maxFrame ? frame : frame.subarray(0, length);
    memory.bytes.set(whole, buffer + RndisPacket.size);
    return this.#transport.transmit(buffer, total, sequence);
  }

  transmitted(sequence: number, error: ErrorName | undefined): void {
    if (sequence === SEQUENCE_CONTROL) return;
    if (!error) this.statistics.txGood++;
    else this.statistics.txBad++;
    this.observer?.transmitted(sequence, error);
  }

  // --- receive ---

  poll(): void {
    if (this.isOpen) this.#transport.poll();
  }

  received(bytes: Uint8Array, view: DataView, offset: number, length: number): void {
    // The length in the header is not looked at: `length` is the message's extent. The word behind
    // the header is a request ID or a status
    const type = length < RndisHeader.size ? 0 : view.getUint32(offset + RndisHeader.at.type, true);
    const word = length < RNDIS_BODY + 4 ? undefined : view.getUint32(offset + RNDIS_BODY, true);
    const min = LENGTH_MIN[type];
    let error: Failure;
    if (type >= COMPLETION && min) {
      // One that is too short to say what it answers can only answer what was asked
      this.#answered(bytes, view, offset, length, word ?? this.#awaitedId);
    } else if (length < (min ?? RndisHeader.size)) {
      error = 'BadRndisMessage';
    } else if (type === RndisType.PACKET) {
      error = this.#receivedPacket(bytes, view, offset, length);
    } else if (type === RndisType.INDICATE_STATUS) {
      error = this.#receivedStatus(word!);
    } else if (type === RndisType.KEEPALIVE) {
      this.#answerKeepalive(word!);
    } else {
      error = 'UnknownMessage';
    }
    if (!error) return;
    const text = `message ${hex(type)} ${hex(word ?? 0)} of ${length} bytes`;
    this.receiveFailed(error, text, bytes, offset, length);
  }

  #receivedPacket(bytes: Uint8Array, view: DataView, offset: number, length: number): Failure {
    // Locate and check the data
    const dataOffset = view.getUint32(offset + RndisPacket.at.dataOffset, true);
    const dataLength = view.getUint32(offset + RndisPacket.at.dataLength, true);
    if (!isInside(dataOffset, dataLength, length)) return 'BadRndisMessage';
    if (dataLength < ETHERNET_HEADER) return 'FrameTooShort';
    const vlan = vlanOf(view, offset, length);
    if (vlan < 0) return 'BadRndisMessage';

    // Hand frame over
    this.statistics.rxGood++;
    this.receiver?.receive(bytes, offset + RNDIS_BODY + dataOffset, dataLength, vlan);
    return undefined;
  }

  #receivedStatus(status: number): Failure {
    if (status === RndisStatus.MEDIA_CONNECT) this.#setLink(true);
    else if (status === RndisStatus.MEDIA_DISCONNECT) this.#setLink(false);
    // Windows Server 2012 R2 at start of day: nothing to do (iPXE f6a3bc0aa)
    else if (status !== RndisStatus.TASK_OFFLOAD_CURRENT_CONFIG) return 'UnknownStatus';
    return undefined;
  }

  /** So that the device does not take us for dead. */
  #answerKeepalive(id: number): void {
    this.#attempt('no keep-alive', () =>
      this.#send(RndisType.KEEPALIVE_CMPLT, id, RndisStatus.SUCCESS),
    );
  }

  /** Wake whoever waits for an answer. Malformed ones wake too (iPXE's defect 11). */
  #answered(bytes: Uint8Array, view: DataView, offset: number, length: number, id: number): void {
    const { log } = this.#transport;
    const type = view.getUint32(offset + RndisHeader.at.type, true);
    if (type !== this.#awaitedType || id !== this.#awaitedId) {
      log.info('RNDIS', this.instance, `unexpected answer ${hex(type)} to ${hex(id)}`);
      return;
    }
    let isWhole = length >= LENGTH_MIN[type]!;
    const status = isWhole ? view.getUint32(offset + RndisSetComplete.at.status, true) : 0;
    // Locate, check and copy the information
    if (type === RndisType.QUERY_CMPLT && isWhole && status === RndisStatus.SUCCESS) {
      const infoOffset = view.getUint32(offset + RndisQueryComplete.at.infoOffset, true);
      const infoLength = view.getUint32(offset + RndisQueryComplete.at.infoLength, true);
      const from = offset + RNDIS_BODY + infoOffset;
      isWhole = isInside(infoOffset, infoLength, length);
      if (isWhole) this.#info = bytes.slice(from, from + infoLength);
    }
    this.#status = isWhole ? status : MALFORMED;
    if (!isWhole) this.#warn(`malformed answer ${hex(type)} of ${length} bytes`);
  }

  receiveFailed(error: ErrorName, text: string, bytes = EMPTY, offset = 0, length = 0): void {
    this.statistics.rxBad++;
    this.#warn(`${error}: ${text}`);
    this.observer?.receiveError(error, bytes, offset, length);
  }
}
