// SPDX-License-Identifier: GPL-2.0-or-later

/** What offloads look at in a frame: IP header, transport header, and their checksums. */

import {
  EthernetHeader,
  EtherType,
  IPV4_FRAGMENT_MASK,
  IpProtocol,
  Ipv4Header,
} from '../../../../src/net/protocol.ts';

export const ETHERNET_SIZE = EthernetHeader.size;
export const ETHERTYPE_IPV6 = 0x86dd;
const IPV6_SIZE = 40;
const TCP_SIZE = 20;
const UDP_SIZE = 8;

/** Where the checksums lie from the start of their headers. */
const IP_CHECKSUM_AT = 10;
const TCP_CHECKSUM_AT = 16;
const UDP_CHECKSUM_AT = 6;

/** An IP packet in a frame. */
export interface IpFrame {
  readonly version: 4 | 6;
  /** Where the transport header begins, and where the packet ends: both in the frame. */
  readonly transportAt: number;
  readonly end: number;
  /** TCP or UDP if its header is there, else 0: a fragment, or something else. */
  readonly protocol: number;
}

/** The IP packet of an untagged frame, or undefined if there is none that is well formed. */
export function ipFrame(frame: Uint8Array): IpFrame | undefined {
  if (frame.length < ETHERNET_SIZE) return undefined;
  const type = word(frame, EthernetHeader.at.type);
  if (type === EtherType.IPV4) return ipv4(frame);
  return type === ETHERTYPE_IPV6 ? ipv6(frame) : undefined;
}

function ipv4(frame: Uint8Array): IpFrame | undefined {
  const at = ETHERNET_SIZE;
  if (frame.length < at + Ipv4Header.size) return undefined;
  const transportAt = at + (frame[at]! & 0xf) * 4;
  const end = at + word(frame, at + 2);
  if (transportAt < at + Ipv4Header.size || transportAt > end || end > frame.length)
    return undefined;
  const fragment = (word(frame, at + 6) & IPV4_FRAGMENT_MASK) !== 0;
  const protocol = fragment ? 0 : transport(frame[at + 9]!, end - transportAt);
  return { version: 4, transportAt, end, protocol };
}

function ipv6(frame: Uint8Array): IpFrame | undefined {
  const transportAt = ETHERNET_SIZE + IPV6_SIZE;
  if (frame.length < transportAt) return undefined;
  const end = transportAt + word(frame, ETHERNET_SIZE + 4);
  if (end > frame.length) return undefined;
  const protocol = transport(frame[ETHERNET_SIZE + 6]!, end - transportAt);
  return { version: 6, transportAt, end, protocol };
}

/** The protocol if the packet holds its header, else 0. */
function transport(protocol: number, length: number): number {
  if (protocol === IpProtocol.TCP) return length >= TCP_SIZE ? protocol : 0;
  return protocol === IpProtocol.UDP && length >= UDP_SIZE ? protocol : 0;
}

/** Write the checksum of an IPv4 header. */
export function putIpChecksum(frame: Uint8Array, ip: IpFrame): void {
  if (ip.version !== 4) return;
  putWord(frame, ETHERNET_SIZE + IP_CHECKSUM_AT, 0);
  putWord(frame, ETHERNET_SIZE + IP_CHECKSUM_AT, ~ipSum(frame, ip) & 0xffff);
}

/** Whether the checksum of an IPv4 header is right. */
export function ipChecksumIsRight(frame: Uint8Array, ip: IpFrame): boolean {
  return ipSum(frame, ip) === 0xffff;
}

/** Write the checksum of TCP or UDP, whatever stands there. */
export function putTransportChecksum(frame: Uint8Array, ip: IpFrame): void {
  const at = checksumAt(ip);
  putWord(frame, at, 0);
  const sum = ~transportSum(frame, ip) & 0xffff;
  // A UDP checksum of 0 would say that there is none
  putWord(frame, at, sum === 0 && ip.protocol === IpProtocol.UDP ? 0xffff : sum);
}

/** Whether the checksum of TCP or UDP is right; undefined for UDP without one. */
export function transportChecksumIsRight(frame: Uint8Array, ip: IpFrame): boolean | undefined {
  if (ip.protocol === IpProtocol.UDP && word(frame, checksumAt(ip)) === 0) return undefined;
  return transportSum(frame, ip) === 0xffff;
}

function checksumAt(ip: IpFrame): number {
  return ip.transportAt + (ip.protocol === IpProtocol.TCP ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT);
}

function ipSum(frame: Uint8Array, ip: IpFrame): number {
  return fold(sum(frame, ETHERNET_SIZE, ip.transportAt));
}

/** Over the pseudo header (addresses, protocol, length) and the segment. */
function transportSum(frame: Uint8Array, ip: IpFrame): number {
  const addresses = ETHERNET_SIZE + (ip.version === 4 ? 12 : 8);
  const addressesEnd = ETHERNET_SIZE + (ip.version === 4 ? Ipv4Header.size : IPV6_SIZE);
  const pseudo = sum(frame, addresses, addressesEnd) + ip.protocol + ip.end - ip.transportAt;
  return fold(pseudo + sum(frame, ip.transportAt, ip.end));
}

function sum(frame: Uint8Array, begin: number, end: number): number {
  let total = 0;
  for (let at = begin; at + 1 < end; at += 2) total += word(frame, at);
  return (end - begin) % 2 === 0 ? total : total + frame[end - 1]! * 256;
}

function fold(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return folded;
}

/** A 16-bit field in network byte order. */
export function word(frame: Uint8Array, at: number): number {
  return (frame[at]! << 8) | frame[at + 1]!;
}

/** Write one. */
export function putWord(frame: Uint8Array, at: number, value: number): void {
  frame[at] = value >>> 8;
  frame[at + 1] = value & 0xff;
}
