// SPDX-License-Identifier: GPL-2.0-or-later

/** As `golden-structs.ts`, for the devices: NVSP, RNDIS and the utility services. */

import type { Names, StructPin } from './structs.ts';

/** Linux's NVSP structures begin after the message type; iPXE's have it as `header`. */
const NVSP = { base: { linux: 4 } } as const;
const NVSP_TYPE: Readonly<Record<'type', Names>> = { type: [null, 'header', null] };

/** iPXE fills most NVSP messages up to 32 bytes. */
const ipxePads = (bytes: number) => ({ longer: { ipxe: bytes } });

/** Where only Linux has the structure, the type is pinned by `nvsp_message` in the test. */
const NVSP_STATUS = ['status', 'status', null] as const;

export const NETVSC_STRUCTS: Readonly<Record<string, StructPin>> = {
  NvspInit: {
    ...NVSP,
    ...ipxePads(20),
    golden: ['nvsp_message_init', 'netvsc_init_message', null],
    fields: {
      ...NVSP_TYPE,
      minVersion: ['min_protocol_ver', 'min', null],
      maxVersion: ['max_protocol_ver', 'max', null],
    },
  },
  NvspInitComplete: {
    ...NVSP,
    ...ipxePads(16),
    golden: ['nvsp_message_init_complete', 'netvsc_init_completion', null],
    fields: {
      ...NVSP_TYPE,
      version: ['negotiated_protocol_ver', 'version', null],
      maxMdlChainLength: ['max_mdl_chain_len', 'max_mdl_len', null],
      status: NVSP_STATUS,
    },
  },
  NvspNdisVersion: {
    ...NVSP,
    ...ipxePads(20),
    golden: ['nvsp_1_message_send_ndis_version', 'netvsc_ndis_version_message', null],
    fields: {
      ...NVSP_TYPE,
      major: ['ndis_major_ver', 'major', null],
      minor: ['ndis_minor_ver', 'minor', null],
    },
  },
  NvspSendBuffer: {
    ...NVSP,
    ...ipxePads(22),
    golden: ['nvsp_1_message_send_receive_buffer', 'netvsc_establish_buffer_message', null],
    fields: {
      ...NVSP_TYPE,
      gpadl: ['gpadl_handle', 'gpadl', null],
      id: ['id', 'pageset', null],
    },
  },
  NvspReceiveBufferComplete: {
    ...NVSP,
    longer: { linux: 16, ipxe: 16 },
    golden: [
      'nvsp_1_message_send_receive_buffer_complete',
      'netvsc_rx_establish_buffer_completion',
      null,
    ],
    fields: {
      ...NVSP_TYPE,
      status: NVSP_STATUS,
      sectionCount: ['num_sections', 'count', null],
    },
  },
  NvspReceiveBufferSection: {
    golden: ['nvsp_1_receive_buffer_section', 'netvsc_rx_buffer_section', null],
    fields: {
      offset: ['offset', 'start', null],
      subAllocationSize: ['sub_alloc_size', 'len', null],
      subAllocationCount: ['num_sub_allocs', 'count', null],
      endOffset: ['end_offset', 'end', null],
    },
  },
  NvspSendBufferComplete: {
    ...NVSP,
    golden: [
      'nvsp_1_message_send_send_buffer_complete',
      'netvsc_tx_establish_buffer_completion',
      null,
    ],
    fields: { ...NVSP_TYPE, status: NVSP_STATUS, sectionSize: ['section_size', 'len', null] },
  },
  NvspRevokeBuffer: {
    ...NVSP,
    ...ipxePads(26),
    golden: ['nvsp_1_message_revoke_receive_buffer', 'netvsc_revoke_buffer_message', null],
    fields: { ...NVSP_TYPE, id: ['id', 'pageset', null] },
  },
  NvspRndisPacket: {
    ...NVSP,
    ...ipxePads(16),
    golden: ['nvsp_1_message_send_rndis_packet', 'netvsc_rndis_message', null],
    fields: {
      ...NVSP_TYPE,
      channelType: ['channel_type', 'channel', null],
      sendBufferIndex: ['send_buf_section_index', 'buffer', null],
      sendBufferSize: ['send_buf_section_size', 'len', null],
    },
  },
  NvspRndisPacketComplete: {
    ...NVSP,
    golden: ['nvsp_1_message_send_rndis_packet_complete', null, null],
    fields: { status: ['status', null, null] },
  },
  NvspNdisConfig: {
    ...NVSP,
    golden: ['nvsp_2_send_ndis_config', null, null],
    fields: {
      mtu: ['mtu', null, null],
      reserved: ['reserved', null, null],
      capabilities: ['capability', null, null],
    },
  },
  NvspVfAssociation: {
    ...NVSP,
    golden: ['nvsp_4_send_vf_association', null, null],
    fields: { allocated: ['allocated', null, null], serial: ['serial', null, null] },
  },
  NvspSubchannelRequest: {
    ...NVSP,
    golden: ['nvsp_5_subchannel_request', null, null],
    fields: { operation: ['op', null, null], count: ['num_subchannels', null, null] },
  },
  NvspSubchannelComplete: {
    ...NVSP,
    golden: ['nvsp_5_subchannel_complete', null, null],
    fields: { status: ['status', null, null], count: ['num_subchannels', null, null] },
  },
  NvspSendTable: {
    ...NVSP,
    golden: ['nvsp_5_send_indirect_table', null, null],
    fields: { count: ['count', null, null], offset: ['offset', null, null] },
  },
};

