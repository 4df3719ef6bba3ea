// SPDX-License-Identifier: GPL-2.0-or-later

/** Ethernet II: addresses and headers in place. */

import { put16 } from './bytes.ts';
import { EthernetHeader } from './protocol.ts';

/** Length of a hardware address, in bytes. */
export const MAC_LENGTH = 6;

/** The broadcast address. Shared: never written. */
export const MAC_BROADCAST: Readonly<Uint8Array> = new Uint8Array(MAC_LENGTH).fill(0xff);

/** Copy an address. */
export function putMac(to: Uint8Array, at: number, from: Readonly<Uint8Array>, fromAt = 0): void {
  for (let i = 0; i < MAC_LENGTH; i++) to[at + i] = from[fromAt + i]!;
}

/** Whether two addresses are the same. */
export function sameMac(a: Uint8Array, at: number, b: Readonly<Uint8Array>, bAt = 0): boolean {
  for (let i = 0; i < MAC_LENGTH; i++) if (a[at + i] !== b[bAt + i]) return false;
  return true;
}

/** Whether the address can belong to one station: neither a group address nor all zero. */
export function isStation(bytes: Uint8Array, at: number): boolean {
  if ((bytes[at]! & 1) !== 0) return false;
  for (let i = 0; i < MAC_LENGTH; i++) if (bytes[at + i] !== 0) return true;
  return false;
}

/** Write source and type of a frame; the destination is written by whoever knows it. */
export function putEthernetHeader(
  frame: Uint8Array,
  source: Readonly<Uint8Array>,
  type: number,
): void {
  putMac(frame, EthernetHeader.at.source, source);
  put16(frame, EthernetHeader.at.type, type);
}
