// SPDX-License-Identifier: GPL-2.0-or-later

/** Why a received frame went no further. Each reason is counted; none is an error by itself. */

/** What each reason means, for logs and reports. */
export const DROP_REASONS = {
  frameShort: 'frame shorter than its Ethernet header',
  frameForeign: 'frame for another station',
  frameType: 'neither IPv4 nor ARP',
  arpMalformed: 'ARP packet short, or not for IPv4 over Ethernet',
  arpForeign: 'ARP packet that neither asks for our address nor answers a question of ours',
  arpFlood: 'more ARP requests for our address in one turn than are answered',
  ipShort: 'frame shorter than an IPv4 header',
  ipVersion: 'IP version is not 4',
  ipHeaderLength: 'IPv4 header length out of range',
  ipTotalLength: 'IPv4 total length out of range',
  ipChecksum: 'IPv4 header checksum wrong',
  ipFragment: 'IPv4 fragment: not reassembled',
  ipSource: 'IPv4 source is ours, broadcast or multicast',
  ipForeign: 'IPv4 datagram for another host',
  ipProtocol: 'neither UDP nor an ICMP message that concerns us',
  icmpMalformed: 'ICMP message short, or its checksum wrong',
  udpLength: 'UDP length out of range',
  udpChecksum: 'UDP checksum wrong',
  udpPort: 'UDP port that nobody listens on',
} as const;

export type DropReason = keyof typeof DROP_REASONS;

/** How often each reason applied. */
export type DropCounters = Record<DropReason, number>;

export function newDropCounters(): DropCounters {
  const counters = {} as DropCounters;
  for (const reason of Object.keys(DROP_REASONS) as DropReason[]) counters[reason] = 0;
  return counters;
}

/** The counters that are not 0 as one line of text: `ipFragment 2, udpPort 1`, or `none`. */
export function dropsText(counters: Readonly<DropCounters>): string {
  const parts: string[] = [];
  for (const reason of Object.keys(counters) as DropReason[])
    if (counters[reason] > 0) parts.push(`${reason} ${counters[reason]}`);
  return parts.length === 0 ? 'none' : parts.join(', ');
}
