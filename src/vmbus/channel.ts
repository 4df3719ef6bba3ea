// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * An open channel: sends, and takes the host's packets out of the ring, copied once, checked, then
 * handed over (iPXE vmbus_poll; Linux hv_pkt_iter_first, vmbus_on_event).
 */

import type { ErrorName } from '../error.ts';
import { ChannelSender, type ChannelAddress } from './channel-sender.ts';
import type { VmbusConnection } from './connection.ts';
import { COMPLETION_REQUESTED, PacketFooter, PacketHeader, PacketType } from './protocol.ts';
import { newPacket, readHeader, readRanges, type Packet } from './packet.ts';
import { InboundRing } from './ring.ts';
import type { RingPlace } from './ring-layout.ts';

export type { ChannelAddress } from './channel-sender.ts';

/** Packets handled for one event: a host that never stops must not keep us. */
const PACKETS_PER_EVENT_MAX = 4096;

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

export class VmbusChannel extends ChannelSender {
  readonly handler: ChannelHandler;
  readonly #in: InboundRing;
  readonly #packet: Packet;
  #draining = false;

  /**
   * @param outbound,inbound the rings, zeroed
   * @param packetLength longest packet that is accepted, footer included
   * @param flowControl whether the host is asked for a signal when there is no room to send
   */
  constructor(
    connection: VmbusConnection,
    address: ChannelAddress,
    handler: ChannelHandler,
    outbound: RingPlace,
    inbound: RingPlace,
    packetLength: number,
    name: string,
    flowControl = false,
  ) {
    super(connection, address, outbound, name, flowControl);
    this.handler = handler;
    this.#in = new InboundRing(
      connection.hv.pages.memory,
      inbound.control,
      inbound.length,
      inbound.data,
    );
    this.#packet = newPacket(packetLength);
  }

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
    this.flush();
    if (this.gotRoom()) this.handler.writable?.();

    // Check that there is a whole packet
    if (this.broken !== undefined) return false;
    const available = this.#in.readable;
    if (available === 0) return false;
    if (available < 0) {
      this.breakOff('ChannelBroken', 'producer index of the inbound ring');
      return false;
    }
    const length = this.#readHeader(available);
    if (length === 0) return true;

    // Copy it, give the ring back, and hand it over
    const packet = this.#packet;
    this.#in.copy(PacketHeader.size, packet.view, length - PacketHeader.size);
    if (this.#in.consume(length)) this.signal();
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
      const kind = short ? 'PacketHeaderTooShort' : 'PacketLengthMismatch';
      return this.#reject(length, kind, `header ${headerLength}, packet ${bodyLength} bytes`);
    }
    if (length > packet.bytes.length) {
      return this.#reject(length, 'PacketTooLong', `packet of ${length} bytes`);
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
        this.handler.malformed('PacketTypeUnknown', `packet type ${packet.type}`);
        if (packet.flags & COMPLETION_REQUESTED) this.complete(packet.idLow, packet.idHigh);
    }
  }

  /** The ranges must fill the header: iPXE trusts their count (its defect 6). */
  #readRanges(packet: Packet): boolean {
    if (readRanges(packet)) return true;
    const text = `${packet.rangeCount} ranges in a header of ${packet.payload} bytes`;
    this.handler.malformed('RangeCountMismatch', text);
    this.complete(packet.idLow, packet.idHigh);
    return false;
  }

  /** Consume a bad packet whose extent is known, and complete it if the host waits for that. */
  #reject(length: number, kind: ErrorName, text: string): number {
    const { type, flags, idLow, idHigh } = this.#packet;
    if (this.#in.consume(length)) this.signal();
    this.handler.malformed(kind, text);
    const waits = type === PacketType.DATA_XFER_PAGES || flags & COMPLETION_REQUESTED;
    if (waits && type !== PacketType.COMPLETION) this.complete(idLow, idHigh);
    return 0;
  }

  /** Consume everything: nobody knows where the next packet begins. */
  #resynchronise(text: string): number {
    this.#in.resynchronise();
    this.handler.malformed('PacketLengthMismatch', `${text}: skipping to the end`);
    return 0;
  }

  // --- events ---

  /** The host has set the channel's event flag. */
  interrupted(): void {
    if (this.handler.interrupted !== undefined) this.handler.interrupted();
    else this.drain(PACKETS_PER_EVENT_MAX);
  }

  /**
   * Handle what has come, with the ring's interrupts masked meanwhile: mask, drain, unmask, and
   * look again for what came in between, of which the host has told nobody (Linux hv_begin_read,
   * hv_end_read).
   *
   * @param max most packets to handle
   * @param stop asked after each packet whether to go on later
   * @returns how many were handled. If it is `max`, or it was stopped, the ring is still masked:
   * whoever drains must come again without being told
   */
  drain(max: number, stop?: () => boolean): number {
    // No packet is handled inside another
    if (this.#draining) return 0;
    this.#draining = true;
    let count = 0;
    try {
      do {
        this.#in.mask(true);
        while (this.poll()) {
          count++;
          if (count === max || stop?.()) return count;
        }
        this.#in.mask(false);
      } while (this.broken === undefined && !this.#in.isEmpty);
      return count;
    } finally {
      this.#draining = false;
    }
  }
}
