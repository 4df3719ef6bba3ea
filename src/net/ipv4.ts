// SPDX-License-Identifier: GPL-2.0-or-later

/** IPv4 headers (RFC 791), in place. Fragments are neither made nor put together. */

import { checksum, get16, put16, put32, sum16 } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { DropReason } from './drops.ts';
import { Ipv4Header, IPV4_FRAGMENT_MASK } from './protocol.ts';

const at = Ipv4Header.at;

/** Time to live of what we send (iPXE IP_TTL). */
const TIME_TO_LIVE = 64;

/** Version 4, header of five words: what we send. */
const VERSION_LENGTH = 0x45;

/** Smallest MTU that every IPv4 host must take (RFC 791), and that of Ethernet. In bytes. */
export const MTU_MIN = 576;
export const MTU_MAX = 1500;

/** Length of the header of a datagram that passed {@link checkIpv4}, options included, in bytes. */
export function ipv4HeaderLength(buffer: Uint8Array, offset: number): number {
  return (buffer[offset + at.versionLength]! & 15) * 4;
}

/**
 * Check the header at `offset`, of whose datagram at most `length` bytes are there. Bytes behind
 * the total length are padding; the time to live does not concern the last host.
 */
export function checkIpv4(
  buffer: Uint8Array,
  offset: number,
  length: number,
): DropReason | undefined {
  if (length < Ipv4Header.size) return 'ipShort';
  if (buffer[offset + at.versionLength]! >>> 4 !== 4) return 'ipVersion';
  const header = ipv4HeaderLength(buffer, offset);
  if (header < Ipv4Header.size || header > length) return 'ipHeaderLength';
  const total = get16(buffer, offset + at.totalLength);
  if (total < header || total > length) return 'ipTotalLength';
  if (checksum(sum16(buffer, offset, header, 0)) !== 0) return 'ipChecksum';
  if ((get16(buffer, offset + at.fragment) & IPV4_FRAGMENT_MASK) !== 0) return 'ipFragment';
  return undefined;
}

/** Write a header without options for a datagram of `totalLength` bytes. */
export function putIpv4Header(
  buffer: Uint8Array,
  offset: number,
  totalLength: number,
  identification: number,
  protocol: number,
  source: Ipv4Address,
  destination: Ipv4Address,
): void {
  buffer[offset + at.versionLength] = VERSION_LENGTH;
  buffer[offset + at.service] = 0;
  put16(buffer, offset + at.totalLength, totalLength);
  put16(buffer, offset + at.identification, identification);
  put16(buffer, offset + at.fragment, 0);
  buffer[offset + at.timeToLive] = TIME_TO_LIVE;
  buffer[offset + at.protocol] = protocol;
  put16(buffer, offset + at.checksum, 0);
  put32(buffer, offset + at.source, source);
  put32(buffer, offset + at.destination, destination);
  put16(buffer, offset + at.checksum, checksum(sum16(buffer, offset, Ipv4Header.size, 0)));
}

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
  return first < 128 ? 0xff000000 | 0 : first < 192 ? 0xffff0000 | 0 : 0xffffff00 | 0;
}
