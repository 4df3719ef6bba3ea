// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Which structure of Linux, iPXE and OpenVMM each of our structures is, and which of their fields
 * each of our fields is.
 */

/** The names of one thing at [Linux, iPXE, OpenVMM]; null where there is none. */
export type Names = readonly [string | null, string | null, string | null];

/** How one of our structures is pinned. */
export interface StructPin {
  readonly golden: Names;
  readonly fields: Readonly<Record<string, Names>>;
  /** Bytes of ours in front of theirs: the header that their structure leaves out. */
  readonly base?: Readonly<Partial<Record<'linux' | 'ipxe', number>>>;
  /** Theirs is longer by this: a union, an array with one element or padding at the end. */
  readonly longer?: Readonly<Partial<Record<'linux' | 'ipxe', number>>>;
}

/** The header of each control message. */
const MESSAGE = {
  type: ['header.msgtype', null, null],
  reserved: ['header.padding', null, null],
} as const;

/** The header of each ring packet. */
const PACKET = {
  type: ['d.type', null, null],
  headerQlen: ['d.offset8', null, null],
  qlen: ['d.len8', null, null],
  flags: ['d.flags', null, null],
  transactionId: ['d.trans_id', null, null],
} as const;

const CHANNEL = { channel: ['child_relid', 'channel', 'channel_id'] } as const;
const CHANNEL_NOT_IPXE = { channel: ['child_relid', null, 'channel_id'] } as const;

export const HYPERV_STRUCTS: Readonly<Record<string, StructPin>> = {
  PostMessage: {
    golden: ['hv_input_post_message', 'hv_post_message', null],
    fields: {
      connectionId: ['connectionid', 'id', null],
      reserved: ['reserved', 'reserved', null],
      type: ['message_type', 'type', null],
      length: ['payload_size', 'len', null],
      data: ['payload', 'data', null],
    },
  },
  SignalEvent: {
    golden: [null, 'hv_signal_event', null],
    fields: {
      connectionId: [null, 'id', null],
      flag: [null, 'flag', null],
      reserved: [null, 'reserved', null],
    },
  },
  SynicMessage: {
    golden: ['hv_message', 'hv_message', null],
    fields: {
      type: ['header.message_type', 'type', null],
      length: ['header.payload_size', 'len', null],
      flags: ['header.message_flags', 'flags', null],
      reserved: ['header.reserved', 'reserved', null],
      origin: ['header.sender', 'origin', null],
      data: ['u.payload', 'data', null],
    },
  },
  TimerMessage: {
    golden: ['hv_timer_message_payload', null, null],
    fields: {
      timerIndex: ['timer_index', null, null],
      reserved: ['reserved', null, null],
      expirationTime: ['expiration_time', null, null],
      deliveryTime: ['delivery_time', null, null],
    },
  },
  MonitorPage: {
    golden: ['hv_monitor_page', 'hv_monitor', null],
    fields: {
      flags: ['trigger_state', 'flags', null],
      trigger: ['trigger_group', 'trigger', null],
      latency: ['latency', 'latency', null],
      parameter: ['parameter', 'param', null],
    },
  },
  MonitorTrigger: {
    golden: ['hv_monitor_trigger_group', 'hv_monitor_trigger', null],
    fields: { pending: ['pending', 'pending', null], armed: ['armed', 'armed', null] },
  },
  MonitorParameter: {
    golden: ['hv_monitor_parameter', 'hv_monitor_parameter', null],
    fields: {
      connectionId: ['connectionid', 'id', null],
      flag: ['flagnumber', 'flag', null],
      reserved: ['rsvdz', 'reserved', null],
    },
  },
  ReferenceTscPage: {
    golden: ['ms_hyperv_tsc_page', null, null],
    fields: {
      sequence: ['tsc_sequence', null, null],
      reserved: ['reserved1', null, null],
      scale: ['tsc_scale', null, null],
      offset: ['tsc_offset', null, null],
    },
  },
  VpRegistersInput: {
    golden: ['hv_get_vp_registers_input', null, null],
    fields: {
      partitionId: ['header.partitionid', null, null],
      vpIndex: ['header.vpindex', null, null],
      inputVtl: ['header.inputvtl', null, null],
      padding: ['header.padding', null, null],
      elements: ['element', null, null],
    },
  },
};

