// SPDX-License-Identifier: GPL-2.0-or-later

/** Sizes and habits that are a matter of choice, as two named presets. */

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
  /** Frames that may wait for a slot. */
  readonly deferredFrames: number;
  /** What a completion of received data carries: nothing, or NVSP type 108 with status 1. */
  readonly completionPayload: 'empty' | 'status';
  /** How long a close waits for frames in flight before it cancels them, in ms. */
  readonly drainMs: number;
}

/** Names of the presets. */
export type PresetName = 'default' | 'ipxe';

export const NETVSC_PRESETS: Readonly<Record<PresetName, NetvscPolicy>> = {
  /**
   * Robust on strict hosts. Completions carry a status: OpenVMM's channel dies of an empty one.
   * Packets of up to 562 ranges (Linux NVSP_MAX_PACKETS_PER_RECEIVE with RSC) fit the buffer, and
   * the outbound ring holds all frames in flight beside a completion for every section.
   */
  default: {
    outPages: 16,
    inPages: 16,
    packetLength: 8192,
    receiveBufferLength: 262144,
    transmitSlots: 32,
    deferredFrames: 32,
    completionPayload: 'status',
    drainMs: 20,
  },
  /** What iPXE chooses (netvsc.h), byte for byte on the wire. */
  ipxe: {
    outPages: 1,
    inPages: 1,
    packetLength: 512,
    receiveBufferLength: 65536,
    transmitSlots: 32,
    deferredFrames: 32,
    completionPayload: 'empty',
    drainMs: 0,
  },
};
