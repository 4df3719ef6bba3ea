// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * VMBus wire definitions: control messages, rings and ring packets. Names follow iPXE where it has
 * one, else Linux; the tests pin each to the golden layouts. Nothing but definitions.
 */

import { struct } from '../wire.ts';

/** Protocol versions: major in the high, minor in the low 16 bits. */
export const VmbusVersion = {
  V0_13: 0x0000000d,
  V1_1: 0x00010001,
  V2_4: 0x00020004,
  V3_0: 0x00030000,
  V4_0: 0x00040000,
  V4_1: 0x00040001,
  V5_0: 0x00050000,
  V5_1: 0x00050001,
  V5_2: 0x00050002,
  V5_3: 0x00050003,
  V6_0: 0x00060000,
} as const;

/** The text of a version, as in "3.0". */
export function versionText(version: number): string {
  return `${version >>> 16}.${version & 0xffff}`;
}

/** Message and event ports. */
export const VMBUS_MESSAGE_CONNECTION_ID = 1;
export const VMBUS_EVENT_CONNECTION_ID = 2;
/** Message port of hosts that know 5.0: SINT and VTL in INITIATE_CONTACT count there. */
export const VMBUS_MESSAGE_CONNECTION_ID_4 = 4;

/** SynIC message type of all VMBus messages. */
export const VMBUS_MESSAGE_TYPE = 1;

/** The SINT of VMBus. */
export const VMBUS_MESSAGE_SINT = 2;

/** Channels are numbered 1 to 2047: one event flag each. */
export const VMBUS_CHANNEL_MAX = 2047;

/** Control message types. */
export const MessageType = {
  OFFER_CHANNEL: 1,
  RESCIND_CHANNEL_OFFER: 2,
  REQUEST_OFFERS: 3,
  ALL_OFFERS_DELIVERED: 4,
  OPEN_CHANNEL: 5,
  OPEN_CHANNEL_RESULT: 6,
  CLOSE_CHANNEL: 7,
  GPADL_HEADER: 8,
  GPADL_BODY: 9,
  GPADL_CREATED: 10,
  GPADL_TEARDOWN: 11,
  GPADL_TORNDOWN: 12,
  RELID_RELEASED: 13,
  INITIATE_CONTACT: 14,
  VERSION_RESPONSE: 15,
  UNLOAD: 16,
  UNLOAD_RESPONSE: 17,
  OPEN_RESERVED_CHANNEL: 18,
  CLOSE_RESERVED_CHANNEL: 19,
  CLOSE_RESERVED_RESPONSE: 20,
  TL_CONNECT_REQUEST: 21,
  MODIFY_CHANNEL: 22,
  TL_CONNECT_RESULT: 23,
  MODIFY_CHANNEL_RESPONSE: 24,
  MODIFY_CONNECTION: 25,
  MODIFY_CONNECTION_RESPONSE: 26,
  PAUSE: 27,
  PAUSE_RESPONSE: 28,
  RESUME: 29,
} as const;

/** First eight bytes of every control message. */
export const MessageHeader = struct('VMBUS_MESSAGE_HEADER', 8, {
  type: [0, 4],
  reserved: [4, 4],
});

export const InitiateContact = struct('INITIATE_CONTACT', 40, {
  type: [0, 4],
  reserved: [4, 4],
  version: [8, 4],
  targetVp: [12, 4],
  /** Interrupt page below 5.0; from 5.0 on {u8 SINT, u8 VTL, u16 0, u32 feature flags}. */
  interruptPage: [16, 8],
  monitorIn: [24, 8],
  monitorOut: [32, 8],
});

/** The bytes of InitiateContact.interruptPage from 5.0 on. */
export const TargetInfo = struct('VMBUS_TARGET_INFO', 8, {
  sint: [0, 1],
  vtl: [1, 1],
  reserved: [2, 2],
  featureFlags: [4, 4],
});

export const VersionResponse = struct('VERSION_RESPONSE', 16, {
  type: [0, 4],
  reserved: [4, 4],
  supported: [8, 1],
  connectionState: [9, 1],
  padding: [10, 2],
  /** The version, or from 5.0 on the connection ID of all later messages. */
  version: [12, 4],
});

/**
 * The least that a VERSION_RESPONSE must hold: at first there was nothing behind `supported` (Linux
 * before 2.6.40); QEMU leaves the version out (iPXE 40956545e).
 */
export const VERSION_RESPONSE_MIN = 9;

/** VersionResponse.connectionState; defined from 2.4 on. */
export const ConnectionState = {
  SUCCESSFUL: 0,
  FAILED_LOW_RESOURCES: 1,
  FAILED_UNKNOWN_FAILURE: 2,
} as const;

/** VERSION_RESPONSE from 6.0 on: the agreed features (u32) behind the 16 bytes of all others. */
export const VERSION_RESPONSE2_SIZE = 20;

