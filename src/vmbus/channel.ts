// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * An open channel: sending the packet types that a guest sends, and taking the host's packets out
 * of the ring, copied once, checked, then handed over (iPXE vmbus_send, vmbus_poll).
 */

import { HypxeError, type ErrorKind } from '../error.ts';
import type { Log } from '../events.ts';
import { HvStatus } from '../hyperv/protocol.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../machine.ts';
import type { Region } from '../memory/shared-memory.ts';
import type { VmbusConnection } from './connection.ts';
import { VmbusError } from './errors.ts';
import {
  COMPLETION_REQUESTED,
  GpaDirectHeader,
  GpaRange,
  PacketFooter,
  PacketHeader,
  PacketType,
  RingControl,
} from './protocol.ts';
import { newPacket, readHeader, readRanges, type Packet } from './packet.ts';
import { InboundRing, OutboundRing, ringLength } from './ring.ts';

/** Completions that may wait for room in the outbound ring. */
const PENDING_COMPLETIONS_MAX = 1024;

/** Failed signals in a row after which the channel is given up. */
const SIGNAL_TRIES_MAX = 100;

/** Takes what a channel receives. */
export interface ChannelHandler {
  /** A completion of something that we sent. */
  completed(packet: Packet): void;
  /** In-band data. The channel completes it afterwards, if asked to. */
  receivedInband(packet: Packet): void;
  /**
   * Data in transfer pages. The handler must copy what it needs and call
   * {@link VmbusChannel.complete}, whatever is wrong with it: the host waits for its pages.
   */
  receivedPages(packet: Packet): void;
  /** The host cancels something. */
  cancelled(packet: Packet): void;
  /** A packet that was dropped because it is malformed. */
  malformed(kind: ErrorKind, text: string): void;
}

/** What is needed to address a channel. */
export interface ChannelAddress {
  readonly id: number;
  /** Monitor ID, or -1. */
  readonly monitor: number;
  /** Connection ID of the channel's own events (from 2.4 on). */
  readonly eventConnectionId: number;
}

export class VmbusChannel {
  readonly address: ChannelAddress;
  readonly handler: ChannelHandler;
  /** Payload of completions: set by the device (a policy), zero length for none. */
  completionPayload: Uint8Array = new Uint8Array(0);
  /** Why the channel is no good any more, or undefined. */
  broken: ErrorKind | undefined;
  readonly #connection: VmbusConnection;
  readonly #log: Log;
  readonly #out: OutboundRing;
  readonly #in: InboundRing;
  readonly #packet: Packet;
  readonly #name: string;
  #signalFailures = 0;
  /** Completions for which there was no room: low and high halves. */
  readonly #pending = new Uint32Array(2 * PENDING_COMPLETIONS_MAX);
  #pendingCount = 0;

  /**
   * @param ring control page and data of the outbound ring, then of the inbound ring; zeroed
   * @param outLength,inLength bytes of data of each, powers of two
   * @param packetLength longest packet that is accepted, footer included
   */
  constructor(
    connection: VmbusConnection,
    address: ChannelAddress,
    handler: ChannelHandler,
    ring: Region,
    outLength: number,
    inLength: number,
    packetLength: number,
    name: string,
  ) {
    const { memory } = connection.hv.pages;
    this.address = address;
    this.handler = handler;
    this.#connection = connection;
    this.#log = connection.hv.log;
    this.#name = name;
    this.#out = new OutboundRing(memory, ring.address, outLength);
    const inbound = ring.address + RingControl.size + outLength;
    this.#in = new InboundRing(memory, inbound, inLength);
    this.#packet = newPacket(packetLength);
  }

  // --- sending ---

