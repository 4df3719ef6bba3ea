// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * RNDIS: a network device over anything that carries RNDIS messages. Knows nothing of Hyper-V
 * (iPXE net/rndis.c).
 */

import { HypxeError, type ErrorKind } from '../error.ts';
import type { Log } from '../events.ts';
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
import { TICKS_PER_MS } from '../time.ts';
import { RndisError } from './errors.ts';
import {
  MediaState,
  Oid,
  PacketFilter,
  RNDIS_BODY,
  RndisHalt,
  RndisHeader,
  RndisIndicateStatus,
  RndisInitialise,
  RndisInitialiseComplete,
  RndisKeepalive,
  RndisKeepaliveComplete,
  RndisPacket,
  RndisQueryComplete,
  RndisRequest,
  RndisSetComplete,
  RndisStatus,
  RndisType,
} from './protocol.ts';
import { SEQUENCE_CONTROL, type RndisReceiver, type RndisTransport } from './transport.ts';

/** How long the device may take to answer a request, in ms. */
const REQUEST_TIMEOUT_MS = 1000;

/** Request ID of INITIALISE (iPXE RNDIS_INIT_ID); requests for an OID have the OID as their ID. */
const INITIALISE_ID = 0xe110e110;

/** RNDIS version, and the longest transfer that is announced (iPXE RNDIS_MTU). */
const VERSION_MAJOR = 1;
const VERSION_MINOR = 0;
const MAX_TRANSFER = 2048;

/** Everything: a boot client must hear whatever it is sent (iPXE rndis_open). */
const OPEN_FILTER =
  PacketFilter.DIRECTED |
  PacketFilter.MULTICAST |
  PacketFilter.ALL_MULTICAST |
  PacketFilter.BROADCAST |
  PacketFilter.PROMISCUOUS;

/** Added to the ID of a request whose like has timed out: its late answer is not this one's. */
const RETRY_ID_STEP = 0x01000000;

/** Length of a MAC address. */
const ADDRESS_LENGTH = 6;

/** An answer that is waited for. */
const NOTHING = -1;

export class RndisDevice implements NetDevice, RndisReceiver {
  readonly name: string;
  readonly permanentAddress: Uint8Array = new Uint8Array(ADDRESS_LENGTH);
  readonly address: Uint8Array = new Uint8Array(ADDRESS_LENGTH);
  readonly maxFrame = ETHERNET_FRAME_MAX;
  readonly statistics: NetStatistics = { txGood: 0, txBad: 0, rxGood: 0, rxBad: 0 };
  link: LinkState = 'unknown';
  isOpen = false;
  receiver: FrameReceiver | undefined;
  observer: NetObserver | undefined;
  readonly #transport: RndisTransport;
  readonly #log: Log;
  #initialised = false;
  #sequence = 0;
  /** Requests that have timed out since the device was made. */
  #timeouts = 0;
  /** Request that is waited for, its answer's type, and its status once answered. */
  #awaitedId = NOTHING;
  #awaitedType = 0;
  #status = NOTHING;
  /** Information of the last QUERY_CMPLT. */
  readonly #info = new Uint8Array(64);
  #infoLength = 0;
  /** The caller's frame buffer and its view: callers use one buffer over and over. */
  #frame: Uint8Array | undefined;
  #frameView: DataView | undefined;

  constructor(name: string, transport: RndisTransport) {
    this.name = name;
    this.#transport = transport;
    this.#log = transport.log;
    transport.receiver = this;
  }

  get instance(): string {
    return this.#transport.name;
  }

  // --- describe, open, close ---

  /** Learn addresses and link state: a complete open and close. @throws HypxeError, closed */
  describe(): void {
    this.#transport.open();
    try {
      this.#initialise();
      this.#queryAddress(Oid.OID_802_3_PERMANENT_ADDRESS, this.permanentAddress);
      this.#queryAddress(Oid.OID_802_3_CURRENT_ADDRESS, this.address);
      this.#queryLink();
    } finally {
      this.#halt();
      this.#transport.close();
    }
  }

  open(): void {
    if (this.isOpen) return;
    this.#transport.open();
    try {
      this.#initialise();
      this.#setFilter(OPEN_FILTER);
      this.#queryLink();
      this.isOpen = true;
    } catch (error) {
      this.#halt();
      this.#transport.close();
      throw error;
    }
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    if (this.#transport.failure === undefined) {
      // Clear the filter: without that receiving may be dead after the next open (iPXE 67291465e)
      try {
        this.#setFilter(0);
      } catch (error) {
        this.#ignore('could not clear the receive filter', error);
      }
      this.#halt();
    }
    this.#transport.close();
  }

  /** The device below was lost and found again: what was open is opened anew. @throws HypxeError */
  reset(abandon: () => void): void {
    const wasOpen = this.isOpen;
    this.isOpen = this.#initialised = false;
    abandon();
    if (wasOpen) this.open();
  }

