// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Books of what the host of a replay has done to the guest: by them the guest can be found right
 * without anybody having written down what another guest does there.
 */

import { MessageType, VMBUS_MESSAGE_TYPE } from '../../../src/vmbus/protocol.ts';
import {
  COMPLETION_REQUESTED,
  DeviceClass,
  GpadlCreated,
  GpadlTeardown,
  GpadlTorndown,
  OFFER_CHANNEL_MIN,
  OfferChannel,
  OpenChannelResult,
  PacketHeader,
  PacketType,
  RescindChannelOffer,
  VERSION_RESPONSE_MIN,
  VersionResponse,
  XferPageHeader,
  XferPageRange,
} from '../../../src/vmbus/protocol.ts';
import { NvspType } from '../../../src/netvsc/protocol.ts';
import {
  Oid,
  RNDIS_BODY,
  RndisPacket,
  RndisQueryComplete,
  RndisStatus,
  RndisType,
} from '../../../src/rndis/protocol.ts';
import { ETHERNET_HEADER } from '../../../src/net/device.ts';
import { guidText } from '../../../src/wire.ts';
import { messageType, RNDIS_REQUESTS, type PacketMeaning } from '../anchor-keys.ts';
import type { GuestChannels } from '../guest-channels.ts';
import { PageList } from '../host/guest-ring.ts';
import { toHex } from '../hex.ts';

/** What the host has sent for the network device in one step. */
export interface Received {
  /** Frames that are whole, in the order of the host. */
  readonly frames: string[];
  /** Messages and packets that are none: each of them may count as an error. */
  others: number;
}

/** Most ranges of a packet that are looked at. */
const RANGES_MAX = 512;

/** Time without an answer that is silence, in ms. */
const SILENCE_MS = 500;

/** The message that each answer is for. */
const ANSWERED_BY: Readonly<Record<number, number>> = {
  [MessageType.VERSION_RESPONSE]: MessageType.INITIATE_CONTACT,
  [MessageType.ALL_OFFERS_DELIVERED]: MessageType.REQUEST_OFFERS,
  [MessageType.GPADL_CREATED]: MessageType.GPADL_HEADER,
  [MessageType.OPEN_CHANNEL_RESULT]: MessageType.OPEN_CHANNEL,
  [MessageType.GPADL_TORNDOWN]: MessageType.GPADL_TEARDOWN,
  [MessageType.UNLOAD_RESPONSE]: MessageType.UNLOAD,
};

/** What the type of an answer is more than that of its request. */
const ANSWER = 0x80000000;

/** Bytes of an object that a guest asks for. */
const OBJECTS: Readonly<Record<number, number>> = {
  [Oid.OID_802_3_PERMANENT_ADDRESS]: 6,
  [Oid.OID_802_3_CURRENT_ADDRESS]: 6,
  [Oid.GEN_MEDIA_CONNECT_STATUS]: 4,
};

function answerTo(rndis: number, request: number): string {
  return `rndis ${rndis} ${request}`;
}

/** Keeps the books of one run. */
export class HostBooks {
  readonly #memory: Uint8Array;
  readonly #channels: GuestChannels;
  /** Completions that the host waits for: by channel and transaction, how many. */
  readonly asked = new Map<string, number>();
  /** KEEPALIVE requests by ID. */
  readonly keepalives = new Map<string, number>();
  /** The step in which the host has first taken the network device away. */
  rescinded = Infinity;
  /** Channels of network devices. */
  readonly #nics = new Set<number>();
  readonly #received = new Map<number, Received>();
  readonly #trouble = new Set<number>();
  /** The message of the guest that awaits its answer: its type, and what it is about. */
  #awaits = '';
  /** Packets that the host has not completed, and RNDIS requests that it has not answered. */
  readonly #owed = new Set<string>();
  /** Objects that were asked for, by what answers. */
  readonly #objects = new Map<string, number>();
  #step = -1;
  /** Time in which the host owed something and said nothing. */
  #ms = 0;

