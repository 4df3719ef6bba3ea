// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The recorded host: repeats in the guest's memory what the host did in the recording. The guest
 * may be at other ring offsets and transactions than the recorded driver was; whole packets keep
 * their order and their answers.
 */

import { MonitorTrigger, MonitorPage } from '../../src/hyperv/protocol.ts';
import {
  COMPLETION_REQUESTED,
  InterruptPage,
  PacketFooter,
  PacketHeader,
  PacketType,
} from '../../src/vmbus/protocol.ts';
import { NVSP_MESSAGE_SIZE, NvspStatus, NvspType } from '../../src/netvsc/protocol.ts';
import type { GuestChannel, GuestChannels } from './guest-channels.ts';
import { fromHex } from './hex.ts';
import type { MessageSlots } from './message-slots.ts';
import { Places } from './places.ts';
import type { TraceEvent, TraceEventOf } from './trace-events.ts';

/** A packet of the guest that the host has not consumed. */
export interface WaitingPacket {
  readonly channel: number;
  readonly type: number;
  readonly flags: number;
  readonly transaction: bigint;
  /** Transaction of the recorded packet that it is; undefined: the recording has no such packet. */
  readonly recorded: bigint | undefined;
  /** Ring offset behind it. */
  readonly end: number;
}

/** What the recorded host needs of the rest. */
export interface HostContext {
  readonly memory: Uint8Array;
  readonly channels: GuestChannels;
  readonly slots: MessageSlots;
  /** Where the guest has the block of a recorded `page` event. */
  guestAddress(event: number): number | undefined;
  /** Something that could not be repeated. */
  note(text: string): void;
}

/** Repeats the recorded host's events. */
export class RecordedHost {
  readonly #context: HostContext;
  readonly #view: DataView;
  /** Memory of the recorded driver, as far as the replay has come. */
  readonly #recorded = new Places();
  /** Packets not consumed, by channel. */
  readonly #waiting = new Map<number, WaitingPacket[]>();
  /** Where the host writes next, by channel. */
  readonly #producers = new Map<number, number>();
  /** The guest's transaction for a recorded one. */
  readonly #transactions = new Map<bigint, bigint>();
  /** Transactions that await an answer. */
  readonly #inFlight = new Set<bigint>();
  /** Recorded transactions that the guest has not begun, with the answers held back. */
  readonly #held = new Map<bigint, TraceEventOf<'host-ring-write'>[]>();

  constructor(context: HostContext) {
    this.#context = context;
    this.#view = new DataView(context.memory.buffer, context.memory.byteOffset);
  }

  /** Let a recorded event happen. Events of the guest only keep the books. */
  apply(event: TraceEvent, index: number): void {
    switch (event.op) {
      case 'page':
        return this.#recorded.add(event.purpose, Number(event.gpa), event.len, index);
      case 'page-free':
        this.#recorded.remove(Number(event.gpa));
        return;
      case 'host-message':
        if (event.via === 'direct') this.#message(event);
        return;
      case 'host-message-queued':
        return this.#message(event);
      case 'host-mem-write':
        return this.#memoryWrite(event);
      case 'host-ring-write':
        return this.#ringWrite(event);
      case 'host-ring-read':
        return this.#ringRead(event);
      case 'harness-ring-reset':
        return this.#ringReset();
      default:
        return;
    }
  }

  /** The replay goes on without a recorded packet of the guest: hold back the answers to it. */
  packetLeft(bytes: Uint8Array): void {
    const recorded = transactionOf(bytes);
    if (recorded !== undefined && !this.#held.has(recorded)) this.#held.set(recorded, []);
  }

  /** The guest wrote a packet. Returns whether its transaction was free, if it wants an answer. */
  packetWritten(packet: WaitingPacket): boolean {
    const asks = (packet.flags & COMPLETION_REQUESTED) !== 0;
    const free = !asks || !this.#inFlight.has(packet.transaction);
    if (asks) this.#inFlight.add(packet.transaction);
    const list = this.#waiting.get(packet.channel) ?? [];
    if (list.length === 0) this.#waiting.set(packet.channel, list);
    list.push(packet);
    if (packet.recorded === undefined) return free;
    // Answers that came too early
    this.#transactions.set(packet.recorded, packet.transaction);
    const answers = this.#held.get(packet.recorded) ?? [];
    this.#held.delete(packet.recorded);
    for (const answer of answers) this.#ringWrite(answer);
    return free;
  }

  /** A channel was opened: its rings are empty. */
  channelOpened(channel: number): void {
    this.#waiting.delete(channel);
    this.#producers.delete(channel);
    this.#inFlight.clear();
    this.#held.clear();
  }

  /**
   * Take what the recording does not have from the head of each ring, as a host that was signalled
   * would, and answer it if it asks for an answer.
   */
  drainUnrecorded(): void {
    for (const [number, list] of this.#waiting) {
      const channel = this.#context.channels.channels.get(number);
      let drained = false;
      while (channel !== undefined && list.length > 0 && list[0]!.recorded === undefined) {
        this.#consume(channel, list.shift()!);
        drained = true;
      }
      if (drained) this.#clearSignals(number);
    }
  }

  #message(event: TraceEventOf<'host-message' | 'host-message-queued'>): void {
    if (!this.#context.slots.post(event.sint, Number(event.type), fromHex(event.payload)))
      this.#context.note(`no room for a message for SINT${event.sint}`);
  }

  #memoryWrite(event: TraceEventOf<'host-mem-write'>): void {
    // The slots keep this flag themselves
    if (event.purpose === 'message-pending-flag') return;
    const bytes = fromHex(event.bytes);
    const recorded = Number(event.gpa);
    const place = this.#recorded.find(recorded);
    const base = place === undefined ? undefined : this.#context.guestAddress(place.event);
    if (place === undefined || base === undefined) {
      this.#context.note(`the guest has no memory for the host's write (${event.purpose})`);
      return;
    }
    const at = base + recorded - place.address;
    const { memory } = this.#context;
    bytes.forEach((byte, i) => {
      if (event.purpose.endsWith('-set')) memory[at + i] = memory[at + i]! | byte;
      else if (event.purpose.endsWith('-clear')) memory[at + i] = memory[at + i]! & byte;
      else memory[at + i] = byte;
    });
  }

