// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Which fields some bytes on their way to the guest have, from the wire definitions: control
 * messages, ring packets with the NVSP message in them, RNDIS messages.
 */

import {
  NvspInitComplete,
  NvspReceiveBufferComplete,
  NvspReceiveBufferSection,
  NvspRndisPacket,
  NvspRndisPacketComplete,
  NvspType,
} from '../../src/netvsc/protocol.ts';
import {
  RndisHeader,
  RndisIndicateStatus,
  RndisInitialiseComplete,
  RndisPacket,
  RndisQueryComplete,
  RndisSetComplete,
  RndisType,
} from '../../src/rndis/protocol.ts';
import {
  FileCopyData,
  FileCopyHeader,
  FileCopyOperation,
  FileCopyStart,
  HeartbeatMessage,
  IcHeader,
  IcNegotiate,
  IcType,
  ShutdownMessage,
  TimeSyncReferenceMessage,
} from '../../src/services/protocol.ts';
import {
  GpadlCreated,
  GpadlTorndown,
  MessageHeader,
  MessageType,
  OfferChannel,
  OpenChannelResult,
  PIPE_TYPE_DATA,
  PacketFooter,
  PacketHeader,
  PacketType,
  PipeHeader,
  RescindChannelOffer,
  VersionResponse,
  XferPageHeader,
  XferPageRange,
} from '../../src/vmbus/protocol.ts';
import type { Struct } from '../../src/wire.ts';
import type { FieldPlace } from './mutation.ts';

type AnyStruct = Struct<string>;

/** Ranges of one packet whose fields are listed. */
const RANGES_MAX = 3;

const MESSAGES: Readonly<Record<number, AnyStruct>> = {
  [MessageType.OFFER_CHANNEL]: OfferChannel,
  [MessageType.RESCIND_CHANNEL_OFFER]: RescindChannelOffer,
  [MessageType.OPEN_CHANNEL_RESULT]: OpenChannelResult,
  [MessageType.GPADL_CREATED]: GpadlCreated,
  [MessageType.GPADL_TORNDOWN]: GpadlTorndown,
  [MessageType.VERSION_RESPONSE]: VersionResponse,
};

const NVSP: Readonly<Record<number, AnyStruct>> = {
  [NvspType.INIT_COMPLETE]: NvspInitComplete,
  [NvspType.SEND_RECEIVE_BUFFER_COMPLETE]: NvspReceiveBufferComplete,
  [NvspType.SEND_RNDIS_PACKET]: NvspRndisPacket,
  [NvspType.SEND_RNDIS_PACKET_COMPLETE]: NvspRndisPacketComplete,
};

const RNDIS: Readonly<Record<number, AnyStruct>> = {
  [RndisType.PACKET]: RndisPacket,
  [RndisType.INITIALISE_CMPLT]: RndisInitialiseComplete,
  [RndisType.QUERY_CMPLT]: RndisQueryComplete,
  [RndisType.SET_CMPLT]: RndisSetComplete,
  [RndisType.INDICATE_STATUS]: RndisIndicateStatus,
};

/** The fields of a control message of the host. */
export function messageFields(bytes: Uint8Array): FieldPlace[] {
  const type = viewOf(bytes).getUint32(MessageHeader.at.type, true);
  return fieldsOf(MESSAGES[type] ?? MessageHeader, bytes, 0, '');
}

/** The fields of an RNDIS message; information behind a QUERY_CMPLT is `info`. */
export function rndisFields(bytes: Uint8Array): FieldPlace[] {
  if (bytes.length < RndisHeader.size) return [];
  const type = viewOf(bytes).getUint32(RndisHeader.at.type, true);
  const fields = fieldsOf(RNDIS[type] ?? RndisHeader, bytes, 0, '');
  const { size } = RndisQueryComplete;
  if (type === RndisType.QUERY_CMPLT && bytes.length > size) {
    fields.push({ name: 'info', offset: size, length: bytes.length - size });
  }
  return fields;
}

