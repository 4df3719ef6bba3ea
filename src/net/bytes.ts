// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Bytes as networks order them: big-endian fields, the Internet checksum, and addresses as text.
 * Nothing here allocates, apart from what returns text.
 */

import { byteHex } from '../wire.ts';

/**
 * An IPv4 address as a *signed* 32-bit number, most significant byte first on the wire: engines
 * hold those without a box, unsigned ones from 128.0.0.0 on not. 0 is "none". Compare two of them
 * with `===`, print them with {@link ipv4Text}, make them with {@link parseIpv4}.
 */
export type Ipv4Address = number;

/** 255.255.255.255, the limited broadcast address. */
export const IPV4_BROADCAST: Ipv4Address = -1;

/** Length of a hardware address, in bytes. */
export const MAC_LENGTH = 6;

/** Big-endian 16-bit field. */
export function get16(bytes: ArrayLike<number>, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** Big-endian 32-bit field, signed. */
export function get32(bytes: ArrayLike<number>, at: number): number {
  return (get16(bytes, at) << 16) | get16(bytes, at + 2);
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value);
}

/** Whether those bytes are at `at`: a hardware address, or a constant part of a header. */
export function matches(bytes: Uint8Array, at: number, those: Readonly<Uint8Array>): boolean {
  for (let i = 0; i < those.length; i++) if (bytes[at + i] !== those[i]) return false;
  return true;
}

/**
 * Add `length` bytes from `at` on, as 16-bit words, to a running sum; an odd last byte counts as
 * the upper half of a word (RFC 1071). The sum stays below 2^32 for the 64 kB that IP can carry.
 */
export function sum16(bytes: Uint8Array, at: number, length: number, sum: number): number {
  const end = at + length;
  for (; at + 1 < end; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  return at < end ? sum + (bytes[at]! << 8) : sum;
}

/** The Internet checksum of a running sum: 0 if the sum contained a right checksum (RFC 1071). */
export function checksum(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** `10.0.0.1`. */
export function ipv4Text(address: Ipv4Address): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/** The address that a dotted quad says, or undefined if the text is none. */
export function parseIpv4(text: string): Ipv4Address | undefined {
  if (!/^(\d{1,3}\.){3}\d{1,3}$/.test(text)) return undefined;
  const parts = text.split('.').map(Number);
  if (parts.some((part) => part > 255)) return undefined;
  return parts.reduce((address, part) => (address << 8) | part);
}

/** `00:15:5d:01:02:03`, from 6 bytes. */
export function macText(bytes: Readonly<Uint8Array>): string {
  return Array.from(bytes, byteHex).join(':');
}

/**
 * Text up to the first NUL, at most `length` bytes. Each byte becomes the character of the same
 * number, so that {@link putText} gives back the same bytes whatever their encoding was.
 */
export function getText(bytes: ArrayLike<number>, at: number, length: number): string {
  let text = '';
  for (let i = at; i < at + length && bytes[i] !== 0; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}

/** Write text, one byte per character, and return where it ends. Writes no NUL. */
export function putText(bytes: Uint8Array, at: number, text: string): number {
  for (const char of text) bytes[at++] = char.charCodeAt(0);
  return at;
}

/** Text from the network for a log line: what is not printable ASCII is written `\xNN`. */
export function escaped(text: string): string {
  return text.replace(/[^ !#-[\]-~]/g, (char) => `\\x${byteHex(char.charCodeAt(0))}`);
}

/** The same in quotes. */
export function quoted(text: string): string {
  return `"${escaped(text)}"`;
}
