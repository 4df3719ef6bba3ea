// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the built-in network speaks: Ethernet, ARP, IPv4, ICMP and UDP as `src/net/protocol.ts`
 * defines them. Offsets are from the first byte of the frame here and hold for IPv4 headers without
 * options, as the servers send them. All multi-byte fields are big-endian.
 */

import { ArpPacket, EthernetHeader, Ipv4Header, UdpHeader } from '../../../src/net/protocol.ts';
import type { Struct } from '../../../src/wire.ts';

/** The fields of a header that begins at `start` of the frame, and where the header ends. */
function headerAt<F extends string>(
  { at, size }: Struct<F>,
  start: number,
): Readonly<Record<F | 'end', number>> {
  const fields: Record<string, number> = { end: start + size };
  for (const name of Object.keys(at) as F[]) fields[name] = start + at[name];
  return fields as Record<F | 'end', number>;
}

export const ETH = headerAt(EthernetHeader, 0);

/** Shortest frame on a wire, without check sequence: shorter ones are padded (IEEE 802.3). */
export const ETH_PADDED = 60;

/** Longest frame that the network carries: header, VLAN tag and 1500 bytes. */
export const ETH_LONGEST = 1518;

/** Longest IPv4 packet in a frame, in bytes. */
export const IP_MTU = 1500;

export const ARP = headerAt(ArpPacket, ETH.end);
export const IP = headerAt(Ipv4Header, ETH.end);

/** Version 4 and a header of five words. */
export const IP_VERSION_LENGTH = 0x45;
export const IP_DONT_FRAGMENT = 0x4000;
export const IP_TIME_TO_LIVE = 64;

export const UDP = headerAt(UdpHeader, IP.end);

/** Most bytes that a UDP datagram of one frame carries. */
export const UDP_PAYLOAD_MAX = IP_MTU - 28;

/** ICMP messages that only hosts answer or send (RFC 792). */
export const ICMP_ECHO_REPLY = 0;
export const ICMP_ECHO = 8;

/** 255.255.255.255. */
export const IP_BROADCAST = 0xffffffff;

/** The broadcast address of Ethernet. */
export const MAC_BROADCAST: readonly number[] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
