// SPDX-License-Identifier: GPL-2.0-or-later

/** What the host of a replay answers to requests that the recording does not have. */

import {
  GpadlCreated,
  GpadlHeader,
  GpadlTeardown,
  GpadlTorndown,
  InitiateContact,
  MessageHeader,
  MessageType,
  OpenChannel,
  OpenChannelResult,
  PacketFooter,
  PacketHeader,
  PacketType,
  VMBUS_MESSAGE_SINT,
  VersionResponse,
  XferPageHeader,
  XferPageRange,
} from '../../../src/vmbus/protocol.ts';
import {
  NVSP_MESSAGE_SIZE,
  NvspStatus,
  NvspType,
  NvspVersion,
} from '../../../src/netvsc/protocol.ts';
import { Oid, RNDIS_BODY, RndisQueryComplete, RndisType } from '../../../src/rndis/protocol.ts';
import { wordBytes } from '../../../src/wire.ts';
import { messageType, type PacketMeaning } from '../anchor-keys.ts';
import type { GuestChannels } from '../guest-channels.ts';
import { fromHex, toHex } from '../hex.ts';
import type { HostMemory } from './host-memory.ts';
import { NO_LOOK } from './looks.ts';
import type { HostEvent, Script } from './script-types.ts';

/** Where answers are put into the receive buffer: near its end. */
const SLOTS = [62208, 60480] as const;

/** Transaction IDs of the host's own packets. */
const FIRST_TRANSACTION = 0x7fff0000;

/** Addresses of a device that the recording does not tell. */
const ADDRESSES: Readonly<Record<number, string>> = {
  [Oid.OID_802_3_PERMANENT_ADDRESS]: '00155d01c900',
  [Oid.OID_802_3_CURRENT_ADDRESS]: '00155d01c901',
};

function u32(message: Uint8Array, offset: number): number {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  return offset + 4 > message.length ? 0 : view.getUint32(offset, true);
}

/** Answers as any host gives them, with the facts of this one. */
export class DefaultAnswers {
  /** Time until an answer comes, and until a packet is taken, in ms. */
  readonly messageLatency: number;
  readonly ringLatency: number;
  readonly #script: Script;
  readonly #channels: GuestChannels;
  readonly #memory: HostMemory;
  #count = 0;

  constructor(script: Script, channels: GuestChannels, memory: HostMemory) {
    this.#script = script;
    this.#channels = channels;
    this.#memory = memory;
    const least = (times: readonly number[]): number => Math.min(1, ...times);
    this.messageLatency = least(
      script.anchors.flatMap(({ message, answers, time }) =>
        message === undefined || answers.length === 0 ? [] : [answers[0]!.time - time],
      ),
    );
    this.ringLatency = least(
      script.anchors.flatMap(({ consumed, time }) =>
        consumed === undefined ? [] : [consumed - time],
      ),
    );
  }

  /** A message as an event that may come at any time. */
  messageEvent(payload: Uint8Array): HostEvent {
    const event = {
      op: 'host-message',
      sint: VMBUS_MESSAGE_SINT,
      type: '0x1',
      payload: toHex(payload),
      pending: undefined,
      via: 'direct',
      gpa: '0x0',
    } as const;
    const what = { kind: 'message', event } as const;
    const when = { index: Infinity, time: 0, look: NO_LOOK, behind: undefined };
    return { ...when, what, asked: undefined, writes: [] };
  }

