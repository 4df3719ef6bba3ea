// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Decodes what crosses the bus into layers of named fields: VMBus control messages, ring packets,
 * NVSP and RNDIS. Reads nothing beyond the bytes given: a field that they do not hold is left
 * out, and bytes that no field explains are shown as `trailing`. For replay, log and capture.
 */

import { Msr, PostMessage, SignalEvent } from '../../src/hyperv/protocol.ts';
import {
  GpaDirectHeader,
  GpaRange,
  MessageType,
  OfferChannel,
  PacketFooter,
  PacketHeader,
  PacketType,
  XferPageHeader,
  XferPageRange,
  versionText,
} from '../../src/vmbus/protocol.ts';
import { NvspStatus, NvspType, NvspVersion } from '../../src/netvsc/protocol.ts';
import { Oid, RndisStatus, RndisType } from '../../src/rndis/protocol.ts';
import { guidText } from '../../src/wire.ts';
import type { Struct } from '../../src/wire.ts';
import { MESSAGE_STRUCTS, NVSP_STRUCTS, RNDIS_STRUCTS } from './structs.ts';
import { hexNumber, toHex } from './hex.ts';

/** One field. */
export interface DecodedField {
  readonly name: string;
  /** The number; bytes as hexadecimal text; 64-bit fields as bigint. */
  readonly value: number | bigint | string;
  /** For people: the name of the value where it has one. */
  readonly text: string;
}

/** One layer of a message or packet. */
export interface DecodedLayer {
  readonly layer: 'HV' | 'VMBUS' | 'RING' | 'NVSP' | 'RNDIS';
  /** Name of the structure or message: `OPEN_CHANNEL`. */
  readonly name: string;
  readonly fields: readonly DecodedField[];
}

/** Most ranges or page numbers that are listed: more cannot fit into a packet of the ring. */
export const DECODE_RANGES_MAX = 1024;

type Names = Readonly<Record<string, number>>;

/** The name of `value` in a table of constants, or undefined. */
export function nameOf(table: Names, value: number): string | undefined {
  for (const name in table) if (table[name] === value) return name;
  return undefined;
}

/** Name of a synthetic MSR: `SIMP`, `SINT2`, or its number. */
export function msrName(msr: number): string {
  if (msr >= Msr.SINT0 && msr < Msr.SINT0 + 16) return `SINT${msr - Msr.SINT0}`;
  return nameOf(Msr, msr) ?? hexNumber(msr);
}

/** How the value of a field is named, by layer and field. */
const VALUE_NAMES: Readonly<Record<string, Names>> = {
  'VMBUS.type': MessageType,
  'RING.type': PacketType,
  'NVSP.type': NvspType,
  'NVSP.status': NvspStatus,
  'NVSP.version': NvspVersion,
  'NVSP.minVersion': NvspVersion,
  'NVSP.maxVersion': NvspVersion,
  'RNDIS.type': RndisType,
  'RNDIS.status': RndisStatus,
  'RNDIS.oid': Oid,
};

/** Fields that people read in decimal: lengths, offsets, counts. */
const DECIMAL = /(length|offset|count|size|mtu|channel|qlen|pages|major|minor)$/i;

function fieldText(layer: string, name: string, value: number | bigint): string {
  if (typeof value === 'bigint') return hexNumber(value);
  if (layer === 'VMBUS' && name === 'version') return versionText(value);
  const table = VALUE_NAMES[`${layer}.${name}`];
  const known = table === undefined ? undefined : nameOf(table, value);
  if (known !== undefined) return known;
  return DECIMAL.test(name) ? String(value) : hexNumber(value);
}

/** A cursor over bytes that collects fields. */
class FieldReader {
  readonly bytes: Uint8Array;
  readonly layer: DecodedLayer['layer'];
  readonly fields: DecodedField[] = [];
  readonly #view: DataView;

