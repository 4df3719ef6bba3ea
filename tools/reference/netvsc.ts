// SPDX-License-Identifier: GPL-2.0-or-later

/** NetVSC of the reference guest (iPXE drivers/net/netvsc.c). */

import {
  COMPLETION_REQUESTED,
  PacketType,
  XferPageHeader,
  XferPageRange,
} from '../../src/vmbus/protocol.ts';
import {
  NVSP_MESSAGE_SIZE,
  NVSP_NO_SEND_BUFFER,
  NVSP_RECEIVE_BUFFER_COMPLETE_MIN,
  NvspInitComplete,
  NvspReceiveBufferComplete,
  NvspRndisPacket,
  NvspRndisPacketComplete,
  NvspStatus,
  NvspType,
  NvspVersion,
} from '../../src/netvsc/protocol.ts';
import { wordBytes } from '../../src/wire.ts';
import { Channel, type ChannelHandler, type ChannelOwner, type Packet } from './channel.ts';
import type { Connection } from './connection.ts';
import type { Gpadl, Gpadls } from './gpadls.ts';
import { GuestError, WAIT_TURNS, type Block, type GuestContext } from './guest.ts';
import { Transmits, type Message } from './transmits.ts';

/** Length of the receive buffer, and the page set that it is known by. */
const RECEIVE_LENGTH = 65536;
const PAGE_SET = 0xbead;

/** Transaction IDs count from here; the first 32 are those of messages. */
const BASE = 0x18ae0000;
const INIT = 0x20;
const NDIS_VERSION = 0x21;
const ESTABLISH = 0x22;
const REVOKE = 0x23;

/** Packets in one poll. */
const POLL_MAX = 4096;

/** Polls without progress after which iPXE would loop for ever. */
const LIVELOCK = 16;

/** What RNDIS hears of NetVSC. */
export interface NetvscReceiver {
  received(message: Uint8Array): void;
  transmitted(message: Message, errno: string | undefined): void;
  dropped(errno: string): void;
}

/** The device of the bus that a NetVSC drives. */
export interface NetvscOwner extends ChannelOwner {
  readonly connection: Connection;
  readonly gpadls: Gpadls;
  readonly name: string;
  /** @throws GuestError EPIPE if the host has taken it away */
  requireOffered(): void;
}

/** A range of a packet, copied. */
type Ranges = readonly Uint8Array[];

export class Netvsc implements ChannelHandler {
  readonly context: GuestContext;
  readonly device: NetvscOwner;
  readonly transmits: Transmits;
  receiver!: NetvscReceiver;
  channel: Channel | undefined;
  #buffer: Block | undefined;
  #gpadl: Gpadl | undefined;
  /** Request that is waited for, and how it ended. */
  #awaited = -1;
  #completion: DataView | undefined;
  #polling = false;

  constructor(device: NetvscOwner) {
    this.context = device.connection.context;
    this.device = device;
    this.transmits = new Transmits(this);
  }

  // --- open and close ---

  /** @throws GuestError */
  open(): void {
    const { device, context } = this;
    try {
      this.#buffer = context.allocate('rx-buffer', RECEIVE_LENGTH);
      device.requireOffered();
      this.#gpadl = device.gpadls.establish(device.channel, this.#buffer);
      this.transmits.open();
      this.channel = Channel.open(device.connection, device.gpadls, device, this);
      this.#negotiate();
    } catch (error) {
      this.#tearDown();
      throw error;
    }
  }

