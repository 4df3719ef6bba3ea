// SPDX-License-Identifier: GPL-2.0-or-later

/** NVSP and NDIS definitions that only the host's side needs (Linux `hyperv_net.h`). */

import { struct } from '../../../src/wire.ts';

/** NVSP 5: objects of the switch (Linux `NVSP_MSG5_TYPE_OID_QUERY_EX`). */
export const OID_QUERY_EX = 131;
export const OID_QUERY_EX_COMPLETE = 132;
export const OID_QUERY_EX_SIZE = 12;

/** Which path carries the guest's frames (Linux `nvsp_4_sw_datapath`). */
export const NvspSwitchDataPath = struct('NVSP_SWITCH_DATA_PATH', 8, {
  type: [0, 4],
  dataPath: [4, 4],
});

/** NvspSwitchDataPath.dataPath. */
export const DataPath = { SYNTHETIC: 0, VF: 1 } as const;

/** NvspSubchannelRequest.operation: offer so many sub-channels. */
export const SUBCHANNEL_ALLOCATE = 1;

/** Which queue the guest shall send on; the table follows at `offset` from the message's start. */
export const NvspIndirectionTable = struct('NVSP_SEND_INDIRECTION_TABLE', 12, {
  type: [0, 4],
  count: [4, 4],
  offset: [8, 4],
});

/** Entries of the table: 32 bits each (Linux `VRSS_SEND_TAB_SIZE`). */
export const SEND_TABLE_ENTRIES = 16;

/**
 * Where hosts put the table: behind the longest message, that of 6.1, whatever the version. Linux
 * corrects the offset of older versions to this.
 */
export const SEND_TABLE_AT = 40;

/** NDIS_RECEIVE_SCALE_CAPABILITIES, revision 2 (Linux `ndis_recv_scale_cap`). */
export const ReceiveScaleCapabilities = struct('NDIS_RECEIVE_SCALE_CAPABILITIES', 18, {
  objectType: [0, 1],
  revision: [1, 1],
  size: [2, 2],
  capabilities: [4, 4],
  messages: [8, 4],
  queues: [12, 4],
  tableEntries: [16, 2],
});

/** NDIS object types. */
export const NdisObject = { RSS_CAPABILITIES: 0x88, RSS_PARAMETERS: 0x89 } as const;

/** ReceiveScaleCapabilities.capabilities: Toeplitz, over TCP and UDP of both IP versions. */
export const HASH_TOEPLITZ = 0x1;
export const HASH_TYPES = 0x100 | 0x200 | 0x800 | 0x1000;

/** NDIS_RECEIVE_SCALE_PARAMETERS, revision 1 and what is the same in 2 (Linux). */
export const ReceiveScaleParameters = struct('NDIS_RECEIVE_SCALE_PARAMETERS', 28, {
  objectType: [0, 1],
  revision: [1, 1],
  size: [2, 2],
  flags: [4, 2],
  baseCpu: [6, 2],
  hashInformation: [8, 4],
  tableSize: [12, 2],
  /** Offsets count from the start of the structure. */
  tableOffset: [16, 4],
  keySize: [20, 2],
  keyOffset: [24, 4],
});

/** ReceiveScaleParameters.flags. */
export const ReceiveScaleFlag = {
  HASH_UNCHANGED: 0x2,
  TABLE_UNCHANGED: 0x4,
  KEY_UNCHANGED: 0x8,
  DISABLE: 0x10,
} as const;

/** ReceiveScaleParameters.hashInformation: the function, and what is hashed (`ntddndis.h`). */
export const HASH_FUNCTION_MASK = 0xff;
export const HashType = {
  IPV4: 0x100,
  TCP_IPV4: 0x200,
  IPV6: 0x400,
  IPV6_EX: 0x800,
  TCP_IPV6: 0x1000,
  TCP_IPV6_EX: 0x2000,
  UDP_IPV4: 0x4000,
  UDP_IPV6: 0x8000,
  UDP_IPV6_EX: 0x10000,
} as const;

/** Bytes of the hash key. */
export const HASH_KEY_SIZE = 40;

/** Most entries of a table of the guest: 32 bits each (OpenVMM takes 128). */
export const RECEIVE_TABLE_MAX = 128;

/** NDIS_OFFLOAD_PARAMETERS, revision 1. */
export const OFFLOAD_PARAMETERS_SIZE = 20;

/** Objects that only the host's side knows; the others stand in the firmware's definitions. */
export const HostOid = {
  GEN_MAXIMUM_LOOKAHEAD: 0x00010105,
  GEN_TRANSMIT_BUFFER_SPACE: 0x00010108,
  GEN_RECEIVE_BUFFER_SPACE: 0x00010109,
  GEN_TRANSMIT_BLOCK_SIZE: 0x0001010a,
  GEN_RECEIVE_BLOCK_SIZE: 0x0001010b,
  GEN_VENDOR_ID: 0x0001010c,
  GEN_VENDOR_DESCRIPTION: 0x0001010d,
  GEN_CURRENT_LOOKAHEAD: 0x0001010f,
  GEN_DRIVER_VERSION: 0x00010110,
  GEN_PROTOCOL_OPTIONS: 0x00010112,
  GEN_MAC_OPTIONS: 0x00010113,
  GEN_MAXIMUM_SEND_PACKETS: 0x00010115,
  GEN_VENDOR_DRIVER_VERSION: 0x00010116,
  GEN_NETWORK_LAYER_ADDRESSES: 0x00010118,
  GEN_MAX_LINK_SPEED: 0x00010206,
  GEN_LINK_STATE: 0x00010207,
  GEN_RECEIVE_SCALE_CAPABILITIES: 0x00010203,
  GEN_RECEIVE_SCALE_PARAMETERS: 0x00010204,
  GEN_LINK_PARAMETERS: 0x00010208,
  GEN_RNDIS_CONFIG_PARAMETER: 0x0001021b,
  GEN_XMIT_OK: 0x00020101,
  GEN_RCV_OK: 0x00020102,
  GEN_XMIT_ERROR: 0x00020103,
  GEN_RCV_ERROR: 0x00020104,
  GEN_RCV_NO_BUFFER: 0x00020105,
  GEN_FRIENDLY_NAME: 0x00020216,
  GEN_BYTES_RCV: 0x00020219,
  GEN_BYTES_XMIT: 0x0002021a,
  OID_802_3_MULTICAST_LIST: 0x01010103,
  OFFLOAD_ENCAPSULATION: 0x0101010a,
  OID_802_3_RCV_ERROR_ALIGNMENT: 0x01020101,
  OID_802_3_XMIT_ONE_COLLISION: 0x01020102,
  OID_802_3_XMIT_MORE_COLLISIONS: 0x01020103,
  TCP_OFFLOAD_CURRENT_CONFIG: 0xfc01020b,
  TCP_OFFLOAD_PARAMETERS: 0xfc01020c,
  TCP_OFFLOAD_HARDWARE_CAPABILITIES: 0xfc01020d,
} as const;

/** Status of answers that the firmware never looks at by name. */
export const HostStatus = {
  /** RNDIS_INDICATE_STATUS: the guest is on another network (Linux, NetvscDxe). */
  NETWORK_CHANGE: 0x40010018,
  BAD_VERSION: 0xc0010004,
  INVALID_DATA: 0xc0010015,
  INVALID_PARAMETER: 0xc000000d,
} as const;
