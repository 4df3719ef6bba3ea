// SPDX-License-Identifier: GPL-2.0-or-later

/** The boundary between a network interface and the protocols above UDP. */

import type { Ipv4Address } from './bytes.ts';
import type { DropReason } from './drops.ts';
import type { Log } from '../events.ts';

/** Ports that can be listened on at the same time. */
export const UDP_PORTS = 4;

/** Patience with a neighbour: first try, doubled for each further one up to the longest. */
export const ARP_FIRST_TIMEOUT_MS = 250;
export const ARP_LONGEST_TIMEOUT_MS = 4000;
export const ARP_TRIES = 6;

/** Frames that may arrive without any progress of the protocol above, whatever the clock says. */
export const FLOOD_FRAMES = 1 << 22;

/** How long a lost link is waited for. Spanning trees take up to 50 s. */
export const LINK_LOSS_MS = 60_000;

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

/** An interface, as far as protocols above UDP need it: see {@link PlainInterface}. */
export interface UdpHost {
  readonly name: string;
  readonly log: Log;
  readonly payload: Uint8Array;
  bind(port: number, handler: UdpHandler): void;
  unbind(port: number): void;
  retry(
    patience: Patience,
    deadline: number,
    ask: (tries: number) => void,
    done: () => boolean,
  ): boolean;
  sendUdp(
    sourcePort: number,
    destination: Ipv4Address,
    destinationPort: number,
    length: number,
  ): boolean;
  drop(reason: DropReason): void;
}

/** Bounds that a test or a caller can narrow. */
export interface NetworkInterfaceOptions {
  readonly arpFirstTimeoutMs?: number;
  readonly arpTries?: number;
  readonly floodFrames?: number;
}
