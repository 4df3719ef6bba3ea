// SPDX-License-Identifier: GPL-2.0-or-later

/** What is wrong with a completion of the guest, whichever queue it comes on. */

import { NvspRndisPacketComplete, NvspType } from '../../../src/netvsc/protocol.ts';
import { PacketType } from '../../../src/vmbus/protocol.ts';
import type { Closer, DeviceChannel, GuestPacket } from '../vmbus-server/channel-interface.ts';
import type { HostKnobs } from '../profiles/profile.ts';
import type { ReceiveBuffer } from './receive-buffer.ts';

/**
 * Take the completion of a transfer-page packet. Returns what ends the channel, or undefined.
 *
 * @param queue index of the queue that it came on: the packet's own
 */
export function takeCompletion(
  packet: GuestPacket,
  knobs: HostKnobs,
  buffer: ReceiveBuffer | undefined,
  queue: number,
): string | undefined {
  const { transactionIdLow: low, transactionIdHigh: high } = packet;
  // Whatever it looks like, the guest has completed that one
  const known = buffer?.complete(low, high, queue) === true;
  const wrong = formFault(packet, knobs);
  if (wrong !== undefined || known) return wrong;
  return `completion of unknown transaction 0x${high.toString(16)}:${low.toString(16)}`;
}

/** What is wrong with the form of a completion, or undefined. */
function formFault(packet: GuestPacket, knobs: HostKnobs): string | undefined {
  const length = packet.length - packet.payloadOffset;
  if (length === 0) return knobs.emptyCompletion === 'fatal' ? 'empty completion' : undefined;
  const type = length < 4 ? 0 : packet.view.getUint32(packet.payloadOffset, true);
  if (type !== NvspType.SEND_RNDIS_PACKET_COMPLETE) return `completion with NVSP type ${type}`;
  if (length < NvspRndisPacketComplete.size) return `completion of ${length} bytes`;
  return undefined;
}

/** Most packets that are looked at when a channel closes: more than a ring of 2 MiB holds. */
export const PACKETS_AT_CLOSE_MAX = 1 << 17;

/**
 * Take the completions that lie in the ring of a channel that closes, signalled or not: the guest
 * has done its part. `other` is shown what else is there; it is lost.
 */
export function completionsAtClose(
  channel: DeviceChannel,
  take: (packet: GuestPacket) => void,
  other?: (packet: GuestPacket) => void,
): void {
  for (let i = 0; i < PACKETS_AT_CLOSE_MAX; i++) {
    const packet = channel.receive(true);
    if (packet === undefined) return;
    if (packet.type === PacketType.COMPLETION) take(packet);
    else other?.(packet);
  }
}

/**
 * Whom packets are laid to that were never completed: the guest, if it closed the channel itself
 * and had read them all; `nobody` if a fault has changed what it could read, or what it has sent
 * cannot be read; else it `ended` before its time. A channel that is dead for what the guest did
 * wrong in it excuses nothing.
 */
export type Blame = 'guest' | 'ended' | 'nobody';

/**
 * Who is to blame at the end of a channel that `closer` closes, or if it ended now: of a dead one
 * completions may lie in the ring until then.
 *
 * @param injected a fault has put in packets: the channel may have died of what a guest answered
 */
export function blameAtClose(channel: DeviceChannel, closer?: Closer, injected = false): Blame {
  if (channel.tampered || channel.unreadable) return 'nobody';
  if (channel.dead && (injected || closer === undefined)) return 'nobody';
  return closer === 'guest' && channel.drained ? 'guest' : 'ended';
}
