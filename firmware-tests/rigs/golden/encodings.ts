// SPDX-License-Identifier: GPL-2.0-or-later

/** The samples of hypervisor and bus, built from our definitions; values as the samples say. */

import * as hyperv from '../../../src/hyperv/protocol.ts';
import * as vmbus from '../../../src/vmbus/protocol.ts';
import { guidBytes } from '../../../src/wire.ts';
import { counting, encode, join, pfns, u64 } from './encode.ts';

const M = vmbus.MessageType;

const CHANNEL = 5;
const GPADL = 0xe1e10;
const GPADL_2 = 0xe1e11;
/** Linux's ID of the receive buffer. */
export const RECEIVE_ID = 0xcafe;

/** A control message of only a header. */
const bare = (type: number) => encode(vmbus.MessageHeader, { type });

const offer = {
  type: M.OFFER_CHANNEL,
  interfaceId: guidBytes(vmbus.DeviceClass.NETWORK),
  instanceId: counting(0xa0, 16),
  flags: vmbus.OfferFlag.ENUMERATE_DEVICE_INTERFACE,
  channel: CHANNEL,
  isDedicated: 1,
  connectionId: 0x2005,
};

const CONTROL: Readonly<Record<string, () => Uint8Array>> = {
  initiate_contact_0_13: () =>
    encode(vmbus.InitiateContact, {
      type: M.INITIATE_CONTACT,
      version: vmbus.VmbusVersion.V0_13,
      interruptPage: 0x11111000,
      monitorIn: 0x22222000,
      monitorOut: 0x33333000,
    }),
  initiate_contact_5_3: () =>
    encode(vmbus.InitiateContact, {
      type: M.INITIATE_CONTACT,
      version: vmbus.VmbusVersion.V5_3,
      targetVp: 3,
      interruptPage: encode(vmbus.TargetInfo, { sint: vmbus.VMBUS_MESSAGE_SINT }),
      monitorIn: 0x22222000,
      monitorOut: 0x33333000,
    }),
  version_response_ok_connid1: () =>
    encode(vmbus.VersionResponse, {
      type: M.VERSION_RESPONSE,
      supported: 1,
      connectionState: vmbus.ConnectionState.SUCCESSFUL,
      version: vmbus.VMBUS_MESSAGE_CONNECTION_ID,
    }),
  version_response_unsupported: () => encode(vmbus.VersionResponse, { type: M.VERSION_RESPONSE }),
  version_response_ok_version_echo: () =>
    encode(vmbus.VersionResponse, {
      type: M.VERSION_RESPONSE,
      supported: 1,
      version: vmbus.VmbusVersion.V3_0,
    }),
  request_offers: () => bare(M.REQUEST_OFFERS),
  all_offers_delivered: () => bare(M.ALL_OFFERS_DELIVERED),
  unload: () => bare(M.UNLOAD),
  unload_response: () => bare(M.UNLOAD_RESPONSE),
  offer_channel_nic: () => encode(vmbus.OfferChannel, { ...offer, monitor: vmbus.MONITOR_NONE }),
  offer_channel_nic_sub_monitored: () =>
    encode(vmbus.OfferChannel, { ...offer, monitor: 7, monitored: 1, subchannelIndex: 2 }),
  rescind: () =>
    encode(vmbus.RescindChannelOffer, { type: M.RESCIND_CHANNEL_OFFER, channel: CHANNEL }),
  relid_released: () => encode(vmbus.RelidReleased, { type: M.RELID_RELEASED, channel: CHANNEL }),
  open_channel: () =>
    encode(vmbus.OpenChannel, {
      type: M.OPEN_CHANNEL,
      channel: CHANNEL,
      openId: CHANNEL,
      gpadl: GPADL,
      targetVp: 1,
      outPages: 2,
    }),
  open_result_ok: () =>
    encode(vmbus.OpenChannelResult, {
      type: M.OPEN_CHANNEL_RESULT,
      channel: CHANNEL,
      openId: CHANNEL,
    }),
  open_result_fail: () =>
    encode(vmbus.OpenChannelResult, {
      type: M.OPEN_CHANNEL_RESULT,
      channel: CHANNEL,
      openId: CHANNEL,
      status: vmbus.STATUS_UNSUCCESSFUL,
    }),
  close_channel: () => encode(vmbus.CloseChannel, { type: M.CLOSE_CHANNEL, channel: CHANNEL }),
  modify_channel: () =>
    encode(vmbus.ModifyChannel, { type: M.MODIFY_CHANNEL, channel: CHANNEL, targetVp: 2 }),
  modify_channel_response: () =>
    encode(vmbus.ModifyChannelResponse, { type: M.MODIFY_CHANNEL_RESPONSE, channel: CHANNEL }),
  tl_connect_request: () =>
    encode(vmbus.TlConnectRequest, {
      type: M.TL_CONNECT_REQUEST,
      endpointId: counting(0x00, 16),
      serviceId: counting(0x10, 16),
    }),
};

