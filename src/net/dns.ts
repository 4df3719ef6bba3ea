// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A stub resolver (RFC 1035; RFC 1123, 6.1.3.1): the IPv4 address of a name, from servers that do
 * the work. An answer counts if its sender, its ID and its question are ours; of its records the
 * first address, which stands behind as many other names as the server has followed. No name in it
 * is read and no pointer followed, so that none leads in a circle.
 */

import { get16, get32, matches } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { textBytes, u16 } from './dhcp-message.ts';
import { isHost } from './ipv4.ts';
import type { UdpHost } from './udp.ts';
import { DNS_CLASS_IN, DnsFlag, DnsHeader, DnsRecord, DnsType, Port } from './protocol.ts';

/** Patience with each server. */
export const DNS_PATIENCE = { firstTimeoutMs: 250, longestTimeoutMs: 4000, tries: 5 } as const;

/** Servers that are asked, one after the other. */
export const DNS_SERVERS_MAX = 3;

/** A name as text: 253 characters, in parts of 1 to 63 (RFC 1035, 2.3.4). */
const NAME = /^(?=.{1,253}$)[^.]{1,63}(\.[^.]{1,63})*$/;

/** The address of `name`, or 0 if no server tells it. @throws HypxeError what a wait throws */
export function resolveName(
  net: UdpHost,
  random: () => number,
  name: string,
  servers: readonly Ipv4Address[],
): Ipv4Address {
  let address = 0;
  // Servers may repeat a question in lower case, and leave out the dot of the root
  name = name.toLowerCase().replace(/(?<=\..+)\.$/, '');
  if (!NAME.test(name)) return address;
  for (const server of servers.filter(isHost).slice(0, DNS_SERVERS_MAX)) {
    // An ID and a port that others cannot know
    const number = random() >>> 0;
    const port = 0xc000 + (number >>> 18);
    const labels = name.split('.').flatMap((label) => [label.length, ...textBytes(label)]);
    const question = [...labels, 0, ...u16(DnsType.A), ...u16(DNS_CLASS_IN)];
    const query = Uint8Array.of(
      ...u16(number),
      ...u16(DnsFlag.RECURSION_DESIRED),
      ...[0, 1, 0, 0, 0, 0, 0, 0],
      ...question,
    );
    let done = false;
    net.bind(port, {
      datagram: (buffer, offset, length, source, sourcePort) => {
        const bytes = buffer.slice(offset, offset + length);
        if (
          source !== server ||
          sourcePort !== Port.DNS ||
          !matches(bytes, DnsHeader.at.id, query.subarray(0, DnsHeader.at.flags)) ||
          !matches(bytes, DnsHeader.size, query.subarray(DnsHeader.size)) ||
          !(bytes[DnsHeader.at.flags]! & (DnsFlag.RESPONSE >> 8))
        )
          return net.drop('dnsForeign');
        done = true;
        if (!(bytes[DnsHeader.at.flags + 1]! & DnsFlag.CODE_MASK))
          address = firstAddress(bytes, query.length);
      },
      unreachable: () => (done = true),
    });
    const ask = (): void => {
      net.payload.set(query);
      net.sendUdp(port, server, Port.DNS, query.length);
    };
    try {
      net.retry(DNS_PATIENCE, Infinity, ask, () => done);
    } finally {
      net.unbind(port);
    }
    if (address !== 0) break;
  }
  return address;
}

/** The first address of the records that begin at `at`, or 0. */
function firstAddress(bytes: Uint8Array, at: number): Ipv4Address {
  for (let i = get16(bytes, DnsHeader.at.answers); i > 0 && at < bytes.length; i--) {
    // Its name: parts, up to an empty one or a pointer
    while (bytes[at]! > 0 && bytes[at]! < 64) at += 1 + bytes[at]!;
    at += bytes[at] ? 2 : 1;
    const data = at + DnsRecord.size;
    const length = get16(bytes, at + DnsRecord.at.length);
    if (get16(bytes, at) === DnsType.A && length === 4 && data + 4 <= bytes.length)
      return get32(bytes, data);
    at = data + length;
  }
  return 0;
}
