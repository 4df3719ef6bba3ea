// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * ICMP (RFC 792), as far as a boot client needs it: "port unreachable" says at once what silence
 * would say after all retries. Echo requests are not answered, as the machine is about to boot.
 */

import { checksum, get32, sum16 } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { DropReason } from './drops.ts';
import { headerLength } from './ipv4.ts';
import {
  ICMP_PORT_UNREACHABLE,
  ICMP_UNREACHABLE,
  IcmpHeader,
  IpProtocol,
  Ipv4Header,
  UdpHeader,
} from './protocol.ts';

/**
 * Where a UDP datagram of ours that found a closed port begins, in the message of `length` bytes at
 * `icmp`; or why the message is of no use.
 */
export function unreachableDatagram(
  buffer: Uint8Array,
  icmp: number,
  length: number,
  ours: Ipv4Address,
): number | DropReason {
  // The header of the datagram and its first eight bytes come back
  const ip = icmp + IcmpHeader.size;
  const available = length - IcmpHeader.size;
  if (available < Ipv4Header.size || checksum(sum16(buffer, icmp, length, 0)) !== 0)
    return 'icmpMalformed';
  if (
    buffer[icmp + IcmpHeader.at.type] !== ICMP_UNREACHABLE ||
    buffer[icmp + IcmpHeader.at.code] !== ICMP_PORT_UNREACHABLE ||
    buffer[ip + Ipv4Header.at.protocol] !== IpProtocol.UDP ||
    get32(buffer, ip + Ipv4Header.at.source) !== ours
  )
    return 'ipProtocol';
  const header = headerLength(buffer, ip);
  const isWhole = header >= Ipv4Header.size && header + UdpHeader.size <= available;
  return isWhole ? ip : 'icmpMalformed';
}
