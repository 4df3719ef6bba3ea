// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the built-in network speaks: Ethernet, ARP (RFC 826), IPv4 (RFC 791), ICMP (RFC 792) and UDP
 * (RFC 768). Offsets are from the first byte of the frame and hold for IPv4 headers without
 * options, as the servers send them. All multi-byte fields are big-endian.
 */

/** Ethernet II header. */
export const ETH = { destination: 0, source: 6, type: 12, end: 14 } as const;

/** Shortest frame on a wire, without check sequence: shorter ones are padded (IEEE 802.3). */
export const ETH_PADDED = 60;

/** Longest frame that the network carries: header, VLAN tag and 1500 bytes. */
export const ETH_LONGEST = 1518;

/** Longest IPv4 packet in a frame, in bytes. */
export const IP_MTU = 1500;

export const EtherType = { IPV4: 0x0800, ARP: 0x0806 } as const;

/** ARP for Ethernet and IPv4 (RFC 826). */
export const ARP = {
  hardware: 14,
  protocol: 16,
  hardwareLength: 18,
  protocolLength: 19,
  operation: 20,
  senderMac: 22,
  senderIp: 28,
  targetMac: 32,
  targetIp: 38,
  end: 42,
} as const;

export const ArpOperation = { REQUEST: 1, REPLY: 2 } as const;

/** IPv4 header (RFC 791, 3.1). */
export const IP = {
  versionLength: 14,
  service: 15,
  length: 16,
  identification: 18,
  fragment: 20,
  timeToLive: 22,
  protocol: 23,
  checksum: 24,
  source: 26,
  destination: 30,
  end: 34,
} as const;

/** Version 4 and a header of five words. */
export const IP_VERSION_LENGTH = 0x45;
export const IP_DONT_FRAGMENT = 0x4000;
/** More fragments, and the offset: either makes a packet a fragment. */
export const IP_FRAGMENT_MASK = 0x3fff;
export const IP_TIME_TO_LIVE = 64;

export const IpProtocol = { ICMP: 1, TCP: 6, UDP: 17 } as const;

/** UDP header (RFC 768). */
export const UDP = {
  sourcePort: 34,
  destinationPort: 36,
  length: 38,
  checksum: 40,
  end: 42,
} as const;

/** Most bytes that a UDP datagram of one frame carries. */
export const UDP_PAYLOAD_MAX = IP_MTU - 28;

/** ICMP messages (RFC 792). */
export const IcmpType = { ECHO_REPLY: 0, UNREACHABLE: 3, ECHO: 8 } as const;
export const ICMP_PORT_UNREACHABLE = 3;

/** 255.255.255.255. */
export const IP_BROADCAST = 0xffffffff;

/** The broadcast address of Ethernet. */
export const MAC_BROADCAST: readonly number[] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
