// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A channel of the reference guest: opened, closed, packets sent and received (iPXE vmbus_open,
 * vmbus_close, vmbus_send, vmbus_poll).
 */

import { HvStatus } from '../../src/hyperv/protocol.ts';
import {
  COMPLETION_REQUESTED,
  MessageType,
  OpenChannel,
  OpenChannelResult,
  PacketFooter,
  PacketHeader,
  PacketType,
  RingControl,
} from '../../src/vmbus/protocol.ts';
import type { Connection } from './connection.ts';
import type { Gpadl, Gpadls } from './gpadls.ts';
import { GuestError, type Block, type GuestContext } from './guest.ts';

/** Bytes of data of each ring, and of all four parts. */
const RING = 4096;
const RINGS = 4 * 4096;

/** Longest packet (iPXE NETVSC_MTU). */
export const PACKET_MAX = 512;

const PACKET_MIN = PacketHeader.size + PacketFooter.size;

/** Failed signals in a row, and completions without room, after which a channel is given up. */
const SIGNALS_MAX = 100;
const PENDING_MAX = 1024;

/** A packet that was received. */
export interface Packet {
  readonly type: number;
  readonly flags: number;
  readonly xid: bigint;
  /** Header and payload. */
  readonly view: DataView;
  /** Where the payload begins. */
  readonly payload: number;
  readonly payloadLength: number;
}

/** What the device makes of packets. */
export interface ChannelHandler {
  /** Look at a packet before it is consumed. @throws GuestError: it is not consumed */
  prepare(packet: Packet): void;
  received(packet: Packet): void;
  /** A packet that is no good: of which class. */
  dropped(errno: string): void;
}

/** What a channel needs of its device. */
export interface ChannelOwner {
  channel: number;
  monitor: number;
  rescinded: boolean;
  /** The channel that was open last could not be closed: the host uses what it has. */
  unclosed: boolean;
  /** GPADL of the channel that was opened last: what iPXE tears down if an open fails. */
  lastGpadl: Gpadl | undefined;
}

export class Channel {
  readonly #context: GuestContext;
  readonly #connection: Connection;
  readonly #gpadls: Gpadls;
  readonly #owner: ChannelOwner;
  readonly #handler: ChannelHandler;
  #ring!: Block;
  gpadl!: Gpadl;
  /** Why it is no good any more. */
  broken: string | undefined;
  /** Indices of ours. */
  #prod = 0;
  #cons = 0;
  #signalFailures = 0;
  #pending: bigint[] = [];

  private constructor(
    connection: Connection,
    gpadls: Gpadls,
    owner: ChannelOwner,
    handler: ChannelHandler,
  ) {
    this.#context = connection.context;
    this.#connection = connection;
    this.#gpadls = gpadls;
    this.#owner = owner;
    this.#handler = handler;
  }

  // --- open and close ---

  /** @throws GuestError */
  static open(
    connection: Connection,
    gpadls: Gpadls,
    owner: ChannelOwner,
    handler: ChannelHandler,
  ): Channel {
    const channel = new Channel(connection, gpadls, owner, handler);
    channel.#open();
    return channel;
  }

  #requireOffered = (): void => {
    const heard = !this.#context.has('rescinds-are-heard');
    if (heard && this.#owner.rescinded) throw new GuestError('EPIPE', 'rescinded');
  };

  #open(): void {
    const connection = this.#connection;
    this.#ring = this.#context.allocate('ring', RINGS);
    let maybeOpen = false;
    this.#owner.unclosed = false;
    try {
      this.#requireOffered();
      this.gpadl = this.#gpadls.establish(this.#owner.channel, this.#ring);
      this.#requireOffered();
      const id = this.#context.options.random() >>> 0;
      const words = [this.#owner.channel, id, this.gpadl.id, 0, 1 + RING / 4096];
      connection.post(MessageType.OPEN_CHANNEL, words, OpenChannel.size);
      maybeOpen = true;
      const { at, size } = OpenChannelResult;
      const ours = (view: DataView): boolean =>
        view.getUint32(at.channel, true) === this.#owner.channel &&
        view.getUint32(at.openId, true) === id;
      const { view } = connection.wait({
        type: MessageType.OPEN_CHANNEL_RESULT,
        min: size,
        match: ours,
        check: this.#requireOffered,
      });
      if (!ours(view)) throw new GuestError('EPROTO', 'result of another open');
      maybeOpen = view.getUint32(at.status, true) === 0;
      if (!maybeOpen) throw new GuestError('EPROTO', 'open refused');
    } catch (error) {
      this.#undoOpen(maybeOpen);
      throw error;
    }
    this.#owner.lastGpadl = this.gpadl;
  }

