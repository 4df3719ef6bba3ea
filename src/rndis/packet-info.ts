// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * How long messages of RNDIS are, and what stands in them beside a frame: per-packet information
 * (Linux `rndis_get_ppi`).
 */

import {
  RNDIS_BODY,
  RNDIS_INFO_VLAN,
  RNDIS_VLAN_MASK,
  RNDIS_VLAN_SHIFT,
  RndisIndicateStatus,
  RndisInitialiseComplete,
  RndisKeepalive,
  RndisPacket,
  RndisPacketInfo,
  RndisQueryComplete,
  RndisSetComplete,
  RndisType,
} from './protocol.ts';

/** The least that a message must hold, by type. What is not here is not known. */
export const LENGTH_MIN: Readonly<Record<number, number>> = {
  [RndisType.PACKET]: RndisPacket.size,
  [RndisType.INDICATE_STATUS]: RndisIndicateStatus.size,
  [RndisType.KEEPALIVE]: RndisKeepalive.size,
  [RndisType.INITIALISE_CMPLT]: RndisInitialiseComplete.size,
  [RndisType.QUERY_CMPLT]: RndisQueryComplete.size,
  [RndisType.SET_CMPLT]: RndisSetComplete.size,
};

/**
 * The VLAN that the information of the packet message at `offset` names, 0 for none, -1 if it is
 * malformed. The header has been found to lie within the message's `length` bytes.
 */
export function vlanOf(view: DataView, offset: number, length: number): number {
  const infoOffset = view.getUint32(offset + RndisPacket.at.ppiOffset, true);
  let left = view.getUint32(offset + RndisPacket.at.ppiLength, true);
  if (left > 0 && !isInside(infoOffset, left, length)) return -1;
  let vlan = 0;
  for (let at = offset + RNDIS_BODY + infoOffset; left > 0;) {
    // Each says how long it is, and where its data begin
    if (left < RndisPacketInfo.size) return -1;
    const size = view.getUint32(at + RndisPacketInfo.at.size, true);
    const data = view.getUint32(at + RndisPacketInfo.at.dataOffset, true);
    if (size < RndisPacketInfo.size || size > left || data > size) return -1;
    if (view.getUint32(at + RndisPacketInfo.at.type, true) === RNDIS_INFO_VLAN) {
      if (size - data < 4) return -1;
      vlan |= (view.getUint32(at + data, true) >>> RNDIS_VLAN_SHIFT) & RNDIS_VLAN_MASK;
    }
    at += size;
    left -= size;
  }
  return vlan;
}

/** Whether a part of a message lies within it. Offsets count from the body. */
export function isInside(offset: number, partLength: number, length: number): boolean {
  const body = length - RNDIS_BODY;
  return offset <= body && partLength <= body - offset;
}