  #initialise(): void {
    const buffer = this.#begin(RndisType.INITIALISE, RndisInitialise.size);
    const { memory } = this.#transport;
    memory.set32(buffer + RndisInitialise.at.requestId, INITIALISE_ID);
    memory.set32(buffer + RndisInitialise.at.major, VERSION_MAJOR);
    memory.set32(buffer + RndisInitialise.at.minor, VERSION_MINOR);
    memory.set32(buffer + RndisInitialise.at.maxTransfer, MAX_TRANSFER);
    const { size } = RndisInitialise;
    this.#request(buffer, size, INITIALISE_ID, RndisType.INITIALISE_CMPLT, 'INITIALISE');
    this.#initialised = true;
  }

  /** Undo {@link #initialise}. There is no answer to it. */
  #halt(): void {
    if (!this.#initialised) return;
    this.#initialised = false;
    try {
      const buffer = this.#begin(RndisType.HALT, RndisHalt.size);
      this.#send(buffer, RndisHalt.size, 'HALT');
    } catch (error) {
      this.#ignore('could not halt', error);
    }
  }

  #ignore(what: string, error: unknown): void {
    if (!(error instanceof HypxeError)) throw error;
    this.#log.warning('RNDIS', this.instance, `${what}: ${error.message}`);
  }

  // --- requests ---

  /** A zeroed control message. @throws HypxeError NoBuffer */
  #begin(type: number, length: number): number {
    const { memory } = this.#transport;
    const buffer = this.#transport.allocate(true);
    if (buffer === 0) throw new HypxeError(RndisError.NoBuffer, 'no buffer for a control message');
    memory.zero(buffer, length);
    memory.set32(buffer + RndisHeader.at.type, type);
    memory.set32(buffer + RndisHeader.at.length, length);
    return buffer;
  }

  #send(buffer: number, length: number, what: string): void {
    if (this.#transport.transmit(buffer, length, true, SEQUENCE_CONTROL) === 'sent') return;
    const kind = this.#transport.failure ?? RndisError.NoBuffer;
    throw new HypxeError(kind, `could not send ${what}`);
  }

  /** Send a request and wait for its answer. @throws HypxeError NoAnswer, RequestFailed */
  #request(buffer: number, length: number, id: number, type: number, what: string): void {
    const { clock } = this.#transport;
    this.#awaitedId = id;
    this.#awaitedType = type;
    this.#status = NOTHING;
    try {
      this.#send(buffer, length, what);
      const deadline = clock.now() + REQUEST_TIMEOUT_MS * TICKS_PER_MS;
      for (let expired = false; ; expired = clock.now() >= deadline) {
        this.#transport.poll();
        if (this.#status !== NOTHING) break;
        const { failure } = this.#transport;
        if (failure !== undefined) throw new HypxeError(failure, `device gone during ${what}`);
        if (expired) {
          this.#timeouts++;
          const text = `no answer to ${what} within ${REQUEST_TIMEOUT_MS} ms`;
          throw new HypxeError(RndisError.NoAnswer, text);
        }
        clock.pause();
      }
    } finally {
      this.#awaitedId = NOTHING;
    }
    if (this.#status === RndisStatus.SUCCESS) return;
    const text = `${what} failed with status ${hex(this.#status)}`;
    throw new HypxeError(RndisError.RequestFailed, text, this.#status);
  }

  /** A QUERY or SET of an OID, with `value` as the information of a SET. */
  #requestOid(type: number, oid: number, value?: number): void {
    const { memory } = this.#transport;
    const infoLength = value === undefined ? 0 : 4;
    const length = RndisRequest.size + infoLength;
    const id = (oid ^ (this.#timeouts * RETRY_ID_STEP)) >>> 0;
    const buffer = this.#begin(type, length);
    memory.set32(buffer + RndisRequest.at.requestId, id);
    memory.set32(buffer + RndisRequest.at.oid, oid);
    memory.set32(buffer + RndisRequest.at.infoLength, infoLength);
    memory.set32(buffer + RndisRequest.at.infoOffset, RndisRequest.size - RNDIS_BODY);
    if (value !== undefined) memory.set32(buffer + RndisRequest.size, value);
    const answer = type === RndisType.QUERY ? RndisType.QUERY_CMPLT : RndisType.SET_CMPLT;
    const what = `${type === RndisType.QUERY ? 'QUERY' : 'SET'} ${hex(oid)}`;
    this.#request(buffer, length, id, answer, what);
  }

  #queryAddress(oid: number, into: Uint8Array): void {
    this.#requestOid(RndisType.QUERY, oid);
    if (this.#infoLength !== ADDRESS_LENGTH) {
      const text = `MAC address of ${this.#infoLength} bytes`;
      throw new HypxeError(RndisError.BadAddress, text);
    }
    for (let i = 0; i < ADDRESS_LENGTH; i++) into[i] = this.#info[i]!;
  }

  #queryLink(): void {
    this.#requestOid(RndisType.QUERY, Oid.GEN_MEDIA_CONNECT_STATUS);
    if (this.#infoLength !== 4) {
      const text = `link state of ${this.#infoLength} bytes`;
      throw new HypxeError(RndisError.BadMessage, text);
    }
    const state = new DataView(this.#info.buffer).getUint32(0, true);
    this.#setLink(state === MediaState.CONNECTED);
  }

  #setFilter(filter: number): void {
    this.#requestOid(RndisType.SET, Oid.GEN_CURRENT_PACKET_FILTER, filter);
  }

  #setLink(up: boolean): void {
    this.link = up ? 'up' : 'down';
    this.#log.info('RNDIS', this.instance, `link is ${this.link}`);
    if (this.#log.on) this.#log.emit({ kind: 'link', name: this.name, up });
    this.observer?.linkChanged(up);
  }

  // --- transmit ---

  transmit(frame: Uint8Array, length: number): TransmitResult {
    const sequence = this.#sequence++;
    const result = this.#transmit(frame, length, sequence);
    if (result === 'dropped') this.statistics.txBad++;
    return result;
  }

  #transmit(frame: Uint8Array, length: number, sequence: number): TransmitResult {
    // Check that it can be sent at all
    if (!this.isOpen || length > this.maxFrame || length > frame.length) {
      const text = this.isOpen ? `frame of ${length} bytes dropped` : 'device is not open';
      this.#log.warning('RNDIS', this.instance, text);
      return 'dropped';
    }
    const buffer = this.#transport.allocate(false);
    if (buffer === 0) return 'dropped';

    // Construct message around a copy of the frame
    if (frame !== this.#frame) {
      this.#frame = frame;
      this.#frameView = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    }
    const { memory } = this.#transport;
    const total = RndisPacket.size + length;
    memory.zero(buffer, RndisPacket.size);
    memory.set32(buffer + RndisPacket.at.type, RndisType.PACKET);
    memory.set32(buffer + RndisPacket.at.length, total);
    memory.set32(buffer + RndisPacket.at.dataOffset, RndisPacket.size - RNDIS_BODY);
    memory.set32(buffer + RndisPacket.at.dataLength, length);
    memory.copyIn(buffer + RndisPacket.size, frame, this.#frameView!, length);
    return this.#transport.transmit(buffer, total, false, sequence);
  }

  transmitted(sequence: number, error: ErrorKind | undefined): void {
    if (sequence === SEQUENCE_CONTROL) return;
    if (error === undefined) this.statistics.txGood++;
    else this.statistics.txBad++;
    this.observer?.transmitted(sequence, error);
  }

  // --- receive ---

  poll(): void {
    if (this.isOpen) this.#transport.poll();
  }

  received(bytes: Uint8Array, view: DataView, offset: number, length: number): void {
    if (length < RndisHeader.size) {
      this.receiveFailed(
        RndisError.BadMessage,
        `message of ${length} bytes`,
        bytes,
        offset,
        length,
      );
      return;
    }
    // The length in the header is not looked at: `length` is the message's extent
    const type = view.getUint32(offset + RndisHeader.at.type, true);
    switch (type) {
      case RndisType.PACKET:
        this.#receivedPacket(bytes, view, offset, length);
        return;
      case RndisType.INITIALISE_CMPLT:
        this.#answered(view, offset, length, type, RndisInitialiseComplete.size);
        return;
      case RndisType.QUERY_CMPLT:
        this.#receivedInfo(bytes, view, offset, length);
        return;
      case RndisType.SET_CMPLT:
        this.#answered(view, offset, length, type, RndisSetComplete.size);
        return;
      case RndisType.INDICATE_STATUS:
        this.#receivedStatus(bytes, view, offset, length);
        return;
      case RndisType.KEEPALIVE:
        this.#receivedKeepalive(view, offset, length);
        return;
      default: {
        const text = `message type ${hex(type)}`;
        this.receiveFailed(RndisError.UnknownMessage, text, bytes, offset, length);
      }
    }
  }

  #receivedPacket(bytes: Uint8Array, view: DataView, offset: number, length: number): void {
    if (length < RndisPacket.size) {
      const text = `packet of ${length} bytes`;
      this.receiveFailed(RndisError.BadMessage, text, bytes, offset, length);
      return;
    }
    // Locate and check the data
    const body = length - RNDIS_BODY;
    const dataOffset = view.getUint32(offset + RndisPacket.at.dataOffset, true);
    const dataLength = view.getUint32(offset + RndisPacket.at.dataLength, true);
    if (dataOffset > body || dataLength > body - dataOffset) {
      const text = `data [${dataOffset},+${dataLength}) exceeds ${body} bytes`;
      this.receiveFailed(RndisError.BadMessage, text, bytes, offset, length);
      return;
    }
    if (dataLength < ETHERNET_HEADER) {
      const text = `frame of ${dataLength} bytes`;
      this.receiveFailed(RndisError.FrameTooShort, text, bytes, offset, length);
      return;
    }
    // Hand frame over
    this.statistics.rxGood++;
    this.receiver?.receive(bytes, offset + RNDIS_BODY + dataOffset, dataLength);
  }

  /** An answer of `type`: wake whoever waits for it. Malformed ones wake too (iPXE's defect 11). */
  #answered(view: DataView, offset: number, length: number, type: number, min: number): boolean {
    const id = length >= RNDIS_BODY + 4 ? view.getUint32(offset + RNDIS_BODY, true) : NOTHING;
    if (id !== this.#awaitedId || type !== this.#awaitedType) {
      this.#log.info('RNDIS', this.instance, `unexpected answer ${hex(type)} to ${hex(id >>> 0)}`);
      return false;
    }
    if (length < min) {
      this.#log.warning('RNDIS', this.instance, `answer ${hex(type)} of ${length} bytes`);
      this.#status = RndisStatus.FAILURE;
      return false;
    }
    this.#status = view.getUint32(offset + RndisSetComplete.at.status, true);
    return this.#status === RndisStatus.SUCCESS;
  }

  #receivedInfo(bytes: Uint8Array, view: DataView, offset: number, length: number): void {
    const { size } = RndisQueryComplete;
    if (!this.#answered(view, offset, length, RndisType.QUERY_CMPLT, size)) return;

    // Locate and check the information
    const body = length - RNDIS_BODY;
    const infoOffset = view.getUint32(offset + RndisQueryComplete.at.infoOffset, true);
    const infoLength = view.getUint32(offset + RndisQueryComplete.at.infoLength, true);
    const inside = infoOffset <= body && infoLength <= body - infoOffset;
    if (!inside || infoLength > this.#info.length) {
      const text = `information [${infoOffset},+${infoLength}) in ${body} bytes`;
      this.#log.warning('RNDIS', this.instance, text);
      this.#status = RndisStatus.FAILURE;
      return;
    }
    this.#infoLength = infoLength;
    const from = offset + RNDIS_BODY + infoOffset;
    for (let i = 0; i < infoLength; i++) this.#info[i] = bytes[from + i]!;
  }

  #receivedStatus(bytes: Uint8Array, view: DataView, offset: number, length: number): void {
    if (length < RndisIndicateStatus.size) {
      const text = `status of ${length} bytes`;
      this.receiveFailed(RndisError.BadMessage, text, bytes, offset, length);
      return;
    }
    const status = view.getUint32(offset + RndisIndicateStatus.at.status, true);
    switch (status) {
      case RndisStatus.MEDIA_CONNECT:
        this.#setLink(true);
        return;
      case RndisStatus.MEDIA_DISCONNECT:
        this.#setLink(false);
        return;
      case RndisStatus.TASK_OFFLOAD_CURRENT_CONFIG:
        // Windows Server 2012 R2 at start of day: nothing to do (iPXE f6a3bc0aa)
        return;
      default: {
        const text = `status ${hex(status)}`;
        this.receiveFailed(RndisError.UnknownStatus, text, bytes, offset, length);
      }
    }
  }

  /** Answer, so that the device does not take us for dead (iPXE does not: observation 30). */
  #receivedKeepalive(view: DataView, offset: number, length: number): void {
    if (length < RndisKeepalive.size || this.#transport.failure !== undefined) return;
    const id = view.getUint32(offset + RndisKeepalive.at.requestId, true);
    try {
      const { size } = RndisKeepaliveComplete;
      const buffer = this.#begin(RndisType.KEEPALIVE_CMPLT, size);
      const { memory } = this.#transport;
      memory.set32(buffer + RndisKeepaliveComplete.at.requestId, id);
      memory.set32(buffer + RndisKeepaliveComplete.at.status, RndisStatus.SUCCESS);
      this.#send(buffer, size, 'KEEPALIVE_CMPLT');
    } catch (error) {
      this.#ignore('keep-alive not answered', error);
    }
  }

  receiveFailed(error: ErrorKind, text: string, bytes?: Uint8Array, offset = 0, length = 0): void {
    this.statistics.rxBad++;
    this.#log.warning('RNDIS', this.instance, `${error.name}: ${text}`);
    this.observer?.receiveError(error, bytes ?? EMPTY, offset, length);
  }
}

const EMPTY = new Uint8Array(0);

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
