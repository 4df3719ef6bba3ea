// SPDX-License-Identifier: GPL-2.0-or-later

/** DHCP messages (RFC 2131, 2132, 3396): writing ours, reading the server's. */

import { get16, get32, getText, put16, put32 } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { MAC_LENGTH, putMac, sameMac } from './ethernet.ts';
import {
  DHCP_MAGIC,
  DHCP_SHORTEST,
  DhcpHeader,
  DhcpOp,
  DhcpOption,
  DhcpOverload,
  HARDWARE_ETHERNET,
} from './protocol.ts';

const at = DhcpHeader.at;

/** What we ask the server for (option 55): no more than what is used. */
export const DHCP_PARAMETERS: readonly number[] = [
  DhcpOption.SUBNET_MASK,
  DhcpOption.ROUTER,
  DhcpOption.MTU,
  DhcpOption.LEASE_TIME,
  DhcpOption.SERVER_IDENTIFIER,
  DhcpOption.TFTP_SERVER_NAME,
  DhcpOption.BOOT_FILE,
  DhcpOption.TFTP_SERVER_ADDRESS,
];

/** UNDI 2.1, the interface that a PXE ROM announces (RFC 4578, 2.2; iPXE sends the same). */
const CLIENT_INTERFACE = [1, 2, 1];

/** Limits of options that the caller gives, so that every message fits 576 bytes. */
export const DHCP_USER_CLASS_MAX = 64;

/** Who asks: what is the same in each message of a boot. */
export interface DhcpIdentity {
  /** Hardware address, 6 bytes. */
  readonly address: Uint8Array;
  /** Client architecture (RFC 4578, 2.1): 0 x86 BIOS, 7 x64 UEFI, 11 arm64 UEFI. */
  readonly architecture: number;
  /** UUID of the machine, 16 bytes in wire order (option 97), if known. */
  readonly uuid: Uint8Array | undefined;
  /** User class (option 77), if the servers' configuration wants one. */
  readonly userClass: string | undefined;
}

/** What differs between messages. */
export interface DhcpQuery {
  readonly type: number;
  readonly xid: number;
  /** Seconds since the client began. */
  readonly secs: number;
  /** Longest message that can be received, in bytes. */
  readonly maxLength: number;
  /** The offer that is asked for; 0 in a DISCOVER. */
  readonly requested: Ipv4Address;
  readonly server: Ipv4Address;
}

/** Write a message at the start of `bytes` and return its length. */
export function putDhcpMessage(bytes: Uint8Array, who: DhcpIdentity, query: DhcpQuery): number {
  // The header: no address yet, and able to take unicast before there is one, so no flag
  bytes.fill(0, 0, DhcpHeader.size);
  bytes[at.op] = DhcpOp.REQUEST;
  bytes[at.hardwareType] = HARDWARE_ETHERNET;
  bytes[at.hardwareLength] = MAC_LENGTH;
  put32(bytes, at.xid, query.xid);
  put16(bytes, at.secs, Math.min(query.secs, 0xffff));
  putMac(bytes, at.chaddr, who.address);
  put32(bytes, at.magic, DHCP_MAGIC);

  // The message, in iPXE's order
  let end = DhcpHeader.size;
  const option = (code: number, ...values: readonly number[]): void => {
    bytes[end++] = code;
    bytes[end++] = values.length;
    for (const value of values) bytes[end++] = value;
  };
  const u16 = (value: number): number[] => [value >>> 8, value & 255];
  const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value & 0xffff)];
  const text = (value: string): number[] => Array.from(value, (c) => c.charCodeAt(0) & 255);
  option(DhcpOption.MESSAGE_TYPE, query.type);
  if (query.requested !== 0) {
    option(DhcpOption.SERVER_IDENTIFIER, ...u32(query.server));
    option(DhcpOption.REQUESTED_ADDRESS, ...u32(query.requested));
  }

  // Who we are, as a PXE client says it (RFC 4578)
  const architecture = String(who.architecture).padStart(5, '0');
  option(DhcpOption.MAX_MESSAGE_SIZE, ...u16(query.maxLength));
  option(DhcpOption.CLIENT_ARCHITECTURE, ...u16(who.architecture));
  option(DhcpOption.CLIENT_INTERFACE, ...CLIENT_INTERFACE);
  option(DhcpOption.VENDOR_CLASS, ...text(`PXEClient:Arch:${architecture}:UNDI:002001`));
  if (who.userClass !== undefined)
    option(DhcpOption.USER_CLASS, ...text(who.userClass.slice(0, DHCP_USER_CLASS_MAX)));
  option(DhcpOption.PARAMETER_LIST, ...DHCP_PARAMETERS);
  option(DhcpOption.CLIENT_IDENTIFIER, HARDWARE_ETHERNET, ...who.address);
  if (who.uuid !== undefined) option(DhcpOption.CLIENT_UUID, 0, ...who.uuid);
  bytes[end++] = DhcpOption.END;

  // Old relays drop what is shorter than BOOTP's messages
  if (end < DHCP_SHORTEST) bytes.fill(0, end, DHCP_SHORTEST);
  return Math.max(end, DHCP_SHORTEST);
}

