// SPDX-License-Identifier: GPL-2.0-or-later

/** Per-packet information of an RNDIS packet message: whether it is sound. */

import {
  RNDIS_BODY,
  RNDIS_INFO_VLAN,
  RndisPacket,
  RndisPacketInfo,
} from '../../src/rndis/protocol.ts';

/** Whether the information of a packet message lies within it and is well formed. */
export function infoIsSound(view: DataView): boolean {
  const offset = view.getUint32(RndisPacket.at.ppiOffset, true);
  let left = view.getUint32(RndisPacket.at.ppiLength, true);
  const body = view.byteLength - RNDIS_BODY;
  if (left > 0 && (offset > body || left > body - offset)) return false;
  for (let at = RNDIS_BODY + offset; left > 0;) {
    if (left < RndisPacketInfo.size) return false;
    const size = view.getUint32(at + RndisPacketInfo.at.size, true);
    const data = view.getUint32(at + RndisPacketInfo.at.dataOffset, true);
    if (size < RndisPacketInfo.size || size > left || data > size) return false;
    const vlan = view.getUint32(at + RndisPacketInfo.at.type, true) === RNDIS_INFO_VLAN;
    if (vlan && size - data < 4) return false;
    at += size;
    left -= size;
  }
  return true;
}
