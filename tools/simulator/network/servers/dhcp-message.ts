// SPDX-License-Identifier: GPL-2.0-or-later

/** DHCP messages (RFC 2131, 2) with their options (RFC 2132), as a server reads and writes them. */

import {
  DHCP_MAGIC,
  DHCP_SHORTEST,
  DhcpHeader,
  DhcpOption,
  PXE_CLASS,
  PxeOption,
} from '../../../../src/net/protocol.ts';
import type { Datagram } from '../server-host.ts';
import { encodeText } from '../text.ts';

/** Fields of a message, by offset from its first byte. */
const DHCP = DhcpHeader.at;

export const DHCP_FLAG_BROADCAST = 0x8000;

/** What a client sent. */
export interface DhcpRequest {
  readonly type: number;
  readonly transaction: number;
  readonly flags: number;
  /** Address that the client has (ciaddr), and that of its relay; 0 is none. */
  readonly clientAddress: number;
  readonly relayAddress: number;
  /** MAC address, and the same as a number: the key of its lease. */
  readonly mac: Uint8Array;
  readonly client: number;
  readonly requestedAddress: number | undefined;
  readonly serverId: number | undefined;
  readonly clientId: Uint8Array | undefined;
  /** Whether it is a PXE client, its UUID (option 97), and the boot item that it asks for. */
  readonly isPxe: boolean;
  readonly uuid: Uint8Array | undefined;
  readonly bootItem: number | undefined;
}

/** Read a request; undefined if it is not one of DHCP over Ethernet. */
export function parseDhcp(datagram: Datagram): DhcpRequest | undefined {
  const { offset, length } = datagram;
  if (length < DhcpHeader.size) return undefined;
  const bytes = datagram.bytes.slice(offset, offset + length);
  const view = new DataView(bytes.buffer);
  if (
    bytes[DHCP.op] !== 1 ||
    bytes[DHCP.hardwareType] !== 1 ||
    bytes[DHCP.hardwareLength] !== 6 ||
    view.getUint32(DHCP.magic) !== DHCP_MAGIC
  ) {
    return undefined;
  }
  const options = parseOptions(bytes);
  const type = options?.get(DhcpOption.MESSAGE_TYPE);
  if (options === undefined || type?.length !== 1) return undefined;

  return {
    type: type[0]!,
    transaction: view.getUint32(DHCP.xid),
    flags: view.getUint16(DHCP.flags),
    clientAddress: view.getUint32(DHCP.ciaddr),
    relayAddress: view.getUint32(DHCP.giaddr),
    mac: bytes.slice(DHCP.chaddr, DHCP.chaddr + 6),
    client: view.getUint16(DHCP.chaddr) * 2 ** 32 + view.getUint32(DHCP.chaddr + 2),
    requestedAddress: addressOption(options.get(DhcpOption.REQUESTED_ADDRESS)),
    serverId: addressOption(options.get(DhcpOption.SERVER_IDENTIFIER)),
    clientId: options.get(DhcpOption.CLIENT_IDENTIFIER),
    isPxe: PXE_BYTES.every((byte, i) => options.get(DhcpOption.VENDOR_CLASS)?.[i] === byte),
    uuid: options.get(DhcpOption.CLIENT_UUID),
    bootItem: bootItem(options.get(DhcpOption.VENDOR_ENCAPSULATED)),
  };
}

const PXE_BYTES = encodeText(PXE_CLASS);

/** The type of the boot item in option 43, if it begins with one. */
function bootItem(value: Uint8Array | undefined): number | undefined {
  if (value?.[0] !== PxeOption.BOOT_ITEM || value.length < 4) return undefined;
  return value[2]! * 256 + value[3]!;
}

/** Options by code, the first of each; undefined if one reaches beyond the message. */
function parseOptions(bytes: Uint8Array): Map<number, Uint8Array> | undefined {
  const options = new Map<number, Uint8Array>();
  let at: number = DhcpHeader.size;
  while (at < bytes.length && bytes[at] !== DhcpOption.END) {
    if (bytes[at] === DhcpOption.PAD) {
      at++;
      continue;
    }
    const length = bytes[at + 1];
    if (length === undefined || at + 2 + length > bytes.length) return undefined;
    if (!options.has(bytes[at]!)) options.set(bytes[at]!, bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return options;
}

function addressOption(value: Uint8Array | undefined): number | undefined {
  if (value?.length !== 4) return undefined;
  return new DataView(value.buffer, value.byteOffset).getUint32(0);
}

/** Writes a reply at a place in a frame. */
export class DhcpReply {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #start: number;
  #at: number;

  /** A reply to `request`, with nothing but what it takes over from it. */
  constructor(bytes: Uint8Array, start: number, request: DhcpRequest) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset);
    this.#start = start;
    this.#at = start + DhcpHeader.size;
    bytes.fill(0, start, this.#at);
    bytes[start + DHCP.op] = 2;
    bytes[start + DHCP.hardwareType] = 1;
    bytes[start + DHCP.hardwareLength] = 6;
    this.#view.setUint32(start + DHCP.xid, request.transaction);
    this.#view.setUint16(start + DHCP.flags, request.flags);
    bytes.set(request.mac, start + DHCP.chaddr);
    this.#view.setUint32(start + DHCP.magic, DHCP_MAGIC);
  }

  setAddress(field: 'ciaddr' | 'yiaddr' | 'siaddr' | 'giaddr', address: number): void {
    this.#view.setUint32(this.#start + DHCP[field], address);
  }

  setFile(name: Uint8Array): void {
    this.#bytes.set(name, this.#start + DHCP.file);
  }

  option(code: number, value: ArrayLike<number>): void {
    this.#bytes[this.#at] = code;
    this.#bytes[this.#at + 1] = value.length;
    this.#bytes.set(value, this.#at + 2);
    this.#at += 2 + value.length;
  }

  /** An option of numbers of `size` bytes each. */
  numbers(code: number, size: 2 | 4, ...values: readonly number[]): void {
    const bytes = new DataView(new ArrayBuffer(size * values.length));
    values.forEach((value, i) => {
      if (size === 2) bytes.setUint16(i * 2, value);
      else bytes.setUint32(i * 4, value);
    });
    this.option(code, new Uint8Array(bytes.buffer));
  }

  /** End the options. Returns the length of the message, padded. */
  finish(): number {
    this.#bytes[this.#at++] = DhcpOption.END;
    const padded = Math.max(this.#at, this.#start + DHCP_SHORTEST);
    this.#bytes.fill(0, this.#at, padded);
    return padded - this.#start;
  }
}
