// SPDX-License-Identifier: GPL-2.0-or-later

/** The frames of a recorded session: of any length, and requests that a DHCP server answers. */

import type { Random } from '../simulator/base/random.ts';

/** Where what is of which length lies in a request (RFC 894, 791, 768, 2131). */
const IP = 14;
const IP_LENGTH = 20;
const UDP = IP + IP_LENGTH;
const UDP_LENGTH = 8;
const BOOTP = UDP + UDP_LENGTH;
/** Least length of a BOOTP message: its options are filled up with zeros. */
const BOOTP_LENGTH = 300;
const OPTIONS = BOOTP + 236;

/** DHCPDISCOVER, and what is asked for: mask, router, server, boot file. */
const DISCOVER = [0x63, 0x82, 0x53, 0x63, 53, 1, 1, 55, 4, 1, 3, 66, 67, 255];

/** A broadcast of some length, in bytes. */
export function someFrame(length: number, random: Random): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 7 + random.below(16)) & 0xff);
  bytes.fill(0xff, 0, 6);
  // The address of one station, so that a switch may learn it
  bytes[6]! &= 0xfe;
  return bytes;
}

/** The sum of the words of an IPv4 header, as RFC 1071 has it. */
function checksum(header: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < header.length; i += 2) sum += (header[i]! << 8) | header[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** A DHCPDISCOVER of a NIC; `transaction`: 32 bits. */
export function discoverFrame(address: Uint8Array, transaction: number): Uint8Array {
  const bytes = new Uint8Array(BOOTP + BOOTP_LENGTH);
  const view = new DataView(bytes.buffer);
  bytes.fill(0xff, 0, 6);
  bytes.set(address, 6);
  bytes.set([8, 0, 0x45, 0], 12);
  view.setUint16(IP + 2, bytes.length - IP);
  bytes.set([64, 17], IP + 8);
  bytes.fill(0xff, IP + 16, IP + 20);
  view.setUint16(IP + 10, checksum(bytes.subarray(IP, UDP)));
  // From the client's port to the server's; a checksum of 0 is none
  bytes.set([0, 68, 0, 67], UDP);
  view.setUint16(UDP + 4, bytes.length - UDP);
  bytes.set([1, 1, 6, 0], BOOTP);
  view.setUint32(BOOTP + 4, transaction);
  view.setUint16(BOOTP + 10, 0x8000);
  bytes.set(address, BOOTP + 28);
  bytes.set(DISCOVER, OPTIONS);
  return bytes;
}
