// SPDX-License-Identifier: GPL-2.0-or-later

/** What is wrong with an NVSP message of the guest before its contents are looked at. */

import {
  NVSP_MESSAGE_SIZE,
  NvspInit,
  NvspNdisConfig,
  NvspNdisVersion,
  NvspRevokeBuffer,
  NvspRndisPacket,
  NvspSendBuffer,
  NvspSubchannelRequest,
  NvspType,
  NvspVersion,
} from '../../../src/netvsc/protocol.ts';
import type { GuestPacket } from '../vmbus-server/channel-interface.ts';
import { NvspSwitchDataPath, OID_QUERY_EX, OID_QUERY_EX_SIZE } from './host-protocol.ts';

/** By NVSP type of the guest: the version that it came with and its least length. */
const NVSP_TYPES: ReadonlyMap<number, readonly [version: number, size: number]> = new Map([
  [NvspType.INIT, [0, NvspInit.size]],
  [NvspType.SEND_NDIS_VERSION, [NvspVersion.V1, NvspNdisVersion.size]],
  [NvspType.SEND_RECEIVE_BUFFER, [NvspVersion.V1, NvspSendBuffer.size]],
  [NvspType.REVOKE_RECEIVE_BUFFER, [NvspVersion.V1, NvspRevokeBuffer.size]],
  [NvspType.SEND_SEND_BUFFER, [NvspVersion.V1, NvspSendBuffer.size]],
  [NvspType.REVOKE_SEND_BUFFER, [NvspVersion.V1, NvspRevokeBuffer.size]],
  [NvspType.SEND_RNDIS_PACKET, [NvspVersion.V1, NvspRndisPacket.size]],
  [NvspType.SEND_NDIS_CONFIG, [NvspVersion.V2, NvspNdisConfig.size]],
  [NvspType.SWITCH_DATA_PATH, [NvspVersion.V4, NvspSwitchDataPath.size]],
  [OID_QUERY_EX, [NvspVersion.V5, OID_QUERY_EX_SIZE]],
  [NvspType.SUBCHANNEL, [NvspVersion.V5, NvspSubchannelRequest.size]],
]);

/** Whether it is a message of version 4 or above: for a device that was started. */
export function isExtension(type: number): boolean {
  return (NVSP_TYPES.get(type)?.[0] ?? 0) >= NvspVersion.V4;
}

/** The fault of a message at an NVSP version (0: none yet), in words, or undefined. */
export function nvspMessageFault(packet: GuestPacket, version: number): string | undefined {
  const length = packet.length - packet.payloadOffset;
  if (length < 4) return `NVSP message of ${length} bytes`;
  const type = packet.view.getUint32(packet.payloadOffset, true);
  const known = NVSP_TYPES.get(type);
  if (known === undefined || known[0] > version)
    return `NVSP type ${type} at version 0x${version.toString(16)}`;
  if (length < known[1]) return `NVSP type ${type} of ${length} bytes`;
  return undefined;
}

/** Whether a packet is an INIT that is shorter than a message of NVSP 1 on the ring. */
export function isShortInit(packet: GuestPacket): boolean {
  const length = packet.length - packet.payloadOffset;
  if (length < 4 || length >= NVSP_MESSAGE_SIZE) return false;
  return packet.view.getUint32(packet.payloadOffset, true) === NvspType.INIT;
}