  #undoOpen(maybeOpen: boolean): void {
    const { has } = this.#context;
    if (maybeOpen && !has('open-of-unknown-end-closed')) this.#postClose();
    if ((this.gpadl as Gpadl | undefined) !== undefined) {
      if (has('ring-gpadl-torn-down')) {
        // The one before, if there was one
        const last = this.#owner.lastGpadl;
        if (last !== undefined) this.#gpadls.teardownAgain(last);
        this.#gpadls.lose(this.gpadl);
      } else if (!this.#owner.unclosed) {
        this.#gpadls.teardown(this.gpadl);
      }
    }
    this.#gpadls.release(this.#ring);
  }

  #postClose(): void {
    try {
      this.#connection.post(MessageType.CLOSE_CHANNEL, [this.#owner.channel]);
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      this.#owner.unclosed = !this.#context.has('unclosed-channel-keeps-memory');
    }
  }

  /** Never throws. */
  close(): void {
    const heard = !this.#context.has('rescinds-are-heard');
    if (!(heard && this.#owner.rescinded)) this.#postClose();
    if (!this.#owner.unclosed) this.#gpadls.teardown(this.gpadl);
    this.#gpadls.release(this.#ring);
  }

  /** The connection is gone: forget the rings without a word. */
  abandon(): void {
    this.broken ??= 'EPROTO';
    this.#owner.unclosed = false;
    this.#gpadls.release(this.#ring);
  }

  // --- rings ---

  #u32(offset: number): number {
    return this.#context.view.getUint32(this.#ring.address + offset, true);
  }

  #setU32(offset: number, value: number): void {
    this.#context.view.setUint32(this.#ring.address + offset, value, true);
  }

  /** The host's index, or -1 if it is none and the guest looks. */
  #hostIndex(offset: number): number {
    const index = this.#u32(offset);
    if (this.#context.has('ring-indices-checked')) return index;
    return index >= RING || index & 7 ? -1 : index;
  }

  #breakOff(errno: string): void {
    this.broken ??= errno;
  }

  /** Send a packet; `words` follow the first 16 bytes. Returns whether there was room. */
  send(
    type: number,
    flags: number,
    xid: bigint,
    payload: Uint8Array,
    words: readonly number[] = [],
  ): boolean {
    const { has } = this.#context;
    if (this.broken !== undefined) return false;
    const cons = this.#hostIndex(RingControl.at.cons);
    if (cons < 0) this.#breakOff('EPROTO');
    if (cons < 0) return false;
    const header = PacketHeader.size + 4 * words.length;
    const padded = (payload.length + 7) & ~7;
    const total = header + padded + PacketFooter.size;
    const prod = has('ring-indices-checked') ? this.#u32(RingControl.at.prod) : this.#prod;
    if (((prod - cons) & (RING - 1)) + total >= RING) return false;
    const packet = new Uint8Array(total);
    const view = new DataView(packet.buffer);
    view.setUint16(PacketHeader.at.type, type, true);
    view.setUint16(PacketHeader.at.headerQlen, header / 8, true);
    view.setUint16(PacketHeader.at.qlen, (total - PacketFooter.size) / 8, true);
    view.setUint16(PacketHeader.at.flags, flags, true);
    view.setBigUint64(PacketHeader.at.transactionId, xid, true);
    words.forEach((word, i) => view.setUint32(PacketHeader.size + 4 * i, word, true));
    packet.set(payload, header);
    view.setUint32(total - PacketFooter.size + PacketFooter.at.offset, prod, true);
    const data = this.#ring.address + 4096;
    packet.forEach((byte, i) => (this.#context.bytes[data + ((prod + i) & (RING - 1))] = byte));
    this.#prod = (prod + total) & (RING - 1);
    this.#setU32(RingControl.at.prod, this.#prod);
    const masked = this.#u32(RingControl.at.interruptMask) !== 0;
    if (!masked && this.#u32(RingControl.at.cons) === prod) this.#signal();
    return true;
  }

  #signal(): void {
    const status = this.#connection.signal(this.#owner.channel, this.#owner.monitor);
    if (this.#context.has('signals-are-retried')) return;
    if (status === HvStatus.SUCCESS) this.#signalFailures = 0;
    else if (++this.#signalFailures > SIGNALS_MAX) this.#breakOff('EPROTO');
  }

  /** Send data that lies in guest memory. */
  sendDirect(xid: bigint, address: number, length: number, payload: Uint8Array): boolean {
    const offset = address % 4096;
    const first = (address - offset) / 4096;
    const count = Math.ceil((offset + length) / 4096);
    const pfns = Array.from({ length: count }, (_, i) => [first + i, 0]).flat();
    const words = [0, 1, length, offset, ...pfns];
    return this.send(PacketType.DATA_GPA_DIRECT, COMPLETION_REQUESTED, xid, payload, words);
  }

  /** Complete a packet of the host. Returns false if it is lost. */
  complete(xid: bigint): boolean {
    const send = (id: bigint): boolean =>
      this.send(PacketType.COMPLETION, 0, id, new Uint8Array(0));
    if (this.#context.has('every-packet-completed')) return send(xid);
    if (this.#pending.length === 0 && send(xid)) return true;
    if (this.#pending.length === PENDING_MAX) this.#breakOff('ENOBUFS');
    else this.#pending.push(xid);
    return true;
  }

  // --- receive ---

  get hasData(): boolean {
    const cons = this.#u32(0x2000 + RingControl.at.cons);
    return this.#u32(0x2000 + RingControl.at.prod) !== cons;
  }

  /** Do first what could not be done before. */
  #catchUp(): void {
    if (this.broken !== undefined) return;
    if (this.#signalFailures > 0) this.#signal();
    while (
      this.#pending.length > 0 &&
      this.send(PacketType.COMPLETION, 0, this.#pending[0]!, new Uint8Array(0))
    )
      this.#pending.shift();
  }

  /** Handle one packet. Returns false if there was none. @throws GuestError not consumed */
  poll(): boolean {
    this.#catchUp();
    if (this.broken !== undefined) return false;
    const prod = this.#hostIndex(0x2000 + RingControl.at.prod);
    if (prod < 0) this.#breakOff('EPROTO');
    if (prod < 0) return false;
    // iPXE believes its own index where the host can write it
    if (this.#context.has('ring-indices-checked'))
      this.#cons = this.#u32(0x2000 + RingControl.at.cons) & (RING - 1);
    const available = (prod - this.#cons) & (RING - 1);
    if (prod === this.#cons) return false;
    const packet = this.#read(available);
    if (packet === undefined) return true;
    this.#handler.received(packet);
    return true;
  }

  /** Take a packet off the ring; undefined if it was no good and is consumed. @throws GuestError */
  #read(available: number): Packet | undefined {
    const { has } = this.#context;
    const header = new DataView(this.#copy(PacketHeader.size).buffer);
    const type = header.getUint16(PacketHeader.at.type, true);
    const flags = header.getUint16(PacketHeader.at.flags, true);
    const xid = header.getBigUint64(PacketHeader.at.transactionId, true);
    const payload = header.getUint16(PacketHeader.at.headerQlen, true) * 8;
    const end = header.getUint16(PacketHeader.at.qlen, true) * 8;
    const total = end + PacketFooter.size;
    const framed =
      has('ring-indices-checked') ||
      (available >= PACKET_MIN && total >= PACKET_MIN && total <= available);
    let errno = '';
    if (!framed) errno = 'EINVAL';
    else if (payload < PacketHeader.size || end < payload) errno = 'EINVAL';
    else if (total > PACKET_MAX) errno = 'ERANGE';
    if (errno !== '') {
      if (has('bad-packets-are-consumed') && framed) throw new GuestError(errno, 'bad packet');
      this.#consume(framed ? total : available);
      this.#handler.dropped(errno);
      const waits = type === PacketType.DATA_XFER_PAGES || flags & COMPLETION_REQUESTED;
      if (framed && waits && type !== PacketType.COMPLETION) this.complete(xid);
      return undefined;
    }
    const view = new DataView(this.#copy(total).buffer);
    const packet = { type, flags, xid, view, payload, payloadLength: end - payload };
    if (has('bad-packets-are-consumed')) this.#handler.prepare(packet);
    this.#consume(total);
    return packet;
  }

  #copy(length: number): Uint8Array {
    const data = this.#ring.address + 0x3000;
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++)
      bytes[i] = this.#context.bytes[data + ((this.#cons + i) & (RING - 1))]!;
    return bytes;
  }

  #consume(length: number): void {
    this.#cons = (this.#cons + length) & (RING - 1);
    this.#setU32(0x2000 + RingControl.at.cons, this.#cons);
  }
}
