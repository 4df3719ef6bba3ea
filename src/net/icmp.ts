// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * ICMP (RFC 792), as far as a boot client needs it: "port unreachable" says at once what silence
 * would say after all retries. Echo requests are not answered, as the machine is about to boot.
 */

import { checksum, get16, get32, sum16 } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { ipv4HeaderLength } from './ipv4.ts';
import {
  ICMP_PORT_UNREACHABLE,
  ICMP_UNREACHABLE,
  IcmpHeader,
  IpProtocol,
  Ipv4Header,
  UdpHeader,
} from './protocol.ts';

/** What an ICMP message is to us: `other` and `malformed` are dropped. */
export type IcmpKind = 'portUnreachable' | 'other' | 'malformed';

/** Classify the message at `offset` that some host sent about a UDP datagram of ours, perhaps. */
export function checkIcmp(
  buffer: Uint8Array,
  offset: number,
  length: number,
  ours: Ipv4Address,
): IcmpKind {
  if (length < IcmpHeader.size) return 'malformed';
  if (checksum(sum16(buffer, offset, length, 0)) !== 0) return 'malformed';
  const type = buffer[offset + IcmpHeader.at.type];
  const code = buffer[offset + IcmpHeader.at.code];
  if (type !== ICMP_UNREACHABLE || code !== ICMP_PORT_UNREACHABLE) return 'other';

  // The header of the datagram and its first eight bytes come back
  const quote = offset + IcmpHeader.size;
  const available = length - IcmpHeader.size;
  if (available < Ipv4Header.size) return 'malformed';
  const header = ipv4HeaderLength(buffer, quote);
  if (header < Ipv4Header.size || header + UdpHeader.size > available) return 'malformed';
  if (buffer[quote + Ipv4Header.at.protocol] !== IpProtocol.UDP) return 'other';
  return get32(buffer, quote + Ipv4Header.at.source) === ours ? 'portUnreachable' : 'other';
}

/** Where the datagram that a `portUnreachable` message quotes was sent to. */
export function quotedDestination(buffer: Uint8Array, offset: number): Ipv4Address {
  return get32(buffer, offset + IcmpHeader.size + Ipv4Header.at.destination);
}

/** A port of that datagram: `field` is an offset in the UDP header. */
export function quotedPort(buffer: Uint8Array, offset: number, field: number): number {
  const quote = offset + IcmpHeader.size;
  return get16(buffer, quote + ipv4HeaderLength(buffer, quote) + field);
}