export const VMBUS_STRUCTS: Readonly<Record<string, StructPin>> = {
  MessageHeader: {
    golden: ['vmbus_channel_message_header', 'vmbus_message_header', null],
    fields: { type: ['msgtype', 'type', null], reserved: ['padding', 'reserved', null] },
  },
  InitiateContact: {
    golden: ['vmbus_channel_initiate_contact', 'vmbus_initiate_contact', 'InitiateContact'],
    fields: {
      ...MESSAGE,
      version: ['vmbus_version_requested', 'version', 'version_requested'],
      targetVp: ['target_vcpu', 'vcpu', 'target_message_vp'],
      interruptPage: ['interrupt_page', 'intr', 'interrupt_page_or_target_info'],
      monitorIn: ['monitor_page1', 'monitor_in', 'parent_to_child_monitor_page_gpa'],
      monitorOut: ['monitor_page2', 'monitor_out', 'child_to_parent_monitor_page_gpa'],
    },
  },
  VersionResponse: {
    golden: ['vmbus_channel_version_response', 'vmbus_version_response', 'VersionResponse'],
    fields: {
      ...MESSAGE,
      supported: ['version_supported', 'supported', 'version_supported'],
      connectionState: ['connection_state', null, 'connection_state'],
      padding: ['padding', null, 'padding'],
      version: ['msg_conn_id', 'version', 'selected_version_or_connection_id'],
    },
  },
  OfferChannel: {
    golden: ['vmbus_channel_offer_channel', 'vmbus_offer_channel', 'OfferChannel'],
    fields: {
      ...MESSAGE,
      interfaceId: ['offer.if_type', 'type', 'interface_id'],
      instanceId: ['offer.if_instance', 'instance', 'instance_id'],
      reservedA: [null, 'reserved_a', 'rsvd'],
      flags: ['offer.chn_flags', 'flags', 'flags'],
      mmioMegabytes: ['offer.mmio_megabytes', 'reserved_b', 'mmio_megabytes'],
      userDefined: ['offer.u', 'data', 'user_defined'],
      subchannelIndex: ['offer.sub_channel_index', null, 'subchannel_index'],
      mmioMegabytesOptional: ['offer.reserved3', null, 'mmio_megabytes_optional'],
      channel: ['child_relid', 'channel', 'channel_id'],
      monitor: ['monitorid', 'monitor', 'monitor_id'],
      monitored: ['monitor_allocated', 'monitored', 'monitor_allocated'],
      isDedicated: [null, 'reserved', 'is_dedicated'],
      connectionId: ['connection_id', 'connection', 'connection_id'],
    },
  },
  RescindChannelOffer: {
    golden: ['vmbus_channel_rescind_offer', null, 'RescindChannelOffer'],
    fields: { ...MESSAGE, ...CHANNEL_NOT_IPXE },
  },
  RelidReleased: {
    golden: ['vmbus_channel_relid_released', null, 'RelIdReleased'],
    fields: { ...MESSAGE, ...CHANNEL_NOT_IPXE },
  },
  OpenChannel: {
    golden: ['vmbus_channel_open_channel', 'vmbus_open_channel', 'OpenChannel'],
    fields: {
      ...MESSAGE,
      ...CHANNEL,
      openId: ['openid', 'id', 'open_id'],
      gpadl: ['ringbuffer_gpadlhandle', 'gpadl', 'ring_buffer_gpadl_id'],
      targetVp: ['target_vp', 'reserved', 'target_vp'],
      outPages: [
        'downstream_ringbuffer_pageoffset',
        'out_pages',
        'downstream_ring_buffer_page_offset',
      ],
      userData: ['userdata', 'data', 'user_data'],
    },
  },
  OpenChannelResult: {
    golden: ['vmbus_channel_open_result', 'vmbus_open_channel_result', 'OpenResult'],
    fields: {
      ...MESSAGE,
      ...CHANNEL,
      openId: ['openid', 'id', 'open_id'],
      status: ['status', 'status', 'status'],
    },
  },
  CloseChannel: {
    golden: ['vmbus_channel_close_channel', 'vmbus_close_channel', 'CloseChannel'],
    fields: { ...MESSAGE, ...CHANNEL },
  },
  GpadlHeader: {
    golden: ['vmbus_channel_gpadl_header', 'vmbus_gpadl_header', 'GpadlHeader'],
    fields: {
      ...MESSAGE,
      ...CHANNEL,
      gpadl: ['gpadl', 'gpadl', 'gpadl_id'],
      rangeLength: ['range_buflen', 'range_len', 'len'],
      rangeCount: ['rangecount', 'range_count', 'count'],
      range: ['range', 'range', null],
    },
  },
  GpadlBody: {
    golden: ['vmbus_channel_gpadl_body', null, 'GpadlBody'],
    fields: {
      ...MESSAGE,
      messageNumber: ['msgnumber', null, 'rsvd'],
      gpadl: ['gpadl', null, 'gpadl_id'],
      pfn: ['pfn', null, null],
    },
  },
  GpaRange: {
    golden: ['gpa_range', 'vmbus_gpa_range', null],
    fields: {
      byteCount: ['byte_count', 'len', null],
      byteOffset: ['byte_offset', 'offset', null],
      pfn: ['pfn_array', 'pfn', null],
    },
  },
  GpadlCreated: {
    golden: ['vmbus_channel_gpadl_created', 'vmbus_gpadl_created', 'GpadlCreated'],
    fields: {
      ...MESSAGE,
      ...CHANNEL,
      gpadl: ['gpadl', 'gpadl', 'gpadl_id'],
      status: ['creation_status', 'status', 'status'],
    },
  },
  GpadlTeardown: {
    golden: ['vmbus_channel_gpadl_teardown', 'vmbus_gpadl_teardown', 'GpadlTeardown'],
    fields: { ...MESSAGE, ...CHANNEL, gpadl: ['gpadl', 'gpadl', 'gpadl_id'] },
  },
  GpadlTorndown: {
    golden: ['vmbus_channel_gpadl_torndown', 'vmbus_gpadl_torndown', 'GpadlTorndown'],
    fields: { ...MESSAGE, gpadl: ['gpadl', 'gpadl', 'gpadl_id'] },
  },
  ModifyChannel: {
    golden: ['vmbus_channel_modifychannel', null, 'ModifyChannel'],
    fields: { ...MESSAGE, ...CHANNEL_NOT_IPXE, targetVp: ['target_vp', null, 'target_vp'] },
  },
  ModifyChannelResponse: {
    golden: ['vmbus_channel_modifychannel_response', null, 'ModifyChannelResponse'],
    fields: { ...MESSAGE, ...CHANNEL_NOT_IPXE, status: ['status', null, 'status'] },
  },
  TlConnectRequest: {
    golden: ['vmbus_channel_tl_connect_request', null, 'TlConnectRequest'],
    fields: {
      ...MESSAGE,
      endpointId: ['guest_endpoint_id', null, 'endpoint_id'],
      serviceId: ['host_service_id', null, 'service_id'],
    },
  },
  TlConnectResult: {
    golden: [null, null, 'TlConnectResult'],
    fields: {
      endpointId: [null, null, 'endpoint_id'],
      serviceId: [null, null, 'service_id'],
      status: [null, null, 'status'],
    },
  },
  InterruptPage: {
    golden: [null, 'vmbus_interrupt', null],
    fields: { in: [null, 'in', null], out: [null, 'out', null] },
  },
  RingControl: {
    golden: ['hv_ring_buffer', 'vmbus_ring', null],
    fields: {
      prod: ['write_index', 'prod', null],
      cons: ['read_index', 'cons', null],
      interruptMask: ['interrupt_mask', 'intr_mask', null],
      pendingSendSize: ['pending_send_sz', null, null],
      featureBits: ['feature_bits.value', null, null],
    },
  },
  PacketHeader: {
    golden: ['vmpacket_descriptor', 'vmbus_packet_header', null],
    fields: {
      type: ['type', 'type', null],
      headerQlen: ['offset8', 'hdr_qlen', null],
      qlen: ['len8', 'qlen', null],
      flags: ['flags', 'flags', null],
      transactionId: ['trans_id', 'xid', null],
    },
  },
  PacketFooter: {
    golden: [null, 'vmbus_packet_footer', null],
    fields: { reserved: [null, 'reserved', null], offset: [null, 'prod', null] },
  },
  GpaDirectHeader: {
    golden: ['vmdata_gpa_direct', 'vmbus_gpa_direct_header', null],
    longer: { linux: 8 },
    fields: {
      ...PACKET,
      reserved: ['reserved', 'reserved', null],
      rangeCount: ['range_cnt', 'range_count', null],
    },
  },
  XferPageHeader: {
    golden: ['vmtransfer_page_packet_header', 'vmbus_xfer_page_header', null],
    fields: {
      ...PACKET,
      pageSet: ['xfer_pageset_id', 'pageset', null],
      owner: ['sender_owns_set', 'owner', null],
      reserved: ['reserved', 'reserved', null],
      rangeCount: ['range_cnt', 'range_count', null],
    },
  },
  XferPageRange: {
    golden: ['vmtransfer_page_range', 'vmbus_xfer_page_range', null],
    fields: { length: ['byte_count', 'len', null], offset: ['byte_offset', 'offset', null] },
  },
  PipeHeader: {
    golden: ['vmbuspipe_hdr', null, null],
    fields: { type: ['flags', null, null], length: ['msgsize', null, null] },
  },
};

