// SPDX-License-Identifier: GPL-2.0-or-later

/** The boundary between a network interface and the protocols above UDP. */

import type { Ipv4Address } from './bytes.ts';

/** Ports that can be listened on at the same time. */
export const UDP_PORTS = 4;

/** Takes the datagrams of one UDP port. Must not throw and must not send: it notes what it saw. */
export interface UdpHandler {
  /**
   * `length` bytes of payload at `offset` of `buffer`, valid only during the call. What is of no
   * use is counted (`drop` of the interface).
   */
  datagram(
    buffer: Uint8Array,
    offset: number,
    length: number,
    source: Ipv4Address,
    sourcePort: number,
  ): void;
  /** A host says that nobody listens at the port that we sent to. */
  unreachable(destination: Ipv4Address, destinationPort: number): void;
}

/** How often something is asked, and how long for: the first time is doubled up to the longest. */
export interface Patience {
  readonly firstTimeoutMs: number;
  readonly longestTimeoutMs: number;
  readonly tries: number;
}

/** Where a network is reached (RFC 3442). */
export interface Route {
  readonly network: Ipv4Address;
  readonly netmask: Ipv4Address;
  /** 0: its hosts are neighbours. */
  readonly router: Ipv4Address;
}

/** Bounds that a test or a caller can narrow. */
export interface NetworkInterfaceOptions {
  readonly arpFirstTimeoutMs?: number;
  readonly arpTries?: number;
  readonly floodFrames?: number;
}