  #negotiate(): void {
    const { has } = this.context;
    const bad = (errno: string): string => (has('error-classes') ? errno : 'EPROTO');
    const long = has('short-init-completion-taken') ? NVSP_MESSAGE_SIZE : NvspInitComplete.size;
    this.#check(this.request(INIT, [NvspType.INIT, NvspVersion.V1, NvspVersion.V1]), long, bad, {
      type: NvspType.INIT_COMPLETE,
      status: NvspInitComplete.at.status,
    });
    this.request(NDIS_VERSION, [NvspType.SEND_NDIS_VERSION, 6, 1]);
    const buffer = [NvspType.SEND_RECEIVE_BUFFER, this.#gpadl!.id, PAGE_SET];
    this.#check(this.request(ESTABLISH, buffer), NVSP_RECEIVE_BUFFER_COMPLETE_MIN, bad, {
      type: NvspType.SEND_RECEIVE_BUFFER_COMPLETE,
      status: NvspReceiveBufferComplete.at.status,
    });
  }

  #check(
    answer: DataView,
    min: number,
    bad: (errno: string) => string,
    { type, status }: { type: number; status: number },
  ): void {
    if (answer.byteLength < min) throw new GuestError(bad('EINVAL'), 'short completion');
    if (answer.getUint32(0, true) !== type) throw new GuestError('EPROTO', 'other completion');
    if (answer.getUint32(status, true) !== NvspStatus.SUCCESS)
      throw new GuestError('EPROTO', 'refused');
  }

  /** Never throws. */
  close(): void {
    const { isObsolete } = this;
    if (!isObsolete && this.failure === undefined)
      this.#attempt(() => this.request(REVOKE, [NvspType.REVOKE_RECEIVE_BUFFER, PAGE_SET]));
    if (isObsolete || this.failure === undefined)
      for (const id of this.transmits.inFlight) this.#sendCancellation(id);
    this.#tearDown();
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
    }
  }

  #sendCancellation(id: number): void {
    this.channel?.send(PacketType.CANCELLATION, 0, BigInt(BASE + id), new Uint8Array(0));
  }

  #tearDown(): void {
    const { gpadls } = this.device;
    this.channel?.close();
    this.channel = undefined;
    this.transmits.close();
    if (this.#gpadl !== undefined && !this.device.unclosed) gpadls.teardown(this.#gpadl);
    if (this.#buffer !== undefined) gpadls.release(this.#buffer);
    this.#gpadl = this.#buffer = undefined;
  }

  /** The connection is gone: the rings are forgotten without a word. */
  abandon(): void {
    this.channel?.abandon();
    this.channel = undefined;
  }

  /** The device was opened before the last reset, and the guest knows. */
  get isObsolete(): boolean {
    const gpadl = this.#gpadl;
    const kept = this.context.has('old-channel-not-closed') && gpadl !== undefined;
    return kept && this.device.gpadls.isObsolete(gpadl);
  }

  /** Why nothing can be sent any more, as an error class. */
  get failure(): string | undefined {
    const { context, device, channel } = this;
    if (device.rescinded && !context.has('rescinds-are-heard')) return 'EPIPE';
    const silent = !context.has('quiesced-device-is-silent');
    if (silent && !device.connection.hv.running) return 'EPIPE';
    if (this.isObsolete) return 'EPIPE';
    return channel === undefined ? 'EPROTO' : channel.broken;
  }

  // --- requests ---

  /** Send a request and wait for its completion. @throws GuestError */
  request(id: number, words: readonly number[]): DataView {
    const { context } = this;
    const message = wordBytes(NVSP_MESSAGE_SIZE, ...words);
    this.#completion = undefined;
    this.#awaited = id;
    try {
      const type = PacketType.DATA_INBAND;
      if (!this.channel!.send(type, COMPLETION_REQUESTED, BigInt(BASE + id), message))
        throw new GuestError(this.failure ?? 'ENOBUFS', 'request not sent');
      for (let turns = 0; ; turns++) {
        // iPXE polls one packet in each millisecond, and does not look after the last
        if (context.has('prompt-waits')) {
          if (turns === WAIT_TURNS) break;
          if (this.#completion !== undefined) return this.#completion;
          this.#attempt(() => this.channel!.poll());
        } else {
          this.device.connection.poll();
          this.#pollPackets(true);
          if (this.#completion !== undefined) return this.#completion;
          if (this.failure !== undefined) throw new GuestError(this.failure, 'device gone');
          if (turns === WAIT_TURNS) break;
        }
        context.delay();
      }
      throw new GuestError('ETIMEDOUT', 'no completion');
    } finally {
      this.#awaited = -1;
      this.#completion = undefined;
    }
  }

  // --- receive ---

  poll(): void {
    this.device.connection.poll();
    if (this.failure !== undefined && !this.isObsolete) return;
    this.#pollPackets(false);
    this.transmits.sendDeferred();
  }

  #pollPackets(untilCompletion: boolean): void {
    if (this.#polling) return;
    this.#polling = true;
    try {
      let stuck = 0;
      for (let i = 0; i < POLL_MAX && this.channel !== undefined; i++) {
        if (untilCompletion && this.#completion !== undefined) return;
        try {
          if (!this.channel.poll()) return;
          stuck = 0;
        } catch (error) {
          if (!(error instanceof GuestError)) throw error;
          if (++stuck < LIVELOCK) continue;
          this.context.options.livelock?.();
          return;
        }
      }
      // More than a ring holds: the indices are wrong
      if (this.context.has('ring-indices-checked')) this.context.options.livelock?.();
    } finally {
      this.#polling = false;
    }
  }

  prepare(packet: Packet): void {
    if (packet.type === PacketType.DATA_XFER_PAGES) this.#ranges(packet);
  }

  /** Copies of the ranges. @throws GuestError if one is no good and the guest gives up there */
  #ranges({ view, payload, payloadLength }: Packet): Ranges {
    const { has, bytes } = this.context;
    const fussy = has('bad-packets-are-consumed');
    const buffer = this.#buffer!;
    if (view.getUint16(XferPageHeader.at.pageSet, true) !== PAGE_SET)
      throw new GuestError('ENOENT', 'unknown page set');
    const count = view.getUint32(XferPageHeader.at.rangeCount, true);
    const most = Math.floor((payload + payloadLength - XferPageHeader.size) / XferPageRange.size);
    const ranges: Uint8Array[] = [];
    let used = 0;
    for (let i = 0; i < Math.min(count, most + 1); i++) {
      const at = XferPageHeader.size + i * XferPageRange.size;
      const length = view.getUint32(at, true);
      const offset = view.getUint32(at + XferPageRange.at.offset, true);
      const inside = offset <= buffer.length && length <= buffer.length - offset;
      const good = inside && (fussy || length <= buffer.length - used);
      if (!good && fussy) throw new GuestError('ERANGE', 'range outside of the buffer');
      if (!good) this.receiver.dropped('ERANGE');
      if (!good) continue;
      used += length;
      ranges.push(bytes.slice(buffer.address + offset, buffer.address + offset + length));
    }
    return ranges;
  }

  received(packet: Packet): void {
    const { has } = this.context;
    const asks = (packet.flags & COMPLETION_REQUESTED) !== 0;
    switch (packet.type) {
      case PacketType.COMPLETION:
        return this.#completed(packet);
      case PacketType.DATA_XFER_PAGES:
        return this.#receivedPages(packet);
      case PacketType.CANCELLATION:
        return this.dropped('ENOTSUP');
      default:
        this.dropped('ENOTSUP');
        if (asks && !has('every-packet-completed')) this.channel?.complete(packet.xid);
    }
  }

  dropped(errno: string): void {
    if (!this.context.has('drops-are-counted')) this.receiver.dropped(errno);
  }

  #receivedPages(packet: Packet): void {
    const { has } = this.context;
    const { view, payload, payloadLength, xid } = packet;
    const checked = !has('range-count-checked');
    const filled = (payload - XferPageHeader.size) / XferPageRange.size;
    const short = payload < XferPageHeader.size;
    if (checked && (short || view.getUint32(XferPageHeader.at.rangeCount, true) !== filled)) {
      this.dropped('EINVAL');
      this.channel?.complete(xid);
      return;
    }
    let ranges: Ranges = [];
    let errno = '';
    const whole =
      payloadLength >= (has('error-classes') ? NVSP_MESSAGE_SIZE : NvspRndisPacket.size);
    const type = payloadLength >= 4 ? view.getUint32(payload, true) : 0;
    if (view.getUint16(XferPageHeader.at.pageSet, true) !== PAGE_SET) errno = 'ENOENT';
    else if (!whole) errno = 'EINVAL';
    else if (type !== NvspType.SEND_RNDIS_PACKET)
      errno = has('error-classes') ? 'EINVAL' : 'ENOTSUP';
    else ranges = this.#ranges(packet);
    if (errno !== '') this.dropped(errno);
    if (errno !== '' && has('every-packet-completed')) return;
    const sent = this.channel?.complete(xid) ?? false;
    if (!sent && has('every-packet-completed')) return;
    const ordered = has('ranges-in-order') ? [...ranges].reverse() : ranges;
    for (const range of ordered) this.receiver.received(range);
  }

  #completed({ xid, view, payload, payloadLength }: Packet): void {
    const { has } = this.context;
    const whole = has('transactions-compared-whole') ? BigInt.asUintN(32, xid) : xid;
    const id = whole >> 32n === 0n ? Number(whole) - BASE : -1;
    const content = new DataView(view.buffer.slice(payload, payload + payloadLength));
    const { status } = NvspRndisPacketComplete.at;
    const failed =
      !has('completion-status-checked') &&
      payloadLength >= NvspRndisPacketComplete.size &&
      content.getUint32(status, true) !== NvspStatus.SUCCESS;
    if (this.transmits.completed(id, failed)) return;
    if (id === this.#awaited && id >= 0) this.#completion = content;
    else this.dropped('EPIPE');
  }

  // --- transmit ---

  /** Put a message on the ring. */
  sendDirect(id: number, address: number, length: number, control: boolean): boolean {
    const words = [NvspType.SEND_RNDIS_PACKET, control ? 1 : 0, NVSP_NO_SEND_BUFFER];
    const nvsp = wordBytes(NVSP_MESSAGE_SIZE, ...words);
    return this.channel?.sendDirect(BigInt(BASE + id), address, length, nvsp) ?? false;
  }
}
