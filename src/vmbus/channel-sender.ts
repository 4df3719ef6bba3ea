// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The sending half of an open channel: the packet types that a guest sends, and signals (iPXE
 * vmbus_send_data; Linux vmbus_sendpacket and its likes).
 */

import { HypxeError, type ErrorName } from '../error.ts';
import type { Log } from '../events.ts';
import { HvStatus } from '../hyperv/protocol.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../machine.ts';
import type { VmbusConnection } from './connection.ts';
import { PAGE_BUFFERS_MAX, type PageBuffers } from './page-buffers.ts';
import {
  COMPLETION_REQUESTED,
  GpaDirectHeader,
  GpaRange,
  PacketFooter,
  PacketHeader,
  PacketType,
} from './protocol.ts';
import type { RingPlace } from './ring-layout.ts';
import { OutboundRing, ringLength } from './ring.ts';

/** Completions that may wait for room in the outbound ring. */
const PENDING_COMPLETIONS_MAX = 1024;

/** Failed signals in a row after which the channel is given up. */
const SIGNAL_TRIES_MAX = 100;

/** What is needed to address a channel. */
export interface ChannelAddress {
  readonly id: number;
  /** Monitor ID, or -1. */
  readonly monitor: number;
  /** Connection ID of the channel's own events (from 2.4 on). */
  readonly eventConnectionId: number;
}

export class ChannelSender {
  readonly address: ChannelAddress;
  /** Payload of completions: set by the device (a policy), zero length for none. */
  completionPayload: Uint8Array = new Uint8Array(0);
  /** Why the channel is no good any more, or undefined. */
  broken: ErrorName | undefined;
  readonly #connection: VmbusConnection;
  readonly #log: Log;
  readonly #name: string;
  readonly #out: OutboundRing;
  readonly #flowControl: boolean;
  /** Room that somebody waits for, in bytes, or 0. */
  #wanted = 0;
  #signalFailures = 0;
  /** Completions for which there was no room: low and high halves. */
  readonly #pending = new Uint32Array(2 * PENDING_COMPLETIONS_MAX);
  #pendingCount = 0;

  /**
   * @param ring address of the control page of the outbound ring; zeroed but for the feature bits
   * @param name identity of the device, for log lines
   * @param flowControl whether the host is asked for a signal when there is no room
   */
  constructor(
    connection: VmbusConnection,
    address: ChannelAddress,
    ring: RingPlace,
    name: string,
    flowControl: boolean,
  ) {
    this.address = address;
    this.#connection = connection;
    this.#log = connection.hv.log;
    this.#name = name;
    this.#out = new OutboundRing(connection.hv.pages.memory, ring.control, ring.length, ring.data);
    this.#flowControl = flowControl;
  }

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

  /**
   * Send data that lies in guest memory as page buffers: several ranges of one page each, with an
   * in-band payload beside it (Linux vmbus_sendpacket_pagebuffer).
   *
   * @param id transaction ID (upper half 0)
   * @returns false if the ring has no room
   * @throws HypxeError BadBuffer if there is no page
   */
  sendPageBuffers(id: number, pages: PageBuffers, payload: Uint8Array, length: number): boolean {
    if (pages.count === 0) throw new HypxeError('BadBuffer', 'no page to send');
    const headerLength = GpaDirectHeader.size + pages.count * (GpaRange.size + 8);
    const total = ringLength(headerLength, length);
    if (!this.#hasRoom(total)) return false;
    const type = PacketType.DATA_GPA_DIRECT;
    this.#putHeader(type, headerLength, total, COMPLETION_REQUESTED, id, 0);
    this.#out.put64(0, pages.count);
    for (let i = 0; i < pages.count; i++) {
      this.#out.put64(pages.lengths[i]!, pages.offsets[i]!);
      this.#out.put64(pages.pfns[i]!, 0);
    }
    this.#out.putBytes(payload, length);
    this.#publish();
    return true;
  }

  /**
   * Send data that lies in guest memory as a multi-page buffer: one range over pages that may lie
   * anywhere, with an in-band payload beside it (Linux vmbus_sendpacket_mpb_desc).
   *
   * @param id transaction ID (upper half 0)
   * @param offset where the data begins in the first page
   * @param pfns numbers of the pages, as many as offset and length need, or more
   * @returns false if the ring has no room
   * @throws HypxeError BadBuffer if the data do not lie within the pages
   */
  sendMultiPageBuffer(
    id: number,
    offset: number,
    dataLength: number,
    pfns: Uint32Array,
    payload: Uint8Array,
    length: number,
  ): boolean {
    const pages = (offset + dataLength + PAGE_SIZE - 1) >>> PAGE_SHIFT;
    const valid = offset >= 0 && offset < PAGE_SIZE && dataLength > 0 && pages <= pfns.length;
    if (!valid || pages > PAGE_BUFFERS_MAX) {
      const text = `[${offset},+${dataLength}) of ${pfns.length} pages cannot be sent`;
      throw new HypxeError('BadBuffer', text);
    }
    const headerLength = GpaDirectHeader.size + GpaRange.size + 8 * pages;
    const total = ringLength(headerLength, length);
    if (!this.#hasRoom(total)) return false;
    const type = PacketType.DATA_GPA_DIRECT;
    this.#putHeader(type, headerLength, total, COMPLETION_REQUESTED, id, 0);
    this.#out.put64(0, 1);
    this.#out.put64(dataLength, offset);
    for (let i = 0; i < pages; i++) this.#out.put64(pfns[i]!, 0);
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
      this.breakOff('RingFull', 'host takes no completions');
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
    if (total <= room) return true;
    if (room < 0) this.breakOff('ChannelBroken', 'consumer index of the outbound ring');
    return room >= 0 && this.#flowControl && this.#awaitRoom(total);
  }

  /** Ask the host for a signal as soon as there is room. It may have made some meanwhile. */
  #awaitRoom(total: number): boolean {
    // What the ring can never hold is nothing to wait for
    if (total > this.#out.capacity) return false;
    this.#wanted = Math.max(this.#wanted, total);
    this.#out.want(this.#wanted);
    if (this.#out.writable < total) return false;
    this.#wanted = 0;
    this.#out.want(0);
    return true;
  }

  /** Whether somebody waited for room, and there is as much as was wanted. */
  protected gotRoom(): boolean {
    if (this.#wanted === 0 || this.broken !== undefined) return false;
    if (this.#out.writable < this.#wanted) return false;
    this.#wanted = 0;
    this.#out.want(0);
    return true;
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
    if (this.#out.publish()) this.signal();
  }

  /** Signal the host. A failed signal is repeated by the next poll: the host would never look. */
  protected signal(): void {
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
      this.breakOff('ChannelBroken', 'signal refused');
    }
  }

  /** Do what could not be done before: signals, then completions. */
  protected flush(): void {
    if (this.#signalFailures > 0) this.signal();
    if (this.#pendingCount === 0) return;
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

  /** Give the channel up: nothing more is sent or received. */
  protected breakOff(kind: ErrorName, text: string): void {
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
