// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What somebody adds to the network client who meets more than a plain network: asked where it
 * plugs in. The firmware of one architecture has none of it; `parts.ts` has all of it.
 */

import type { Ipv4Address } from './bytes.ts';
import type { DhcpMessage } from './dhcp-message.ts';
import type { DropCounters, DropReason } from './drops.ts';
import type { TftpValues } from './tftp-packet.ts';
import type { UdpHost } from './udp.ts';

/** A part has what it wants of this. */
export interface NetParts {
  /** Puts fragments of IPv4 datagrams together, for one interface. */
  readonly reassembler?: () => FragmentTaker;
  /**
   * Looks a name up, without a part none is known.
   *
   * @param random gives unsigned 32-bit numbers
   * @param servers those of the lease
   * @returns the address, or 0 if no server tells it
   * @throws HypxeError what a wait throws
   */
  readonly resolveName?: (
    net: UdpHost,
    random: () => number,
    name: string,
    servers: readonly Ipv4Address[],
  ) => Ipv4Address;
  /** Asks ProxyDHCP and boot servers. */
  readonly bootServers?: BootServers;
  /** Reads what ICMP says of a datagram of ours. */
  readonly unreachable?: UnreachableDatagram;
  /** Begins a TFTP transfer again that has broken. */
  readonly restartTransfer?: RestartTransfer;
}

/**
 * Where a UDP datagram of ours that found a closed port begins, in an ICMP message.
 *
 * @param icmp where the message of `length` bytes begins
 * @returns why the message is of no use, if it is of none
 */
export type UnreachableDatagram = (
  buffer: Uint8Array,
  icmp: number,
  length: number,
  ours: Ipv4Address,
) => number | DropReason;

/**
 * Whether to begin a transfer again.
 *
 * @param error what it was broken by
 * @param received bytes that it had received
 * @param ask what it had asked for
 * @param transfers how many there were, that one included
 * @returns what to ask for now, or undefined to give up
 */
export type RestartTransfer = (
  net: UdpHost,
  error: unknown,
  received: number,
  ask: TftpValues,
  transfers: number,
) => TftpValues | undefined;

/** Takes the fragments that an interface receives. */
export interface FragmentTaker {
  /**
   * Take the fragment at `ip`, whose header has been checked, at the time `now` in ticks.
   *
   * @param drops where it may count datagrams of which fragments are missing
   * @returns the whole datagram with a header of 20 bytes, nothing yet, or why the fragment is of
   *   no use
   */
  take(
    buffer: Uint8Array,
    ip: number,
    now: number,
    drops: DropCounters,
  ): Uint8Array | DropReason | undefined;
}

/**
 * Asks a server what to boot, or all of them.
 *
 * @param fits whether an answer is one
 * @param options of the request, as they are on the wire
 * @returns the answer, or undefined if there was none in time
 */
export type BootQuestion = (
  fits: (message: DhcpMessage) => boolean,
  options: readonly number[],
  to: Ipv4Address,
) => DhcpMessage | undefined;

/** PXE 2.1, beyond a boot file in a DHCP or ProxyDHCP offer. */
export interface BootServers {
  /** Whether a message says what to boot, though it names no file. */
  boots(message: DhcpMessage): boolean;
  /**
   * Find out what to boot, once there is an address.
   *
   * @param boot the message that says it, or the offer of the ProxyDHCP server that does not
   * @returns the message that says what to boot, as far as anybody does
   * @throws HypxeError NoBootFile, and what a wait throws
   */
  follow(boot: DhcpMessage, ask: BootQuestion): DhcpMessage;
}
