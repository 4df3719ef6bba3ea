// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * An open channel: sends packets and signals (iPXE vmbus_send_data), and takes the host's packets
 * out of the ring, copied once, checked, then handed over (iPXE vmbus_poll).
 */

import type { ErrorName } from '../error.ts';
import type { Log } from '../events.ts';
import { HvStatus } from '../hyperv/protocol.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../machine.ts';
import { hex } from '../wire.ts';
import type { VmbusConnection } from './connection.ts';
import type { Offer } from './offer.ts';
import { newPacket, readHeader, readRanges, type Packet } from './packet.ts';
import { COMPLETION_REQUESTED, PacketFooter, PacketHeader, PacketType } from './protocol.ts';
import { ringLength, type InboundRing, type OutboundRing } from './ring.ts';

/** Length of the shortest packet. */
const PACKET_MIN = PacketHeader.size + PacketFooter.size;

/** Completions that may wait for room in the outbound ring. */
const PENDING_COMPLETIONS_MAX = 1024;

/** Failed signals in a row after which the channel is given up. */
const SIGNAL_TRIES_MAX = 100;

/** No header beyond that of every packet. One array for all: nothing is allocated per packet. */
const NO_WORDS: readonly number[] = [];

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
  /** There is room in the ring again, after sending has failed for want of it: flow control. */
  writable?(): void;
  /** The host has set the channel's event flag; by default the channel is drained. */
  interrupted?(): void;
  /** A packet that was dropped because it is malformed. */
  malformed(kind: ErrorName, text: string): void;
}

/** How somebody with interrupts uses a channel. */
export interface ChannelPart {
  /** There is no room for a packet of `length` bytes on the ring. @returns if there is some now */
  noRoom(length: number): boolean;
  /** The channel is polled, and intact: there may be room again. */
  polled(): void;
  /**
   * Handle what has come, in place of polling.
   *
   * @param max most packets to handle
   * @param stop asked after each packet whether to go on later
   * @returns how many were handled
   */
  drain(max: number, stop?: () => boolean): number;
}

/** Whose channel it is: the device. */
export interface ChannelOwner {
  readonly offer: Offer;
  readonly name: string;
  readonly log: Log;
  readonly connection: VmbusConnection;
}

export class VmbusChannel {
  /** The offer that was accepted: number, monitor, connection ID of the channel's events. */
  readonly offer: Offer;
  readonly handler: ChannelHandler;
  readonly out: OutboundRing;
  readonly in: InboundRing;
  /** Payload of completions: set by the device (a policy), zero length for none. */
  completionPayload: Uint8Array = new Uint8Array(0);
  /** Why the channel is no good any more, or undefined. */
  broken: ErrorName | undefined;
  /** Plugged in once the channel is open. */
  part: ChannelPart | undefined;
  readonly #device: ChannelOwner;
  readonly #packet: Packet;
  /** Header words of a packet under construction. */
  readonly #words: number[] = [];
  #signalFailures = 0;
  /** Completions for which there was no room: low and high halves, in turn. */
  readonly #pending: number[] = [];

  /**
   * @param out,into the rings, zeroed
   * @param packetLength longest packet that is accepted, footer included
   */
  constructor(
    device: ChannelOwner,
    handler: ChannelHandler,
    out: OutboundRing,
    into: InboundRing,
    packetLength: number,
  ) {
    this.offer = device.offer;
    this.handler = handler;
    this.out = out;
    this.in = into;
    this.#device = device;
    this.#packet = newPacket(packetLength);
  }

  // --- send ---

  /**
   * Send in-band data.
   *
   * @param id transaction ID (upper half 0); a completion is requested unless it is 0
   * @returns false if the ring has no room
   */
  sendInband(id: number, payload: Uint8Array, length?: number): boolean {
    const flags = id === 0 ? 0 : COMPLETION_REQUESTED;
    return this.send(PacketType.DATA_INBAND, flags, id, 0, payload, length);
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
    length?: number,
  ): boolean {
    const words = this.#words;
    const offset = address % PAGE_SIZE;
    const first = (address - offset) / PAGE_SIZE;
    const pages = (offset + dataLength + PAGE_SIZE - 1) >>> PAGE_SHIFT;

    // One range. iPXE leaves the reserved word in front of it uninitialised: its defect 1
    words[0] = 0;
    words[1] = 1;
    words[2] = dataLength;
    words[3] = offset;
    for (let i = 0; i < pages; i++) {
      words[4 + 2 * i] = first + i;
      words[5 + 2 * i] = 0;
    }
    const type = PacketType.DATA_GPA_DIRECT;
    return this.send(type, COMPLETION_REQUESTED, id, 0, payload, length, words, 4 + 2 * pages);
  }

  /** Ask the host to abandon something. @returns false if the ring has no room */
  sendCancellation(id: number): boolean {
    return this.send(PacketType.CANCELLATION, 0, id, 0, this.completionPayload, 0);
  }

  /** Complete a packet of the host: at once, or as soon as the ring has room. Never lost. */
  complete(idLow: number, idHigh: number): void {
    const pending = this.#pending;
    if (pending.length === 0 && this.#sendCompletion(idLow, idHigh)) return;
    if (pending.length === 2 * PENDING_COMPLETIONS_MAX) {
      this.#breakOff('RingFull', 'completion');
      return;
    }
    pending.push(idLow, idHigh);
  }

  #sendCompletion(idLow: number, idHigh: number): boolean {
    return this.send(PacketType.COMPLETION, 0, idLow, idHigh, this.completionPayload);
  }

