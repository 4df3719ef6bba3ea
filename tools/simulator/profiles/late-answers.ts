// SPDX-License-Identifier: GPL-2.0-or-later

/** A slow host: which of its answers come late, by the knobs `lateAnswer` and `lateTicks`. */

import { NvspType } from '../../../src/netvsc/protocol.ts';
import { RndisType } from '../../../src/rndis/protocol.ts';
import { MessageType, PacketType } from '../../../src/vmbus/protocol.ts';
import type { HostKnobs } from './profile.ts';

/** Answers that may be late; see the field reports of openvmm#2752, #2868 and WSL#41165. */
export const LATE_ANSWERS = [
  ...(['none', 'version', 'offers', 'gpadl', 'torndown', 'open', 'nvsp', 'rndis', 'all'] as const),
] as const;

export type LateAnswer = (typeof LATE_ANSWERS)[number];

const MESSAGES: Readonly<Record<number, LateAnswer>> = {
  [MessageType.VERSION_RESPONSE]: 'version',
  [MessageType.OFFER_CHANNEL]: 'offers',
  [MessageType.ALL_OFFERS_DELIVERED]: 'offers',
  [MessageType.GPADL_CREATED]: 'gpadl',
  [MessageType.GPADL_TORNDOWN]: 'torndown',
  [MessageType.OPEN_CHANNEL_RESULT]: 'open',
};

const NVSP: readonly number[] = [NvspType.INIT_COMPLETE, NvspType.SEND_RECEIVE_BUFFER_COMPLETE];

const RNDIS: readonly number[] = [
  ...[RndisType.INITIALISE_CMPLT, RndisType.QUERY_CMPLT, RndisType.SET_CMPLT],
];

type LateKnobs = Pick<HostKnobs, 'lateAnswer' | 'lateTicks'>;

/** How much later a control message of the host is sent, in ticks. */
export function lateMessage(knobs: LateKnobs, type: number): number {
  return lateness(knobs, MESSAGES[type]);
}

/** How much later a ring packet of a network device is sent, in ticks. */
export function latePacket(knobs: LateKnobs, type: number, payload: Uint8Array): number {
  if (type !== PacketType.COMPLETION || payload.length < 4) return 0;
  return NVSP.includes(payload[0]!) ? lateness(knobs, 'nvsp') : 0;
}

/** How much later an RNDIS message is sent, in ticks. */
export function lateRndis(knobs: LateKnobs, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || !RNDIS.includes(view.getUint32(0, true))) return 0;
  return lateness(knobs, 'rndis');
}

function lateness({ lateAnswer, lateTicks }: LateKnobs, answer: LateAnswer | undefined): number {
  return answer !== undefined && (lateAnswer === 'all' || lateAnswer === answer) ? lateTicks : 0;
}
