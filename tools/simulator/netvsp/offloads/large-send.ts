// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Large send offload, version 2: one TCP segment of the guest's becomes as many frames as its
 * maximum segment size makes of it (NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO; Linux
 * `ndis_tcp_lso_info`). The guest leaves lengths and checksums of its headers open.
 */

import { EthernetHeader, EtherType, IpProtocol, Ipv4Header } from '../../../../src/net/protocol.ts';
import {
  ETHERNET_SIZE,
  ETHERTYPE_IPV6,
  ipFrame,
  putIpChecksum,
  putTransportChecksum,
  putWord,
  word,
} from './ip-frame.ts';

/** Longest frame that the guest may give, and most frames that are made of it. */
export const LARGE_SEND_MAX = 0xffff;
export const SEGMENTS_MAX = 1024;

/** The information: bits 19:0 segment size, 29:20 TCP header, 30 version 2, 31 IPv6. */
const MSS_MASK = 0xfffff;
const TCP_AT_SHIFT = 20;
const TCP_AT_MASK = 0x3ff;
const VERSION_2 = 0x40000000;
const IPV6 = 0x80000000;

const IPV6_SIZE = 40;
const TCP_SIZE = 20;
const SEQUENCE_AT = 4;
const OFFSET_AT = 12;
const FLAGS_AT = 13;
/** FIN and PSH are of the last segment alone, CWR of the first. */
const LAST_ONLY = 0x01 | 0x08;
const FIRST_ONLY = 0x80;

/** For which IP version the information asks. */
export function largeSendVersion(info: number): 4 | 6 {
  return (info & IPV6) !== 0 ? 6 : 4;
}

/**
 * Make the segments of a frame.
 *
 * @param mtu longest frame that the link takes
 * @param put takes each segment; it is valid during the call
 * @returns what is wrong with the frame, in words; then nothing was put
 */
export function makeSegments(
  frame: Uint8Array,
  info: number,
  mtu: number,
  put: (segment: Uint8Array) => void,
): string | undefined {
  if ((info & VERSION_2) === 0) return 'large send offload of version 1';
  const tcpAt = (info >>> TCP_AT_SHIFT) & TCP_AT_MASK;
  const dataAt = dataOffset(frame, tcpAt, largeSendVersion(info));
  if (dataAt === undefined) return `large send without TCP headers at ${tcpAt}`;
  const mss = info & MSS_MASK;
  if (mss === 0 || dataAt + mss > mtu) return `large send in segments of ${mss} bytes`;
  const count = Math.max(1, Math.ceil((frame.length - dataAt) / mss));
  if (count > SEGMENTS_MAX) return `large send in ${count} segments`;

  for (let i = 0; i < count; i++) {
    const begin = dataAt + i * mss;
    const end = Math.min(begin + mss, frame.length);
    const segment = new Uint8Array(dataAt + end - begin);
    segment.set(frame.subarray(0, dataAt));
    segment.set(frame.subarray(begin, end), dataAt);
    finish(segment, frame, tcpAt, { offset: i * mss, first: i === 0, last: i === count - 1, i });
    put(segment);
  }
  return undefined;
}

/** Where the data begin, if Ethernet, IP and TCP headers are where the guest says. */
function dataOffset(frame: Uint8Array, tcpAt: number, version: 4 | 6): number | undefined {
  if (frame.length < ETHERNET_SIZE + Ipv4Header.size + TCP_SIZE) return undefined;
  const type = word(frame, EthernetHeader.at.type);
  if (type !== (version === 4 ? EtherType.IPV4 : ETHERTYPE_IPV6)) return undefined;
  const ipSize = version === 4 ? (frame[ETHERNET_SIZE]! & 0xf) * 4 : IPV6_SIZE;
  const protocol = frame[ETHERNET_SIZE + (version === 4 ? 9 : 6)];
  const known = ipSize >= Ipv4Header.size && protocol === IpProtocol.TCP;
  if (!known || tcpAt !== ETHERNET_SIZE + ipSize) return undefined;
  if (tcpAt + TCP_SIZE > frame.length) return undefined;
  const dataAt = tcpAt + (frame[tcpAt + OFFSET_AT]! >> 4) * 4;
  return dataAt >= tcpAt + TCP_SIZE && dataAt <= frame.length ? dataAt : undefined;
}

/** Lengths, identification, sequence, flags and checksums of a segment. */
function finish(
  segment: Uint8Array,
  frame: Uint8Array,
  tcpAt: number,
  place: { offset: number; first: boolean; last: boolean; i: number },
): void {
  const { offset, first, last, i } = place;
  const four = word(segment, EthernetHeader.at.type) === EtherType.IPV4;
  if (four) {
    putWord(segment, ETHERNET_SIZE + 2, segment.length - ETHERNET_SIZE);
    putWord(segment, ETHERNET_SIZE + 4, (word(frame, ETHERNET_SIZE + 4) + i) & 0xffff);
  } else putWord(segment, ETHERNET_SIZE + 4, segment.length - tcpAt);
  const at = tcpAt + SEQUENCE_AT;
  const sequence = (word(frame, at) * 0x10000 + word(frame, at + 2) + offset) >>> 0;
  putWord(segment, at, sequence >>> 16);
  putWord(segment, at + 2, sequence & 0xffff);
  let flags = segment[tcpAt + FLAGS_AT]!;
  if (!last) flags &= ~LAST_ONLY;
  if (!first) flags &= ~FIRST_ONLY;
  segment[tcpAt + FLAGS_AT] = flags;
  const ip = ipFrame(segment)!;
  putIpChecksum(segment, ip);
  putTransportChecksum(segment, ip);
}
