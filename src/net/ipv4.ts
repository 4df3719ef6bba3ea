// SPDX-License-Identifier: GPL-2.0-or-later

/** IPv4 addresses and sizes (RFC 791). */

import type { Ipv4Address } from './bytes.ts';

/** Smallest MTU that every IPv4 host must take (RFC 791), and that of Ethernet. In bytes. */
export const MTU_MIN = 576;
export const MTU_MAX = 1500;

/** Whether an address can belong to one host: not 0.x, loopback, multicast, reserved, broadcast. */
export function isHost(address: Ipv4Address): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

/** Whether a netmask is a row of ones followed by a row of zeros, and not all zero. */
export function isNetmask(mask: Ipv4Address): boolean {
  return mask !== 0 && ((~mask + 1) & ~mask) === 0;
}

/** The mask of an address's class, for a lease that has none (RFC 791, 3.2; iPXE does the same). */
export function classMask(address: Ipv4Address): Ipv4Address {
  const first = address >>> 24;
  return -1 << (first < 128 ? 24 : first < 192 ? 16 : 8);
}
