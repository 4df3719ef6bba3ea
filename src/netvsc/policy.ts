// SPDX-License-Identifier: GPL-2.0-or-later

/** Sizes and habits that are a matter of choice, as named presets. */

import { HypxeError } from '../error.ts';
import { PAGE_SIZE } from '../machine.ts';

export interface NetvscPolicy {
  /** Data pages of each ring: powers of two. */
  readonly outPages: number;
  readonly inPages: number;
  /** Longest ring packet accepted, in bytes, footer included. */
  readonly packetLength: number;
  /** Length of the receive buffer in bytes: whole pages. */
  readonly receiveBufferLength: number;
  /** Frames in flight. */
  readonly transmitSlots: number;
  /** Frames that may wait for a slot, in a queue above the driver (iPXE: as memory allows). */
  readonly deferredFrames: number;
  /** What a completion of received data carries: nothing, or NVSP type 108 with status 1. */
  readonly completionPayload: 'empty' | 'status';
  /** How long a close waits for frames in flight before it gives them up, in ms; 0 for not. */
  readonly drainMs: number;
  /** How long the host may take to answer anything, in ms. */
  readonly answerMs: number;
  /** How often something is tried that the host does not answer: a contact, an open. */
  readonly tries: number;
}

/** Names of the presets. */
export type PresetName = 'default' | 'ipxe';

/** Page set that the firmware's receive buffer is known by (iPXE NETVSC_RX_BUF_PAGESET). */
export const PAGE_SET = 0xbead;

/** Transaction IDs count from here (iPXE NETVSC_BASE_XID). */
export const BASE_ID = 0x18ae0000;

/** Frames in flight that iPXE's transaction IDs leave room for. */
export const TRANSMIT_SLOTS_MAX = 32;

/** Frames that may be deferred: each takes memory once it waits. */
const DEFERRED_FRAMES_MAX = 4096;

/** Longest packet: its length in units of 8 bytes is a 16-bit number, and the footer follows. */
const PACKET_MIN = 128;
const PACKET_MAX = 0xffff * 8 + 8;

/** Most data pages of a ring. */
const RING_PAGES_MAX = 4096;

/** Longest time for an answer, and most tries: every boot ends. */
const ANSWER_MS_MAX = 3_600_000;
const TRIES_MAX = 16;

/** Guest memory that is shared lies below 4 GiB. */
const ADDRESS_MAX = 2 ** 32;

/** iPXE's 32 (NETVSC_TX_NUM_DESC), and more than a boot sends without a poll. */
const FRAMES = { transmitSlots: TRANSMIT_SLOTS_MAX, deferredFrames: 512 };

/** For a host that is slow: Linux waited 5 s, then 10 s, and waits for ever today. */
export const PATIENCE = { answerMs: 10_000, tries: 2 };

export const NETVSC_PRESETS: Readonly<Record<PresetName, NetvscPolicy>> = {
  /**
   * Robust on strict hosts. Completions carry a status: OpenVMM's channel dies of an empty one.
   * Packets of up to 562 ranges (Linux NVSP_MAX_PACKETS_PER_RECEIVE with RSC) fit the buffer, and
   * the outbound ring holds all frames in flight beside a completion for every section.
   */
  default: {
    ...FRAMES,
    outPages: 16,
    inPages: 16,
    packetLength: 8192,
    receiveBufferLength: 262144,
    completionPayload: 'status',
    drainMs: 20,
    ...PATIENCE,
  },
  /** What iPXE chooses (netvsc.h), byte for byte on the wire. */
  ipxe: {
    ...FRAMES,
    outPages: 1,
    inPages: 1,
    packetLength: 512,
    receiveBufferLength: 65536,
    completionPayload: 'empty',
    drainMs: 0,
    answerMs: 1000,
    tries: 1,
  },
};

/** What a user may choose: smallest, largest, unit. */
const LIMITS = {
  receiveBufferLength: [PAGE_SIZE, ADDRESS_MAX, PAGE_SIZE],
  transmitSlots: [1, TRANSMIT_SLOTS_MAX, 1],
  deferredFrames: [1, DEFERRED_FRAMES_MAX, 1],
  packetLength: [PACKET_MIN, PACKET_MAX, 8],
  answerMs: [1, ANSWER_MS_MAX, 1],
  tries: [1, TRIES_MAX, 1],
} as const;

/**
 * Check what a user has chosen. The firmware of one architecture takes a policy as it is.
 *
 * @throws HypxeError BadRingSize, BadPolicy
 */
export function checkPolicy(policy: NetvscPolicy): void {
  for (const pages of [policy.outPages, policy.inPages]) {
    const valid = Number.isInteger(pages) && pages > 0 && pages <= RING_PAGES_MAX;
    if (valid && !(pages & (pages - 1))) continue;
    throw new HypxeError('BadRingSize', `ring of ${pages} data pages`);
  }
  for (const name of Object.keys(LIMITS) as (keyof typeof LIMITS)[]) {
    const [min, max, unit] = LIMITS[name];
    const value = policy[name];
    if (value >= min && value <= max && value % unit === 0) continue;
    throw new HypxeError('BadPolicy', `${name} is ${value}`);
  }
}
