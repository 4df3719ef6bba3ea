// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * RNDIS messages. Offsets count from the start of the message, header included; offsets *inside*
 * messages (information buffer, data) count from byte 8, as the protocol has it. Names follow
 * Linux (`rndis.h`, `hyperv_net.h`); the tests pin each to the golden layouts.
 */

import { struct } from '../wire.ts';

/** RNDIS message types. */
export const RndisType = {
  PACKET: 0x00000001,
  INITIALISE: 0x00000002,
  HALT: 0x00000003,
  QUERY: 0x00000004,
  SET: 0x00000005,
  RESET: 0x00000006,
  INDICATE_STATUS: 0x00000007,
  KEEPALIVE: 0x00000008,
  INITIALISE_CMPLT: 0x80000002,
  QUERY_CMPLT: 0x80000004,
  SET_CMPLT: 0x80000005,
  RESET_CMPLT: 0x80000006,
  KEEPALIVE_CMPLT: 0x80000008,
} as const;

/** Offsets inside messages count from here (the request ID, or the first word of a packet). */
export const RNDIS_BODY = 8;

export const RndisHeader = struct('RNDIS_HEADER', 8, {
  type: [0, 4],
  /** Length of the message with its header. Hosts lie about it: never a boundary. */
  length: [4, 4],
});

export const RndisInitialise = struct('RNDIS_INITIALISE', 24, {
  type: [0, 4],
  length: [4, 4],
  requestId: [8, 4],
  major: [12, 4],
  minor: [16, 4],
  maxTransfer: [20, 4],
});

export const RndisInitialiseComplete = struct('RNDIS_INITIALISE_CMPLT', 52, {
  type: [0, 4],
  length: [4, 4],
  requestId: [8, 4],
  status: [12, 4],
  major: [16, 4],
  minor: [20, 4],
  deviceFlags: [24, 4],
  medium: [28, 4],
  maxPackets: [32, 4],
  maxTransfer: [36, 4],
  packetAlignment: [40, 4],
  reserved: [44, 8],
});

export const RndisHalt = struct('RNDIS_HALT', 12, {
  type: [0, 4],
  length: [4, 4],
  requestId: [8, 4],
});

/** QUERY and SET. */
export const RndisRequest = struct('RNDIS_REQUEST', 28, {
  type: [0, 4],
  length: [4, 4],
  requestId: [8, 4],
  oid: [12, 4],
  infoLength: [16, 4],
  infoOffset: [20, 4],
  deviceVcHandle: [24, 4],
});

export const RndisQueryComplete = struct('RNDIS_QUERY_CMPLT', 24, {
  type: [0, 4],
  length: [4, 4],
  requestId: [8, 4],
  status: [12, 4],
  infoLength: [16, 4],
  infoOffset: [20, 4],
});

export const RndisSetComplete = struct('RNDIS_SET_CMPLT', 16, {
  type: [0, 4],
  length: [4, 4],
  requestId: [8, 4],
  status: [12, 4],
});

export const RndisReset = struct('RNDIS_RESET', 12, {
  type: [0, 4],
  length: [4, 4],
  reserved: [8, 4],
});

export const RndisResetComplete = struct('RNDIS_RESET_CMPLT', 16, {
  type: [0, 4],
  length: [4, 4],
  status: [8, 4],
  addressingReset: [12, 4],
});

export const RndisIndicateStatus = struct('RNDIS_INDICATE_STATUS', 20, {
  type: [0, 4],
  length: [4, 4],
  status: [8, 4],
  bufferLength: [12, 4],
  bufferOffset: [16, 4],
});

export const RndisKeepalive = struct('RNDIS_KEEPALIVE', 12, {
  type: [0, 4],
  length: [4, 4],
  requestId: [8, 4],
});

export const RndisKeepaliveComplete = struct('RNDIS_KEEPALIVE_CMPLT', 16, {
  type: [0, 4],
  length: [4, 4],
  requestId: [8, 4],
  status: [12, 4],
});

/** RNDIS_PACKET_MSG. iPXE 92807f575: the reserved field is eight bytes, strict peers check it. */
export const RndisPacket = struct('RNDIS_PACKET', 44, {
  type: [0, 4],
  length: [4, 4],
  dataOffset: [8, 4],
  dataLength: [12, 4],
  oobOffset: [16, 4],
  oobLength: [20, 4],
  oobCount: [24, 4],
  ppiOffset: [28, 4],
  ppiLength: [32, 4],
  reserved: [36, 8],
});

/** Per-packet information record; data follows at `dataOffset`. */
export const RndisPacketInfo = struct('RNDIS_PER_PACKET_INFO', 12, {
  size: [0, 4],
  type: [4, 4],
  dataOffset: [8, 4],
});

/** Type of the information that holds a VLAN tag (Linux `IEEE_8021Q_INFO`), and where in it. */
export const RNDIS_INFO_VLAN = 6;
export const RNDIS_VLAN_SHIFT = 4;
export const RNDIS_VLAN_MASK = 0xfff;

/** Object identifiers. */
export const Oid = {
  GEN_SUPPORTED_LIST: 0x00010101,
  GEN_HARDWARE_STATUS: 0x00010102,
  GEN_MEDIA_SUPPORTED: 0x00010103,
  GEN_MEDIA_IN_USE: 0x00010104,
  GEN_MAXIMUM_FRAME_SIZE: 0x00010106,
  GEN_LINK_SPEED: 0x00010107,
  GEN_CURRENT_PACKET_FILTER: 0x0001010e,
  GEN_MAXIMUM_TOTAL_SIZE: 0x00010111,
  GEN_MEDIA_CONNECT_STATUS: 0x00010114,
  OID_802_3_PERMANENT_ADDRESS: 0x01010101,
  OID_802_3_CURRENT_ADDRESS: 0x01010102,
  OID_802_3_MAXIMUM_LIST_SIZE: 0x01010104,
} as const;

/** RNDIS and NDIS status. */
export const RndisStatus = {
  SUCCESS: 0x00000000,
  MEDIA_CONNECT: 0x4001000b,
  MEDIA_DISCONNECT: 0x4001000c,
  /**
   * Windows Server 2012 R2 sends it unasked at start of day, with a length that does not cover its
   * buffer (iPXE 639632b05, f6a3bc0aa).
   */
  TASK_OFFLOAD_CURRENT_CONFIG: 0x40020006,
  FAILURE: 0xc0000001,
  NOT_SUPPORTED: 0xc00000bb,
} as const;

/** OID_GEN_CURRENT_PACKET_FILTER. */
export const PacketFilter = {
  DIRECTED: 0x01,
  MULTICAST: 0x02,
  ALL_MULTICAST: 0x04,
  BROADCAST: 0x08,
  PROMISCUOUS: 0x20,
} as const;

/** OID_GEN_MEDIA_CONNECT_STATUS. */
export const MediaState = { CONNECTED: 0, DISCONNECTED: 1 } as const;
