// SPDX-License-Identifier: GPL-2.0-or-later

/** Objects whose answer is another on OpenVMM's netvsp (`handle_oid_query` at 1488a37b). */

import { MediaState, Oid, RndisStatus } from '../../../src/rndis/protocol.ts';
import { HostOid } from './host-protocol.ts';
import { putOffload, whichOffload } from './offloads/offloads.ts';
import { objectHeader, putSpeed, type OidAnswer, type OidState } from './oid-answer.ts';
import { putScaleCapabilities } from './receive-scaling.ts';

const VENDOR_DESCRIPTION = 'Microsoft Corporation';

/** NDIS_OFFLOAD_ENCAPSULATION: type, revision and size, supported, 802.3, Ethernet header. */
const ENCAPSULATION_TYPE = 0xa8;
const ENCAPSULATION_SIZE = 28;
const ENCAPSULATION = [1, 2, 14, 1, 2, 14];

/** Objects that this host has and OpenVMM does not. */
const UNKNOWN: readonly number[] = [
  HostOid.GEN_XMIT_OK,
  HostOid.GEN_RCV_OK,
  HostOid.GEN_XMIT_ERROR,
  HostOid.GEN_RCV_ERROR,
  HostOid.GEN_RCV_NO_BUFFER,
];

/** Answer a query as OpenVMM does. False if its answer is this host's. */
export function queryNetvspOid(oid: number, state: OidState, answer: OidAnswer): boolean {
  const { view } = answer;
  answer.status = UNKNOWN.includes(oid) ? RndisStatus.NOT_SUPPORTED : RndisStatus.SUCCESS;
  answer.length = 0;
  switch (oid) {
    case HostOid.GEN_VENDOR_DESCRIPTION:
      // Without a zero at its end
      answer.length = VENDOR_DESCRIPTION.length;
      for (let i = 0; i < answer.length; i++) view.setUint8(i, VENDOR_DESCRIPTION.charCodeAt(i));
      return true;
    case HostOid.GEN_DRIVER_VERSION:
    case HostOid.GEN_VENDOR_DRIVER_VERSION:
      view.setUint16(0, 0x0100, true);
      answer.length = 2;
      return true;
    case HostOid.OID_802_3_RCV_ERROR_ALIGNMENT:
    case HostOid.OID_802_3_XMIT_ONE_COLLISION:
    case HostOid.OID_802_3_XMIT_MORE_COLLISIONS:
      view.setUint32(0, 0, true);
      answer.length = 4;
      return true;
    case Oid.GEN_MEDIA_CONNECT_STATUS:
      view.setUint32(0, MediaState.CONNECTED, true);
      answer.length = 4;
      return true;
    default:
      return UNKNOWN.includes(oid) || queryNdis6(oid, state, answer);
  }
}

/** The objects of NDIS 6, which OpenVMM answers whatever version the guest has. */
function queryNdis6(oid: number, state: OidState, answer: OidAnswer): boolean {
  const { view } = answer;
  switch (oid) {
    case HostOid.GEN_LINK_STATE:
      // Always connected, duplex unknown
      for (let i = 0; i < 40; i++) view.setUint8(i, 0);
      objectHeader(view, 0, 0x80, 1, 40);
      view.setUint32(4, 1, true);
      putSpeed(view, 16);
      putSpeed(view, 24);
      answer.length = 40;
      return true;
    case HostOid.GEN_MAX_LINK_SPEED:
      putSpeed(view, 0);
      putSpeed(view, 8);
      answer.length = 16;
      return true;
    case HostOid.OFFLOAD_ENCAPSULATION:
      objectHeader(view, 0, ENCAPSULATION_TYPE, 1, ENCAPSULATION_SIZE);
      ENCAPSULATION.forEach((word, i) => view.setUint32(4 + 4 * i, word, true));
      answer.length = ENCAPSULATION_SIZE;
      return true;
    case HostOid.TCP_OFFLOAD_CURRENT_CONFIG:
    case HostOid.TCP_OFFLOAD_HARDWARE_CAPABILITIES:
      answer.length = putOffload(state, view, 0, whichOffload(oid));
      return true;
    case HostOid.GEN_RECEIVE_SCALE_CAPABILITIES:
      answer.length = putScaleCapabilities(view, state.queuesMax);
      return true;
    default:
      return false;
  }
}