/** A message from a server. */
export interface DhcpMessage {
  readonly type: number;
  readonly yiaddr: Ipv4Address;
  readonly siaddr: Ipv4Address;
  /** Text of the header fields; '' if empty or used for options. */
  readonly sname: string;
  readonly file: string;
  /** Options by code, the parts of a split one put together (RFC 3396). */
  readonly options: ReadonlyMap<number, Uint8Array>;
}

/** Whether `length` bytes at `offset` are an answer to the client with this transaction. */
export function isDhcpReply(
  bytes: Uint8Array,
  offset: number,
  length: number,
  xid: number,
  address: Uint8Array,
): boolean {
  return (
    length >= DhcpHeader.size &&
    bytes[offset + at.op] === DhcpOp.REPLY &&
    bytes[offset + at.hardwareType] === HARDWARE_ETHERNET &&
    bytes[offset + at.hardwareLength] === MAC_LENGTH &&
    get32(bytes, offset + at.xid) === (xid | 0) &&
    sameMac(bytes, offset + at.chaddr, address) &&
    get32(bytes, offset + at.magic) === DHCP_MAGIC
  );
}

/**
 * Read a message that is at least a header long. Returns what is wrong with it as text, if
 * something is: it is ignored as a whole then.
 */
export function parseDhcpMessage(
  bytes: Uint8Array,
  offset: number,
  length: number,
): DhcpMessage | string {
  // Options lie behind the header, and in header fields that option 52 names
  const options = new Map<number, Uint8Array>();
  const behind = offset + DhcpHeader.size;
  let bad = readOptions(bytes, behind, offset + length, options);
  const overload = options.get(DhcpOption.OVERLOAD)?.[0] ?? 0;
  const fileIsOptions = (overload & DhcpOverload.FILE) !== 0;
  const snameIsOptions = (overload & DhcpOverload.SNAME) !== 0;
  if (fileIsOptions) bad ??= readOptions(bytes, offset + at.file, offset + at.magic, options);
  if (snameIsOptions) bad ??= readOptions(bytes, offset + at.sname, offset + at.file, options);
  if (bad !== undefined) return bad;

  const type = options.get(DhcpOption.MESSAGE_TYPE);
  if (type?.length !== 1) return 'no message type (BOOTP?)';
  return {
    type: type[0]!,
    yiaddr: get32(bytes, offset + at.yiaddr),
    siaddr: get32(bytes, offset + at.siaddr),
    sname: snameIsOptions ? '' : getText(bytes, offset + at.sname, DhcpHeader.sizes.sname),
    file: fileIsOptions ? '' : getText(bytes, offset + at.file, DhcpHeader.sizes.file),
    options,
  };
}

/** Read options up to END or `end` (some servers leave END out). Returns what is wrong. */
function readOptions(
  bytes: Uint8Array,
  from: number,
  end: number,
  options: Map<number, Uint8Array>,
): string | undefined {
  for (let i = from; i < end;) {
    const code = bytes[i++]!;
    if (code === DhcpOption.PAD) continue;
    if (code === DhcpOption.END) return undefined;
    if (i === end || i + 1 + bytes[i]! > end) return `option ${code} is cut off`;
    const length = bytes[i++]!;
    const before = options.get(code);
    const whole = new Uint8Array((before?.length ?? 0) + length);
    if (before !== undefined) whole.set(before);
    for (let k = 0; k < length; k++) whole[whole.length - length + k] = bytes[i + k]!;
    options.set(code, whole);
    i += length;
  }
  return undefined;
}

/** An option that is an IPv4 address, or the first of a list of them; 0 if there is none. */
export function optionAddress(message: DhcpMessage, code: number): Ipv4Address {
  const bytes = message.options.get(code);
  return bytes !== undefined && bytes.length >= 4 ? get32(bytes, 0) : 0;
}

/** An option that is a 16-bit or 32-bit unsigned number, or undefined. */
export function optionNumber(message: DhcpMessage, code: number): number | undefined {
  const bytes = message.options.get(code);
  if (bytes?.length === 2) return get16(bytes, 0);
  return bytes?.length === 4 ? get32(bytes, 0) >>> 0 : undefined;
}

/** An option that is text, up to the NUL that some servers put behind it; '' if there is none. */
export function optionText(message: DhcpMessage, code: number): string {
  const bytes = message.options.get(code);
  return bytes === undefined ? '' : getText(bytes, 0, bytes.length);
}