  /**
   * Send a packet of any type.
   *
   * @param type,flags as PacketHeader has them
   * @param idLow,idHigh halves of the transaction ID
   * @param payload its first `length` bytes are sent, by default all
   * @param words what follows the packet's header: the first `count` of them, an even number
   * @returns false if the ring has no room
   */
  send(
    type: number,
    flags: number,
    idLow: number,
    idHigh: number,
    payload: Uint8Array,
    length = payload.length,
    words: ArrayLike<number> = NO_WORDS,
    count = 0,
  ): boolean {
    // Check that there is room
    const { out } = this;
    const headerLength = PacketHeader.size + 4 * count;
    const total = ringLength(headerLength, length);
    if (this.broken) return false;
    const room = out.writable;
    if (room < 0) this.#breakOff('ChannelBroken', 'consumer index');
    if (room < 0 || (total > room && !this.part?.noRoom(total))) return false;

    // Construct packet, and publish it
    out.put32(type | ((headerLength >>> 3) << 16));
    out.put32(((total - PacketFooter.size) >>> 3) | (flags << 16));
    out.put64(idLow, idHigh);
    for (let i = 0; i < count; i++) out.put32(words[i]!);
    out.putBytes(payload, length);
    if (out.publish()) this.#signal();
    return true;
  }

  /** Signal the host. A failed signal is repeated by the next poll: the host would never look. */
  #signal(): void {
    const { connection, log, name } = this.#device;
    const status = connection.signal(this.offer);
    if (status === HvStatus.SUCCESS) {
      this.#signalFailures = 0;
      return;
    }
    if (++this.#signalFailures === 1) {
      const text = `signalling failed: status ${hex(status)}`;
      log.warning('VMBUS', name, text);
    }
    if (this.#signalFailures > SIGNAL_TRIES_MAX) {
      this.#breakOff('ChannelBroken', 'signal refused');
    }
  }

  /** Give the channel up: nothing more is sent or received. */
  #breakOff(kind: ErrorName, text: string): void {
    if (this.broken) return;
    this.broken = kind;
    this.#device.log.error('VMBUS', this.#device.name, `channel given up: ${text}`);
  }

  // --- receive ---

  /**
   * Handle one packet of the host. Each call consumes what it has looked at, good or bad.
   *
   * @returns false if there was none
   */
  poll(): boolean {
    // Do first what could not be done before: signals, then completions
    const pending = this.#pending;
    if (this.broken) return false;
    if (this.#signalFailures > 0) this.#signal();
    while (pending.length > 0 && this.#sendCompletion(pending[0]!, pending[1]!)) {
      pending.splice(0, 2);
    }
    this.part?.polled();

    // Check that there is a whole packet
    if (this.broken) return false;
    const available = this.in.readable;
    if (available < 0) this.#breakOff('ChannelBroken', 'producer index');
    if (available <= 0) return false;
    const length = this.#readHeader(available);
    if (length === 0) return true;

    // Copy it, give the ring back, and hand it over
    const packet = this.#packet;
    this.in.copy(PacketHeader.size, packet.view, length - PacketHeader.size);
    if (this.in.consume(length)) this.#signal();
    this.#dispatch(packet);
    return true;
  }

  /** Copy and check a packet's header. Returns its length on the ring, or 0 if it was consumed. */
  #readHeader(available: number): number {
    const packet = this.#packet;
    let error: ErrorName = 'PacketLengthMismatch';
    let length = 0;
    let framed = false;
    if (available >= PACKET_MIN) {
      this.in.copy(0, packet.view, PacketHeader.size);
      readHeader(packet);
      const { payload, payloadLength } = packet;
      length = payload + payloadLength + PacketFooter.size;

      // A packet that does not end where the host has stopped writing: the framing is lost
      framed = length >= PACKET_MIN && length <= available;
      if (framed && payload < PacketHeader.size) error = 'PacketHeaderTooShort';
      else if (framed && payloadLength >= 0) {
        if (length <= packet.bytes.length) return length;
        error = 'PacketTooLong';
      }
    }

    // Consume it and complete it, if the host waits for that; or consume everything: nobody knows
    // where the next packet begins
    const { type, flags, idLow, idHigh } = packet;
    if (this.in.consume(framed ? length : available)) this.#signal();
    const text = `packet of ${length} bytes, ${available} are there`;
    this.handler.malformed(error, text);
    const waits = type === PacketType.DATA_XFER_PAGES || flags & COMPLETION_REQUESTED;
    if (framed && waits && type !== PacketType.COMPLETION) this.complete(idLow, idHigh);
    return 0;
  }

  #dispatch(packet: Packet): void {
    const { handler } = this;
    const { type, flags, idLow, idHigh } = packet;
    let completes = (flags & COMPLETION_REQUESTED) !== 0;
    if (type === PacketType.COMPLETION || type === PacketType.CANCELLATION) {
      completes = false;
      if (type === PacketType.COMPLETION) handler.completed(packet);
      else handler.cancelled(packet);
    } else if (type === PacketType.DATA_INBAND) {
      handler.receivedInband(packet);
    } else if (type !== PacketType.DATA_XFER_PAGES) {
      handler.malformed('PacketTypeUnknown', `packet type ${type}`);
    } else {
      // The ranges must fill the header: iPXE trusts their count (its defect 6)
      completes = !readRanges(packet);
      if (completes) {
        const text = `${packet.rangeCount} ranges, header of ${packet.payload} bytes`;
        handler.malformed('RangeCountMismatch', text);
      } else {
        handler.receivedPages(packet);
      }
    }
    if (completes) this.complete(idLow, idHigh);
  }
}
