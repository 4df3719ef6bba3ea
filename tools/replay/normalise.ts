// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Makes items out of bytes: addresses become purposes, ring offsets become relative, bytes that the
 * recorded driver left uninitialised become zero. Both sides go through the same functions.
 */

import { Msr, HV_PAGE_REGISTER_MASK } from '../../src/hyperv/protocol.ts';
import { decodePacket, decodePost, decodeRndis, decodeSignal, msrName } from './decode.ts';
import type { DecodedField, DecodedLayer } from './decode.ts';
import { hexNumber, toHex } from './hex.ts';
import { makeItem } from './item.ts';
import type { Item, ItemField, SignalCause } from './item.ts';
import type { Places } from './places.ts';

/** Registers that hold the address of a page. */
const PAGE_REGISTERS: readonly number[] = [Msr.HYPERCALL, Msr.SIMP, Msr.SIEFP];

/** Fields of INITIATE_CONTACT that hold an address. */
const ADDRESS_FIELDS: readonly string[] = ['interruptPage', 'monitorIn', 'monitorOut'];

/** The fields of a layer with addresses replaced by purposes. */
function placeFields(layer: DecodedLayer, places: Places): ItemField[] {
  const fields: ItemField[] = [];
  const ranges = new Map<string, DecodedField[]>();
  for (const field of layer.fields) {
    const range = /^(range\[\d+\])\.(pfn\[\d+\]|byteOffset)$/.exec(field.name);
    if (range !== null) {
      const list = ranges.get(range[1]!) ?? [];
      if (list.length === 0) ranges.set(range[1]!, list);
      list.push(field);
    } else if (ADDRESS_FIELDS.includes(field.name)) {
      fields.push({ name: field.name, text: places.describe(Number(field.value)) });
    } else {
      fields.push({ name: field.name, text: field.text });
    }
  }
  for (const [name, list] of ranges) {
    const offset = Number(list.find((field) => field.name.endsWith('byteOffset'))?.value ?? 0);
    const pages = list.filter((field) => field.name.includes('pfn')).map(pageAddress);
    const text =
      layer.layer === 'RING'
        ? places.describePurpose(pages.map((page, i) => (i === 0 ? page + offset : page)))
        : `offset ${offset}, ${places.describePages(pages)}`;
    fields.push({ name: `${name}.place`, text });
  }
  return fields;
}

function pageAddress(field: DecodedField): number {
  return Number(field.value) * 4096;
}

/** All fields of several layers; those of the second and later layers carry the layer's name. */
function flatten(layers: readonly DecodedLayer[], places: Places): ItemField[] {
  return layers.flatMap((layer, index) => {
    const fields = placeFields(layer, places);
    if (index === 0) return fields;
    return fields.map(({ name, text }) => ({ name: `${layer.layer}.${name}`, text }));
  });
}

/** A write to a synthetic register. */
export function registerItem(msr: number, value: bigint, places: Places, event: number): Item {
  let text = hexNumber(value);
  if (PAGE_REGISTERS.includes(msr)) {
    const page = value & ~HV_PAGE_REGISTER_MASK;
    const where = page === 0n ? 'no page' : places.describe(Number(page));
    text = `${where}, low bits ${hexNumber(value & HV_PAGE_REGISTER_MASK)}`;
  }
  return makeItem('register', msrName(msr), [{ name: 'value', text }], event);
}

/** A posted message: `input` is the input of HvPostMessage, header and payload. */
export function messageItem(input: Uint8Array, places: Places, event: number): Item {
  const layers = decodePost(input);
  const label = layers[1]?.name ?? 'message';
  const identity = layers[1]?.fields.find((field) => field.name === 'gpadl')?.text ?? '';
  return makeItem('message', label, flatten(layers, places), event, { identity });
}

/** An HvSignalEvent hypercall. */
export function signalItem(input: Uint8Array, event: number, cause?: SignalCause): Item {
  const fields = decodeSignal(input)[0]!.fields.map(({ name, text }) => ({ name, text }));
  return makeItem('signal', 'HvSignalEvent', fields, event, { cause });
}

/** A bit that the guest set: of a channel in the interrupt page, or of a monitor. */
export function bitItem(
  what: 'interrupt bit' | 'monitor bit',
  bit: number,
  event: number,
  cause?: SignalCause,
): Item {
  return makeItem('signal', what, [{ name: 'bit', text: String(bit) }], event, { cause });
}

/** A packet that the guest wrote into a ring. */
export interface GuestPacket {
  readonly channel: number;
  /** Ring offset of the packet's first byte. */
  readonly start: number;
  /** The packet with its footer. */
  readonly bytes: Uint8Array;
  /** Contents of the ranges of a GPA-direct packet. */
  readonly data: Uint8Array | undefined;
  /** The guest's transaction, if the comparison shall show another one. */
  readonly transaction?: bigint;
}

