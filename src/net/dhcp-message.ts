// SPDX-License-Identifier: GPL-2.0-or-later

/** DHCP messages (RFC 2131, 2132, 3396): writing ours, reading the server's. */

import { get16, get32, getText, MAC_LENGTH, matches, put16, put32 } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import {
  DHCP_MAGIC,
  DHCP_SHORTEST,
  DhcpHeader,
  DhcpOp,
  DhcpOption,
  DhcpOverload,
  HARDWARE_ETHERNET,
} from './protocol.ts';

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

/** What an answer begins with: its direction, and the type and length of hardware addresses. */
const REPLY_PREFIX = Uint8Array.of(DhcpOp.REPLY, HARDWARE_ETHERNET, MAC_LENGTH);

/** Limits of options that the caller gives, so that every message fits 576 bytes. */
export const DHCP_USER_CLASS_MAX = 64;

/** Who asks: what is the same in each message of a boot. */
export interface DhcpIdentity {
  /** Client architecture (RFC 4578, 2.1): 0 x86 BIOS (default), 7 x64 UEFI, 11 arm64 UEFI. */
  readonly architecture?: number;
  /** UUID of the machine, 16 bytes in wire order (option 97), if known. */
  readonly uuid?: Uint8Array;
  /** User class (option 77), if the servers' configuration wants one. At most 64 characters. */
  readonly userClass?: string;
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

/**
 * Write a message of the client with this hardware address at the start of `bytes`, and return its
 * length.
 */
export function putDhcpMessage(
  bytes: Uint8Array,
  address: Uint8Array,
  who: DhcpIdentity,
  query: DhcpQuery,
): number {
  // The header: no address yet, and able to take unicast before there is one, so no flag. Old
  // relays drop what is shorter than BOOTP's messages
  bytes.fill(0, 0, DHCP_SHORTEST);
  bytes.set([DhcpOp.REQUEST, HARDWARE_ETHERNET, MAC_LENGTH], DhcpHeader.at.op);
  put32(bytes, DhcpHeader.at.xid, query.xid);
  put16(bytes, DhcpHeader.at.secs, Math.min(query.secs, 0xffff));
  bytes.set(address, DhcpHeader.at.chaddr);
  put32(bytes, DhcpHeader.at.magic, DHCP_MAGIC);

  // The message, in iPXE's order
  let end: number = DhcpHeader.size;
  const option = (code: number, ...value: number[]): void => {
    bytes.set([code, value.length, ...value], end);
    end += 2 + value.length;
  };
  const u16 = (value: number): number[] => [value >>> 8, value];
  const u32 = (value: number): number[] => [value >>> 24, value >>> 16, ...u16(value)];
  const text = (value: string): number[] => Array.from(value, (char) => char.charCodeAt(0));
  option(DhcpOption.MESSAGE_TYPE, query.type);
  if (query.requested !== 0) {
    option(DhcpOption.SERVER_IDENTIFIER, ...u32(query.server));
    option(DhcpOption.REQUESTED_ADDRESS, ...u32(query.requested));
  }

  // Who we are, as a PXE client says it (RFC 4578)
  const { architecture = 0, userClass, uuid } = who;
  const digits = String(architecture).padStart(5, '0');
  option(DhcpOption.MAX_MESSAGE_SIZE, ...u16(query.maxLength));
  option(DhcpOption.CLIENT_ARCHITECTURE, ...u16(architecture));
  option(DhcpOption.CLIENT_INTERFACE, ...CLIENT_INTERFACE);
  option(DhcpOption.VENDOR_CLASS, ...text(`PXEClient:Arch:${digits}:UNDI:002001`));
  if (userClass !== undefined)
    option(DhcpOption.USER_CLASS, ...text(userClass.slice(0, DHCP_USER_CLASS_MAX)));
  option(DhcpOption.PARAMETER_LIST, ...DHCP_PARAMETERS);
  option(DhcpOption.CLIENT_IDENTIFIER, HARDWARE_ETHERNET, ...address);
  if (uuid !== undefined) option(DhcpOption.CLIENT_UUID, 0, ...uuid);
  bytes[end++] = DhcpOption.END;
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
    matches(bytes, offset + DhcpHeader.at.op, REPLY_PREFIX) &&
    get32(bytes, offset + DhcpHeader.at.xid) === xid &&
    matches(bytes, offset + DhcpHeader.at.chaddr, address) &&
    get32(bytes, offset + DhcpHeader.at.magic) === DHCP_MAGIC
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
  const [sname, file, magic] = [
    offset + DhcpHeader.at.sname,
    offset + DhcpHeader.at.file,
    offset + DhcpHeader.at.magic,
  ];
  let bad = readOptions(bytes, offset + DhcpHeader.size, offset + length, options);
  const overload = options.get(DhcpOption.OVERLOAD)?.[0] ?? 0;
  const fileIsOptions = (overload & DhcpOverload.FILE) !== 0;
  const snameIsOptions = (overload & DhcpOverload.SNAME) !== 0;
  if (fileIsOptions) bad ??= readOptions(bytes, file, magic, options);
  if (snameIsOptions) bad ??= readOptions(bytes, sname, file, options);
  if (bad !== undefined) return bad;

  const type = options.get(DhcpOption.MESSAGE_TYPE);
  if (type?.length !== 1) return 'no message type (BOOTP?)';
  return {
    type: type[0]!,
    yiaddr: get32(bytes, offset + DhcpHeader.at.yiaddr),
    siaddr: get32(bytes, offset + DhcpHeader.at.siaddr),
    sname: snameIsOptions ? '' : getText(bytes, sname, DhcpHeader.sizes.sname),
    file: fileIsOptions ? '' : getText(bytes, file, DhcpHeader.sizes.file),
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
    const value = i + 1;
    const behind = value + bytes[i]!;
    if (i === end || behind > end) return `option ${code} is cut off`;
    const before = options.get(code) ?? [];
    options.set(code, Uint8Array.of(...before, ...bytes.subarray(value, behind)));
    i = behind;
  }
  return undefined;
}

/** An option that is an IPv4 address, or the first of a list of them; 0 if there is none. */
export function optionAddress({ options }: DhcpMessage, code: number): Ipv4Address {
  const bytes = options.get(code);
  return bytes !== undefined && bytes.length >= 4 ? get32(bytes, 0) : 0;
}

/** An option that is a 16-bit or 32-bit unsigned number, or undefined. */
export function optionNumber({ options }: DhcpMessage, code: number): number | undefined {
  const bytes = options.get(code);
  if (bytes?.length === 2) return get16(bytes, 0);
  return bytes?.length === 4 ? get32(bytes, 0) >>> 0 : undefined;
}

/** An option that is text, up to the NUL that some servers put behind it; '' if there is none. */
export function optionText({ options }: DhcpMessage, code: number): string {
  const bytes = options.get(code);
  return bytes === undefined ? '' : getText(bytes, 0, bytes.length);
}
