// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * DHCP messages (RFC 2131, 2132, 3396) with what PXE adds (RFC 4578, PXE 2.1): writing ours,
 * reading those of servers. Whatever is good in a message is used: what is cut off, empty or
 * doubled does not spoil the rest.
 */

import { get32, getText, MAC_LENGTH, matches, put16, put32 } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { DropReason } from './drops.ts';
import { MTU_MIN } from './ipv4.ts';
import {
  DHCP_MAGIC,
  DHCP_SHORTEST,
  DhcpHeader,
  DhcpOp,
  DhcpOption,
  DhcpOverload,
  HARDWARE_ETHERNET,
  PXE_CLASS,
} from './protocol.ts';

/**
 * What we ask the servers for (option 55). The static routes come before the router (RFC 3442), and
 * 43, 60 and 128 to 135 are what a PXE client asks for (RFC 4578, 2.4; iPXE).
 */
export const DHCP_PARAMETERS: readonly number[] = [
  DhcpOption.SUBNET_MASK,
  DhcpOption.STATIC_ROUTES,
  DhcpOption.ROUTER,
  DhcpOption.NAME_SERVER,
  DhcpOption.DOMAIN_NAME,
  DhcpOption.MTU,
  DhcpOption.VENDOR_ENCAPSULATED,
  DhcpOption.LEASE_TIME,
  DhcpOption.SERVER_IDENTIFIER,
  DhcpOption.VENDOR_CLASS,
  DhcpOption.TFTP_SERVER_NAME,
  DhcpOption.BOOT_FILE,
  ...[128, 129, 130, 131, 132, 133, 134, 135],
  DhcpOption.TFTP_SERVER_ADDRESS,
];

/** Limits of options that the caller gives, so that every message fits 576 bytes. */
export const DHCP_USER_CLASS_MAX = 64;

/** Codes for what has none: the header fields siaddr and sname, and PXE's options in option 43. */
export const SIADDR = 256;
export const SNAME = 257;
export const PXE = 512;

/** Who asks: what is the same in each message of a boot. */
export interface DhcpIdentity {
  /** Client architecture (RFC 4578, 2.1): 0 x86 BIOS (default), 7 x64 UEFI, 11 arm64 UEFI. */
  readonly architecture?: number;
  /**
   * UUID of the machine, 16 bytes in wire order (option 97). By default made of the hardware
   * address: `00000000-0000-1000-8000-` and its digits.
   */
  readonly uuid?: Uint8Array | undefined;
  /** User class (option 77), if the servers' configuration wants one. At most 64 characters. */
  readonly userClass?: string;
}

/** The bytes of a 16-bit or 32-bit number, for options. */
export const u16 = (value: number): number[] => [(value >>> 8) & 255, value & 255];
export const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value)];

export const textBytes = (text: string): number[] => Array.from(text, (char) => char.charCodeAt(0));

/**
 * Write a message of the client with this hardware address at the start of `bytes`, and return its
 * length. As long as `bytes` may an answer be.
 *
 * @param secs seconds since the client began
 * @param address our address, or 0
 * @param more further options, as they are on the wire
 */
export function putDhcpMessage(
  bytes: Uint8Array,
  mac: Uint8Array,
  { architecture = 0, uuid, userClass = '' }: DhcpIdentity,
  type: number,
  xid: number,
  secs: number,
  address: Ipv4Address,
  more: readonly number[],
): number {
  // The header: able to take unicast before there is an address, so no flag
  bytes.fill(0, 0, DHCP_SHORTEST);
  bytes.set([DhcpOp.REQUEST, HARDWARE_ETHERNET, MAC_LENGTH], DhcpHeader.at.op);
  put32(bytes, DhcpHeader.at.xid, xid);
  put16(bytes, DhcpHeader.at.secs, Math.min(secs, 0xffff));
  put32(bytes, DhcpHeader.at.ciaddr, address);
  bytes.set(mac, DhcpHeader.at.chaddr);
  put32(bytes, DhcpHeader.at.magic, DHCP_MAGIC);

  // What it is about, then who we are, as a PXE client says it: UNDI 2.1 (RFC 4578, 2.2)
  const user = textBytes(userClass.slice(0, DHCP_USER_CLASS_MAX));
  const digits = String(architecture).padStart(5, '0');
  const options = [
    ...[DhcpOption.MESSAGE_TYPE, 1, type],
    ...more,
    ...[DhcpOption.MAX_MESSAGE_SIZE, 2, ...u16(Math.max(MTU_MIN, bytes.length))],
    ...[DhcpOption.CLIENT_ARCHITECTURE, 2, ...u16(architecture)],
    ...[DhcpOption.CLIENT_INTERFACE, 3, 1, 2, 1],
    ...[DhcpOption.VENDOR_CLASS, 32, ...textBytes(`${PXE_CLASS}:Arch:${digits}:UNDI:002001`)],
    ...(user.length > 0 ? [DhcpOption.USER_CLASS, user.length, ...user] : []),
    ...[DhcpOption.PARAMETER_LIST, DHCP_PARAMETERS.length, ...DHCP_PARAMETERS],
    ...[DhcpOption.CLIENT_IDENTIFIER, 1 + MAC_LENGTH, HARDWARE_ETHERNET, ...mac],
    ...[DhcpOption.CLIENT_UUID, 17, 0],
    ...(uuid ?? [0, 0, 0, 0, 0, 0, 16, 0, 128, 0, ...mac]),
    DhcpOption.END,
  ];
  bytes.set(options, DhcpHeader.size);

  // Old relays drop what is shorter than BOOTP's messages
  return Math.max(DhcpHeader.size + options.length, DHCP_SHORTEST);
}