/** Items of a packet: the packet itself and, for GPA-direct, the contents of its ranges. */
export function packetItems(packet: GuestPacket, places: Places, event: number): Item[] {
  const layers = decodePacket(packet.bytes);
  const ring = layers[0]!;
  const content = packet.data === undefined ? [] : decodeRndis(packet.data);
  const label = [ring, ...layers.slice(1), ...content].map((layer) => layer.name).join(' ');
  const own = ring.fields.find((field) => field.name === 'transactionId')?.value;
  const transaction = typeof own === 'bigint' ? own : undefined;
  const shown = packet.transaction ?? transaction;
  const fields = flatten(layers, places).map((field) => {
    if (field.name === 'footer.offset')
      return { name: field.name, text: relativeOffset(field.text, packet.start) };
    if (field.name === 'transactionId' && shown !== undefined)
      return { name: field.name, text: hexNumber(shown) };
    return field;
  });
  fields.unshift({ name: 'channel', text: String(packet.channel) });
  // Slots of GPA-direct packets may be others than in the recording; their contents tell them apart
  const direct = ring.name === 'DATA_GPA_DIRECT';
  const matched = direct ? fields.filter((field) => field.name !== 'transactionId') : fields;
  const match = JSON.stringify([label, matched, direct ? toHex(packet.data!) : '']);
  const identity = transaction === undefined ? '' : hexNumber(transaction);
  const details = transaction === undefined ? { match } : { transaction, match, identity };
  const items = [makeItem('packet', label, fields, event, details)];
  if (packet.data !== undefined) items.push(rangeItem(content, packet.data, event));
  return items;
}

/** The contents of the ranges of one packet. */
function rangeItem(content: readonly DecodedLayer[], data: Uint8Array, event: number): Item {
  const fields = content.flatMap((layer) => layer.fields.map(({ name, text }) => ({ name, text })));
  fields.push({ name: 'bytes', text: String(data.length) });
  return makeItem('range', content[0]?.name ?? 'range', fields, event);
}

function relativeOffset(text: string, start: number): string {
  return text === String(start) ? 'start of packet' : text;
}

/** A frame that the driver handed up. */
export function frameItem(frame: Uint8Array, event: number): Item {
  const fields = [
    { name: 'length', text: String(frame.length) },
    { name: 'frame', text: toHex(frame) },
  ];
  return makeItem('frame', 'received frame', fields, event);
}

/** A frame that the driver was given is done (`err` of iPXE: `OK`, …), or waits. */
export function completionItem(frame: number, what: string, event: number): Item {
  const fields = [
    { name: 'frame', text: String(frame) },
    { name: 'result', text: what },
  ];
  return makeItem('completion', 'transmitted frame', fields, event);
}

/** Something received that is no frame, counted as an error. */
export function receiveErrorItem(err: string, data: Uint8Array, event: number): Item {
  const fields = [
    { name: 'error', text: err },
    { name: 'data', text: toHex(data) },
  ];
  return makeItem('receive-error', 'receive error', fields, event);
}

/** The link changed. */
export function linkItem(up: boolean, event: number): Item {
  return makeItem('link', 'link', [{ name: 'state', text: up ? 'up' : 'down' }], event);
}

/** A network device came or went. */
export function deviceItem(
  what: string,
  addresses: { permanent: string; current: string },
  event: number,
): Item {
  const fields = [
    { name: 'permanentAddress', text: addresses.permanent },
    { name: 'address', text: addresses.current },
  ];
  return makeItem('device', what, fields, event);
}

/** Counters of a device. */
export function statisticsItem(counters: Readonly<Record<string, number>>, event: number): Item {
  const fields = Object.entries(counters).map(([name, n]) => ({ name, text: String(n) }));
  return makeItem('statistics', 'statistics', fields, event);
}

/** How a step ended. */
export function resultItem(step: string, err: string, event: number): Item {
  return makeItem('result', step, [{ name: 'result', text: err }], event);
}

/** An endless loop, or a guest that the machine had to end. */
export function livelockItem(what: string, event: number): Item {
  return makeItem('livelock', what, [], event);
}

/** The guest broke the protocol or gave up memory that the host can still reach. */
export function violationItem(text: string, event: number): Item {
  return makeItem('violation', text, [], event);
}

/** A violation's text without its numbers, so that two of the same sort compare. */
export function violationSort(text: string): string {
  return text.replace(/0x[0-9a-f]+|\b\d+\b/g, '…');
}

/** `bytes` with the ranges [offset, length] zeroed. */
export function maskStale(
  bytes: Uint8Array,
  stale: readonly (readonly [number, number])[] | undefined,
): Uint8Array {
  for (const [offset, length] of stale ?? []) bytes.fill(0, offset, offset + length);
  return bytes;
}

/** Type of a control message in the input of HvPostMessage. */
export function postedType(input: Uint8Array): number | undefined {
  if (input.length < 20) return undefined;
  return new DataView(input.buffer, input.byteOffset).getUint32(16, true);
}