  constructor(layer: DecodedLayer['layer'], bytes: Uint8Array) {
    this.layer = layer;
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Add the number of 1, 2, 4 or 8 bytes, or the bytes, at `offset`, if they are there. */
  add(name: string, offset: number, size: number): void {
    if (size === 0 || offset + size > this.bytes.length) return;
    const value = this.#number(offset, size);
    if (value === undefined) this.addText(name, toHex(this.bytes.subarray(offset, offset + size)));
    else this.fields.push({ name, value, text: fieldText(this.layer, name, value) });
  }

  addText(name: string, text: string): void {
    this.fields.push({ name, value: text, text });
  }

  /** Add all fields of a structure that lies at `offset`. `prefix` comes before their names. */
  addStruct(struct: Struct<string>, offset = 0, prefix = ''): void {
    for (const [name, at] of Object.entries(struct.at))
      this.add(prefix + name, offset + at, struct.sizes[name]!);
  }

  /** Add what lies between `offset` and `end` as one field, unless it is empty or zero. */
  addRest(name: string, offset: number, end = this.bytes.length): void {
    const rest = this.bytes.subarray(offset, end);
    if (rest.some((byte) => byte !== 0)) this.addText(name, toHex(rest));
  }

  #number(offset: number, size: number): number | bigint | undefined {
    switch (size) {
      case 1:
        return this.#view.getUint8(offset);
      case 2:
        return this.#view.getUint16(offset, true);
      case 4:
        return this.#view.getUint32(offset, true);
      case 8:
        return this.#view.getBigUint64(offset, true);
      default:
        return undefined;
    }
  }

