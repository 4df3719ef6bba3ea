// SPDX-License-Identifier: GPL-2.0-or-later

/** Which action of the recorded guest it is that something of its host answers. */

import {
  PacketHeader,
  PacketType,
  XferPageHeader,
  XferPageRange,
} from '../../../src/vmbus/protocol.ts';
import { RNDIS_REQUESTS, type PacketMeaning } from '../anchor-keys.ts';
import type { Anchor, MemoryWrite } from './script-types.ts';

/** RNDIS messages from here on are answers. */
const RNDIS_ANSWERS = 0x80000000;

/** The last action of which a test is true. */
function findLast(
  anchors: readonly Anchor[],
  test: (anchor: Anchor) => boolean,
): Anchor | undefined {
  for (let i = anchors.length - 1; i >= 0; i--) if (test(anchors[i]!)) return anchors[i];
  return undefined;
}

/** The last message of a type that was heard and of which a test is true. */
export function findMessage(
  anchors: readonly Anchor[],
  type: number,
  test: (view: DataView) => boolean = () => true,
): Anchor | undefined {
  return findLast(anchors, ({ message, status }) => {
    if (message === undefined || message.length < 8 || status !== 0) return false;
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    return view.getUint32(0, true) === type && test(view);
  });
}

/** The last packet of a channel of which a test is true. */
function findPacket(
  anchors: readonly Anchor[],
  channel: number,
  test: (packet: PacketMeaning) => boolean,
): Anchor | undefined {
  return findLast(
    anchors,
    (anchor) => anchor.channel === channel && anchor.packet !== undefined && test(anchor.packet),
  );
}

/**
 * What a packet of the host answers.
 *
 * @param bytes of the packet: a whole header
 * @param writes what the host has put into the receive buffer for it
 */
export function packetAskedBy(
  anchors: readonly Anchor[],
  channel: number,
  bytes: Uint8Array,
  writes: readonly MemoryWrite[],
): Anchor | undefined {
  const view = new DataView(bytes.buffer);
  const type = view.getUint16(PacketHeader.at.type, true);
  const transaction = view.getBigUint64(PacketHeader.at.transactionId, true);
  if (type === PacketType.COMPLETION)
    return findPacket(
      anchors,
      channel,
      (packet) => packet.asks && packet.transaction === transaction,
    );
  if (type !== PacketType.DATA_XFER_PAGES || bytes.length < XferPageHeader.size) return undefined;
  const count = view.getUint32(XferPageHeader.at.rangeCount, true);
  for (let i = 0; i < count; i++) {
    const at = XferPageHeader.size + i * XferPageRange.size;
    if (at + XferPageRange.size > bytes.length) break;
    const offset = view.getUint32(at + XferPageRange.at.offset, true);
    const write = writes.find((each) => each.offset === offset);
    const found = write && rndisAskedBy(anchors, channel, write.bytes);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The request that an RNDIS message answers. */
function rndisAskedBy(
  anchors: readonly Anchor[],
  channel: number,
  bytes: Uint8Array,
): Anchor | undefined {
  if (bytes.length < 12) return undefined;
  const view = new DataView(bytes.buffer);
  const id = view.getUint32(8, true);
  if (view.getUint32(0, true) < RNDIS_ANSWERS) return undefined;
  return findPacket(
    anchors,
    channel,
    ({ rndis, requestId }) => RNDIS_REQUESTS.includes(rndis) && requestId === id,
  );
}
