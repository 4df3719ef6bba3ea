// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * NVSP, the protocol between a guest's NetVSC and the host's NetVSP. Names follow Linux
 * (`hyperv_net.h`); the tests pin each to the golden layouts. Nothing but definitions.
 */

import { struct } from '../wire.ts';

/** NVSP message types. */
export const NvspType = {
  INIT: 1,
  INIT_COMPLETE: 2,
  SEND_NDIS_VERSION: 100,
  SEND_RECEIVE_BUFFER: 101,
  SEND_RECEIVE_BUFFER_COMPLETE: 102,
  REVOKE_RECEIVE_BUFFER: 103,
  SEND_SEND_BUFFER: 104,
  SEND_SEND_BUFFER_COMPLETE: 105,
  REVOKE_SEND_BUFFER: 106,
  SEND_RNDIS_PACKET: 107,
  SEND_RNDIS_PACKET_COMPLETE: 108,
  SEND_NDIS_CONFIG: 125,
  SEND_VF_ASSOCIATION: 128,
  SWITCH_DATA_PATH: 129,
  SUBCHANNEL: 133,
  SEND_INDIRECTION_TABLE: 134,
} as const;

/** NVSP versions. */
export const NvspVersion = {
  V1: 0x00000002,
  V2: 0x00030002,
  V4: 0x00040000,
  V5: 0x00050000,
  V6: 0x00060000,
  V6_1: 0x00060001,
} as const;

/** NVSP status. */
export const NvspStatus = {
  NONE: 0,
  SUCCESS: 1,
  FAIL: 2,
  PROTOCOL_TOO_NEW: 3,
  PROTOCOL_TOO_OLD: 4,
  INVALID_RNDIS_PACKET: 5,
  BUSY: 6,
  PROTOCOL_UNSUPPORTED: 7,
} as const;

/** Payload of an NVSP message on the ring: 28 bytes up to version 6, padded to 32; 40 from 6.1. */
export const NVSP_MESSAGE_SIZE = 32;
export const NVSP_MESSAGE_SIZE_V1 = 28;
export const NVSP_MESSAGE_SIZE_V6_1 = 40;

export const NvspInit = struct('NVSP_INIT', 12, {
  type: [0, 4],
  minVersion: [4, 4],
  maxVersion: [8, 4],
});

export const NvspInitComplete = struct('NVSP_INIT_COMPLETE', 16, {
  type: [0, 4],
  version: [4, 4],
  maxMdlChainLength: [8, 4],
  status: [12, 4],
});

export const NvspNdisVersion = struct('NVSP_SEND_NDIS_VERSION', 12, {
  type: [0, 4],
  major: [4, 4],
  minor: [8, 4],
});

export const NvspSendBuffer = struct('NVSP_SEND_BUFFER', 10, {
  type: [0, 4],
  gpadl: [4, 4],
  id: [8, 2],
});

export const NvspReceiveBufferComplete = struct('NVSP_SEND_RECEIVE_BUFFER_COMPLETE', 12, {
  type: [0, 4],
  status: [4, 4],
  sectionCount: [8, 4],
});

/** A section of the receive buffer, in the completion of SEND_RECEIVE_BUFFER. */
export const NvspReceiveBufferSection = struct('NVSP_RECEIVE_BUFFER_SECTION', 16, {
  offset: [0, 4],
  subAllocationSize: [4, 4],
  subAllocationCount: [8, 4],
  endOffset: [12, 4],
});

/** The least that a completion of SEND_RECEIVE_BUFFER must hold: one section. */
export const NVSP_RECEIVE_BUFFER_COMPLETE_MIN = 28;

export const NvspSendBufferComplete = struct('NVSP_SEND_SEND_BUFFER_COMPLETE', 12, {
  type: [0, 4],
  status: [4, 4],
  sectionSize: [8, 4],
});

export const NvspRevokeBuffer = struct('NVSP_REVOKE_BUFFER', 6, {
  type: [0, 4],
  id: [4, 2],
});

export const NvspRndisPacket = struct('NVSP_SEND_RNDIS_PACKET', 16, {
  type: [0, 4],
  channelType: [4, 4],
  sendBufferIndex: [8, 4],
  sendBufferSize: [12, 4],
});

/** NvspRndisPacket.channelType. */
export const RndisChannel = { DATA: 0, CONTROL: 1 } as const;

/** NvspRndisPacket.sendBufferIndex: the message is not in the send buffer. */
export const NVSP_NO_SEND_BUFFER = 0xffffffff;

export const NvspRndisPacketComplete = struct('NVSP_SEND_RNDIS_PACKET_COMPLETE', 8, {
  type: [0, 4],
  status: [4, 4],
});

export const NvspNdisConfig = struct('NVSP_SEND_NDIS_CONFIG', 20, {
  type: [0, 4],
  mtu: [4, 4],
  reserved: [8, 4],
  capabilities: [12, 8],
});

/** NvspNdisConfig.capabilities, as far as a guest here has them (Linux `nvsp_2_vsc_capability`). */
export const NdisCapability = {
  SRIOV: 0x4,
  IEEE8021Q: 0x8,
  TEAMING: 0x20,
} as const;

export const NvspVfAssociation = struct('NVSP_SEND_VF_ASSOCIATION', 12, {
  type: [0, 4],
  allocated: [4, 4],
  serial: [8, 4],
});

export const NvspSubchannelRequest = struct('NVSP_SUBCHANNEL', 12, {
  type: [0, 4],
  operation: [4, 4],
  count: [8, 4],
});

export const NvspSubchannelComplete = struct('NVSP_SUBCHANNEL_COMPLETE', 12, {
  type: [0, 4],
  status: [4, 4],
  count: [8, 4],
});

/** NvspSubchannelRequest.operation. */
export const NVSP_SUBCHANNEL_ALLOCATE = 1;

/** Which channel the guest shall send on, by hash; u32 entries follow at `offset`. */
export const NvspSendTable = struct('NVSP_SEND_INDIRECTION_TABLE', 12, {
  type: [0, 4],
  count: [4, 4],
  /** From the start of the message. Hosts up to version 6 get it wrong: it is 40 (Linux). */
  offset: [8, 4],
});

/** Entries of the send table. */
export const NVSP_SEND_TABLE_SIZE = 16;
