// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The pcapng file format (IETF draft-ietf-opsawg-pcapng): section header, interface descriptions
 * and enhanced packets, with times in nanoseconds. Encodes blocks and knows nothing of files.
 */

/** Link types (LINKTYPE_ registry of tcpdump.org), as far as they are used here. */
export const LinkType = { ETHERNET: 1, USER0: 147 } as const;

/** Most bytes of one packet that are kept: more than that Wireshark refuses to read. */
export const SNAP_LENGTH = 262144;

const BLOCK_SECTION_HEADER = 0x0a0d0d0a;
const BLOCK_INTERFACE_DESCRIPTION = 1;
const BLOCK_ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** Option codes. Those from 2 on mean something else in each kind of block. */
const OPT_COMMENT = 1;
const SHB_USER_APPLICATION = 4;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const IF_TSRESOL = 9;
const EPB_FLAGS = 2;

/** IF_TSRESOL: units of 10^-9 s. */
const NANOSECONDS = 9;

/** Longest text of an option, in bytes: its length has 16 bits. */
const OPTION_MAX = 0xffff;

/** Which way a packet went, as the guest sees it (bits 0 and 1 of epb_flags). */
export type Direction = 'unknown' | 'inbound' | 'outbound';

const DIRECTIONS = { unknown: 0, inbound: 1, outbound: 2 } as const;

/** An interface of a capture. */
export interface CaptureInterface {
  readonly name: string;
  readonly description: string;
  /** One of {@link LinkType}. */
  readonly linkType: number;
}

/** A packet of a capture. */
export interface CapturePacket {
  /** Number of its interface, in the order in which the interfaces were described. */
  readonly interface: number;
  /** Time in ns, below 2^53. */
  readonly nanoseconds: number;
  readonly direction: Direction;
  /** Its bytes, one after another. What goes beyond {@link SNAP_LENGTH} is cut off. */
  readonly parts: readonly Uint8Array[];
  readonly comment?: string | undefined;
}

/** The block that begins a file. */
export function sectionHeader(application: string): Uint8Array {
  const options = [textOption(SHB_USER_APPLICATION, application)];
  return block(BLOCK_SECTION_HEADER, 16, options, (view) => {
    view.setUint32(0, BYTE_ORDER_MAGIC, true);
    // Version 1.0; the length of the section is not known
    view.setUint16(4, 1, true);
    view.setUint32(8, 0xffffffff, true);
    view.setUint32(12, 0xffffffff, true);
  });
}

/** The block that describes the next interface. */
export function interfaceDescription(of: CaptureInterface): Uint8Array {
  const options = [
    textOption(IF_NAME, of.name),
    textOption(IF_DESCRIPTION, of.description),
    option(IF_TSRESOL, Uint8Array.of(NANOSECONDS)),
  ];
  return block(BLOCK_INTERFACE_DESCRIPTION, 8, options, (view) => {
    view.setUint16(0, of.linkType, true);
    view.setUint32(4, SNAP_LENGTH, true);
  });
}

/** The block of a packet. */
export function enhancedPacket(packet: CapturePacket): Uint8Array {
  const { nanoseconds, parts, comment } = packet;
  const flags = new Uint8Array(4);
  flags[0] = DIRECTIONS[packet.direction];
  const options = [option(EPB_FLAGS, flags)];
  if (comment !== undefined) options.push(textOption(OPT_COMMENT, comment));
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const kept = Math.min(length, SNAP_LENGTH);
  return block(BLOCK_ENHANCED_PACKET, 20 + padded(kept), options, (view) => {
    view.setUint32(0, packet.interface, true);
    view.setUint32(4, Math.floor(nanoseconds / 2 ** 32), true);
    view.setUint32(8, nanoseconds % 2 ** 32, true);
    view.setUint32(12, kept, true);
    view.setUint32(16, length, true);
    let at = 20;
    for (const part of parts) {
      const bytes = part.subarray(0, 20 + kept - at);
      new Uint8Array(view.buffer, view.byteOffset + at, bytes.length).set(bytes);
      at += bytes.length;
    }
  });
}

/** Bytes of `length` with their padding to 32 bits. */
function padded(length: number): number {
  return (length + 3) & ~3;
}

/** An option with its padding. */
function option(code: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + padded(value.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, code, true);
  view.setUint16(2, value.length, true);
  bytes.set(value, 4);
  return bytes;
}

function textOption(code: number, text: string): Uint8Array {
  return option(code, new TextEncoder().encode(text).subarray(0, OPTION_MAX));
}

/** A block: type, length, body, options and the end of options, and the length once more. */
function block(
  type: number,
  bodyLength: number,
  options: readonly Uint8Array[],
  fill: (body: DataView) => void,
): Uint8Array {
  const optionsLength = options.reduce((sum, each) => sum + each.length, 4);
  const length = 12 + bodyLength + optionsLength;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  fill(new DataView(bytes.buffer, 8, bodyLength));
  let at = 8 + bodyLength;
  for (const each of options) {
    bytes.set(each, at);
    at += each.length;
  }
  view.setUint32(length - 4, length, true);
  return bytes;
}
