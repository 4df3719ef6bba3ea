// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The objects of the network device, as QUERY finds them. Numbers are Windows' (`ntddndis.h`),
 * values OpenVMM's (`handle_oid_query`) unless said. Where OpenVMM has others than this host has
 * otherwise (knob `objects`), they stand in `netvsp-oids.ts`.
 */

import { MediaState, Oid, RndisStatus } from '../../../src/rndis/protocol.ts';
import { HostOid, HostStatus } from './host-protocol.ts';
import { queryNetvspOid } from './netvsp-oids.ts';
import { putOffload, whichOffload } from './offloads/offloads.ts';
import { LINK_SPEED, objectHeader, putSpeed, type OidAnswer, type OidState } from './oid-answer.ts';
import { supportedObjects } from './oid-lists.ts';
import { putScaleCapabilities } from './receive-scaling.ts';

/** Longest answer: the friendly name. */
export const OID_DATA_MAX = 512;

const VENDOR_DESCRIPTION = 'Microsoft Hyper-V Network Device';
const FRIENDLY_NAME = 'Network Device';

/** Answer a query: an object that is not known gets NOT_SUPPORTED. */
export function queryOid(oid: number, state: OidState, answer: OidAnswer): void {
  if (state.knobs.objects === 'netvsp' && queryNetvspOid(oid, state, answer)) return;
  answer.status = RndisStatus.SUCCESS;
  answer.length = 0;
  if (oid === Oid.GEN_SUPPORTED_LIST) return supportedList(state, answer);
  if (oid === Oid.OID_802_3_PERMANENT_ADDRESS) return bytes(state.permanentAddress, answer);
  if (oid === Oid.OID_802_3_CURRENT_ADDRESS) return bytes(state.address, answer);
  if (oid === HostOid.GEN_VENDOR_DESCRIPTION) return description(answer);
  if (oid === HostOid.GEN_FRIENDLY_NAME) return friendlyName(answer);
  if (state.ndisMajor >= 6) {
    if (oid === HostOid.GEN_LINK_STATE) return linkState(state, answer);
    if (oid === HostOid.GEN_MAX_LINK_SPEED) return maxLinkSpeed(answer);
    if (oid === HostOid.GEN_RECEIVE_SCALE_CAPABILITIES) {
      answer.length = putScaleCapabilities(answer.view, state.queuesMax);
      return;
    }
    if (
      oid === HostOid.TCP_OFFLOAD_CURRENT_CONFIG ||
      oid === HostOid.TCP_OFFLOAD_HARDWARE_CAPABILITIES
    ) {
      answer.length = putOffload(state, answer.view, 0, whichOffload(oid));
      return;
    }
  }
  const value = word(oid, state);
  if (value === undefined) {
    answer.status = RndisStatus.NOT_SUPPORTED;
    return;
  }
  answer.view.setUint32(0, value, true);
  answer.length = 4;
}

/** Objects that are one 32-bit number. */
function word(oid: number, state: OidState): number | undefined {
  switch (oid) {
    case Oid.GEN_HARDWARE_STATUS:
    case Oid.GEN_MEDIA_SUPPORTED:
    case Oid.GEN_MEDIA_IN_USE:
    case Oid.OID_802_3_MAXIMUM_LIST_SIZE:
    case HostOid.GEN_RCV_ERROR:
    case HostOid.GEN_XMIT_ERROR:
      return 0;
    // OpenVMM answers 0 whatever the filter is: a guest must remember what it has set
    case Oid.GEN_CURRENT_PACKET_FILTER:
      return 0;
    case Oid.GEN_MAXIMUM_FRAME_SIZE:
    case HostOid.GEN_MAXIMUM_LOOKAHEAD:
    case HostOid.GEN_CURRENT_LOOKAHEAD:
      return state.mtu - 14;
    case Oid.GEN_MAXIMUM_TOTAL_SIZE:
    case HostOid.GEN_TRANSMIT_BLOCK_SIZE:
    case HostOid.GEN_RECEIVE_BLOCK_SIZE:
      return state.mtu;
    case Oid.GEN_LINK_SPEED:
      return LINK_SPEED / 100;
    case HostOid.GEN_TRANSMIT_BUFFER_SPACE:
    case HostOid.GEN_RECEIVE_BUFFER_SPACE:
      return 256 * 1024;
    // As in the addresses' first three bytes, 00:15:5d
    case HostOid.GEN_VENDOR_ID:
      return 0x155d;
    case HostOid.GEN_DRIVER_VERSION:
    case HostOid.GEN_VENDOR_DRIVER_VERSION:
      return 0x0100;
    // Copy lookahead, transfers not pending, no loopback, 802.1p, 802.1q
    case HostOid.GEN_MAC_OPTIONS:
      return 0x24d;
    case Oid.GEN_MEDIA_CONNECT_STATUS:
      return state.linkUp ? MediaState.CONNECTED : MediaState.DISCONNECTED;
    case HostOid.GEN_MAXIMUM_SEND_PACKETS:
      return 0xffffffff;
    case HostOid.GEN_XMIT_OK:
      return state.framesFromGuest >>> 0;
    case HostOid.GEN_RCV_OK:
      return state.framesToGuest >>> 0;
    case HostOid.GEN_RCV_NO_BUFFER:
      return state.framesDropped >>> 0;
    default:
      return undefined;
  }
}

/** The list depends on the NDIS version; one that is neither 5 nor 6 is refused. */
function supportedList(state: OidState, answer: OidAnswer): void {
  const list = supportedObjects(state.knobs.objects, state.ndisMajor, state.ndisMinor);
  if (list === undefined) {
    answer.status = HostStatus.BAD_VERSION;
    return;
  }
  list.forEach((oid, i) => answer.view.setUint32(i * 4, oid, true));
  answer.length = list.length * 4;
}

function bytes(data: Uint8Array, answer: OidAnswer): void {
  data.forEach((byte, i) => answer.view.setUint8(i, byte));
  answer.length = data.length;
}

/** Vendor's text with a zero byte at its end. */
function description(answer: OidAnswer): void {
  answer.length = VENDOR_DESCRIPTION.length + 1;
  for (let i = 0; i < answer.length; i++)
    answer.view.setUint8(i, i < VENDOR_DESCRIPTION.length ? VENDOR_DESCRIPTION.charCodeAt(i) : 0);
}

/** 255 characters of UTF-16 and a zero. */
function friendlyName(answer: OidAnswer): void {
  for (let i = 0; i < 256; i++)
    answer.view.setUint16(i * 2, i < FRIENDLY_NAME.length ? FRIENDLY_NAME.charCodeAt(i) : 0, true);
  answer.length = 512;
}

/** NDIS_LINK_STATE: header, connected 1 or 2, full duplex, speeds in bits per second. */
function linkState(state: OidState, answer: OidAnswer): void {
  const view = answer.view;
  for (let i = 0; i < 40; i++) view.setUint8(i, 0);
  objectHeader(view, 0, 0x80, 1, 40);
  view.setUint32(4, state.linkUp ? 1 : 2, true);
  view.setUint32(8, 2, true);
  putSpeed(view, 16);
  putSpeed(view, 24);
  answer.length = 40;
}

function maxLinkSpeed(answer: OidAnswer): void {
  putSpeed(answer.view, 0);
  putSpeed(answer.view, 8);
  answer.length = 16;
}