/** TargetInfo.featureFlags (OpenVMM `FeatureFlags`), as far as a guest here asks for them. */
export const FeatureFlag = {
  /** OPEN_CHANNEL carries the guest's choice of connection ID and event flag. */
  GUEST_SPECIFIED_SIGNAL_PARAMETERS: 0x1,
  /** OPEN_CHANNEL may ask for redirected interrupts. */
  CHANNEL_INTERRUPT_REDIRECTION: 0x2,
} as const;

export const OfferChannel = struct('OFFER_CHANNEL', 196, {
  type: [0, 4],
  reserved: [4, 4],
  interfaceId: [8, 16],
  instanceId: [24, 16],
  reservedA: [40, 16],
  flags: [56, 2],
  mmioMegabytes: [58, 2],
  userDefined: [60, 120],
  subchannelIndex: [180, 2],
  mmioMegabytesOptional: [182, 2],
  channel: [184, 4],
  monitor: [188, 1],
  monitored: [189, 1],
  isDedicated: [190, 2],
  connectionId: [192, 4],
});

/** The least that an OFFER_CHANNEL must hold: before 2.4 it ended here (Linux 3.x, OpenVMM). */
export const OFFER_CHANNEL_MIN = 190;

/** OfferChannel.flags. */
export const OfferFlag = {
  ENUMERATE_DEVICE_INTERFACE: 0x1,
  NAMED_PIPE_MODE: 0x10,
  TLNPI_PROVIDER: 0x2000,
} as const;

/** OfferChannel.monitor of a channel without a monitor. */
export const MONITOR_NONE = 0xff;

export const RescindChannelOffer = struct('RESCIND_CHANNEL_OFFER', 12, {
  type: [0, 4],
  reserved: [4, 4],
  channel: [8, 4],
});

export const RelidReleased = struct('RELID_RELEASED', 12, {
  type: [0, 4],
  reserved: [4, 4],
  channel: [8, 4],
});

export const OpenChannel = struct('OPEN_CHANNEL', 148, {
  type: [0, 4],
  reserved: [4, 4],
  channel: [8, 4],
  openId: [12, 4],
  gpadl: [16, 4],
  targetVp: [20, 4],
  /** Pages of the outbound ring: where the inbound ring begins in the GPADL. */
  outPages: [24, 4],
  userData: [28, 120],
});

/** What follows OPEN_CHANNEL once one of {@link FeatureFlag} is agreed (OpenVMM OpenChannel2). */
export const SignalParameters = struct('SIGNAL_PARAMETERS', 8, {
  connectionId: [0, 4],
  eventFlag: [4, 2],
  flags: [6, 2],
});

/** OpenChannel.targetVp: no host to guest interrupts at all. */
export const VP_INDEX_DISABLE_INTERRUPT = 0xffffffff;

export const OpenChannelResult = struct('OPEN_CHANNEL_RESULT', 20, {
  type: [0, 4],
  reserved: [4, 4],
  channel: [8, 4],
  openId: [12, 4],
  status: [16, 4],
});

export const CloseChannel = struct('CLOSE_CHANNEL', 12, {
  type: [0, 4],
  reserved: [4, 4],
  channel: [8, 4],
});

export const GpadlHeader = struct('GPADL_HEADER', 20, {
  type: [0, 4],
  reserved: [4, 4],
  channel: [8, 4],
  gpadl: [12, 4],
  /** Length of all ranges together, in bytes, over header and bodies. */
  rangeLength: [16, 2],
  rangeCount: [18, 2],
  range: [20, 0],
});

export const GpadlBody = struct('GPADL_BODY', 16, {
  type: [0, 4],
  reserved: [4, 4],
  messageNumber: [8, 4],
  gpadl: [12, 4],
  pfn: [16, 0],
});

/** A range of guest memory: byte count and offset, then the numbers of its pages (u64 each). */
export const GpaRange = struct('GPA_RANGE', 8, {
  byteCount: [0, 4],
  byteOffset: [4, 4],
  pfn: [8, 0],
});

/** Page numbers that fit into a GPADL_HEADER with one range, and into a GPADL_BODY. */
export const GPADL_HEADER_PFNS = 26;
export const GPADL_BODY_PFNS = 28;

export const GpadlCreated = struct('GPADL_CREATED', 20, {
  type: [0, 4],
  reserved: [4, 4],
  channel: [8, 4],
  gpadl: [12, 4],
  status: [16, 4],
});

export const GpadlTeardown = struct('GPADL_TEARDOWN', 16, {
  type: [0, 4],
  reserved: [4, 4],
  channel: [8, 4],
  gpadl: [12, 4],
});

export const GpadlTorndown = struct('GPADL_TORNDOWN', 12, {
  type: [0, 4],
  reserved: [4, 4],
  gpadl: [8, 4],
});

export const ModifyChannel = struct('MODIFY_CHANNEL', 16, {
  type: [0, 4],
  reserved: [4, 4],
  channel: [8, 4],
  targetVp: [12, 4],
});

