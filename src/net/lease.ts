// SPDX-License-Identifier: GPL-2.0-or-later

/** What a DHCP server grants: a message read, checked, and put into the interface's terms. */

import { ipv4Text } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { optionAddress, optionNumber, optionText } from './dhcp-message.ts';
import type { DhcpMessage } from './dhcp-message.ts';
import { classMask, isHost, isNetmask, MTU_MIN } from './ipv4.ts';
import { DhcpOption } from './protocol.ts';

/** Seconds of a lease without an end (RFC 2131, 3.3). */
export const LEASE_INFINITE = 0xffffffff;

/** A lease, or the offer of one. */
export interface Lease {
  readonly address: Ipv4Address;
  readonly netmask: Ipv4Address;
  /** First router, or 0. */
  readonly router: Ipv4Address;
  /** The DHCP server: its identifier, or where the message came from if it has none. */
  readonly server: Ipv4Address;
  /** MTU to use, in bytes: the option within 576 and what the device can do. */
  readonly mtu: number;
  /** All of it: what to boot, and for how long the lease is. */
  readonly message: DhcpMessage;
}

/** Read a lease. Returns what is wrong with it as text, if something is. */
export function leaseOf(
  message: DhcpMessage,
  source: Ipv4Address,
  deviceMtu: number,
): Lease | string {
  // The address and its subnet
  const address = message.yiaddr;
  if (!isHost(address)) return `${ipv4Text(address)} is not the address of a host`;
  const hasMask = message.options.has(DhcpOption.SUBNET_MASK);
  const netmask = hasMask ? optionAddress(message, DhcpOption.SUBNET_MASK) : classMask(address);
  if (!isNetmask(netmask)) return `${ipv4Text(netmask)} is not a netmask`;
  const host = address & ~netmask;
  if (~netmask >>> 0 >= 3 && (host === 0 || host === ~netmask))
    return `${ipv4Text(address)}/${ipv4Text(netmask)} is the address of a subnet`;

  // Where to send what leaves the subnet, and how much at once
  const router = optionAddress(message, DhcpOption.ROUTER);
  if (router !== 0 && (!isHost(router) || router === address))
    return `${ipv4Text(router)} cannot be a router`;
  const asked = optionNumber(message, DhcpOption.MTU) ?? deviceMtu;
  const mtu = Math.min(Math.max(asked, MTU_MIN), deviceMtu);
  return { address, netmask, router, server: serverOf(message, source), mtu, message };
}

/** Who sent a message: the server's identifier, or where the message came from if it has none. */
export function serverOf(message: DhcpMessage, source: Ipv4Address): Ipv4Address {
  return optionAddress(message, DhcpOption.SERVER_IDENTIFIER) || source;
}

/** What a lease says to boot, or ''. iPXE takes the header field first, too. */
export function bootFileOf(lease: Lease): string {
  return lease.message.file || optionText(lease.message, DhcpOption.BOOT_FILE);
}