  constructor(memory: Uint8Array, channels: GuestChannels) {
    this.#memory = memory;
    this.#channels = channels;
  }

  beginStep(step: number): void {
    this.#step = step;
    this.#ms = 0;
  }

  /** A millisecond passes: silence of a host that owes nothing is no trouble. */
  pause(): void {
    if (this.#awaits === '' && this.#owed.size === 0) return;
    if (++this.#ms !== SILENCE_MS) return;
    this.trouble();
    this.#channels.unanswered();
  }

  /** The host has refused something, or has said what it must not. */
  trouble(): void {
    this.#trouble.add(this.#step);
  }

  /** Channels that the guest has left open. */
  get open(): readonly number[] {
    return this.#channels.inUse;
  }

  /** Whether the host offers a network device. */
  get hasNic(): boolean {
    return this.#nics.size > 0;
  }

  /** Whether the host has given trouble up to the end of a step. */
  wasTroubled(step: number): boolean {
    return [...this.#trouble].some((each) => each <= step);
  }

  /** Whether the host has given trouble in a step. */
  isTroubled(step: number): boolean {
    return this.#trouble.has(step);
  }

  /** What came for the network device in a step. */
  received(step: number): Received {
    const known = this.#received.get(step) ?? { frames: [], others: 0 };
    this.#received.set(step, known);
    return known;
  }

  /** The guest has posted a message. */
  posted(message: Uint8Array): void {
    const type = message.length < 4 ? 0 : messageType(message);
    if (!Object.values<number>(ANSWERED_BY).includes(type)) return;
    this.#awaits = `${type} ${subjectOf(message)}`;
  }

  /** The guest has written a packet. */
  sent(channel: number, packet: PacketMeaning): void {
    const { type, asks, transaction, rndis, requestId, oid } = packet;
    if (type === PacketType.COMPLETION) return;
    if (asks) this.#owed.add(`${channel} ${transaction}`);
    if (!RNDIS_REQUESTS.includes(rndis)) return;
    this.#owed.add(answerTo(rndis, requestId));
    if (rndis === RndisType.QUERY) this.#objects.set(answerTo(rndis, requestId), oid);
  }

  /** A message has reached its slot. */
  message(type: number, payload: Uint8Array): void {
    this.#ms = 0;
    if (type !== VMBUS_MESSAGE_TYPE || isOdd(payload)) this.trouble();
    const answer = payload.length < 8 ? 0 : messageType(payload);
    const asked = ANSWERED_BY[answer];
    // One that nobody waits for may come from a time before
    if (asked !== undefined && `${asked} ${subjectOf(payload)}` !== this.#awaits) this.trouble();
    else if (asked !== undefined) this.#awaits = '';
    if (answer === MessageType.OFFER_CHANNEL && isNic(payload))
      this.#nics.add(wordOf(payload, OfferChannel.at.channel));
    const rescinds = answer === MessageType.RESCIND_CHANNEL_OFFER;
    if (rescinds && this.#nics.has(wordOf(payload, RescindChannelOffer.at.channel)))
      this.rescinded = Math.min(this.rescinded, this.#step);
  }

  /**
   * The host writes a packet; what it refers to lies in the receive buffer.
   *
   * @param isOdd the index of the ring does not say where it ends
   */
  packet(channel: number, bytes: Uint8Array, isOdd = false): void {
    this.#ms = 0;
    if (isOdd) this.trouble();
    const received = this.received(this.#step);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (!isPacket(view)) {
      received.others++;
      return this.trouble();
    }
    const type = view.getUint16(PacketHeader.at.type, true);
    const transaction = view.getBigUint64(PacketHeader.at.transactionId, true);
    if (type === PacketType.COMPLETION) {
      this.#owed.delete(`${channel} ${transaction}`);
      return this.#completion(view);
    }
    const flags = view.getUint16(PacketHeader.at.flags, true);
    if ((flags & COMPLETION_REQUESTED) !== 0) {
      count(this.asked, `${channel} 0x${transaction.toString(16)}`);
    }
    if (type !== PacketType.DATA_XFER_PAGES || !this.#ranges(channel, view)) {
      received.others++;
      this.trouble();
    }
  }

  /** A completion may say that what it completes has failed. */
  #completion(view: DataView): void {
    const payload = view.getUint16(PacketHeader.at.headerQlen, true) * 8;
    // Behind the payload is the footer
    const end = Math.min(view.getUint16(PacketHeader.at.qlen, true) * 8, view.byteLength);
    if (payload + 8 > end) return;
    // Each answer of NVSP has its status in another place: whatever is not plain success is trouble
    const type = view.getUint32(payload, true);
    const at = type === NvspType.INIT_COMPLETE ? 12 : 4;
    if (payload + at + 4 <= end && view.getUint32(payload + at, true) !== 1) this.trouble();
  }

  /** The messages of a packet. Returns whether it is whole. */
  #ranges(channel: number, view: DataView): boolean {
    if (view.byteLength < XferPageHeader.size) return false;
    const header = view.getUint16(PacketHeader.at.headerQlen, true) * 8;
    const rangeCount = view.getUint32(XferPageHeader.at.rangeCount, true);
    const pageSet = view.getUint16(XferPageHeader.at.pageSet, true);
    const buffer = this.#channels.receiveBuffers.get(channel);
    const fits = XferPageHeader.size + rangeCount * XferPageRange.size === header;
    if (!fits || header + 4 > view.byteLength || rangeCount > RANGES_MAX) return false;
    if (buffer?.pageSet !== pageSet) return false;
    if (view.getUint32(header, true) !== NvspType.SEND_RNDIS_PACKET) return false;
    const pages = new PageList(this.#memory, this.#channels.bufferPages(channel));
    // Ranges need not overlap: all of them are no more than the buffer
    let left = pages.length;
    for (let i = 0; i < rangeCount; i++) {
      const at = XferPageHeader.size + i * XferPageRange.size;
      const length = view.getUint32(at, true);
      const offset = view.getUint32(at + XferPageRange.at.offset, true);
      const isThere = length <= left && offset + length <= pages.length;
      if (isThere) left -= length;
      this.#rndis(pages.read(offset, isThere ? length : 0));
    }
    return true;
  }

  /** Whether a guest makes use of a message that is no frame. */
  #isUseful(type: number, length: number, word: (at: number) => number): boolean {
    if (type === RndisType.KEEPALIVE) return length >= 12;
    if (type === RndisType.INDICATE_STATUS) return length >= 20 && INDICATIONS.includes(word(8));
    // An answer is to a request that waits for it
    const answer = answerTo(type - ANSWER, word(8));
    if (!this.#owed.delete(answer) || length < 16 || word(12) !== 0) return false;
    return type !== RndisType.QUERY_CMPLT || informs(length, word, this.#objects.get(answer));
  }

  /** A message of the host. */
  #rndis(message: Uint8Array): void {
    const received = this.received(this.#step);
    const type = message.length < 4 ? 0 : messageType(message);
    const word = (at: number): number =>
      at + 4 <= message.length ? new DataView(message.buffer).getUint32(at, true) : 0;
    if (type === RndisType.KEEPALIVE && message.length >= 12)
      count(this.keepalives, `0x${word(8).toString(16)}`);
    const frame = type === RndisType.PACKET ? frameOf(message) : undefined;
    if (frame !== undefined) {
      received.frames.push(toHex(frame));
      return;
    }
    if (this.#isUseful(type, message.length, word)) return;
    received.others++;
    this.trouble();
  }
}

/** Status indications that are known. */
const INDICATIONS: readonly number[] = [
  ...[RndisStatus.MEDIA_CONNECT, RndisStatus.MEDIA_DISCONNECT],
  RndisStatus.TASK_OFFLOAD_CURRENT_CONFIG,
];

/** The frame of an RNDIS packet, or undefined: it is none that anybody could use. */
function frameOf(message: Uint8Array): Uint8Array | undefined {
  if (message.length < RndisPacket.size) return undefined;
  const view = new DataView(message.buffer, message.byteOffset);
  const offset = RNDIS_BODY + view.getUint32(RndisPacket.at.dataOffset, true);
  const length = view.getUint32(RndisPacket.at.dataLength, true);
  if (length < ETHERNET_HEADER || offset + length > message.length) return undefined;
  return message.subarray(offset, offset + length);
}

/** A word of a message; -1 beyond its end. */
function wordOf(message: Uint8Array, at: number): number {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  return at + 4 <= message.length ? view.getUint32(at, true) : -1;
}

/** Whether an offer is of a network device: its first channel. */
function isNic(offer: Uint8Array): boolean {
  const { interfaceId, subchannelIndex } = OfferChannel.at;
  if (offer.length <= subchannelIndex) return false;
  const isFirst = offer[subchannelIndex] === 0;
  return isFirst && guidText(offer, interfaceId) === DeviceClass.NETWORK;
}

/** What a message that is answered, or its answer, is about: the same of both. */
function subjectOf(message: Uint8Array): string {
  const word = (at: number): number => wordOf(message, at);
  switch (messageType(message)) {
    case MessageType.GPADL_HEADER:
    case MessageType.GPADL_CREATED:
    case MessageType.OPEN_CHANNEL:
    case MessageType.OPEN_CHANNEL_RESULT:
      return `${word(8)} ${word(12)}`;
    case MessageType.GPADL_TEARDOWN:
      return String(word(GpadlTeardown.at.gpadl));
    case MessageType.GPADL_TORNDOWN:
      return String(word(GpadlTorndown.at.gpadl));
    default:
      return '';
  }
}

/** How long messages of the host are at least. */
const LENGTHS: Readonly<Record<number, number>> = {
  [MessageType.VERSION_RESPONSE]: VERSION_RESPONSE_MIN,
  [MessageType.OFFER_CHANNEL]: OFFER_CHANNEL_MIN,
  [MessageType.GPADL_CREATED]: GpadlCreated.size,
  [MessageType.OPEN_CHANNEL_RESULT]: OpenChannelResult.size,
  [MessageType.GPADL_TORNDOWN]: GpadlTorndown.size,
};

/** Whether a message refuses something, or is none that a host sends without a cause. */
function isOdd(payload: Uint8Array): boolean {
  const word = (at: number): number => wordOf(payload, at);
  if (payload.length < (LENGTHS[word(0)] ?? 8)) return true;
  switch (word(0)) {
    case MessageType.VERSION_RESPONSE:
      return (payload[VersionResponse.at.supported] ?? 0) === 0 || payload[9] !== 0;
    case MessageType.GPADL_CREATED:
      return word(GpadlCreated.at.status) !== 0;
    case MessageType.OPEN_CHANNEL_RESULT:
      return word(OpenChannelResult.at.status) !== 0;
    case MessageType.OFFER_CHANNEL:
    case MessageType.ALL_OFFERS_DELIVERED:
    case MessageType.GPADL_TORNDOWN:
    case MessageType.UNLOAD_RESPONSE:
      return false;
    default:
      return true;
  }
}

/** Whether there is a header, and a length that holds it. */
function isPacket(view: DataView): boolean {
  if (view.byteLength < PacketHeader.size) return false;
  const header = view.getUint16(PacketHeader.at.headerQlen, true) * 8;
  return header >= PacketHeader.size && view.getUint16(PacketHeader.at.qlen, true) * 8 >= header;
}

/** Whether the answer to a query has the object in it, and all of it. */
function informs(length: number, word: (at: number) => number, oid: number | undefined): boolean {
  const info = word(RndisQueryComplete.at.infoLength);
  const end = RNDIS_BODY + word(RndisQueryComplete.at.infoOffset) + info;
  return end <= length && info === (OBJECTS[oid ?? 0] ?? info);
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
