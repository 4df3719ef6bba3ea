// SPDX-License-Identifier: GPL-2.0-or-later

/** Sizes and habits that are a matter of choice, as named presets. */

import { NvspVersion } from './protocol.ts';

export interface NetvscPolicy {
  /** Data pages of each ring: powers of two. */
  readonly outPages: number;
  readonly inPages: number;
  /** Longest ring packet accepted, in bytes, footer included. */
  readonly packetLength: number;
  /** Length of the receive buffer in bytes: whole pages. */
  readonly receiveBufferLength: number;
  /** Page set that the receive buffer is known by, 16 bits. */
  readonly receiveBufferId: number;
  /**
   * Length of the send buffer in bytes: whole pages; 0 for none. Frames that fit into a section of
   * it are copied there, and the host needs not be told of their pages.
   */
  readonly sendBufferLength: number;
  /** Frames in flight. */
  readonly transmitSlots: number;
  /** Frames that may wait for a slot. */
  readonly deferredFrames: number;
  /** How the pages of a message are told: one range over all, or a range for each page (Linux). */
  readonly pages: 'one-range' | 'page-buffers';
  /** What a completion of received data carries: nothing, or NVSP type 108 with status 1. */
  readonly completionPayload: 'empty' | 'status';
  /** How long a close waits for frames in flight before it gives them up, in ms. */
  readonly drainMs: number;
  /** Whether a close asks the host to cancel the frames that are still in flight. */
  readonly cancel: boolean;
  /** Whether revoking a buffer waits for a completion, or only tells the host (Linux). */
  readonly awaitRevoke: boolean;
  /** NVSP versions to ask for, in this order; hosts know them by exact match. */
  readonly nvspVersions: readonly number[];
  /** Whether NDIS configuration and version are sent as a request with a completion, or told. */
  readonly awaitNdis: boolean;
  /** MTU without the Ethernet header, for NVSP 2 and newer. */
  readonly mtu: number;
  /** Sub-channels to ask for, with NVSP 5 and newer. */
  readonly subchannels: number;
  /** Virtual processor of each channel's events, the device's own first; by default all 0. */
  readonly targetVps: readonly number[];
  /** Whether ring interrupts are masked while packets are handled, and room is waited for. */
  readonly flowControl: boolean;
}

/** Names of the presets of firmware. */
export type PresetName = 'default' | 'ipxe';

/** What iPXE does, and all firmware here. */
const FIRMWARE = {
  receiveBufferId: 0xbead,
  sendBufferLength: 0,
  transmitSlots: 32,
  deferredFrames: 32,
  pages: 'one-range',
  cancel: true,
  awaitRevoke: true,
  nvspVersions: [NvspVersion.V1],
  awaitNdis: true,
  mtu: 1500,
  subchannels: 0,
  targetVps: [],
  flowControl: false,
} as const satisfies Partial<NetvscPolicy>;

export const NETVSC_PRESETS: Readonly<Record<PresetName | 'os', NetvscPolicy>> = {
  /**
   * Robust on strict hosts. Completions carry a status: OpenVMM's channel dies of an empty one.
   * Packets of up to 562 ranges (Linux NVSP_MAX_PACKETS_PER_RECEIVE with RSC) fit the buffer, and
   * the outbound ring holds all frames in flight beside a completion for every section.
   */
  default: {
    ...FIRMWARE,
    outPages: 16,
    inPages: 16,
    packetLength: 8192,
    receiveBufferLength: 262144,
    completionPayload: 'status',
    drainMs: 20,
  },
  /** What iPXE chooses (netvsc.h), byte for byte on the wire. */
  ipxe: {
    ...FIRMWARE,
    outPages: 1,
    inPages: 1,
    packetLength: 512,
    receiveBufferLength: 65536,
    completionPayload: 'empty',
    drainMs: 0,
  },
  /**
   * What Linux does (drivers/net/hyperv/netvsc.c), with smaller buffers: its own are 16 MiB and
   * 1 MiB for each device. Frames are not cancelled at the end: Linux only waits for them.
   */
  os: {
    outPages: 16,
    inPages: 16,
    packetLength: 8192,
    receiveBufferLength: 0x80000,
    receiveBufferId: 0xcafe,
    sendBufferLength: 0x30000,
    transmitSlots: 32,
    deferredFrames: 32,
    pages: 'page-buffers',
    completionPayload: 'status',
    drainMs: 200,
    cancel: false,
    awaitRevoke: false,
    nvspVersions: [
      NvspVersion.V6_1,
      NvspVersion.V6,
      NvspVersion.V5,
      NvspVersion.V4,
      NvspVersion.V2,
      NvspVersion.V1,
    ],
    awaitNdis: false,
    mtu: 1500,
    subchannels: 0,
    targetVps: [],
    flowControl: true,
  },
};