  /** Answers to a message that was posted. */
  message(message: Uint8Array): readonly Uint8Array[] {
    const channels = this.#channels;
    const type = messageType(message);
    // Whoever is not connected is not heard
    if (type !== MessageType.INITIATE_CONTACT && !channels.connected) return [];
    switch (type) {
      case MessageType.INITIATE_CONTACT:
        return [this.#version(u32(message, InitiateContact.at.version))];
      case MessageType.UNLOAD:
        return [wordBytes(MessageHeader.size, MessageType.UNLOAD_RESPONSE)];
      case MessageType.REQUEST_OFFERS: {
        const all = wordBytes(MessageHeader.size, MessageType.ALL_OFFERS_DELIVERED);
        return [...this.#script.offers, all];
      }
      case MessageType.GPADL_HEADER: {
        const { channel, gpadl } = GpadlHeader.at;
        const words = [u32(message, channel), u32(message, gpadl)];
        return [wordBytes(GpadlCreated.size, MessageType.GPADL_CREATED, 0, ...words)];
      }
      case MessageType.GPADL_TEARDOWN: {
        const gpadl = u32(message, GpadlTeardown.at.gpadl);
        if (!channels.gpadls.has(gpadl)) return [];
        return [wordBytes(GpadlTorndown.size, MessageType.GPADL_TORNDOWN, 0, gpadl)];
      }
      case MessageType.OPEN_CHANNEL: {
        const { channel, openId } = OpenChannel.at;
        const words = [u32(message, channel), u32(message, openId)];
        return [wordBytes(OpenChannelResult.size, MessageType.OPEN_CHANNEL_RESULT, 0, ...words)];
      }
      default:
        return [];
    }
  }

  /** As the host has answered the same version, or yes. */
  #version(version: number): Uint8Array {
    for (const { key, answers } of this.#script.anchors) {
      const what = key === `contact ${version}` ? answers[0]?.what : undefined;
      if (what?.kind === 'message') return fromHex(what.event.payload);
    }
    return wordBytes(VersionResponse.size, MessageType.VERSION_RESPONSE, 0, 1, version);
  }

  /** Packets that answer a packet which was taken. */
  packet(channel: number, packet: PacketMeaning): readonly Uint8Array[] {
    if (!packet.asks) return [];
    const { type, transaction, nvsp } = packet;
    if (type === PacketType.DATA_INBAND) return [completion(transaction, nvspAnswer(nvsp))];
    const words = [NvspType.SEND_RNDIS_PACKET_COMPLETE, NvspStatus.SUCCESS];
    const done = completion(transaction, wordBytes(NVSP_MESSAGE_SIZE, ...words));
    const response = rndisAnswer(packet);
    return response === undefined ? [done] : [done, this.#transfer(channel, response)];
  }

  /** A packet that carries an RNDIS message. */
  #transfer(channel: number, message: Uint8Array): Uint8Array {
    const offset = SLOTS[this.#count % SLOTS.length]!;
    const buffer = this.#channels.receiveBuffers.get(channel);
    if (buffer !== undefined) this.#memory.write(buffer.gpadl, offset, message);
    const nvsp = wordBytes(NVSP_MESSAGE_SIZE, NvspType.SEND_RNDIS_PACKET, 1, 0xffffffff);
    const header = XferPageHeader.size + XferPageRange.size;
    const bytes = new Uint8Array(header + nvsp.length + PacketFooter.size);
    const view = new DataView(bytes.buffer);
    packetHeader(view, PacketType.DATA_XFER_PAGES, header, nvsp.length);
    const transaction = BigInt(FIRST_TRANSACTION + this.#count++);
    view.setBigUint64(PacketHeader.at.transactionId, transaction, true);
    view.setUint16(PacketHeader.at.flags, 1, true);
    view.setUint16(XferPageHeader.at.pageSet, buffer?.pageSet ?? 0, true);
    view.setUint32(XferPageHeader.at.rangeCount, 1, true);
    view.setUint32(XferPageHeader.size, message.length, true);
    view.setUint32(XferPageHeader.size + XferPageRange.at.offset, offset, true);
    bytes.set(nvsp, header);
    return bytes;
  }
}

function packetHeader(view: DataView, type: number, header: number, payload: number): void {
  view.setUint16(PacketHeader.at.type, type, true);
  view.setUint16(PacketHeader.at.headerQlen, header / 8, true);
  view.setUint16(PacketHeader.at.qlen, (header + payload) / 8, true);
}

function completion(transaction: bigint, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PacketHeader.size + payload.length + PacketFooter.size);
  const view = new DataView(bytes.buffer);
  packetHeader(view, PacketType.COMPLETION, PacketHeader.size, payload.length);
  view.setBigUint64(PacketHeader.at.transactionId, transaction, true);
  bytes.set(payload, PacketHeader.size);
  return bytes;
}

/** Payload of the completion of an NVSP request. */
function nvspAnswer(type: number): Uint8Array {
  const { INIT, INIT_COMPLETE, SEND_RECEIVE_BUFFER, SEND_RECEIVE_BUFFER_COMPLETE } = NvspType;
  if (type === INIT) return wordBytes(32, INIT_COMPLETE, NvspVersion.V1, 34, NvspStatus.SUCCESS);
  if (type !== SEND_RECEIVE_BUFFER) return new Uint8Array(0);
  const section = [0, 1728, 37, 63936];
  return wordBytes(32, SEND_RECEIVE_BUFFER_COMPLETE, NvspStatus.SUCCESS, 1, ...section);
}

/** The answer to an RNDIS request, or undefined if there is none. */
function rndisAnswer({ rndis, requestId, oid }: PacketMeaning): Uint8Array | undefined {
  switch (rndis) {
    case RndisType.INITIALISE:
      return wordBytes(52, RndisType.INITIALISE_CMPLT, 52, requestId, 0, 1, 0, 1, 0, 8, 0x4000, 3);
    case RndisType.QUERY: {
      const info = fromHex(ADDRESSES[oid] ?? '00000000');
      const length = RndisQueryComplete.size + info.length;
      const offset = RndisQueryComplete.size - RNDIS_BODY;
      const head = [RndisType.QUERY_CMPLT, length, requestId, 0, info.length, offset];
      const bytes = wordBytes(length, ...head);
      bytes.set(info, RndisQueryComplete.size);
      return bytes;
    }
    case RndisType.SET:
      return wordBytes(16, RndisType.SET_CMPLT, 16, requestId, 0);
    default:
      return undefined;
  }
}
