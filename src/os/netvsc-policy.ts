// SPDX-License-Identifier: GPL-2.0-or-later

/** What an OS chooses for its network devices. */

import { PATIENCE, type NetvscPolicy } from '../netvsc/policy.ts';
import { NvspVersion } from '../netvsc/protocol.ts';

/** Choices of a guest that has the part of `netvsc-part.ts`. */
export interface OsNetvscPolicy extends NetvscPolicy {
  /** Page set that the receive buffer is known by, 16 bits. */
  readonly receiveBufferId: number;
  /**
   * Length of the send buffer in bytes: whole pages; 0 for none. Frames that fit into a section of
   * it are copied there, and the host needs not be told of their pages.
   */
  readonly sendBufferLength: number;
  /** NVSP versions to ask for, in this order; hosts know them by exact match. */
  readonly nvspVersions: readonly number[];
  /** MTU without the Ethernet header, for NVSP 2 and newer. */
  readonly mtu: number;
  /** Sub-channels to ask for, with NVSP 5 and newer. */
  readonly subchannels: number;
  /** Virtual processor of each channel's events, the device's own first; by default all 0. */
  readonly targetVps: readonly number[];
  /** Whether ring interrupts are masked while packets are handled, and room is waited for. */
  readonly flowControl: boolean;
}

/**
 * What Linux does (drivers/net/hyperv/netvsc.c), with smaller buffers: its own are 16 MiB and 1 MiB
 * for each device.
 */
export const OS_NETVSC: OsNetvscPolicy = {
  outPages: 16,
  inPages: 16,
  packetLength: 8192,
  receiveBufferLength: 0x80000,
  receiveBufferId: 0xcafe,
  sendBufferLength: 0x30000,
  transmitSlots: 32,
  deferredFrames: 512,
  completionPayload: 'status',
  drainMs: 200,
  ...PATIENCE,
  nvspVersions: [
    NvspVersion.V6_1,
    NvspVersion.V6,
    NvspVersion.V5,
    NvspVersion.V4,
    NvspVersion.V2,
    NvspVersion.V1,
  ],
  mtu: 1500,
  subchannels: 0,
  targetVps: [],
  flowControl: true,
};
