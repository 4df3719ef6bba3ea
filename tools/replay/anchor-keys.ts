// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What an action of a guest means, as a key: the same request of the recorded guest and of the one
 * that is replayed has the same key, whatever identities the two have given to things.
 */

import {
  GpadlHeader,
  GpadlTeardown,
  InitiateContact,
  MessageType,
  OpenChannel,
  PacketHeader,
  PacketType,
} from '../../src/vmbus/protocol.ts';
import { NvspSendBuffer, NvspType } from '../../src/netvsc/protocol.ts';
import { RndisRequest, RndisType } from '../../src/rndis/protocol.ts';
import { toHex } from './hex.ts';

/** What keys need to know of GPADLs. */
export interface GpadlNames {
  /** What a GPADL is called among those of its guest: by what memory it is, and which of that. */
  nameOf(gpadl: number): string;
  /** What memory a page is, if that is known. */
  purposeOf(address: number): string;
}

function u32(bytes: Uint8Array, offset: number): number {
  if (offset + 4 > bytes.length) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset, true);
}

/** Type of a control message. */
export function messageType(message: Uint8Array): number {
  return u32(message, 0);
}

/** Key of a control message of a guest. */
export function messageKey(message: Uint8Array, names: GpadlNames): string {
  const type = messageType(message);
  switch (type) {
    case MessageType.INITIATE_CONTACT:
      return `contact ${u32(message, InitiateContact.at.version)}`;
    case MessageType.GPADL_HEADER: {
      const page = u32(message, GpadlHeader.size + 8) * 4096;
      return `gpadl ${u32(message, GpadlHeader.at.channel)} ${names.purposeOf(page)}`;
    }
    case MessageType.GPADL_TEARDOWN:
      return `teardown ${names.nameOf(u32(message, GpadlTeardown.at.gpadl))}`;
    case MessageType.OPEN_CHANNEL:
    case MessageType.CLOSE_CHANNEL:
    case MessageType.RELID_RELEASED:
    case MessageType.MODIFY_CHANNEL:
      return `message ${type} ${u32(message, OpenChannel.at.channel)}`;
    default:
      return `message ${type}`;
  }
}

/** RNDIS messages of a guest that are answered, each under its ID. */
export const RNDIS_REQUESTS: readonly number[] = [
  ...[RndisType.INITIALISE, RndisType.QUERY, RndisType.SET],
];

/** A ring packet of a guest, as far as keys and answers look into it. */
export interface PacketMeaning {
  readonly type: number;
  readonly asks: boolean;
  readonly transaction: bigint;
  /** NVSP type of an in-band packet, or of the message beside data. */
  readonly nvsp: number;
  /** RNDIS type of the data, 0 for none; its request ID and OID. */
  readonly rndis: number;
  readonly requestId: number;
  readonly oid: number;
  /** Page set of a receive buffer that is given to the host. */
  readonly pageSet: number | undefined;
  /** GPADL of it. */
  readonly gpadl: number;
  readonly key: string;
}

/** What a packet means. `data`: contents of the ranges of a GPA-direct packet. */
export function packetMeaning(bytes: Uint8Array, data: Uint8Array | undefined): PacketMeaning {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const type = view.getUint16(PacketHeader.at.type, true);
  const asks = (view.getUint16(PacketHeader.at.flags, true) & 1) !== 0;
  const transaction = view.getBigUint64(PacketHeader.at.transactionId, true);
  const payload = view.getUint16(PacketHeader.at.headerQlen, true) * 8;
  const nvsp = u32(bytes, payload);
  const rndis = data === undefined ? 0 : u32(data, 0);
  const request = rndis === RndisType.QUERY || rndis === RndisType.SET;
  const requestId = data === undefined ? 0 : u32(data, RndisRequest.at.requestId);
  const oid = request ? u32(data!, RndisRequest.at.oid) : 0;
  let key = `packet ${type}`;
  if (type === PacketType.DATA_INBAND) key = `nvsp ${nvsp}`;
  else if (type === PacketType.COMPLETION) key = `completion ${transaction}`;
  else if (rndis === RndisType.PACKET) key = `frame ${toHex(data!)}`;
  else if (request) key = `rndis ${rndis} ${oid} ${toHex(data!.subarray(RndisRequest.size))}`;
  else if (data !== undefined) key = `rndis ${rndis}`;
  const gives = type === PacketType.DATA_INBAND && nvsp === NvspType.SEND_RECEIVE_BUFFER;
  const pageSet = gives ? u32(bytes, payload + NvspSendBuffer.at.id) & 0xffff : undefined;
  const gpadl = gives ? u32(bytes, payload + NvspSendBuffer.at.gpadl) : 0;
  return { type, asks, transaction, nvsp, rndis, requestId, oid, pageSet, gpadl, key };
}

/** Whether an action with this key may come in another step than it was recorded in. */
export function isMovable(key: string): boolean {
  return key.startsWith('frame ') || key.startsWith('completion ');
}
