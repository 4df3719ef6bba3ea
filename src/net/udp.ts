// SPDX-License-Identifier: GPL-2.0-or-later

/** UDP headers and checksums (RFC 768), in place. */

import { checksum, get16, put16, sum16 } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { DropReason } from './drops.ts';
import { IpProtocol, UdpHeader } from './protocol.ts';

const at = UdpHeader.at;

/** Sum of the pseudo header that the checksum covers besides the datagram. */
function pseudoSum(source: Ipv4Address, destination: Ipv4Address, length: number): number {
  return (
    (source >>> 16) +
    (source & 0xffff) +
    (destination >>> 16) +
    (destination & 0xffff) +
    IpProtocol.UDP +
    length
  );
}

/**
 * Check the datagram at `offset`, for which IP has `length` bytes. A checksum field of 0 means that
 * the sender made none.
 */
export function checkUdp(
  buffer: Uint8Array,
  offset: number,
  length: number,
  source: Ipv4Address,
  destination: Ipv4Address,
): DropReason | undefined {
  if (length < UdpHeader.size) return 'udpLength';
  const own = get16(buffer, offset + at.length);
  if (own < UdpHeader.size || own > length) return 'udpLength';
  if (get16(buffer, offset + at.checksum) === 0) return undefined;
  const sum = sum16(buffer, offset, own, pseudoSum(source, destination, own));
  return checksum(sum) === 0 ? undefined : 'udpChecksum';
}

/** Write the header of a datagram whose `length` - 8 bytes of payload lie behind it already. */
export function putUdpHeader(
  buffer: Uint8Array,
  offset: number,
  length: number,
  source: Ipv4Address,
  sourcePort: number,
  destination: Ipv4Address,
  destinationPort: number,
): void {
  put16(buffer, offset + at.source, sourcePort);
  put16(buffer, offset + at.destination, destinationPort);
  put16(buffer, offset + at.length, length);
  put16(buffer, offset + at.checksum, 0);
  const sum = checksum(sum16(buffer, offset, length, pseudoSum(source, destination, length)));
  // 0 would say "no checksum"; its other form in ones' complement is all ones
  put16(buffer, offset + at.checksum, sum === 0 ? 0xffff : sum);
}