  /**
   * Send in-band data.
   *
   * @param id transaction ID (upper half 0); a completion is requested unless it is 0
   * @returns false if the ring has no room
   */
  sendInband(id: number, payload: Uint8Array, length: number): boolean {
    const total = ringLength(PacketHeader.size, length);
    if (!this.#hasRoom(total)) return false;
    const flags = id === 0 ? 0 : COMPLETION_REQUESTED;
    this.#putHeader(PacketType.DATA_INBAND, PacketHeader.size, total, flags, id, 0);
    this.#out.putBytes(payload, length);
    this.#publish();
    return true;
  }

  /**
   * Send in-band data as the answer to a packet of the host: under its transaction ID, and without
   * asking for a completion (how the utility services answer).
   *
   * @returns false if the ring has no room
   */
  sendAnswer(idLow: number, idHigh: number, payload: Uint8Array, length: number): boolean {
    const total = ringLength(PacketHeader.size, length);
    if (!this.#hasRoom(total)) return false;
    this.#putHeader(PacketType.DATA_INBAND, PacketHeader.size, total, 0, idLow, idHigh);
    this.#out.putBytes(payload, length);
    this.#publish();
    return true;
  }

  /** Whether the host has read everything that was sent. */
  get allRead(): boolean {
    return this.#out.allRead;
  }

  /**
   * Send data that lies in guest memory, physically contiguous, with an in-band payload beside it.
   *
   * @param id transaction ID (upper half 0)
   * @returns false if the ring has no room
   */
  sendGpaDirect(
    id: number,
    address: number,
    dataLength: number,
    payload: Uint8Array,
    length: number,
  ): boolean {
    const offset = address % PAGE_SIZE;
    const first = (address - offset) / PAGE_SIZE;
    const pages = (offset + dataLength + PAGE_SIZE - 1) >>> PAGE_SHIFT;
    const headerLength = GpaDirectHeader.size + GpaRange.size + 8 * pages;
    const total = ringLength(headerLength, length);
    if (!this.#hasRoom(total)) return false;

    // Descriptor, then one range. iPXE leaves the reserved word uninitialised: its defect 1
    const type = PacketType.DATA_GPA_DIRECT;
    this.#putHeader(type, headerLength, total, COMPLETION_REQUESTED, id, 0);
    this.#out.put32(0);
    this.#out.put32(1);
    this.#out.put32(dataLength);
    this.#out.put32(offset);
    for (let i = 0; i < pages; i++) this.#out.put64(first + i, 0);
    this.#out.putBytes(payload, length);
    this.#publish();
    return true;
  }

  /** Ask the host to abandon something. @returns false if the ring has no room */
  sendCancellation(id: number): boolean {
    const total = ringLength(PacketHeader.size, 0);
    if (!this.#hasRoom(total)) return false;
    this.#putHeader(PacketType.CANCELLATION, PacketHeader.size, total, 0, id, 0);
    this.#publish();
    return true;
  }

  /** Complete a packet of the host: at once, or as soon as the ring has room. Never lost. */
  complete(idLow: number, idHigh: number): void {
    if (this.#pendingCount === 0 && this.#sendCompletion(idLow, idHigh)) return;
    if (this.#pendingCount === PENDING_COMPLETIONS_MAX) {
      this.#break(VmbusError.RingFull, 'host takes no completions');
      return;
    }
    this.#pending[2 * this.#pendingCount] = idLow;
    this.#pending[2 * this.#pendingCount + 1] = idHigh;
    this.#pendingCount++;
  }

  #sendCompletion(idLow: number, idHigh: number): boolean {
    const { length } = this.completionPayload;
    const total = ringLength(PacketHeader.size, length);
    if (!this.#hasRoom(total)) return false;
    this.#putHeader(PacketType.COMPLETION, PacketHeader.size, total, 0, idLow, idHigh);
    this.#out.putBytes(this.completionPayload, length);
    this.#publish();
    return true;
  }

  #hasRoom(total: number): boolean {
    if (this.broken !== undefined) return false;
    const room = this.#out.writable;
    if (room < 0) this.#break(VmbusError.ChannelBroken, 'consumer index of the outbound ring');
    return total <= room;
  }

  #putHeader(
    type: number,
    headerLength: number,
    total: number,
    flags: number,
    idLow: number,
    idHigh: number,
  ): void {
    this.#out.put32(type | ((headerLength >>> 3) << 16));
    this.#out.put32(((total - PacketFooter.size) >>> 3) | (flags << 16));
    this.#out.put64(idLow, idHigh);
  }

  #publish(): void {
    if (this.#out.publish()) this.#signal();
  }

  /** Signal the host. A failed signal is repeated by the next poll: the host would never look. */
  #signal(): void {
    const { id, monitor, eventConnectionId } = this.address;
    const status = this.#connection.signal(id, monitor, eventConnectionId);
    if (status === HvStatus.SUCCESS) {
      this.#signalFailures = 0;
      return;
    }
    if (this.#signalFailures === 0) {
      const text = `signalling failed with status 0x${status.toString(16)}: trying again`;
      this.#log.warning('VMBUS', this.#name, text);
    }
    if (++this.#signalFailures > SIGNAL_TRIES_MAX) {
      this.#break(VmbusError.ChannelBroken, 'signal refused');
    }
  }

  // --- receiving ---

  /** Whether there is something to poll. */
  get hasData(): boolean {
    return this.broken === undefined && !this.#in.isEmpty;
  }

  /**
   * Handle one packet of the host. Each call consumes what it has looked at, good or bad.
   *
   * @returns false if there was none
   */
  poll(): boolean {
    // Do first what could not be done before
    if (this.broken !== undefined) return false;
    if (this.#signalFailures > 0) this.#signal();
    this.#flushCompletions();

    // Check that there is a whole packet
    if (this.broken !== undefined) return false;
    const available = this.#in.readable;
    if (available === 0) return false;
    if (available < 0) {
      this.#break(VmbusError.ChannelBroken, 'producer index of the inbound ring');
      return false;
    }
    const length = this.#readHeader(available);
    if (length === 0) return true;

    // Copy it, give the ring back, and hand it over
    const packet = this.#packet;
    this.#in.copy(PacketHeader.size, packet.view, length - PacketHeader.size);
    if (this.#in.consume(length)) this.#signal();
    this.#dispatch(packet);
    return true;
  }

  /** Copy and check a packet's header. Returns its length on the ring, or 0 if it was consumed. */
  #readHeader(available: number): number {
    const packet = this.#packet;
    if (available < PacketHeader.size + PacketFooter.size) {
      return this.#resynchronise(`${available} bytes are no packet`);
    }
    this.#in.copy(0, packet.view, PacketHeader.size);
    readHeader(packet);
    const headerLength = packet.payload;
    const bodyLength = headerLength + packet.payloadLength;
    const length = bodyLength + PacketFooter.size;

    // A packet that does not end where the host has stopped writing: the framing is lost
    if (length > available || bodyLength < PacketHeader.size) {
      return this.#resynchronise(`packet of ${length} bytes, ${available} are there`);
    }
    if (headerLength < PacketHeader.size || headerLength > bodyLength) {
      const short = headerLength < PacketHeader.size;
      const kind = short ? VmbusError.PacketHeaderTooShort : VmbusError.PacketLengthMismatch;
      return this.#reject(length, kind, `header ${headerLength}, packet ${bodyLength} bytes`);
    }
    if (length > packet.bytes.length) {
      return this.#reject(length, VmbusError.PacketTooLong, `packet of ${length} bytes`);
    }
    return length;
  }

  #dispatch(packet: Packet): void {
    switch (packet.type) {
      case PacketType.COMPLETION:
        this.handler.completed(packet);
        return;
      case PacketType.DATA_XFER_PAGES:
        if (this.#readRanges(packet)) this.handler.receivedPages(packet);
        return;
      case PacketType.DATA_INBAND: {
        const { flags, idLow, idHigh } = packet;
        this.handler.receivedInband(packet);
        if (flags & COMPLETION_REQUESTED) this.complete(idLow, idHigh);
        return;
      }
      case PacketType.CANCELLATION:
        this.handler.cancelled(packet);
        return;
      default:
        this.handler.malformed(VmbusError.PacketTypeUnknown, `packet type ${packet.type}`);
        if (packet.flags & COMPLETION_REQUESTED) this.complete(packet.idLow, packet.idHigh);
    }
  }

  /** The ranges must fill the header: iPXE trusts their count (its defect 6). */
  #readRanges(packet: Packet): boolean {
    if (readRanges(packet)) return true;
    const text = `${packet.rangeCount} ranges in a header of ${packet.payload} bytes`;
    this.handler.malformed(VmbusError.RangeCountMismatch, text);
    this.complete(packet.idLow, packet.idHigh);
    return false;
  }

  /** Consume a bad packet whose extent is known, and complete it if the host waits for that. */
  #reject(length: number, kind: ErrorKind, text: string): number {
    const { type, flags, idLow, idHigh } = this.#packet;
    if (this.#in.consume(length)) this.#signal();
    this.handler.malformed(kind, text);
    const waits = type === PacketType.DATA_XFER_PAGES || flags & COMPLETION_REQUESTED;
    if (waits && type !== PacketType.COMPLETION) this.complete(idLow, idHigh);
    return 0;
  }

  /** Consume everything: nobody knows where the next packet begins. */
  #resynchronise(text: string): number {
    this.#in.resynchronise();
    this.handler.malformed(VmbusError.PacketLengthMismatch, `${text}: skipping to the end`);
    return 0;
  }

  #flushCompletions(): void {
    let sent = 0;
    while (sent < this.#pendingCount) {
      const low = this.#pending[2 * sent]!;
      const high = this.#pending[2 * sent + 1]!;
      if (!this.#sendCompletion(low, high)) break;
      sent++;
    }
    if (sent === 0) return;
    this.#pending.copyWithin(0, 2 * sent, 2 * this.#pendingCount);
    this.#pendingCount -= sent;
  }

  #break(kind: ErrorKind, text: string): void {
    if (this.broken !== undefined) return;
    this.broken = kind;
    this.#log.error('VMBUS', this.#name, `channel given up: ${text}`);
  }

  /** @throws HypxeError ChannelBroken (or what broke it) if the channel is no good any more */
  requireIntact(): void {
    if (this.broken === undefined) return;
    throw new HypxeError(this.broken, `channel ${this.address.id} was given up`);
  }
}
