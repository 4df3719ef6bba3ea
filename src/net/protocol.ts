// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Wire definitions of the network boot client: Ethernet II, ARP (RFC 826), IPv4 (RFC 791), ICMP
 * (RFC 792), UDP (RFC 768), DHCP (RFC 2131, 2132), PXE (RFC 4578, PXE 2.1), DNS (RFC 1035) and TFTP
 * (RFC 1350, 2347 to 2349, 7440). Unlike everything of Hyper-V, all multi-byte fields are
 * big-endian. Nothing but definitions.
 */

import { struct } from '../wire.ts';

export const EthernetHeader = struct('ethhdr', 14, {
  destination: [0, 6],
  source: [6, 6],
  type: [12, 2],
});

/** A VLAN tag is a type, too: of customers (802.1Q), or of providers (802.1ad). */
export const EtherType = { IPV4: 0x0800, ARP: 0x0806, VLAN: 0x8100, SERVICE_VLAN: 0x88a8 } as const;

/** A VLAN tag stands before the type: a type of its own, then priority and VLAN. */
export const VlanTag = struct('vlan_hdr', 4, { type: [0, 2], control: [2, 2] });

/** The VLAN in `control`. 0: the tag says a priority only (802.1Q, 9.6). */
export const VLAN_MASK = 0xfff;

/** An ARP packet for IPv4 over Ethernet. */
export const ArpPacket = struct('arp', 28, {
  hardwareType: [0, 2],
  protocolType: [2, 2],
  hardwareLength: [4, 1],
  protocolLength: [5, 1],
  operation: [6, 2],
  senderHardware: [8, 6],
  senderProtocol: [14, 4],
  targetHardware: [18, 6],
  targetProtocol: [24, 4],
});

export const ArpOperation = { REQUEST: 1, REPLY: 2 } as const;

/** Hardware type "Ethernet" of ARP and of DHCP. */
export const HARDWARE_ETHERNET = 1;

/** An IPv4 header without options. */
export const Ipv4Header = struct('iphdr', 20, {
  /** Version (upper four bits) and length of the header in 32-bit words. */
  versionLength: [0, 1],
  service: [1, 1],
  totalLength: [2, 2],
  identification: [4, 2],
  /** Flags (upper three bits) and fragment offset in units of 8 bytes. */
  fragment: [6, 2],
  timeToLive: [8, 1],
  protocol: [9, 1],
  checksum: [10, 2],
  source: [12, 4],
  destination: [16, 4],
});

/** Version 4, header of five words: one without options. */
export const IPV4_VERSION_LENGTH = 0x45;

/** "More fragments" and the fragment offset: a whole datagram has none of these bits. */
export const IPV4_FRAGMENT_MASK = 0x3fff;
export const IPV4_MORE_FRAGMENTS = 0x2000;

export const IpProtocol = { ICMP: 1, TCP: 6, UDP: 17 } as const;

export const IcmpHeader = struct('icmphdr', 8, {
  type: [0, 1],
  code: [1, 1],
  checksum: [2, 2],
  unused: [4, 4],
});

export const ICMP_UNREACHABLE = 3;
export const ICMP_PORT_UNREACHABLE = 3;

export const UdpHeader = struct('udphdr', 8, {
  source: [0, 2],
  destination: [2, 2],
  length: [4, 2],
  checksum: [6, 2],
});

export const Port = { DNS: 53, TFTP: 69, DHCP_SERVER: 67, DHCP_CLIENT: 68, PXE: 4011 } as const;

/** A DHCP message up to and with the magic cookie. */
export const DhcpHeader = struct('dhcphdr', 240, {
  op: [0, 1],
  hardwareType: [1, 1],
  hardwareLength: [2, 1],
  hops: [3, 1],
  xid: [4, 4],
  secs: [8, 2],
  flags: [10, 2],
  ciaddr: [12, 4],
  yiaddr: [16, 4],
  siaddr: [20, 4],
  giaddr: [24, 4],
  chaddr: [28, 16],
  sname: [44, 64],
  file: [108, 128],
  magic: [236, 4],
});

export const DHCP_MAGIC = 0x63825363;

/** Relays and old servers drop shorter messages (RFC 1542, 2.1). */
export const DHCP_SHORTEST = 300;

