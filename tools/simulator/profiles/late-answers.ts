// SPDX-License-Identifier: GPL-2.0-or-later

/** A slow host: which of its answers come late, by the knobs `lateAnswer` and `lateTicks`. */

import { NvspType } from '../../../src/netvsc/protocol.ts';
import { RndisType } from '../../../src/rndis/protocol.ts';
import { MessageType, PacketType } from '../../../src/vmbus/protocol.ts';
import type { HostKnobs } from './profile.ts';

/** Answers that may be late; see the field reports of openvmm#2752, #2868 and WSL#41165. */
export const LATE_ANSWERS = [
  'none',
  'version-response',
  'offers',
  'gpadl-created',
  'gpadl-torndown',
  'open-result',
  'nvsp-init',
  'nvsp-receive-buffer',
  'rndis-initialise',
  'rndis-query',
  'rndis-set',
  'all',
] as const;

export type LateAnswer = (typeof LATE_ANSWERS)[number];

const MESSAGES: Readonly<Record<number, LateAnswer>> = {
  [MessageType.VERSION_RESPONSE]: 'version-response',
  [MessageType.OFFER_CHANNEL]: 'offers',
  [MessageType.ALL_OFFERS_DELIVERED]: 'offers',
  [MessageType.GPADL_CREATED]: 'gpadl-created',
  [MessageType.GPADL_TORNDOWN]: 'gpadl-torndown',
  [MessageType.OPEN_CHANNEL_RESULT]: 'open-result',
};

const NVSP: Readonly<Record<number, LateAnswer>> = {
  [NvspType.INIT_COMPLETE]: 'nvsp-init',
  [NvspType.SEND_RECEIVE_BUFFER_COMPLETE]: 'nvsp-receive-buffer',
};

const RNDIS: Readonly<Record<number, LateAnswer>> = {
  [RndisType.INITIALISE_CMPLT]: 'rndis-initialise',
  [RndisType.QUERY_CMPLT]: 'rndis-query',
  [RndisType.SET_CMPLT]: 'rndis-set',
};

type LateKnobs = Pick<HostKnobs, 'lateAnswer' | 'lateTicks'>;

/** How much later a control message of the host is sent, in ticks. */
export function lateMessage(knobs: LateKnobs, type: number): number {
  return lateness(knobs, MESSAGES[type]);
}

/** How much later a ring packet of a network device is sent, in ticks. */
export function latePacket(knobs: LateKnobs, type: number, payload: Uint8Array): number {
  if (type !== PacketType.COMPLETION || payload.length < 4) return 0;
  return lateness(knobs, NVSP[payload[0]!]);
}

/** How much later an RNDIS message is sent, in ticks. */
export function lateRndis(knobs: LateKnobs, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return bytes.length < 4 ? 0 : lateness(knobs, RNDIS[view.getUint32(0, true)]);
}

function lateness({ lateAnswer, lateTicks }: LateKnobs, answer: LateAnswer | undefined): number {
  return answer !== undefined && (lateAnswer === 'all' || lateAnswer === answer) ? lateTicks : 0;
}
