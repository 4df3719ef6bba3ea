// SPDX-License-Identifier: GPL-2.0-or-later

/** IPv4 headers in place, and addresses (RFC 791). No fragments are made. */

import { checksum, get16, put16, put32, sum16 } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { DropReason } from './drops.ts';
import { IPV4_VERSION_LENGTH, IpProtocol, Ipv4Header } from './protocol.ts';

/** Smallest MTU that every IPv4 host must take (RFC 791), and that of Ethernet. In bytes. */
export const MTU_MIN = 576;
export const MTU_MAX = 1500;

/** Time to live of what we send (iPXE IP_TTL). */
const TIME_TO_LIVE = 64;

/** Length of a header as it says itself, options included, in bytes. */
export function headerLength(buffer: Uint8Array, ip: number): number {
  return (buffer[ip + Ipv4Header.at.versionLength]! & 15) * 4;
}

/**
 * Check the header at `ip`, of whose datagram at most `length` bytes are there. Bytes behind the
 * total length are padding; the time to live does not concern the last host.
 */
export function checkIpv4(buffer: Uint8Array, ip: number, length: number): DropReason | undefined {
  const header = headerLength(buffer, ip);
  const total = get16(buffer, ip + Ipv4Header.at.totalLength);
  if (
    buffer[ip + Ipv4Header.at.versionLength]! >>> 4 !== 4 ||
    header < Ipv4Header.size ||
    total < header ||
    total > length ||
    checksum(sum16(buffer, ip, header, 0)) !== 0
  )
    return 'ipMalformed';
  return undefined;
}

/**
 * Write the header of a UDP datagram of `total` bytes, without options. The service field and the
 * flags stay 0, as they are in a frame of ours.
 */
export function putIpv4Header(
  buffer: Uint8Array,
  ip: number,
  total: number,
  identification: number,
  source: Ipv4Address,
  destination: Ipv4Address,
): void {
  buffer[ip + Ipv4Header.at.versionLength] = IPV4_VERSION_LENGTH;
  put16(buffer, ip + Ipv4Header.at.totalLength, total);
  put16(buffer, ip + Ipv4Header.at.identification, identification);
  buffer[ip + Ipv4Header.at.timeToLive] = TIME_TO_LIVE;
  buffer[ip + Ipv4Header.at.protocol] = IpProtocol.UDP;
  put16(buffer, ip + Ipv4Header.at.checksum, 0);
  put32(buffer, ip + Ipv4Header.at.source, source);
  put32(buffer, ip + Ipv4Header.at.destination, destination);
  put16(buffer, ip + Ipv4Header.at.checksum, checksum(sum16(buffer, ip, Ipv4Header.size, 0)));
}

/** Checksum of a UDP datagram of `length` bytes and of the addresses in its header at `ip`. */
export function udpChecksum(buffer: Uint8Array, ip: number, udp: number, length: number): number {
  const pseudo = sum16(buffer, ip + Ipv4Header.at.source, 8, IpProtocol.UDP + length);
  return checksum(sum16(buffer, udp, length, pseudo));
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
  return -1 << (first < 128 ? 24 : first < 192 ? 16 : 8);
}