export const DhcpOp = { REQUEST: 1, REPLY: 2 } as const;

export const DhcpType = {
  DISCOVER: 1,
  OFFER: 2,
  REQUEST: 3,
  DECLINE: 4,
  ACK: 5,
  NAK: 6,
  RELEASE: 7,
  INFORM: 8,
} as const;

/** DHCP options that are sent or read (RFC 2132, 3442, 4578, 5859). */
export const DhcpOption = {
  PAD: 0,
  SUBNET_MASK: 1,
  ROUTER: 3,
  NAME_SERVER: 6,
  DOMAIN_NAME: 15,
  MTU: 26,
  VENDOR_ENCAPSULATED: 43,
  REQUESTED_ADDRESS: 50,
  LEASE_TIME: 51,
  OVERLOAD: 52,
  MESSAGE_TYPE: 53,
  SERVER_IDENTIFIER: 54,
  PARAMETER_LIST: 55,
  MESSAGE: 56,
  MAX_MESSAGE_SIZE: 57,
  VENDOR_CLASS: 60,
  CLIENT_IDENTIFIER: 61,
  TFTP_SERVER_NAME: 66,
  BOOT_FILE: 67,
  USER_CLASS: 77,
  CLIENT_ARCHITECTURE: 93,
  CLIENT_INTERFACE: 94,
  CLIENT_UUID: 97,
  STATIC_ROUTES: 121,
  TFTP_SERVER_ADDRESS: 150,
  END: 255,
} as const;

/** Bits of option 52: which header fields hold options. */
export const DhcpOverload = { FILE: 1, SNAME: 2 } as const;

/** What PXE clients and servers call themselves at the beginning of option 60. */
export const PXE_CLASS = 'PXEClient';

/** PXE's options within option 43 (PXE 2.1, table 2-1). */
export const PxeOption = {
  DISCOVERY_CONTROL: 6,
  /** Type (16 bits), number of addresses (8 bits), addresses; and the next type. */
  BOOT_SERVERS: 8,
  /** Type (16 bits), length of its text (8 bits), text; and the next item. */
  BOOT_MENU: 9,
  MENU_PROMPT: 10,
  /** Type and layer, 16 bits each. */
  BOOT_ITEM: 71,
} as const;

/** Bits of the discovery control. */
export const PxeControl = {
  NO_BROADCAST: 1,
  NO_MULTICAST: 2,
  LISTED_SERVERS: 4,
  USE_BOOT_FILE: 8,
} as const;

/** A DNS message up to its question (RFC 1035, 4.1.1). */
export const DnsHeader = struct('dnshdr', 12, {
  id: [0, 2],
  flags: [2, 2],
  questions: [4, 2],
  answers: [6, 2],
  authorities: [8, 2],
  additional: [10, 2],
});

export const DnsFlag = { RESPONSE: 0x8000, RECURSION_DESIRED: 0x0100, CODE_MASK: 15 } as const;

export const DnsType = { A: 1, CNAME: 5 } as const;

/** Class "Internet". */
export const DNS_CLASS_IN = 1;

/** What follows the name in a resource record, up to its data (RFC 1035, 4.1.3). */
export const DnsRecord = struct('dnsrr', 10, {
  type: [0, 2],
  class: [2, 2],
  timeToLive: [4, 4],
  length: [8, 2],
});

export const TftpOpcode = { RRQ: 1, WRQ: 2, DATA: 3, ACK: 4, ERROR: 5, OACK: 6 } as const;

/** Length of opcode and block number (or error code) in front of data or text. */
export const TFTP_HEADER = 4;

export const TftpErrorCode = {
  UNDEFINED: 0,
  NOT_FOUND: 1,
  ACCESS: 2,
  DISK_FULL: 3,
  ILLEGAL: 4,
  UNKNOWN_TID: 5,
  EXISTS: 6,
  NO_USER: 7,
  OPTIONS: 8,
} as const;

/** Block size without negotiation, and the range of the option (RFC 1350, 2348). */
export const TFTP_BLOCK_DEFAULT = 512;
export const TFTP_BLOCK_MIN = 8;
export const TFTP_BLOCK_MAX = 65464;

/** Longest request (RFC 2347). */
export const TFTP_REQUEST_MAX = 512;
