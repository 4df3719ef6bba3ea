// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the requests of Linux's RNDIS carry (`rndis_filter.c`, `hyperv_net.h`): offloads and receive
 * scaling. The layouts are NDIS's.
 */

import { NvspVersion } from '../../src/netvsc/protocol.ts';

/** Object identifiers that firmware has no use for. */
export const OsOid = {
  GEN_FRIENDLY_NAME: 0x00020216,
  GEN_RECEIVE_SCALE_CAPABILITIES: 0x00010203,
  GEN_RECEIVE_SCALE_PARAMETERS: 0x00010204,
  TCP_OFFLOAD_PARAMETERS: 0xfc01020c,
  TCP_OFFLOAD_HARDWARE_CAPABILITIES: 0xfc01020d,
} as const;

/** Types and revisions of NDIS objects. */
const OBJECT_DEFAULT = 0x80;
const OBJECT_RSS_CAPABILITIES = 0x88;
const OBJECT_RSS_PARAMETERS = 0x89;
const OBJECT_OFFLOAD = 0xa7;
const RSS_REVISION = 2;
const OFFLOAD_PARAMETERS_REVISION = 3;

/** Sizes of NDIS_OFFLOAD by NDIS version (6.0, 6.1, 6.30), with its revisions. */
const OFFLOAD_SIZES = { 1: 112, 2: 144, 3: 156 } as const;

/** Where the parts of NDIS_OFFLOAD stand that Linux looks at. */
const OffloadAt = { ip4Tx: 8, ip6Tx: 24, lso4: 80, lso6: 92, lso6Options: 104, rsc: 144 } as const;
const TX_ALL_TCP4 = 0x14;
const TX_ALL_TCP6 = 0x15;
const TX_UDP = 0x40;
const ENCAP_8023 = 2;
const LSO_IP6 = 5;

/** NDIS_OFFLOAD_PARAMETERS: where its fields stand, and what they say. */
const PARAMETERS_SIZE = 28;
const PARAMETERS_SIZE_4 = 22;
const ParameterAt = { ip4: 4, tcp4: 5, udp4: 6, tcp6: 7, udp6: 8, lso4: 11, lso6: 12 } as const;
const RSC_AT = 22;
const TX_RX_OFF = 1;
const TX_RX_ON = 4;
const LSO_ON = 2;
const RSC_OFF = 1;

/** NDIS_RECEIVE_SCALE_CAPABILITIES, and where the number of queues stands. */
const SCALE_CAPABILITIES_SIZE = 18;
const SCALE_QUEUES_AT = 12;

/** NDIS_RECEIVE_SCALE_PARAMETERS: Toeplitz over addresses, and over ports for TCP. */
const SCALE_PARAMETERS_SIZE = 40;
const SCALE_TABLE_ENTRIES = 128;
const SCALE_KEY_LENGTH = 40;
const SCALE_HASH = 0x1701;
/** Flag of the message that switches receive scaling off (NDIS_RSS_PARAM_FLAG_DISABLE_RSS). */
const SCALE_DISABLE = 0x10;

/** The usual key of receive scaling (`netvsc_hash_key`). */
const SCALE_KEY = [
  ...[0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3],
  ...[0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3],
  ...[0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa],
];

/** Some bytes, and a view of them. */
function object(length: number, type: number, revision: number, size = length): DataView {
  const view = new DataView(new ArrayBuffer(length));
  view.setUint8(0, type);
  view.setUint8(1, revision);
  view.setUint16(2, size, true);
  return view;
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer);
}

/** What the query for the hardware's offloads carries: the revision that is understood. */
export function offloadQuery(nvsp: number): Uint8Array {
  const revision = nvsp >= NvspVersion.V5 ? 3 : nvsp >= NvspVersion.V4 ? 2 : 1;
  return bytesOf(object(OFFLOAD_SIZES[revision], OBJECT_OFFLOAD, revision));
}

/** What is switched on of what the hardware has (`rndis_netdev_set_hwcaps`). */
export function offloadParameters(hardware: DataView, nvsp: number): Uint8Array {
  const old = nvsp <= NvspVersion.V4;
  const length = old ? PARAMETERS_SIZE_4 : PARAMETERS_SIZE;
  const view = object(length, OBJECT_DEFAULT, OFFLOAD_PARAMETERS_REVISION);
  const word = (at: number): number =>
    at + 4 <= hardware.byteLength ? hardware.getUint32(at, true) : 0;
  const byte = (at: number): number => (at < hardware.byteLength ? hardware.getUint8(at) : 0);
  const has = (at: number, bits: number): boolean => (word(at) & bits) === bits;

  view.setUint8(ParameterAt.ip4, TX_RX_OFF);
  if (has(OffloadAt.ip4Tx, TX_ALL_TCP4)) {
    view.setUint8(ParameterAt.tcp4, TX_RX_ON);
    if (has(OffloadAt.lso4, ENCAP_8023)) view.setUint8(ParameterAt.lso4, LSO_ON);
    if (has(OffloadAt.ip4Tx, TX_UDP) && !old) view.setUint8(ParameterAt.udp4, TX_RX_ON);
  }
  if (has(OffloadAt.ip6Tx, TX_ALL_TCP6)) {
    view.setUint8(ParameterAt.tcp6, TX_RX_ON);
    const lso = has(OffloadAt.lso6, ENCAP_8023) && has(OffloadAt.lso6Options, LSO_IP6);
    if (lso) view.setUint8(ParameterAt.lso6, LSO_ON);
    if (has(OffloadAt.ip6Tx, TX_UDP) && !old) view.setUint8(ParameterAt.udp6, TX_RX_ON);
  }
  // A device that is being added has no LRO yet
  if (!old && byte(OffloadAt.rsc) !== 0 && byte(OffloadAt.rsc + 1) !== 0) {
    view.setUint8(RSC_AT, RSC_OFF);
    view.setUint8(RSC_AT + 1, RSC_OFF);
  }
  return bytesOf(view);
}

/** What the query for receive scaling carries. */
export function scaleQuery(): Uint8Array {
  return bytesOf(object(SCALE_CAPABILITIES_SIZE, OBJECT_RSS_CAPABILITIES, RSS_REVISION));
}

/** Receive queues of the host, by its answer to {@link scaleQuery}. */
export function scaleQueues(answer: DataView): number {
  return answer.byteLength < SCALE_QUEUES_AT + 4 ? 0 : answer.getUint32(SCALE_QUEUES_AT, true);
}

/**
 * Receive scaling over some queues (`rndis_set_rss_param_msg`).
 *
 * @param disable switch it off first
 */
export function scaleParameters(queues: number, disable: boolean): Uint8Array {
  const table = SCALE_PARAMETERS_SIZE;
  const key = table + 4 * SCALE_TABLE_ENTRIES;
  const length = key + SCALE_KEY_LENGTH;
  const view = object(length, OBJECT_RSS_PARAMETERS, RSS_REVISION, SCALE_PARAMETERS_SIZE);
  view.setUint16(4, disable ? SCALE_DISABLE : 0, true);
  view.setUint32(8, SCALE_HASH, true);
  view.setUint16(12, 4 * SCALE_TABLE_ENTRIES, true);
  view.setUint32(16, table, true);
  view.setUint16(20, SCALE_KEY_LENGTH, true);
  view.setUint32(24, key, true);
  for (let i = 0; i < SCALE_TABLE_ENTRIES; i++) view.setUint32(table + 4 * i, i % queues, true);
  const bytes = bytesOf(view);
  bytes.set(SCALE_KEY, key);
  return bytes;
}
