// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the records of a capture's VMBus interface (LINKTYPE_USER0) begin with: a header that says
 * what crossed the bus or the seam, and how much of what follows. Little-endian, like everything of
 * Hyper-V. Only capture files have it; nothing of it is on any wire.
 */

import { struct } from '../../src/wire.ts';

/** CaptureHeader.version. */
export const CAPTURE_VERSION = 1;

export const CaptureHeader = struct('HYPXE_CAPTURE_HEADER', 36, {
  version: [0, 1],
  /** One of {@link CaptureKind}. */
  kind: [1, 1],
  /** One of {@link CaptureDirection}. */
  direction: [2, 1],
  /** Of host messages and event flags, what became of them: one of {@link CaptureChange}. */
  change: [3, 1],
  /** Channel, of ring packets and signals; 0 otherwise. */
  channel: [4, 4],
  /** Virtual processor, where it is known, or {@link VP_UNKNOWN}. */
  vp: [8, 4],
  sint: [12, 1],
  /** 1 for channels of a second VMBus driver. */
  secondary: [13, 1],
  /** Status of a hypercall. */
  status: [14, 2],
  /** Hypercall code, MSR, register, SynIC message type or event flag. */
  number: [16, 4],
  /** Where a packet begins in its ring, in bytes. */
  ringOffset: [20, 4],
  /** Bytes of what crossed: they follow this header. */
  length: [24, 4],
  /** Bytes after those: what an NVSP packet refers to in guest memory, that is RNDIS messages. */
  attached: [28, 4],
  /** What the channel's device is: one of {@link CaptureDevice}. */
  device: [32, 1],
  padding: [33, 3],
});

/** CaptureHeader.kind. */
export const CaptureKind = {
  HYPERCALL: 1,
  HOST_MESSAGE: 2,
  RING_PACKET: 3,
  MSR_WRITE: 4,
  REGISTER_WRITE: 5,
  EVENT_FLAG: 6,
  MONITOR_SIGNAL: 7,
  MESSAGE_TAKEN: 8,
  /** UTF-8 text: a step of the boot, a state of the bus, something that went wrong. */
  NOTE: 9,
} as const;

/** CaptureHeader.direction, and epb_flags: as the guest sees it. */
export const CaptureDirection = { UNKNOWN: 0, INBOUND: 1, OUTBOUND: 2 } as const;

/** CaptureHeader.change. */
export const CaptureChange = {
  NONE: 0,
  /** Of messages. */
  DELIVER: 1,
  QUEUE: 2,
  DROP: 3,
  /** Of event flags. */
  SET: 4,
  ALREADY_SET: 5,
  LOST: 6,
} as const;

/**
 * CaptureHeader.device: known from the offer of the channel. From DESCRIBED on, those that describe
 * themselves, in the order of `DEVICES`.
 */
export const CaptureDevice = { UNKNOWN: 0, NETWORK: 1, UTILITY: 2, DESCRIBED: 16 } as const;

/** CaptureHeader.vp of events that do not say. */
export const VP_UNKNOWN = 0xffffffff;
