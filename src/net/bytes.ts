// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Bytes as networks order them: big-endian fields, the Internet checksum, and addresses as text.
 * Nothing here allocates, apart from what returns text.
 */

/**
 * An IPv4 address as a *signed* 32-bit number, most significant byte first on the wire: engines
 * hold those without a box, unsigned ones from 128.0.0.0 on not. 0 is "none". Compare two of them
 * with `===`, print them with {@link ipv4Text}, make them with {@link parseIpv4}.
 */
export type Ipv4Address = number;

/** 255.255.255.255, the limited broadcast address. */
export const IPV4_BROADCAST: Ipv4Address = -1;

/** Big-endian 16-bit field. */
export function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** Big-endian 32-bit field, signed. */
export function get32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
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
  let folded = (sum & 0xffff) + (sum >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}

/** `10.0.0.1`. */
export function ipv4Text(address: Ipv4Address): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** The address that a dotted quad says, or undefined if the text is none. */
export function parseIpv4(text: string): Ipv4Address | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    if (!/^[0-9]{1,3}$/.test(part) || Number(part) > 255) return undefined;
    address = (address << 8) | Number(part);
  }
  return address;
}

/** `00:15:5d:01:02:03`, from 6 bytes at `at`. */
export function macText(bytes: Uint8Array, at = 0): string {
  let text = '';
  for (let i = 0; i < 6; i++)
    text += (i === 0 ? '' : ':') + bytes[at + i]!.toString(16).padStart(2, '0');
  return text;
}

/**
 * Text up to the first NUL, at most `length` bytes. Each byte becomes the character of the same
 * number, so that {@link putText} gives back the same bytes whatever their encoding was.
 */
export function getText(bytes: Uint8Array, at: number, length: number): string {
  let text = '';
  for (let i = at; i < at + length && bytes[i] !== 0; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}

/** Write text, one byte per character, and return where it ends. Writes no NUL. */
export function putText(bytes: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
  return at + text.length;
}

/** Text from the network for a log line: what is not printable ASCII is written `\xNN`. */
export function escaped(text: string): string {
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const plain = code >= 0x20 && code < 0x7f && code !== 0x22 && code !== 0x5c;
    out += plain ? text[i]! : `\\x${code.toString(16).padStart(2, '0')}`;
  }
  return out;
}

/** The same in quotes. */
export function quoted(text: string): string {
  return `"${escaped(text)}"`;
}
