// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The two ICMP answers of a server (RFC 792), made in the frame that asked for them. They begin at
 * `IP.end`; the header in front of them is the caller's.
 */

import { ICMP_PORT_UNREACHABLE, ICMP_UNREACHABLE } from '../../../src/net/protocol.ts';
import { foldSum, sumWords } from './checksum.ts';
import type { Frame } from './frame.ts';
import { ETH, ICMP_ECHO_REPLY, IP } from './protocol.ts';

/** Turn the echo message of `length` bytes at `at` into its reply. */
export function turnIntoEchoReply(frame: Frame, at: number, length: number): void {
  frame.bytes.copyWithin(IP.end, at, at + length);
  frame.bytes[IP.end] = ICMP_ECHO_REPLY;
  setChecksum(frame, length);
}

/**
 * Turn a datagram with an IPv4 header of `header` bytes into "port unreachable" with that header
 * and the first 8 bytes after it. Returns the length of the message.
 */
export function turnIntoPortUnreachable(frame: Frame, header: number): number {
  const { bytes } = frame;
  bytes.copyWithin(IP.end + 8, ETH.end, ETH.end + header + 8);
  bytes.fill(0, IP.end, IP.end + 8);
  bytes[IP.end] = ICMP_UNREACHABLE;
  bytes[IP.end + 1] = ICMP_PORT_UNREACHABLE;
  setChecksum(frame, 8 + header + 8);
  return 8 + header + 8;
}

function setChecksum({ bytes, view, words }: Frame, length: number): void {
  view.setUint16(IP.end + 2, 0);
  bytes[IP.end + length] = 0;
  words[(IP.end + 2) >> 1] = ~foldSum(sumWords(words, IP.end, length)) & 0xffff;
}
