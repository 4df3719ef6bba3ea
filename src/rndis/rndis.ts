// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * RNDIS: a network device over anything that carries RNDIS messages. Knows nothing of Hyper-V
 * (iPXE net/rndis.c).
 */

import { HypxeError, type ErrorName } from '../error.ts';
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
import {
  MediaState,
  Oid,
  PacketFilter,
  RNDIS_BODY,
  RndisHeader,
  RndisIndicateStatus,
  RndisKeepalive,
  RndisPacket,
  RndisStatus,
  RndisType,
} from './protocol.ts';
import { RndisRequests } from './requests.ts';
import { SEQUENCE_CONTROL, type RndisReceiver, type RndisTransport } from './transport.ts';

/** Everything: a boot client must hear whatever it is sent (iPXE rndis_open). */
const OPEN_FILTER =
  PacketFilter.DIRECTED |
  PacketFilter.MULTICAST |
  PacketFilter.ALL_MULTICAST |
  PacketFilter.BROADCAST |
  PacketFilter.PROMISCUOUS;

/** Length of a MAC address. */
const ADDRESS_LENGTH = 6;

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
  readonly #requests: RndisRequests;
  readonly #log: Log;
  #sequence = 0;
  /** The caller's frame buffer and its view: callers use one buffer over and over. */
  #frame: Uint8Array | undefined;
  #frameView: DataView | undefined;

  constructor(name: string, transport: RndisTransport) {
    this.name = name;
    this.#transport = transport;
    this.#requests = new RndisRequests(transport);
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
      this.#requests.initialise();
      this.#queryAddress(Oid.OID_802_3_PERMANENT_ADDRESS, this.permanentAddress);
      this.#queryAddress(Oid.OID_802_3_CURRENT_ADDRESS, this.address);
      this.#queryLink();
    } finally {
      this.#requests.halt();
      this.#transport.close();
    }
  }

  open(): void {
    if (this.isOpen) return;
    this.#transport.open();
    try {
      this.#requests.initialise();
      this.#transport.initialised?.();
      this.#requests.set(Oid.GEN_CURRENT_PACKET_FILTER, OPEN_FILTER);
      this.#queryLink();
      this.isOpen = true;
    } catch (error) {
      this.#requests.halt();
      this.#transport.close();
      throw error;
    }
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    if (this.#transport.failure === undefined) {
      this.#clearFilter();
      this.#requests.halt();
    }
    this.#transport.close();
  }

  /** The device below was lost and found again: what was open is opened anew. @throws HypxeError */
  reset(abandon: () => void): void {
    const wasOpen = this.isOpen;
    this.abandon(abandon);
    if (wasOpen) this.open();
  }

  /** The device below is gone: forget it, without a word to it. */
  abandon(abandon: () => void): void {
    this.isOpen = false;
    this.#requests.forget();
    abandon();
  }

  /** Without this, receiving may be dead after the next open (iPXE 67291465e). */
  #clearFilter(): void {
    try {
      this.#requests.set(Oid.GEN_CURRENT_PACKET_FILTER, 0);
    } catch (error) {
      if (!(error instanceof HypxeError)) throw error;
      this.#log.warning('RNDIS', this.instance, `receive filter not cleared: ${error.message}`);
    }
  }

  #queryAddress(oid: number, into: Uint8Array): void {
    this.#requests.query(oid);
    const { info, infoLength } = this.#requests;
    if (infoLength !== ADDRESS_LENGTH) {
      throw new HypxeError('BadAddress', `MAC address of ${infoLength} bytes`);
    }
    for (let i = 0; i < ADDRESS_LENGTH; i++) into[i] = info[i]!;
  }

  #queryLink(): void {
    this.#requests.query(Oid.GEN_MEDIA_CONNECT_STATUS);
    const { info, infoLength } = this.#requests;
    if (infoLength !== 4) {
      throw new HypxeError('BadRndisMessage', `link state of ${infoLength} bytes`);
    }
    const state = new DataView(info.buffer).getUint32(0, true);
    this.#setLink(state === MediaState.CONNECTED);
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
    const { memory } = this.#transport;
    const total = RndisPacket.size + length;
    memory.zero(buffer, RndisPacket.size);
    memory.set32(buffer + RndisPacket.at.type, RndisType.PACKET);
    memory.set32(buffer + RndisPacket.at.length, total);
    memory.set32(buffer + RndisPacket.at.dataOffset, RndisPacket.size - RNDIS_BODY);
    memory.set32(buffer + RndisPacket.at.dataLength, length);
    this.#copyFrame(buffer + RndisPacket.size, frame, length);
    return this.#transport.transmit(buffer, total, false, sequence);
  }

  #copyFrame(address: number, frame: Uint8Array, length: number): void {
    // The engine copies a whole array fastest; for a part of one it would make a view each time
    const { memory } = this.#transport;
    if (length === frame.length) {
      memory.bytes.set(frame, address);
      return;
    }
    if (frame !== this.#frame) {
      this.#frame = frame;
      this.#frameView = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    }
    memory.copyIn(address, this.#frameView!, 0, length);
  }

  transmitted(sequence: number, error: ErrorName | undefined): void {
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
      this.receiveFailed('BadRndisMessage', `message of ${length} bytes`, bytes, offset, length);
      return;
    }
    // The length in the header is not looked at: `length` is the message's extent
    const type = view.getUint32(offset + RndisHeader.at.type, true);
    switch (type) {
      case RndisType.PACKET:
        this.#receivedPacket(bytes, view, offset, length);
        return;
      case RndisType.INITIALISE_CMPLT:
      case RndisType.SET_CMPLT:
        this.#requests.answered(view, offset, length, type);
        return;
      case RndisType.QUERY_CMPLT:
        this.#requests.answeredQuery(bytes, view, offset, length);
        return;
      case RndisType.INDICATE_STATUS:
        this.#receivedStatus(bytes, view, offset, length);
        return;
      case RndisType.KEEPALIVE:
        this.#receivedKeepalive(bytes, view, offset, length);
        return;
      default: {
        const text = `message type ${hex(type)}`;
        this.receiveFailed('UnknownMessage', text, bytes, offset, length);
      }
    }
  }

  #receivedPacket(bytes: Uint8Array, view: DataView, offset: number, length: number): void {
    if (length < RndisPacket.size) {
      const text = `packet of ${length} bytes`;
      this.receiveFailed('BadRndisMessage', text, bytes, offset, length);
      return;
    }
    // Locate and check the data
    const body = length - RNDIS_BODY;
    const dataOffset = view.getUint32(offset + RndisPacket.at.dataOffset, true);
    const dataLength = view.getUint32(offset + RndisPacket.at.dataLength, true);
    if (dataOffset > body || dataLength > body - dataOffset) {
      const text = `data [${dataOffset},+${dataLength}) exceeds ${body} bytes`;
      this.receiveFailed('BadRndisMessage', text, bytes, offset, length);
      return;
    }
    if (dataLength < ETHERNET_HEADER) {
      const text = `frame of ${dataLength} bytes`;
      this.receiveFailed('FrameTooShort', text, bytes, offset, length);
      return;
    }
    // Hand frame over
    this.statistics.rxGood++;
    this.receiver?.receive(bytes, offset + RNDIS_BODY + dataOffset, dataLength);
  }

  #receivedStatus(bytes: Uint8Array, view: DataView, offset: number, length: number): void {
    if (length < RndisIndicateStatus.size) {
      const text = `status of ${length} bytes`;
      this.receiveFailed('BadRndisMessage', text, bytes, offset, length);
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
        this.receiveFailed('UnknownStatus', text, bytes, offset, length);
      }
    }
  }

  #receivedKeepalive(bytes: Uint8Array, view: DataView, offset: number, length: number): void {
    if (length < RndisKeepalive.size) {
      const text = `keep-alive of ${length} bytes`;
      this.receiveFailed('BadRndisMessage', text, bytes, offset, length);
      return;
    }
    this.#requests.answerKeepalive(view, offset);
  }

  receiveFailed(error: ErrorName, text: string, bytes?: Uint8Array, offset = 0, length = 0): void {
    this.statistics.rxBad++;
    this.#log.warning('RNDIS', this.instance, `${error}: ${text}`);
    this.observer?.receiveError(error, bytes ?? EMPTY, offset, length);
  }
}

const EMPTY = new Uint8Array(0);

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
