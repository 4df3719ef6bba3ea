// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Identities: what the recorded guest called something, and what the guest of the replay calls it.
 * The host's messages and packets are told in the guest's names.
 */

import {
  GpadlCreated,
  GpadlHeader,
  GpadlTorndown,
  MessageType,
  OpenChannel,
  OpenChannelResult,
  PacketHeader,
  PacketType,
  XferPageHeader,
} from '../../../src/vmbus/protocol.ts';
import { NvspSendBuffer, NvspType } from '../../../src/netvsc/protocol.ts';
import { RndisRequest } from '../../../src/rndis/protocol.ts';
import { messageType, type PacketMeaning } from '../anchor-keys.ts';

const LOW = 0xffffffffn;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Names of both sides. */
export class Renaming {
  readonly #gpadls = new Map<number, number>();
  readonly #opens = new Map<number, number>();
  readonly #pageSets = new Map<number, number>();
  readonly #transactions = new Map<bigint, bigint>();
  readonly #requests = new Map<PacketMeaning, PacketMeaning>();

  /** The guest has posted what the recorded guest posted. */
  message(recorded: Uint8Array, guest: Uint8Array): void {
    const [from, to] = [viewOf(recorded), viewOf(guest)];
    const type = messageType(recorded);
    if (type === MessageType.GPADL_HEADER) pair(this.#gpadls, from, to, GpadlHeader.at.gpadl);
    if (type === MessageType.OPEN_CHANNEL) pair(this.#opens, from, to, OpenChannel.at.openId);
  }

  /** The guest has written the packet that the recorded guest wrote. `bytes`: the guest's. */
  packet(recorded: PacketMeaning, guest: PacketMeaning, bytes: Uint8Array): void {
    this.#transactions.set(recorded.transaction, guest.transaction);
    this.#requests.set(recorded, guest);
    if (recorded.nvsp !== NvspType.SEND_RECEIVE_BUFFER || recorded.pageSet === undefined) return;
    const view = viewOf(bytes);
    const at = view.getUint16(PacketHeader.at.headerQlen, true) * 8 + NvspSendBuffer.at.id;
    if (at + 2 <= bytes.length) this.#pageSets.set(recorded.pageSet, view.getUint16(at, true));
  }

  gpadl(recorded: number): number {
    return this.#gpadls.get(recorded) ?? recorded;
  }

  /** A message of the host. */
  hostMessage(payload: Uint8Array): Uint8Array {
    const view = viewOf(payload);
    const at = {
      [MessageType.GPADL_CREATED]: [GpadlCreated.at.gpadl, this.#gpadls] as const,
      [MessageType.GPADL_TORNDOWN]: [GpadlTorndown.at.gpadl, this.#gpadls] as const,
      [MessageType.OPEN_CHANNEL_RESULT]: [OpenChannelResult.at.openId, this.#opens] as const,
    }[payload.length < 8 ? 0 : messageType(payload)];
    if (at === undefined || at[0] + 4 > payload.length) return payload;
    const name = at[1].get(view.getUint32(at[0], true));
    if (name !== undefined) view.setUint32(at[0], name, true);
    return payload;
  }

  /** A packet of the host. `asked`: the recorded packet that it answers. */
  hostPacket(bytes: Uint8Array, asked: PacketMeaning | undefined): Uint8Array {
    if (bytes.length < PacketHeader.size) return bytes;
    const view = viewOf(bytes);
    const type = view.getUint16(PacketHeader.at.type, true);
    if (type === PacketType.COMPLETION) {
      const recorded = view.getBigUint64(PacketHeader.at.transactionId, true);
      const guest = this.#transaction(recorded, asked);
      view.setBigUint64(PacketHeader.at.transactionId, guest, true);
    }
    if (type === PacketType.DATA_XFER_PAGES && bytes.length >= XferPageHeader.size) {
      const set = this.#pageSets.get(view.getUint16(XferPageHeader.at.pageSet, true));
      if (set !== undefined) view.setUint16(XferPageHeader.at.pageSet, set, true);
    }
    return bytes;
  }

  #transaction(recorded: bigint, asked: PacketMeaning | undefined): bigint {
    const own = asked === undefined ? undefined : this.#requests.get(asked)?.transaction;
    if (own !== undefined && asked!.transaction === recorded) return own;
    const whole = this.#transactions.get(recorded);
    if (whole !== undefined) return whole;
    // An odd upper half stays odd
    const low = this.#transactions.get(recorded & LOW);
    return low === undefined ? recorded : (recorded & ~LOW) | low;
  }

  /** An RNDIS message of the host in the receive buffer. `asked`: the recorded request. */
  response(bytes: Uint8Array, asked: PacketMeaning | undefined): Uint8Array {
    const at = RndisRequest.at.requestId;
    if (asked === undefined || bytes.length < at + 4) return bytes;
    const guest = this.#requests.get(asked);
    const copy = bytes.slice();
    const view = viewOf(copy);
    const told = view.getUint32(at, true) === asked.requestId && view.getUint32(0, true) >= 2 ** 31;
    if (guest === undefined || !told) return bytes;
    view.setUint32(at, guest.requestId, true);
    return copy;
  }
}

function pair(names: Map<number, number>, from: DataView, to: DataView, at: number): void {
  if (at + 4 > from.byteLength || at + 4 > to.byteLength) return;
  names.set(from.getUint32(at, true), to.getUint32(at, true));
}