/** A GPADL_HEADER with one range of `pages` pages, of which `pages.length` fit. */
function gpadlHeader(gpadl: number, pages: number, first: number, fit: number): Uint8Array {
  return join(
    undefined,
    encode(vmbus.GpadlHeader, {
      type: M.GPADL_HEADER,
      channel: CHANNEL,
      gpadl,
      rangeLength: vmbus.GpaRange.size + 8 * pages,
      rangeCount: 1,
    }),
    encode(vmbus.GpaRange, { byteCount: pages * 4096 }),
    pfns(first, fit),
  );
}

const GPADLS: Readonly<Record<string, () => Uint8Array>> = {
  gpadl_header_4pages: () => gpadlHeader(GPADL, 4, 0x1000, 4),
  gpadl_header_40pages: () => gpadlHeader(GPADL_2, 40, 0x2000, vmbus.GPADL_HEADER_PFNS),
  gpadl_body_40pages: () =>
    join(
      undefined,
      encode(vmbus.GpadlBody, { type: M.GPADL_BODY, gpadl: GPADL_2 }),
      pfns(0x2000 + vmbus.GPADL_HEADER_PFNS, 40 - vmbus.GPADL_HEADER_PFNS),
    ),
  gpadl_created_ok: () =>
    encode(vmbus.GpadlCreated, { type: M.GPADL_CREATED, channel: CHANNEL, gpadl: GPADL }),
  gpadl_created_fail: () =>
    encode(vmbus.GpadlCreated, {
      type: M.GPADL_CREATED,
      channel: CHANNEL,
      gpadl: GPADL,
      status: vmbus.STATUS_UNSUCCESSFUL,
    }),
  gpadl_teardown: () =>
    encode(vmbus.GpadlTeardown, { type: M.GPADL_TEARDOWN, channel: CHANNEL, gpadl: GPADL }),
  gpadl_torndown: () => encode(vmbus.GpadlTorndown, { type: M.GPADL_TORNDOWN, gpadl: GPADL }),
};

const { StimerConfig, Sint } = hyperv;

const HYPERVISOR: Readonly<Record<string, () => Uint8Array>> = {
  hv_input_post_message_unload_conn4: () =>
    encode(hyperv.PostMessage, {
      connectionId: vmbus.VMBUS_MESSAGE_CONNECTION_ID_4,
      type: vmbus.VMBUS_MESSAGE_TYPE,
      length: vmbus.MessageHeader.size,
      data: bare(M.UNLOAD),
    }),
  hv_message_unload_response_pending: () =>
    encode(hyperv.SynicMessage, {
      type: vmbus.VMBUS_MESSAGE_TYPE,
      length: vmbus.MessageHeader.size,
      flags: hyperv.HV_MESSAGE_PENDING,
      origin: vmbus.VMBUS_MESSAGE_CONNECTION_ID,
      data: bare(M.UNLOAD_RESPONSE),
    }).subarray(0, 32),
  sint2_linux_x86: () => u64((0xf3n & Sint.VECTOR_MASK) | Sint.AUTO_EOI),
  sint_reset_default: () => u64(Sint.MASKED),
  simp_enabled_pfn_12345: () => u64((0x12345n << 12n) | hyperv.HV_ENABLE),
  stimer0_config_linux_direct: () =>
    u64(
      StimerConfig.ENABLE |
        StimerConfig.AUTO_ENABLE |
        StimerConfig.DIRECT_MODE |
        (0xedn << StimerConfig.APIC_VECTOR_SHIFT),
    ),
  stimer0_config_linux_message: () =>
    u64(StimerConfig.ENABLE | StimerConfig.AUTO_ENABLE | (2n << StimerConfig.SINT_SHIFT)),
};

const PACKETS: Readonly<Record<string, () => Uint8Array>> = {
  vmpacket_inband_desc: () =>
    encode(vmbus.PacketHeader, {
      type: vmbus.PacketType.DATA_INBAND,
      headerQlen: vmbus.PacketHeader.size / 8,
      qlen: 6,
      flags: vmbus.COMPLETION_REQUESTED,
      transactionId: 0x1122334455667788n,
    }),
  vmpacket_xferpages_desc: () =>
    join(
      undefined,
      encode(vmbus.XferPageHeader, {
        type: vmbus.PacketType.DATA_XFER_PAGES,
        headerQlen: (vmbus.XferPageHeader.size + 2 * vmbus.XferPageRange.size) / 8,
        qlen: 9,
        flags: vmbus.COMPLETION_REQUESTED,
        transactionId: 0x10,
        pageSet: RECEIVE_ID,
        rangeCount: 2,
      }),
      encode(vmbus.XferPageRange, { length: 100 }),
      encode(vmbus.XferPageRange, { length: 200, offset: 1728 }),
    ),
};

export const BUS_ENCODINGS = { ...CONTROL, ...GPADLS, ...HYPERVISOR, ...PACKETS };