/** Linux and iPXE both leave the RNDIS header out of the structures of the messages. */
const RNDIS = { base: { linux: 8, ipxe: 8 } } as const;
const REQUEST_ID: Readonly<Record<'requestId', Names>> = { requestId: ['req_id', 'id', null] };
const RNDIS_STATUS: Readonly<Record<'status', Names>> = { status: ['status', 'status', null] };

export const RNDIS_STRUCTS: Readonly<Record<string, StructPin>> = {
  RndisHeader: {
    longer: { linux: 44 },
    golden: ['rndis_message', 'rndis_header', null],
    fields: { type: ['ndis_msg_type', 'type', null], length: ['msg_len', 'len', null] },
  },
  RndisInitialise: {
    ...RNDIS,
    golden: ['rndis_initialize_request', 'rndis_initialise_message', null],
    fields: {
      ...REQUEST_ID,
      major: ['major_ver', 'major', null],
      minor: ['minor_ver', 'minor', null],
      maxTransfer: ['max_xfer_size', 'mtu', null],
    },
  },
  RndisInitialiseComplete: {
    ...RNDIS,
    golden: ['rndis_initialize_complete', 'rndis_initialise_completion', null],
    fields: {
      ...REQUEST_ID,
      ...RNDIS_STATUS,
      major: ['major_ver', 'major', null],
      minor: ['minor_ver', 'minor', null],
      deviceFlags: ['dev_flags', 'flags', null],
      medium: ['medium', 'medium', null],
      maxPackets: ['max_pkt_per_msg', 'max_pkts', null],
      maxTransfer: ['max_xfer_size', 'mtu', null],
      packetAlignment: ['pkt_alignment_factor', 'align', null],
      reserved: [null, 'reserved', null],
    },
  },
  RndisHalt: {
    ...RNDIS,
    golden: ['rndis_halt_request', 'rndis_halt_message', null],
    fields: REQUEST_ID,
  },
  RndisRequest: {
    ...RNDIS,
    golden: ['rndis_query_request', 'rndis_oid_message', null],
    fields: {
      ...REQUEST_ID,
      oid: ['oid', 'oid', null],
      infoLength: ['info_buflen', 'len', null],
      infoOffset: ['info_buf_offset', 'offset', null],
      deviceVcHandle: ['dev_vc_handle', 'reserved', null],
    },
  },
  RndisQueryComplete: {
    ...RNDIS,
    golden: ['rndis_query_complete', 'rndis_query_completion', null],
    fields: {
      ...REQUEST_ID,
      ...RNDIS_STATUS,
      infoLength: ['info_buflen', 'len', null],
      infoOffset: ['info_buf_offset', 'offset', null],
    },
  },
  RndisSetComplete: {
    ...RNDIS,
    golden: ['rndis_set_complete', 'rndis_set_completion', null],
    fields: { ...REQUEST_ID, ...RNDIS_STATUS },
  },
  RndisReset: {
    ...RNDIS,
    golden: ['rndis_reset_request', 'rndis_reset_message', null],
    fields: { reserved: ['reserved', 'reserved', null] },
  },
  RndisResetComplete: {
    ...RNDIS,
    golden: ['rndis_reset_complete', 'rndis_reset_completion', null],
    fields: { ...RNDIS_STATUS, addressingReset: ['addressing_reset', 'addr', null] },
  },
  RndisIndicateStatus: {
    ...RNDIS,
    golden: ['rndis_indicate_status', 'rndis_indicate_status_message', null],
    fields: {
      ...RNDIS_STATUS,
      bufferLength: ['status_buflen', 'len', null],
      bufferOffset: ['status_buf_offset', 'offset', null],
    },
  },
  RndisKeepalive: {
    ...RNDIS,
    golden: ['rndis_keepalive_request', 'rndis_keepalive_message', null],
    fields: REQUEST_ID,
  },
  RndisKeepaliveComplete: {
    ...RNDIS,
    golden: ['rndis_keepalive_complete', 'rndis_keepalive_completion', null],
    fields: { ...REQUEST_ID, ...RNDIS_STATUS },
  },
  RndisPacket: {
    ...RNDIS,
    golden: ['rndis_packet', 'rndis_packet_message', null],
    fields: {
      dataOffset: ['data_offset', null, null],
      dataLength: ['data_len', null, null],
      oobOffset: ['oob_data_offset', null, null],
      oobLength: ['oob_data_len', null, null],
      oobCount: ['num_oob_data_elements', 'oob_count', null],
      ppiOffset: ['per_pkt_info_offset', null, null],
      ppiLength: ['per_pkt_info_len', null, null],
      reserved: [null, 'reserved', null],
    },
  },
  RndisPacketInfo: {
    golden: ['rndis_per_packet_info', 'rndis_packet_record', null],
    fields: {
      size: ['size', 'len', null],
      type: ['type', 'type', null],
      dataOffset: ['ppi_offset', 'offset', null],
    },
  },
};

