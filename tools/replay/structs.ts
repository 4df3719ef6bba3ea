// SPDX-License-Identifier: GPL-2.0-or-later

/** Which structure a message of a given type has: the decoder's tables. */

import * as vmbus from '../../src/vmbus/protocol.ts';
import * as nvsp from '../../src/netvsc/protocol.ts';
import * as rndis from '../../src/rndis/protocol.ts';
import type { Struct } from '../../src/wire.ts';

type Structs = Readonly<Record<number, Struct<string>>>;

const { MessageType } = vmbus;

/** VMBus control messages by type. A type that is not here is eight bytes or unknown. */
export const MESSAGE_STRUCTS: Structs = {
  [MessageType.OFFER_CHANNEL]: vmbus.OfferChannel,
  [MessageType.RESCIND_CHANNEL_OFFER]: vmbus.RescindChannelOffer,
  [MessageType.REQUEST_OFFERS]: vmbus.MessageHeader,
  [MessageType.ALL_OFFERS_DELIVERED]: vmbus.MessageHeader,
  [MessageType.OPEN_CHANNEL]: vmbus.OpenChannel,
  [MessageType.OPEN_CHANNEL_RESULT]: vmbus.OpenChannelResult,
  [MessageType.CLOSE_CHANNEL]: vmbus.CloseChannel,
  [MessageType.GPADL_HEADER]: vmbus.GpadlHeader,
  [MessageType.GPADL_BODY]: vmbus.GpadlBody,
  [MessageType.GPADL_CREATED]: vmbus.GpadlCreated,
  [MessageType.GPADL_TEARDOWN]: vmbus.GpadlTeardown,
  [MessageType.GPADL_TORNDOWN]: vmbus.GpadlTorndown,
  [MessageType.RELID_RELEASED]: vmbus.RelidReleased,
  [MessageType.INITIATE_CONTACT]: vmbus.InitiateContact,
  [MessageType.VERSION_RESPONSE]: vmbus.VersionResponse,
  [MessageType.UNLOAD]: vmbus.MessageHeader,
  [MessageType.UNLOAD_RESPONSE]: vmbus.MessageHeader,
  [MessageType.MODIFY_CHANNEL]: vmbus.ModifyChannel,
  [MessageType.MODIFY_CHANNEL_RESPONSE]: vmbus.ModifyChannelResponse,
};

const { NvspType } = nvsp;

/** NVSP messages by type. */
export const NVSP_STRUCTS: Structs = {
  [NvspType.INIT]: nvsp.NvspInit,
  [NvspType.INIT_COMPLETE]: nvsp.NvspInitComplete,
  [NvspType.SEND_NDIS_VERSION]: nvsp.NvspNdisVersion,
  [NvspType.SEND_RECEIVE_BUFFER]: nvsp.NvspSendBuffer,
  [NvspType.SEND_RECEIVE_BUFFER_COMPLETE]: nvsp.NvspReceiveBufferComplete,
  [NvspType.REVOKE_RECEIVE_BUFFER]: nvsp.NvspRevokeBuffer,
  [NvspType.SEND_SEND_BUFFER]: nvsp.NvspSendBuffer,
  [NvspType.SEND_SEND_BUFFER_COMPLETE]: nvsp.NvspSendBufferComplete,
  [NvspType.REVOKE_SEND_BUFFER]: nvsp.NvspRevokeBuffer,
  [NvspType.SEND_RNDIS_PACKET]: nvsp.NvspRndisPacket,
  [NvspType.SEND_RNDIS_PACKET_COMPLETE]: nvsp.NvspRndisPacketComplete,
  [NvspType.SEND_NDIS_CONFIG]: nvsp.NvspNdisConfig,
  [NvspType.SEND_VF_ASSOCIATION]: nvsp.NvspVfAssociation,
  [NvspType.SUBCHANNEL]: nvsp.NvspSubchannelRequest,
};

const { RndisType } = rndis;

/** RNDIS messages by type. */
export const RNDIS_STRUCTS: Structs = {
  [RndisType.PACKET]: rndis.RndisPacket,
  [RndisType.INITIALISE]: rndis.RndisInitialise,
  [RndisType.HALT]: rndis.RndisHalt,
  [RndisType.QUERY]: rndis.RndisRequest,
  [RndisType.SET]: rndis.RndisRequest,
  [RndisType.RESET]: rndis.RndisReset,
  [RndisType.INDICATE_STATUS]: rndis.RndisIndicateStatus,
  [RndisType.KEEPALIVE]: rndis.RndisKeepalive,
  [RndisType.INITIALISE_CMPLT]: rndis.RndisInitialiseComplete,
  [RndisType.QUERY_CMPLT]: rndis.RndisQueryComplete,
  [RndisType.SET_CMPLT]: rndis.RndisSetComplete,
  [RndisType.RESET_CMPLT]: rndis.RndisResetComplete,
  [RndisType.KEEPALIVE_CMPLT]: rndis.RndisKeepaliveComplete,
};
