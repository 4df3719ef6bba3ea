// SPDX-License-Identifier: GPL-2.0-or-later

/** What answers to queries of objects are made from, and what they are written into. */

import type { HostKnobs } from '../profiles/profile.ts';

/** Speed of the link in bits per second: what a vNIC without a limit reports. */
export const LINK_SPEED = 10_000_000_000;

/** Offloads: bits of `Offload` that the host has and that are on, and coalescing. */
export interface OffloadState {
  readonly supported: number;
  readonly transmit: number;
  readonly receive: number;
  readonly rscSupported: boolean;
  readonly largeSendSupported: boolean;
  largeSends(version: 4 | 6): boolean;
  coalesces(version: 4 | 6): boolean;
  /** Takes NDIS_OFFLOAD_PARAMETERS of at least revision 1. */
  set(info: DataView): void;
}

/** What the answers depend on. */
export interface OidState {
  readonly knobs: HostKnobs;
  readonly offloads: OffloadState;
  readonly mtu: number;
  /** Queues that the device may have. */
  readonly queuesMax: number;
  /** Takes NDIS_RECEIVE_SCALE_PARAMETERS; returns the status of the answer. */
  readonly setScaling: (info: DataView) => number;
  readonly ndisMajor: number;
  readonly ndisMinor: number;
  readonly address: Uint8Array;
  readonly permanentAddress: Uint8Array;
  readonly linkUp: boolean;
  readonly framesFromGuest: number;
  readonly framesToGuest: number;
  readonly framesDropped: number;
}

/** The answer to a query: length of the data and status. Filled by {@link queryOid}. */
export interface OidAnswer {
  readonly view: DataView;
  length: number;
  status: number;
}

/** A speed in bits per second: that of the link. */
export function putSpeed(view: DataView, at: number): void {
  view.setUint32(at, LINK_SPEED >>> 0, true);
  view.setUint32(at + 4, Math.floor(LINK_SPEED / 2 ** 32), true);
}

/** NDIS_OBJECT_HEADER. */
export function objectHeader(
  view: DataView,
  at: number,
  type: number,
  rev: number,
  size: number,
): void {
  view.setUint8(at, type);
  view.setUint8(at + 1, rev);
  view.setUint16(at + 2, size, true);
}
