// SPDX-License-Identifier: GPL-2.0-or-later

/** The host's control messages, as bytes. */

import {
  GpadlCreated,
  GpadlTorndown,
  MessageHeader,
  MessageType,
  ModifyChannelResponse,
  MONITOR_NONE,
  OfferChannel,
  OpenChannelResult,
  RescindChannelOffer,
  TlConnectRequest,
  TlConnectResult,
  VersionResponse,
} from '../../../src/vmbus/protocol.ts';
import { guidBytes } from '../../../src/wire.ts';
import type { Channel } from './channel.ts';
import {
  CloseReservedResponse,
  ModifyConnectionResponse,
  OFFER_FLAGS_NEGOTIATED,
  OFFER_CHANNEL_SHORT,
  VersionResponse2,
} from './host-protocol.ts';

/** A zeroed message of `size` bytes with its type, to be filled through the view. */
function message(type: number, size: number): DataView {
  const view = new DataView(new ArrayBuffer(size));
  view.setUint32(MessageHeader.at.type, type, true);
  return view;
}

function bytes(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer);
}

/** A message that is nothing but its header. */
export function plainMessage(type: number): Uint8Array {
  return bytes(message(type, MessageHeader.size));
}

/** VERSION_RESPONSE of a refusal: all zero. */
export function versionRefused(): Uint8Array {
  return bytes(message(MessageType.VERSION_RESPONSE, VersionResponse.size));
}

/**
 * VERSION_RESPONSE of an accepted version.
 *
 * @param state `ConnectionState`
 * @param version the version or, from 5.0 on, the connection ID
 * @param features agreed features from 6.0 on, else undefined
 */
export function versionResponse(
  state: number,
  version: number,
  features: number | undefined,
): Uint8Array {
  const size = features === undefined ? VersionResponse.size : VersionResponse2.size;
  const view = message(MessageType.VERSION_RESPONSE, size);
  view.setUint8(VersionResponse.at.supported, 1);
  view.setUint8(VersionResponse.at.connectionState, state);
  view.setUint32(VersionResponse.at.version, version, true);
  if (features !== undefined) view.setUint32(VersionResponse2.at.featureFlags, features, true);
  return bytes(view);
}

/**
 * OFFER_CHANNEL: 196 bytes on every version, or 190.
 *
 * @param connectionId connection ID of the channel's event port
 * @param short leave the connection ID out
 */
export function offerChannel(channel: Channel, connectionId: number, short: boolean): Uint8Array {
  const view = message(MessageType.OFFER_CHANNEL, OfferChannel.size);
  const offer = bytes(view);
  const { at, sizes } = OfferChannel;
  const { device } = channel;
  offer.set(guidBytes(device.interfaceId), at.interfaceId);
  offer.set(guidBytes(device.instanceId), at.instanceId);
  view.setUint16(at.flags, device.offerFlags & ~OFFER_FLAGS_NEGOTIATED, true);
  if (device.userDefined !== undefined)
    offer.set(device.userDefined.subarray(0, sizes.userDefined), at.userDefined);
  view.setUint16(at.subchannelIndex, channel.index, true);
  view.setUint32(at.channel, channel.id, true);
  view.setUint8(at.monitor, channel.monitor);
  view.setUint8(at.monitored, channel.monitor === MONITOR_NONE ? 0 : 1);
  // Sent to guests of all versions: those below 1.1 ignore them
  view.setUint16(at.isDedicated, 1, true);
  view.setUint32(at.connectionId, connectionId, true);
  return short ? offer.slice(0, OFFER_CHANNEL_SHORT) : offer;
}

export function rescindChannelOffer(channel: number): Uint8Array {
  const view = message(MessageType.RESCIND_CHANNEL_OFFER, RescindChannelOffer.size);
  view.setUint32(RescindChannelOffer.at.channel, channel, true);
  return bytes(view);
}

export function openChannelResult(channel: number, openId: number, status: number): Uint8Array {
  const view = message(MessageType.OPEN_CHANNEL_RESULT, OpenChannelResult.size);
  view.setUint32(OpenChannelResult.at.channel, channel, true);
  view.setUint32(OpenChannelResult.at.openId, openId, true);
  view.setUint32(OpenChannelResult.at.status, status, true);
  return bytes(view);
}

export function gpadlCreated(channel: number, gpadl: number, status: number): Uint8Array {
  const view = message(MessageType.GPADL_CREATED, GpadlCreated.size);
  view.setUint32(GpadlCreated.at.channel, channel, true);
  view.setUint32(GpadlCreated.at.gpadl, gpadl, true);
  view.setUint32(GpadlCreated.at.status, status, true);
  return bytes(view);
}

export function gpadlTorndown(gpadl: number): Uint8Array {
  const view = message(MessageType.GPADL_TORNDOWN, GpadlTorndown.size);
  view.setUint32(GpadlTorndown.at.gpadl, gpadl, true);
  return bytes(view);
}

export function modifyChannelResponse(channel: number, status: number): Uint8Array {
  const view = message(MessageType.MODIFY_CHANNEL_RESPONSE, ModifyChannelResponse.size);
  view.setUint32(ModifyChannelResponse.at.channel, channel, true);
  view.setUint32(ModifyChannelResponse.at.status, status, true);
  return bytes(view);
}

export function closeReservedResponse(channel: number): Uint8Array {
  const view = message(MessageType.CLOSE_RESERVED_RESPONSE, CloseReservedResponse.size);
  view.setUint32(CloseReservedResponse.at.channel, channel, true);
  return bytes(view);
}

export function modifyConnectionResponse(state: number): Uint8Array {
  const view = message(MessageType.MODIFY_CONNECTION_RESPONSE, ModifyConnectionResponse.size);
  view.setUint8(ModifyConnectionResponse.at.connectionState, state);
  return bytes(view);
}

/** TL_CONNECT_RESULT for the TL_CONNECT_REQUEST in `request`. */
export function tlConnectResult(request: Uint8Array, status: number): Uint8Array {
  const view = message(MessageType.TL_CONNECT_RESULT, TlConnectResult.size);
  const { endpointId, serviceId } = TlConnectRequest.at;
  const { sizes } = TlConnectRequest;
  const result = bytes(view);
  result.set(request.subarray(endpointId, endpointId + sizes.endpointId), endpointId);
  result.set(request.subarray(serviceId, serviceId + sizes.serviceId), serviceId);
  view.setUint32(TlConnectResult.at.status, status, true);
  return result;
}