/** A message from a server. */
export interface DhcpMessage {
  /** 0: none, it is a BOOTP reply (RFC 951). */
  readonly type: number;
  readonly yiaddr: Ipv4Address;
  /** Who it is from: the server's identifier, or where it came from if it has none. */
  readonly server: Ipv4Address;
  /**
   * Options by code. A boot file in the header is option 67 (and counts more, as in iPXE);
   * {@link SIADDR}, {@link SNAME} and {@link PXE} plus the code of PXE's option stand for the rest.
   */
  readonly options: Map<number, ArrayLike<number>>;
}

/**
 * Read a message for the client with this transaction and hardware address, or tell why it is of no
 * use. What options were cut off is told to `count`.
 */
export function readDhcpMessage(
  bytes: Uint8Array,
  source: Ipv4Address,
  xid: number,
  mac: Uint8Array,
  count: (reason: DropReason) => void,
): DhcpMessage | DropReason {
  if (bytes.length < DhcpHeader.size || bytes[DhcpHeader.at.op] !== DhcpOp.REPLY)
    return 'dhcpMalformed';
  if (get32(bytes, DhcpHeader.at.xid) !== xid || !matches(bytes, DhcpHeader.at.chaddr, mac))
    return 'dhcpForeign';

  // Options lie behind the header, and in header fields that option 52 names
  const options: DhcpMessage['options'] = new Map();
  const read = (from: ArrayLike<number>, base = 0): void => {
    if (!readOptions(from, options, base)) count('dhcpOption');
  };
  const field = (code: number, bit: number, from: number, end: number): void => {
    const value = bytes.subarray(from, end);
    if ((options.get(DhcpOption.OVERLOAD)?.[0] ?? 0) & bit) read(value);
    else if (value[0] !== 0) options.set(code, value);
  };
  if (get32(bytes, DhcpHeader.at.magic) === DHCP_MAGIC) read(bytes.subarray(DhcpHeader.size));
  field(DhcpOption.BOOT_FILE, DhcpOverload.FILE, DhcpHeader.at.file, DhcpHeader.at.magic);
  field(SNAME, DhcpOverload.SNAME, DhcpHeader.at.sname, DhcpHeader.at.file);
  field(SIADDR, 0, DhcpHeader.at.siaddr, DhcpHeader.at.giaddr);
  if (optionText({ options }, DhcpOption.BOOT_FILE) === '') options.delete(DhcpOption.BOOT_FILE);
  read(options.get(DhcpOption.VENDOR_ENCAPSULATED) ?? [], PXE);
  return {
    type: options.get(DhcpOption.MESSAGE_TYPE)?.[0] ?? 0,
    yiaddr: get32(bytes, DhcpHeader.at.yiaddr),
    server: optionAddresses({ options }, DhcpOption.SERVER_IDENTIFIER)[0] || source,
    options,
  };
}

/**
 * Read options up to END or the end (some servers leave END out, some options say that they are
 * longer), as codes from `base` on. Whether nothing was cut off.
 *
 * Of an option that is there twice the first counts, unless it is one that was split (RFC 3396): at
 * 255 bytes, at the end of a header field, or static routes (RFC 3442).
 */
function readOptions(
  bytes: ArrayLike<number>,
  options: DhcpMessage['options'],
  base: number,
): boolean {
  const elsewhere = new Set(options.keys());
  for (let i = 0; i < bytes.length && bytes[i] !== DhcpOption.END;) {
    const code = base + bytes[i++]!;
    if (code === base + DhcpOption.PAD) continue;
    const behind = i + 1 + bytes[i]!;
    if (!(behind <= bytes.length)) return false;
    const value: number[] = [].slice.call(bytes, i + 1, behind);
    i = behind;
    const before = Array.from(options.get(code) ?? []);
    const isSplit =
      before.length % 255 === 0 || code === DhcpOption.STATIC_ROUTES || elsewhere.delete(code);
    if (isSplit && String(before) !== String(value)) options.set(code, [...before, ...value]);
  }
  return true;
}

/** An option, or nothing. */
export function option({ options }: Pick<DhcpMessage, 'options'>, code: number): ArrayLike<number> {
  return options.get(code) ?? [];
}

/** An option that is a list of IPv4 addresses. */
export function optionAddresses(
  message: Pick<DhcpMessage, 'options'>,
  code: number,
): Ipv4Address[] {
  const bytes = option(message, code);
  return Array.from({ length: bytes.length >> 2 }, (_, i) => get32(bytes, 4 * i));
}

/** An option that is text, up to the NUL that some servers put behind it; '' if there is none. */
export function optionText(message: Pick<DhcpMessage, 'options'>, code: number): string {
  const bytes = option(message, code);
  return getText(bytes, 0, bytes.length);
}

/** Whether a message is from a server that knows PXE. */
export function isPxe(message: DhcpMessage): boolean {
  return optionText(message, DhcpOption.VENDOR_CLASS).startsWith(PXE_CLASS);
}