  #ringRead(event: TraceEventOf<'host-ring-read'>): void {
    const channel = this.#context.channels.channels.get(event.channel);
    const list = this.#waiting.get(event.channel) ?? [];
    const recorded = BigInt(event.xid);
    const at = list.findIndex(
      (packet) => packet.recorded === recorded && packet.type === event.type,
    );
    if (channel === undefined || at < 0) return;
    for (const packet of list.splice(0, at + 1)) this.#consume(channel, packet);
  }

  #ringWrite(event: TraceEventOf<'host-ring-write'>): void {
    const channel = this.#context.channels.channels.get(event.channel);
    if (channel === undefined) {
      this.#context.note(`channel ${event.channel} is not open for the host's packet`);
      return;
    }
    const bytes = fromHex(event.bytes);
    const recorded = transactionOf(bytes);
    // An answer goes to the transaction that the guest has
    if (event.type === PacketType.COMPLETION && recorded !== undefined) {
      const held = this.#held.get(recorded);
      if (held !== undefined) {
        held.push(event);
        return;
      }
      const own = this.#transactions.get(recorded) ?? recorded;
      new DataView(bytes.buffer).setBigUint64(PacketHeader.at.transactionId, own, true);
      this.#inFlight.delete(own);
    }
    this.#write(channel, bytes, event);
  }

  /** Write a packet at the host's own producer index. `event`: as it was recorded. */
  #write(channel: GuestChannel, bytes: Uint8Array, event?: TraceEventOf<'host-ring-write'>): void {
    const ring = channel.in;
    const size = ring.data.length;
    const start = this.#producers.get(channel.channel) ?? ring.producer;
    const footer = bytes.length - PacketFooter.size + PacketFooter.at.offset;
    const view = new DataView(bytes.buffer);
    if (footer >= 0 && view.getUint32(footer, true) === (event?.offset ?? 0))
      view.setUint32(footer, start, true);
    // The recorded index moves by what it moved, which need not be the length of the packet
    const [before, after] = event?.prod ?? [0, bytes.length];
    const moved = after - before + (after < before ? size : 0);
    const odd = after >= size || after < 0;
    const used = (start - ring.consumer + size) % size;
    if (!odd && moved === bytes.length && used + bytes.length >= size) {
      this.#context.note('the ring has no room for the host’s packet');
      return;
    }
    ring.data.write(start, bytes);
    const producer = odd ? after : (start + moved) % size;
    this.#producers.set(channel.channel, producer);
    ring.producer = producer;
  }

  /** Take a packet of the guest. An RNDIS message that the recording does not have is completed. */
  #consume(channel: GuestChannel, packet: WaitingPacket): void {
    channel.out.consumer = packet.end;
    const asks = packet.type === PacketType.DATA_GPA_DIRECT && packet.flags & COMPLETION_REQUESTED;
    if (!asks || packet.recorded !== undefined) return;
    this.#write(channel, rndisCompletion(packet.transaction));
    this.#inFlight.delete(packet.transaction);
  }

  #ringReset(): void {
    for (const channel of this.#context.channels.channels.values()) {
      channel.in.producer = channel.in.consumer;
      this.#producers.set(channel.channel, channel.in.consumer);
    }
  }

  /** Clear the guest's interrupt bit and monitor of a channel. */
  #clearSignals(channel: number): void {
    const { interruptPage, monitorOut, monitors } = this.#context.channels;
    const { memory } = this.#context;
    if (interruptPage !== 0) {
      const at = interruptPage + InterruptPage.at.out + (channel >>> 3);
      memory[at] = memory[at]! & ~(1 << (channel & 7));
    }
    const monitor = monitors.get(channel);
    if (monitor === undefined || monitorOut === 0) return;
    const at = monitorOut + MonitorPage.at.trigger + (monitor >>> 5) * MonitorTrigger.size;
    this.#view.setUint32(at, this.#view.getUint32(at, true) & ~(1 << (monitor & 31)), true);
  }
}

/** Transaction of a ring packet, or undefined if the bytes do not reach that far. */
function transactionOf(bytes: Uint8Array): bigint | undefined {
  if (bytes.length < PacketHeader.size) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return view.getBigUint64(PacketHeader.at.transactionId, true);
}

/** A host's completion of an RNDIS message: NVSP type 108, status 1. */
function rndisCompletion(transaction: bigint): Uint8Array {
  const length = PacketHeader.size + NVSP_MESSAGE_SIZE;
  const bytes = new Uint8Array(length + PacketFooter.size);
  const view = new DataView(bytes.buffer);
  view.setUint16(PacketHeader.at.type, PacketType.COMPLETION, true);
  view.setUint16(PacketHeader.at.headerQlen, PacketHeader.size / 8, true);
  view.setUint16(PacketHeader.at.qlen, length / 8, true);
  view.setBigUint64(PacketHeader.at.transactionId, transaction, true);
  view.setUint32(PacketHeader.size, NvspType.SEND_RNDIS_PACKET_COMPLETE, true);
  view.setUint32(PacketHeader.size + 4, NvspStatus.SUCCESS, true);
  return bytes;
}
