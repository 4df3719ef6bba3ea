// SPDX-License-Identifier: GPL-2.0-or-later

/** Why a received frame went no further. Each reason is counted; none is an error by itself. */

export type DropReason =
  /** Frame shorter than its Ethernet header. */
  | 'frameShort'
  /** Frame for another station. */
  | 'frameForeign'
  /** Neither IPv4 nor ARP. */
  | 'frameType'
  /** Frame of a VLAN: this interface is untagged. */
  | 'vlanForeign'
  /** ARP packet short, or not for IPv4 over Ethernet. */
  | 'arpMalformed'
  /** ARP packet that neither asks for our address nor answers a question of ours. */
  | 'arpForeign'
  /** More ARP requests for our address in one turn than are answered. */
  | 'arpFlood'
  /** IP version is not 4, a length out of range, or the header checksum wrong. */
  | 'ipMalformed'
  /** IPv4 fragment, and there is no part that puts fragments together. */
  | 'noReassembler'
  /** IPv4 fragment that cannot be: empty, beyond 64 KiB, again, or over another one. */
  | 'ipFragment'
  /** IPv4 datagram of which fragments are missing, so far. */
  | 'ipIncomplete'
  /** IPv4 source is ours, broadcast or multicast. */
  | 'ipSource'
  /** IPv4 datagram for another host. */
  | 'ipForeign'
  /** Neither UDP nor an ICMP message that concerns us. */
  | 'ipProtocol'
  /** ICMP message short, or a checksum wrong. */
  | 'icmpMalformed'
  /** UDP length out of range, or its checksum wrong. */
  | 'udpMalformed'
  /** UDP port that nobody listens on. */
  | 'udpPort'
  /** DHCP message shorter than its header, or that of a client. */
  | 'dhcpMalformed'
  /** DHCP message for another client or of another transaction. */
  | 'dhcpForeign'
  /** DHCP message of a type, server or address that is not waited for, or not any more. */
  | 'dhcpUnexpected'
  /** DHCP message whose addresses are none to use, or that has none and nothing else to say. */
  | 'dhcpLease'
  /** Options of a DHCP message that were cut off; the others were used. */
  | 'dhcpOption'
  /** DNS message that answers another question, or from another server. */
  | 'dnsForeign'
  /** TFTP packet too short, or with an opcode that servers do not send. */
  | 'tftpMalformed'
  /** TFTP packet of another address or port than the transfer's, or after its end. */
  | 'tftpForeign'
  /** TFTP block that is not the next one: it was there already, or another one is missing. */
  | 'tftpOrder';

/** How often each reason applied; those that never did are not there. */
export type DropCounters = Partial<Record<DropReason, number>>;

/** The counters as one line of text, in order of their first use: `udpPort 1`, or `none`. */
export function dropsText(counters: Readonly<DropCounters>): string {
  const parts = Object.entries(counters).filter(([, count]) => count > 0);
  return parts.map((part) => part.join(' ')).join(', ') || 'none';
}