/** Those of the simulated VMBus server alone; some begin after the fields of a shorter form. */
export const HOST_STRUCTS: Readonly<Record<string, StructPin>> = {
  VersionResponse2: {
    golden: [null, null, 'VersionResponse2'],
    fields: { featureFlags: [null, null, 'supported_features'] },
  },
  OpenChannel2: {
    golden: [null, null, 'OpenChannel2'],
    fields: {
      connectionId: [null, null, 'connection_id'],
      eventFlag: [null, null, 'event_flag'],
      flags: [null, null, 'flags'],
    },
  },
  ModifyConnection: {
    golden: [null, null, 'ModifyConnection'],
    fields: {
      monitorIn: [null, null, 'parent_to_child_monitor_page_gpa'],
      monitorOut: [null, null, 'child_to_parent_monitor_page_gpa'],
    },
  },
  OpenReservedChannel: {
    golden: [null, null, 'OpenReservedChannel'],
    fields: {
      channel: [null, null, 'channel_id'],
      targetVp: [null, null, 'target_vp'],
      targetSint: [null, null, 'target_sint'],
      gpadl: [null, null, 'ring_buffer_gpadl'],
      outPages: [null, null, 'downstream_page_offset'],
    },
  },
  CloseReservedChannel: {
    golden: [null, null, 'CloseReservedChannel'],
    fields: {
      channel: [null, null, 'channel_id'],
      targetVp: [null, null, 'target_vp'],
      targetSint: [null, null, 'target_sint'],
    },
  },
  CloseReservedResponse: {
    golden: [null, null, 'CloseReservedChannelResponse'],
    fields: { channel: [null, null, 'channel_id'] },
  },
  ModifyConnectionResponse: {
    golden: [null, null, 'ModifyConnectionResponse'],
    fields: { connectionState: [null, null, 'connection_state'] },
  },
};
