// SPDX-License-Identifier: GPL-2.0-or-later

/** How large the buffers of a NIC are: Linux's own, or scaled down to small simulated guests. */

import { PAGE_SIZE } from '../../src/machine.ts';

export interface NetvscBuffers {
  /** Pages of each ring, control page included. */
  readonly ringPages: number;
  /** Bytes of the receive buffer: whole pages. */
  readonly receive: number;
  /** Bytes of the send buffer: whole pages. */
  readonly send: number;
}

/** Receive buffer of hosts up to NVSP 2 at most (NETVSC_RECEIVE_BUFFER_SIZE_LEGACY). */
export const RECEIVE_LEGACY_MAX = 15 << 20;

/**
 * What Linux takes: rings of 128 pages; 9709 sections of 1728 bytes; 170 of 6144 (hyperv_net.h,
 * `netvsc_devinfo_get`).
 */
export const LINUX_BUFFERS: NetvscBuffers = {
  ringPages: 128,
  receive: Math.ceil((9709 * 1728) / PAGE_SIZE) * PAGE_SIZE,
  send: 170 * 6144,
};

/** The same for guests of a few MiB, and for runs that are many. */
export const SMALL_BUFFERS: NetvscBuffers = {
  ringPages: 16,
  receive: 0x20000,
  send: 0xc000,
};