export const ModifyChannelResponse = struct('MODIFY_CHANNEL_RESPONSE', 16, {
  type: [0, 4],
  reserved: [4, 4],
  channel: [8, 4],
  status: [12, 4],
});

/** Ask for a socket between guest and host (hv_sock); with a silo from 5.2 on. */
export const TlConnectRequest = struct('TL_CONNECT_REQUEST', 40, {
  type: [0, 4],
  reserved: [4, 4],
  endpointId: [8, 16],
  serviceId: [24, 16],
});

export const TlConnectResult = struct('TL_CONNECT_RESULT', 44, {
  type: [0, 4],
  reserved: [4, 4],
  endpointId: [8, 16],
  serviceId: [24, 16],
  status: [40, 4],
});

/** NTSTATUS of a failed GPADL_CREATED, OPEN_CHANNEL_RESULT or MODIFY_CHANNEL_RESPONSE. */
export const STATUS_UNSUCCESSFUL = 0x8000ffff;

/** Interrupt page: bits of host to guest interrupts, then those of guest to host. */
export const InterruptPage = struct('VMBUS_INTERRUPT_PAGE', 4096, {
  in: [0, 2048],
  out: [2048, 2048],
});

/** Control page in front of each ring's data. */
export const RingControl = struct('VMBUS_RING_CONTROL', 4096, {
  /** Where the sender writes next, in bytes from the start of the data (Linux write_index). */
  prod: [0, 4],
  /** Where the receiver reads next (Linux read_index). */
  cons: [4, 4],
  interruptMask: [8, 4],
  pendingSendSize: [12, 4],
  featureBits: [64, 4],
});

/** RingControl.featureBits bit 0: the sender honours pendingSendSize. */
export const RING_FEATURE_PENDING_SEND_SIZE = 1;

/** Ring packet types. */
export const PacketType = {
  DATA_INBAND: 6,
  DATA_XFER_PAGES: 7,
  DATA_GPA_DIRECT: 9,
  CANCELLATION: 10,
  COMPLETION: 11,
} as const;

/** Start of every ring packet (Linux `vmpacket_descriptor`). */
export const PacketHeader = struct('VMBUS_PACKET_HEADER', 16, {
  type: [0, 2],
  /** Length of all headers in units of 8 bytes. */
  headerQlen: [2, 2],
  /** Length of headers and payload, without the footer, in units of 8 bytes. */
  qlen: [4, 2],
  flags: [6, 2],
  transactionId: [8, 8],
});

/** PacketHeader.flags bit 0: the sender wants a completion. */
export const COMPLETION_REQUESTED = 1;

/** End of every ring packet: where the packet began. */
export const PacketFooter = struct('VMBUS_PACKET_FOOTER', 8, {
  reserved: [0, 4],
  offset: [4, 4],
});

/** Header of a GPA-direct packet; ranges (GpaRange) follow. */
export const GpaDirectHeader = struct('VMBUS_GPA_DIRECT_HEADER', 24, {
  type: [0, 2],
  headerQlen: [2, 2],
  qlen: [4, 2],
  flags: [6, 2],
  transactionId: [8, 8],
  reserved: [16, 4],
  rangeCount: [20, 4],
});

/** Header of a transfer-page packet; ranges (XferPageRange) follow. */
export const XferPageHeader = struct('VMBUS_XFER_PAGE_HEADER', 24, {
  type: [0, 2],
  headerQlen: [2, 2],
  qlen: [4, 2],
  flags: [6, 2],
  transactionId: [8, 8],
  pageSet: [16, 2],
  owner: [18, 1],
  reserved: [19, 1],
  rangeCount: [20, 4],
});

export const XferPageRange = struct('VMBUS_XFER_PAGE_RANGE', 8, {
  length: [0, 4],
  offset: [4, 4],
});

/** In front of each message of a channel in pipe mode (Linux `vmbuspipe_hdr`). */
export const PipeHeader = struct('VMBUS_PIPE_HEADER', 8, {
  type: [0, 4],
  length: [4, 4],
});

/** PipeHeader.type of data. */
export const PIPE_TYPE_DATA = 1;

/** Device classes by interface GUID. */
export const DeviceClass = {
  NETWORK: 'f8615163-df3e-46c5-913f-f2d2f965ed0e',
  SCSI: 'ba6163d9-04a1-4d29-b605-72e2ffb1dc7f',
  IDE: '32412632-86cb-44a2-9b5c-50d1417354f5',
  HEARTBEAT: '57164f39-9115-4e78-ab55-382f3bd5422d',
  SHUTDOWN: '0e0b6031-5213-4934-818b-38d90ced39db',
  TIME_SYNC: '9527e630-d0ae-497b-adce-e80ab0175caf',
  FILE_COPY: '34d14be3-dee4-41c8-9ae7-6b174977c192',
} as const;