const FILE_COPY: Readonly<Record<string, Names>> = {
  operation: ['hdr.operation', null, null],
  serviceId0: ['hdr.service_id0', null, null],
  serviceId1: ['hdr.service_id1', null, null],
};

export const UTILITY_STRUCTS: Readonly<Record<string, StructPin>> = {
  IcVersion: {
    golden: ['ic_version', null, null],
    fields: { major: ['major', null, null], minor: ['minor', null, null] },
  },
  IcHeader: {
    golden: ['icmsg_hdr', null, null],
    fields: {
      frameworkMajor: ['icverframe.major', null, null],
      frameworkMinor: ['icverframe.minor', null, null],
      type: ['icmsgtype', null, null],
      messageMajor: ['icvermsg.major', null, null],
      messageMinor: ['icvermsg.minor', null, null],
      length: ['icmsgsize', null, null],
      status: ['status', null, null],
      transactionId: ['ictransaction_id', null, null],
      flags: ['icflags', null, null],
      reserved: ['reserved', null, null],
    },
  },
  IcNegotiate: {
    golden: ['icmsg_negotiate', null, null],
    fields: {
      frameworkCount: ['icframe_vercnt', null, null],
      messageCount: ['icmsg_vercnt', null, null],
      reserved: ['reserved', null, null],
      versions: ['icversion_data', null, null],
    },
  },
  HeartbeatMessage: {
    golden: ['heartbeat_msg_data', null, null],
    fields: { sequence: ['seq_num', null, null], reserved: ['reserved', null, null] },
  },
  ShutdownMessage: {
    golden: ['shutdown_msg_data', null, null],
    fields: {
      reasonCode: ['reason_code', null, null],
      timeoutSeconds: ['timeout_seconds', null, null],
      flags: ['flags', null, null],
      displayMessage: ['display_message', null, null],
    },
  },
  TimeSyncMessage: {
    golden: ['ictimesync_data', null, null],
    fields: {
      parentTime: ['parenttime', null, null],
      childTime: ['childtime', null, null],
      roundTripTime: ['roundtriptime', null, null],
      flags: ['flags', null, null],
    },
  },
  TimeSyncReferenceMessage: {
    golden: ['ictimesync_ref_data', null, null],
    fields: {
      parentTime: ['parenttime', null, null],
      referenceTime: ['vmreferencetime', null, null],
      flags: ['flags', null, null],
      leapFlags: ['leapflags', null, null],
      stratum: ['stratum', null, null],
      reserved: ['reserved', null, null],
    },
  },
  FileCopyHeader: {
    golden: ['hv_fcopy_hdr', null, null],
    fields: {
      operation: ['operation', null, null],
      serviceId0: ['service_id0', null, null],
      serviceId1: ['service_id1', null, null],
    },
  },
  FileCopyStart: {
    golden: ['hv_start_fcopy', null, null],
    fields: {
      ...FILE_COPY,
      fileName: ['file_name', null, null],
      pathName: ['path_name', null, null],
      copyFlags: ['copy_flags', null, null],
      fileSize: ['file_size', null, null],
    },
  },
  FileCopyData: {
    golden: ['hv_do_fcopy', null, null],
    fields: {
      ...FILE_COPY,
      padding: ['pad', null, null],
      offset: ['offset', null, null],
      length: ['size', null, null],
      data: ['data', null, null],
    },
  },
};