/** The fields of a ring packet: descriptor, ranges, NVSP message, footer. */
export function packetFields(bytes: Uint8Array): FieldPlace[] {
  const view = viewOf(bytes);
  const fields = fieldsOf(PacketHeader, bytes, 0, 'descriptor.');
  const type = view.getUint16(PacketHeader.at.type, true);
  const payload = view.getUint16(PacketHeader.at.headerQlen, true) * 8;
  if (type === PacketType.DATA_XFER_PAGES) {
    const pages = fieldsOf(XferPageHeader, bytes, 0, 'pages.');
    fields.push(...pages.filter(({ name }) => PAGES_OWN.includes(name.slice('pages.'.length))));
    for (let i = 0; i < RANGES_MAX; i++) {
      const at = XferPageHeader.size + i * XferPageRange.size;
      if (at + XferPageRange.size > payload) break;
      fields.push(...fieldsOf(XferPageRange, bytes, at, `range${i}.`));
    }
  }
  if (payload + 4 <= bytes.length - PacketFooter.size) {
    const nvsp = view.getUint32(payload, true);
    const struct = NVSP[nvsp];
    if (struct !== undefined) fields.push(...fieldsOf(struct, bytes, payload, 'nvsp.'));
    if (nvsp === PIPE_TYPE_DATA) fields.push(...utilityFields(bytes, payload));
    if (nvsp === NvspType.SEND_RECEIVE_BUFFER_COMPLETE) {
      const at = payload + NvspReceiveBufferComplete.size;
      fields.push(...fieldsOf(NvspReceiveBufferSection, bytes, at, 'section.'));
    }
  }
  const footer = bytes.length - PacketFooter.size;
  return [...fields, ...fieldsOf(PacketFooter, bytes, footer, 'footer.')];
}

/** The fields of a message of a utility service; texts, data and GUIDs are nothing that matters. */
function utilityFields(bytes: Uint8Array, at: number): FieldPlace[] {
  const header = at + PipeHeader.size;
  const body = header + IcHeader.size;
  const fields = [...fieldsOf(PipeHeader, bytes, at, 'pipe.')];
  fields.push(...fieldsOf(IcHeader, bytes, header, 'ic.'));
  const type = viewOf(bytes).getUint16(header + IcHeader.at.type, true);
  const operation = body + 4 <= bytes.length ? viewOf(bytes).getUint32(body, true) : 0;
  const structs: Partial<Record<number, AnyStruct>> = {
    [IcType.NEGOTIATE]: IcNegotiate,
    [IcType.HEARTBEAT]: HeartbeatMessage,
    [IcType.SHUTDOWN]: ShutdownMessage,
    [IcType.TIME_SYNC]: TimeSyncReferenceMessage,
    [IcType.FILE_COPY]: FILE_COPY[operation] ?? FileCopyHeader,
  };
  const struct = structs[type];
  if (struct !== undefined) fields.push(...fieldsOf(struct, bytes, body, 'body.'));
  return fields.filter(({ length }) => length <= 8);
}

/** Bodies of messages of utility services. */
const UTILITY: readonly AnyStruct[] = [
  IcNegotiate,
  HeartbeatMessage,
  ShutdownMessage,
  TimeSyncReferenceMessage,
  FileCopyHeader,
  FileCopyStart,
  FileCopyData,
];

const FILE_COPY: Partial<Record<number, AnyStruct>> = {
  [FileCopyOperation.START]: FileCopyStart,
  [FileCopyOperation.WRITE]: FileCopyData,
};

function names(structs: readonly AnyStruct[], prefix = ''): string[] {
  return structs.flatMap((struct) => Object.keys(struct.at).map((name) => prefix + name));
}

/** Fields of the header of a transfer-page packet that are looked at. */
const PAGES_OWN = ['pageSet', 'owner', 'reserved', 'rangeCount'];

/** All names that {@link messageFields}, {@link rndisFields} and {@link packetFields} know. */
export const MESSAGE_FIELDS: readonly string[] = unique(
  names([MessageHeader, ...Object.values(MESSAGES)]),
);
export const RNDIS_FIELDS: readonly string[] = unique([
  ...names([RndisHeader, ...Object.values(RNDIS)]),
  'info',
]);
export const PACKET_FIELDS: readonly string[] = unique([
  ...names([PacketHeader], 'descriptor.'),
  ...PAGES_OWN.map((name) => `pages.${name}`),
  ...Array.from({ length: RANGES_MAX }, (_, i) => names([XferPageRange], `range${i}.`)).flat(),
  ...names(Object.values(NVSP), 'nvsp.'),
  ...names([NvspReceiveBufferSection], 'section.'),
  ...names([PipeHeader], 'pipe.'),
  ...names([IcHeader], 'ic.'),
  ...names(UTILITY, 'body.'),
  ...names([PacketFooter], 'footer.'),
]);

function unique(all: readonly string[]): string[] {
  return [...new Set(all)];
}

function fieldsOf(
  struct: AnyStruct,
  bytes: Uint8Array,
  base: number,
  prefix: string,
): FieldPlace[] {
  return Object.keys(struct.at)
    .map((key) => ({
      name: `${prefix}${key}`,
      offset: base + struct.at[key]!,
      length: struct.sizes[key]!,
    }))
    .filter(({ offset, length }) => length > 0 && offset + length <= bytes.length);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
