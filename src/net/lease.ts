// SPDX-License-Identifier: GPL-2.0-or-later

/** What a DHCP server grants: a message read, checked, and put into the interface's terms. */

import { get16, get32, ipv4Text } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { option, optionAddresses } from './dhcp-message.ts';
import type { DhcpMessage } from './dhcp-message.ts';
import { classMask, isHost, isNetmask, MTU_MIN } from './ipv4.ts';
import type { Route } from './udp.ts';
import { DhcpOption } from './protocol.ts';

/** Seconds of a lease without an end (RFC 2131, 3.3). */
export const LEASE_INFINITE = 0xffffffff;

/** A lease, or the offer of one. */
export interface Lease {
  readonly address: Ipv4Address;
  readonly netmask: Ipv4Address;
  /** The router to everywhere else, or 0. */
  readonly router: Ipv4Address;
  /** Static routes, which stand for the router (RFC 3442), the most specific first; often none. */
  readonly routes: readonly Route[];
  /** The DHCP server: its identifier, or where the message came from if it has none. */
  readonly server: Ipv4Address;
  /** MTU to use, in bytes: the option within 576 and what the device can do. */
  readonly mtu: number;
  /** All of it, with what only the offer said. */
  readonly message: DhcpMessage;
  /** The message that says what to boot: the same, or that of another server (PXE). */
  boot: DhcpMessage;
}

/** Read a lease. Returns what is wrong with it as text, if something is. */
export function leaseOf(message: DhcpMessage, deviceMtu: number): Lease | string {
  // The address and its subnet
  const address = message.yiaddr;
  const inSubnet = (other: Ipv4Address): boolean => ((other ^ address) & netmask) === 0;
  const isStation = (other: Ipv4Address): boolean => {
    const host = other & ~netmask;
    return isHost(other) && !(~netmask >>> 0 >= 3 && (host === 0 || host === ~netmask));
  };
  // A mask that is cut off, or is none, leaves that of the address's class (iPXE ipv4_settings)
  const masks = optionAddresses(message, DhcpOption.SUBNET_MASK);
  const netmask = masks.find(isNetmask) ?? classMask(address);
  if (!isHost(address)) return `${ipv4Text(address)} is not the address of a host`;
  if (!isStation(address))
    return `${ipv4Text(address)}/${ipv4Text(netmask)} is the address of a subnet`;

  // Where to send what leaves the subnet: static routes, or else the first router that can be one,
  // of this subnet if one is
  const canRoute = (router: Ipv4Address): boolean => router !== address && isStation(router);
  const routes = staticRoutes(option(message, DhcpOption.STATIC_ROUTES)).filter(
    ({ router }) => router === 0 || canRoute(router),
  );
  const able = optionAddresses(message, DhcpOption.ROUTER).filter(canRoute);
  let router = able.find(inSubnet) ?? able[0] ?? 0;
  if (routes.length > 0) {
    routes.push({ network: address, netmask, router: 0 });
    routes.sort((a, b) => (b.netmask >>> 0) - (a.netmask >>> 0));
    router = routes.find((route) => route.netmask === 0)?.router ?? 0;
  }

  // How much to send at once
  const asked = get16(option(message, DhcpOption.MTU), 0) || deviceMtu;
  const mtu = Math.min(Math.max(asked, MTU_MIN), deviceMtu);
  const { server } = message;
  return { address, netmask, router, routes, server, mtu, message, boot: message };
}

/** Classless static routes (RFC 3442), up to the first that cannot be one. */
function staticRoutes(bytes: ArrayLike<number>): Route[] {
  const routes: Route[] = [];
  for (let i = 0; i < bytes.length;) {
    // The width of the prefix in bits, as many bytes as it has, the router
    const width = bytes[i]!;
    const at = i + 1 + ((width + 7) >> 3);
    if (width > 32 || at + 4 > bytes.length) break;
    const netmask = width === 0 ? 0 : -1 << (32 - width);
    const network = get32(bytes, i + 1) & netmask;
    routes.push({ network, netmask, router: get32(bytes, at) });
    i = at + 4;
  }
  return routes;
}
