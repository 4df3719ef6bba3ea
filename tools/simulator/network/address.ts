// SPDX-License-Identifier: GPL-2.0-or-later

/** IPv4 addresses as unsigned 32-bit numbers, MAC addresses as bytes, and both as text. */

import { NetworkOptionError } from './options.ts';

/** An IPv4 address from its dotted text. @throws NetworkOptionError that names `option` */
export function parseIp(option: string, text: string): number {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  let address = 0;
  for (let i = 1; i <= 4; i++) {
    const part = match === null ? 256 : Number(match[i]);
    if (part > 255) throw new NetworkOptionError(option, `${text} is not an IPv4 address`);
    address = address * 256 + part;
  }
  return address;
}

/** Dotted text of an IPv4 address. */
export function ipText(address: number): string {
  const part = (shift: number): number => (address >>> shift) & 0xff;
  return `${part(24)}.${part(16)}.${part(8)}.${part(0)}`;
}

/** Text of the MAC address at `at`. */
export function macText(bytes: ArrayLike<number>, at = 0): string {
  let text = '';
  for (let i = 0; i < 6; i++) {
    text += (i === 0 ? '' : ':') + bytes[at + i]!.toString(16).padStart(2, '0');
  }
  return text;
}

/** An IPv4 network. */
export interface Subnet {
  /** First address: the number of the network. */
  readonly network: number;
  readonly mask: number;
  /** Last address: the directed broadcast. */
  readonly broadcast: number;
}

/** The network of `prefix` bits (8 to 30) that `address` is in. */
export function subnetOf(address: number, prefix: number): Subnet {
  const mask = (0xffffffff << (32 - prefix)) >>> 0;
  return {
    network: (address & mask) >>> 0,
    mask,
    broadcast: (address | ~mask) >>> 0,
  };
}

/** Whether an address is that of a host in the network. */
export function isHostOf(subnet: Subnet, address: number): boolean {
  return address > subnet.network && address < subnet.broadcast;
}
