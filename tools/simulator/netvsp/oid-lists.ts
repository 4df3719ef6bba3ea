// SPDX-License-Identifier: GPL-2.0-or-later

/** The lists of objects that the network device says it has (OID_GEN_SUPPORTED_LIST). */

import { Oid } from '../../../src/rndis/protocol.ts';
import type { HostKnobs } from '../profiles/profile.ts';
import { HostOid } from './host-protocol.ts';

/** The objects that are answered, in the order of the list of supported objects. */
const SUPPORTED: readonly number[] = [
  Oid.GEN_SUPPORTED_LIST,
  Oid.GEN_HARDWARE_STATUS,
  Oid.GEN_MEDIA_SUPPORTED,
  Oid.GEN_MEDIA_IN_USE,
  HostOid.GEN_MAXIMUM_LOOKAHEAD,
  Oid.GEN_MAXIMUM_FRAME_SIZE,
  Oid.GEN_LINK_SPEED,
  HostOid.GEN_TRANSMIT_BUFFER_SPACE,
  HostOid.GEN_RECEIVE_BUFFER_SPACE,
  HostOid.GEN_TRANSMIT_BLOCK_SIZE,
  HostOid.GEN_RECEIVE_BLOCK_SIZE,
  HostOid.GEN_VENDOR_ID,
  HostOid.GEN_VENDOR_DESCRIPTION,
  Oid.GEN_CURRENT_PACKET_FILTER,
  HostOid.GEN_CURRENT_LOOKAHEAD,
  HostOid.GEN_DRIVER_VERSION,
  Oid.GEN_MAXIMUM_TOTAL_SIZE,
  HostOid.GEN_MAC_OPTIONS,
  Oid.GEN_MEDIA_CONNECT_STATUS,
  HostOid.GEN_MAXIMUM_SEND_PACKETS,
  HostOid.GEN_VENDOR_DRIVER_VERSION,
  HostOid.GEN_XMIT_OK,
  HostOid.GEN_RCV_OK,
  HostOid.GEN_XMIT_ERROR,
  HostOid.GEN_RCV_ERROR,
  HostOid.GEN_RCV_NO_BUFFER,
  HostOid.GEN_FRIENDLY_NAME,
  HostOid.GEN_RNDIS_CONFIG_PARAMETER,
  Oid.OID_802_3_PERMANENT_ADDRESS,
  Oid.OID_802_3_CURRENT_ADDRESS,
  Oid.OID_802_3_MAXIMUM_LIST_SIZE,
];

/** Objects that NDIS has from version 6 on. */
const SUPPORTED_NDIS6: readonly number[] = [
  HostOid.GEN_MAX_LINK_SPEED,
  HostOid.GEN_LINK_STATE,
  HostOid.GEN_RECEIVE_SCALE_CAPABILITIES,
  HostOid.GEN_RECEIVE_SCALE_PARAMETERS,
  HostOid.TCP_OFFLOAD_CURRENT_CONFIG,
  HostOid.TCP_OFFLOAD_PARAMETERS,
  HostOid.TCP_OFFLOAD_HARDWARE_CAPABILITIES,
];

/** OpenVMM's (`handle_oid_query`), of which some are then not answered. */
const NETVSP: readonly number[] = [
  Oid.GEN_SUPPORTED_LIST,
  Oid.GEN_HARDWARE_STATUS,
  Oid.GEN_MEDIA_SUPPORTED,
  Oid.GEN_MEDIA_IN_USE,
  HostOid.GEN_MAXIMUM_LOOKAHEAD,
  HostOid.GEN_CURRENT_LOOKAHEAD,
  Oid.GEN_MAXIMUM_FRAME_SIZE,
  Oid.GEN_MAXIMUM_TOTAL_SIZE,
  HostOid.GEN_TRANSMIT_BLOCK_SIZE,
  HostOid.GEN_RECEIVE_BLOCK_SIZE,
  Oid.GEN_LINK_SPEED,
  HostOid.GEN_TRANSMIT_BUFFER_SPACE,
  HostOid.GEN_RECEIVE_BUFFER_SPACE,
  HostOid.GEN_VENDOR_ID,
  HostOid.GEN_VENDOR_DESCRIPTION,
  HostOid.GEN_VENDOR_DRIVER_VERSION,
  HostOid.GEN_DRIVER_VERSION,
  Oid.GEN_CURRENT_PACKET_FILTER,
  HostOid.GEN_PROTOCOL_OPTIONS,
  HostOid.GEN_MAC_OPTIONS,
  Oid.GEN_MEDIA_CONNECT_STATUS,
  HostOid.GEN_MAXIMUM_SEND_PACKETS,
  HostOid.GEN_NETWORK_LAYER_ADDRESSES,
  HostOid.GEN_FRIENDLY_NAME,
  Oid.OID_802_3_PERMANENT_ADDRESS,
  Oid.OID_802_3_CURRENT_ADDRESS,
  HostOid.OID_802_3_MULTICAST_LIST,
  Oid.OID_802_3_MAXIMUM_LIST_SIZE,
  HostOid.OID_802_3_RCV_ERROR_ALIGNMENT,
  HostOid.OID_802_3_XMIT_ONE_COLLISION,
  HostOid.OID_802_3_XMIT_MORE_COLLISIONS,
  HostOid.GEN_RNDIS_CONFIG_PARAMETER,
];

/** What OpenVMM adds from NDIS 6 on. */
const NETVSP_NDIS6: readonly number[] = [
  HostOid.GEN_LINK_PARAMETERS,
  HostOid.GEN_LINK_STATE,
  HostOid.GEN_MAX_LINK_SPEED,
  HostOid.GEN_BYTES_RCV,
  HostOid.GEN_BYTES_XMIT,
  HostOid.TCP_OFFLOAD_PARAMETERS,
  HostOid.OFFLOAD_ENCAPSULATION,
  HostOid.TCP_OFFLOAD_HARDWARE_CAPABILITIES,
  HostOid.TCP_OFFLOAD_CURRENT_CONFIG,
];

/** What OpenVMM adds from NDIS 6.30 on. */
const NETVSP_NDIS6_30: readonly number[] = [
  HostOid.GEN_RECEIVE_SCALE_CAPABILITIES,
  HostOid.GEN_RECEIVE_SCALE_PARAMETERS,
];

/** The list for an NDIS version, or undefined for one that is neither 5 nor 6. */
export function supportedObjects(
  objects: HostKnobs['objects'],
  ndisMajor: number,
  ndisMinor: number,
): readonly number[] | undefined {
  if (ndisMajor !== 5 && ndisMajor !== 6) return undefined;
  if (objects === 'vmswitch')
    return ndisMajor === 5 ? SUPPORTED : [...SUPPORTED, ...SUPPORTED_NDIS6];
  if (ndisMajor === 5) return NETVSP;
  const scaling = ndisMinor >= 30 ? NETVSP_NDIS6_30 : [];
  return [...NETVSP, ...NETVSP_NDIS6, ...scaling];
}
