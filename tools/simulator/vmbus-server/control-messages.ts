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
  VmbusVersion,
} from '../../../src/vmbus/protocol.ts';
import { guidBytes, type Struct } from '../../../src/wire.ts';
import { putFields } from '../base/put-fields.ts';
import type { Channel } from './channel.ts';
import type { ServerContext } from './context.ts';
import {
  CloseReservedResponse,
  ModifyConnectionResponse,
  OFFER_FLAGS_NEGOTIATED,
  OFFER_CHANNEL_SHORT,
  VersionResponse2,
} from './host-protocol.ts';

/** A message with these fields besides its type; all others are zero. */
function message<F extends string>(
  type: number,
  shape: Struct<F>,
  fields?: Readonly<Partial<Record<F, number>>>,
): Uint8Array {
  const view = new DataView(new ArrayBuffer(shape.size));
  view.setUint32(MessageHeader.at.type, type, true);
  if (fields !== undefined) putFields(view, shape, fields);
  return new Uint8Array(view.buffer);
}

/** A message that is nothing but its header. */
export function plainMessage(type: number): Uint8Array {
  return message(type, MessageHeader);
}

/** VERSION_RESPONSE of a refusal: all zero. */
export function versionRefused(): Uint8Array {
  return message(MessageType.VERSION_RESPONSE, VersionResponse);
}

/**
 * VERSION_RESPONSE of an accepted version.
 *
 * @param state `ConnectionState`
 * @param version the version or, from 5.0 on, the connection ID
 * @param features agreed features from 6.0 on, else undefined
 */
function versionResponse(state: number, version: number, features: number | undefined): Uint8Array {
  const fields = { supported: 1, connectionState: state, version };
  const response = message(MessageType.VERSION_RESPONSE, VersionResponse, fields);
  if (features === undefined) return response;
  const longer = message(MessageType.VERSION_RESPONSE, VersionResponse2, {
    featureFlags: features,
  });
  longer.set(response);
  return longer;
}

/** The answer to a contact with a version that is accepted, whatever else becomes of it. */
export function contactAnswer(
  { client, services }: ServerContext,
  state: number,
  version: number,
  features: number | undefined,
): Uint8Array {
  const { knobs } = services.profile;
  if (version >= VmbusVersion.V5_0) return versionResponse(state, client.connectionId, features);
  return versionResponse(state, knobs.echoVersion ? version : 0, undefined);
}

/**
 * OFFER_CHANNEL: 196 bytes on every version, or 190.
 *
 * @param connectionId connection ID of the channel's event port
 * @param short leave the connection ID out
 * @param noMonitor the number that a channel without a monitor has
 */
export function offerChannel(
  channel: Channel,
  connectionId: number,
  short: boolean,
  noMonitor: number,
): Uint8Array {
  const { at, sizes } = OfferChannel;
  const { device, id, index, monitor } = channel;
  const offer = message(MessageType.OFFER_CHANNEL, OfferChannel, {
    flags: device.offerFlags & ~OFFER_FLAGS_NEGOTIATED,
    subchannelIndex: index,
    channel: id,
    monitor: monitor === MONITOR_NONE ? noMonitor : monitor,
    monitored: monitor === MONITOR_NONE ? 0 : 1,
    // Sent to guests of all versions: those below 1.1 ignore them
    isDedicated: 1,
    connectionId,
  });
  offer.set(guidBytes(device.interfaceId), at.interfaceId);
  offer.set(guidBytes(device.instanceId), at.instanceId);
  if (device.userDefined !== undefined)
    offer.set(device.userDefined.subarray(0, sizes.userDefined), at.userDefined);
  return short ? offer.slice(0, OFFER_CHANNEL_SHORT) : offer;
}

export function rescindChannelOffer(channel: number): Uint8Array {
  return message(MessageType.RESCIND_CHANNEL_OFFER, RescindChannelOffer, { channel });
}

export function openChannelResult(channel: number, openId: number, status: number): Uint8Array {
  return message(MessageType.OPEN_CHANNEL_RESULT, OpenChannelResult, { channel, openId, status });
}

export function gpadlCreated(channel: number, gpadl: number, status: number): Uint8Array {
  return message(MessageType.GPADL_CREATED, GpadlCreated, { channel, gpadl, status });
}

export function gpadlTorndown(gpadl: number): Uint8Array {
  return message(MessageType.GPADL_TORNDOWN, GpadlTorndown, { gpadl });
}

export function modifyChannelResponse(channel: number, status: number): Uint8Array {
  return message(MessageType.MODIFY_CHANNEL_RESPONSE, ModifyChannelResponse, { channel, status });
}

export function closeReservedResponse(channel: number): Uint8Array {
  return message(MessageType.CLOSE_RESERVED_RESPONSE, CloseReservedResponse, { channel });
}

export function modifyConnectionResponse(connectionState: number): Uint8Array {
  const fields = { connectionState };
  return message(MessageType.MODIFY_CONNECTION_RESPONSE, ModifyConnectionResponse, fields);
}

/** TL_CONNECT_RESULT for the TL_CONNECT_REQUEST in `request`. */
export function tlConnectResult(request: Uint8Array, status: number): Uint8Array {
  const result = message(MessageType.TL_CONNECT_RESULT, TlConnectResult, { status });
  const { endpointId, serviceId } = TlConnectRequest.at;
  const { sizes } = TlConnectRequest;
  result.set(request.subarray(endpointId, endpointId + sizes.endpointId), endpointId);
  result.set(request.subarray(serviceId, serviceId + sizes.serviceId), serviceId);
  return result;
}