  number(offset: number, size: number): number {
    return offset + size > this.bytes.length ? 0 : Number(this.#number(offset, size) ?? 0);
  }

  done(name: string): DecodedLayer {
    return { layer: this.layer, name, fields: this.fields };
  }
}

/** Add a list of GPA ranges at `offset`; `end` is where the list must end. Returns its end. */
function addGpaRanges(reader: FieldReader, offset: number, count: number, end: number): number {
  let at = offset;
  for (let i = 0; i < Math.min(count, DECODE_RANGES_MAX) && at + GpaRange.size <= end; i++) {
    reader.addStruct(GpaRange, at, `range[${i}].`);
    const length = reader.number(at + GpaRange.at.byteCount, 4);
    const pages = Math.ceil(
      ((reader.number(at + GpaRange.at.byteOffset, 4) & 0xfff) + length) / 4096,
    );
    at += GpaRange.size;
    for (let page = 0; page < Math.min(pages, DECODE_RANGES_MAX) && at + 8 <= end; page++, at += 8)
      reader.add(`range[${i}].pfn[${page}]`, at, 8);
  }
  return at;
}

/** A VMBus control message: the payload of a posted or received SynIC message. */
export function decodeMessage(bytes: Uint8Array): readonly DecodedLayer[] {
  const reader = new FieldReader('VMBUS', bytes);
  const type = reader.number(0, 4);
  const name = nameOf(MessageType, type) ?? `message ${type}`;
  const struct = MESSAGE_STRUCTS[type];
  if (bytes.length < 4 || struct === undefined) {
    reader.addRest('data', 0);
    return [reader.done(name)];
  }
  reader.addStruct(struct);
  let end = struct.size;
  if (type === MessageType.GPADL_HEADER)
    end = addGpaRanges(reader, end, reader.number(18, 2), bytes.length);
  if (type === MessageType.GPADL_BODY)
    for (; end + 8 <= bytes.length; end += 8) reader.add(`pfn[${(end - struct.size) / 8}]`, end, 8);
  if (type === MessageType.OFFER_CHANNEL && bytes.length >= OfferChannel.size)
    reader.addText('instance', guidText(bytes, OfferChannel.at.instanceId));
  reader.addRest('trailing', end);
  return [reader.done(name)];
}

/** The input of HvPostMessage: the hypercall's own layer, then the message. */
export function decodePost(input: Uint8Array): readonly DecodedLayer[] {
  const reader = new FieldReader('HV', input);
  for (const name of ['connectionId', 'reserved', 'type', 'length'] as const)
    reader.add(name, PostMessage.at[name], PostMessage.sizes[name]);
  const length = reader.number(PostMessage.at.length, 4);
  const message = input.subarray(PostMessage.at.data, PostMessage.at.data + length);
  return [reader.done(PostMessage.name), ...decodeMessage(message)];
}

/** The input of HvSignalEvent. */
export function decodeSignal(input: Uint8Array): readonly DecodedLayer[] {
  const reader = new FieldReader('HV', input);
  reader.addStruct(SignalEvent);
  return [reader.done(SignalEvent.name)];
}

/** An NVSP message: the payload of a ring packet of a network channel. */
export function decodeNvsp(bytes: Uint8Array): readonly DecodedLayer[] {
  if (bytes.length < 4) return [];
  const reader = new FieldReader('NVSP', bytes);
  const type = reader.number(0, 4);
  const struct = NVSP_STRUCTS[type];
  if (struct === undefined) reader.addRest('data', 0);
  else {
    reader.addStruct(struct);
    reader.addRest('trailing', struct.size);
  }
  return [reader.done(nameOf(NvspType, type) ?? `message ${type}`)];
}

/** An RNDIS message. Offsets inside are shown as they are: they count from byte 8. */
export function decodeRndis(bytes: Uint8Array): readonly DecodedLayer[] {
  const reader = new FieldReader('RNDIS', bytes);
  const type = reader.number(0, 4);
  const struct = RNDIS_STRUCTS[type];
  if (bytes.length < 8 || struct === undefined) reader.addRest('data', 0);
  else {
    reader.addStruct(struct);
    if (bytes.length > struct.size) reader.addText('data', toHex(bytes.subarray(struct.size)));
  }
  return [reader.done(nameOf(RndisType, type) ?? `message ${hexNumber(type)}`)];
}

/**
 * A ring packet: header, its ranges, the NVSP message in its payload, and the footer if the bytes
 * reach that far.
 */
export function decodePacket(bytes: Uint8Array): readonly DecodedLayer[] {
  const reader = new FieldReader('RING', bytes);
  const type = reader.number(PacketHeader.at.type, 2);
  const name = nameOf(PacketType, type) ?? `packet ${type}`;
  reader.addStruct(PacketHeader);
  const headerEnd = Math.min(reader.number(PacketHeader.at.headerQlen, 2) * 8, bytes.length);
  const end = Math.min(reader.number(PacketHeader.at.qlen, 2) * 8, bytes.length);
  // Header of the type
  let at: number = PacketHeader.size;
  if (type === PacketType.DATA_GPA_DIRECT && headerEnd >= GpaDirectHeader.size) {
    reader.add('reserved', GpaDirectHeader.at.reserved, 4);
    reader.add('rangeCount', GpaDirectHeader.at.rangeCount, 4);
    at = addGpaRanges(reader, GpaDirectHeader.size, reader.number(20, 4), headerEnd);
  } else if (type === PacketType.DATA_XFER_PAGES && headerEnd >= XferPageHeader.size) {
    for (const field of ['pageSet', 'owner', 'reserved', 'rangeCount'] as const)
      reader.add(field, XferPageHeader.at[field], XferPageHeader.sizes[field]);
    const count = Math.min(reader.number(20, 4), DECODE_RANGES_MAX);
    at = XferPageHeader.size;
    for (let i = 0; i < count && at + XferPageRange.size <= headerEnd; i++) {
      reader.addStruct(XferPageRange, at, `range[${i}].`);
      at += XferPageRange.size;
    }
  }
  if (headerEnd > at) reader.addRest('header', at, headerEnd);
  // Payload and footer
  const payload = headerEnd < end ? bytes.subarray(headerEnd, end) : bytes.subarray(0, 0);
  reader.addStruct(PacketFooter, end, 'footer.');
  reader.addRest('trailing', end + PacketFooter.size);
  return [reader.done(name), ...decodeNvsp(payload)];
}

/** Layers as text, one line each: `OPEN_CHANNEL channel=5 openId=0x27138`. */
export function describeLayers(layers: readonly DecodedLayer[]): string[] {
  return layers.map((layer) =>
    [layer.name, ...layer.fields.map((field) => `${field.name}=${field.text}`)].join(' '),
  );
}
