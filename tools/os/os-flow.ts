// SPDX-License-Identifier: GPL-2.0-or-later

/** The hash of the flow that a frame belongs to, so that each flow keeps its queue. */

const ETHERNET_TYPE = 12;
const IPV4_TYPE = 0x0800;
const IPV4_VERSION = 14;
const IPV4_PLAIN = 0x45;
const IPV4_PROTOCOL = 23;
const IPV4_SOURCE = 26;
const PORTS = 34;
const FLOW_END = 38;
const TCP = 6;

/** Not 0 for IPv4: addresses, and the ports of TCP (`netvsc_get_hash`). Others have none. */
export function flowHash(frame: Uint8Array, length: number): number {
  if (length < FLOW_END) return 0;
  if (((frame[ETHERNET_TYPE]! << 8) | frame[ETHERNET_TYPE + 1]!) !== IPV4_TYPE) return 0;
  const ports = frame[IPV4_PROTOCOL] === TCP && frame[IPV4_VERSION] === IPV4_PLAIN;
  let hash = 0x811c9dc5;
  for (let at = IPV4_SOURCE; at < (ports ? FLOW_END : PORTS); at++) {
    hash = Math.imul(hash ^ frame[at]!, 0x01000193);
  }
  return (hash ^ (hash >>> 16)) >>> 0 || 1;
}
