// SPDX-License-Identifier: GPL-2.0-or-later

/** TFTP packets (RFC 1350) with options (RFC 2347), as a server reads and writes them. */

import { TFTP_HEADER, TftpOpcode } from '../../../../src/net/protocol.ts';
import type { Datagram } from '../server-host.ts';
import { decodeText, encodeText } from '../text.ts';

/** A read request. */
export interface TftpRequest {
  readonly path: string;
  /** `octet`, in lower case. */
  readonly mode: string;
  /** Options as the client wrote them, by their names in lower case; the first of each. */
  readonly options: ReadonlyMap<string, string>;
}

/** Most options that are looked at in one request. */
const OPTIONS_MAX = 32;

/** Read an RRQ or WRQ; undefined if it is malformed. */
export function parseRequest({ bytes, offset, length }: Datagram): TftpRequest | undefined {
  const texts: string[] = [];
  const end = offset + length;
  let at = offset + 2;
  while (at < end && texts.length < 2 + 2 * OPTIONS_MAX) {
    const nul = bytes.indexOf(0, at);
    if (nul < 0 || nul >= end) return undefined;
    const text = decodeText(bytes, at, nul);
    if (text === undefined) return undefined;
    texts.push(text);
    at = nul + 1;
  }
  const [path, mode, ...rest] = texts;
  if (path === undefined || mode === undefined || rest.length % 2 !== 0) return undefined;
  const options = new Map<string, string>();
  for (let i = 0; i < rest.length; i += 2) {
    const name = rest[i]!.toLowerCase();
    if (!options.has(name)) options.set(name, rest[i + 1]!);
  }
  return { path, mode: mode.toLowerCase(), options };
}

/** Code and text of an ERROR; a missing NUL is forgiven. */
export function errorText({ bytes, view, offset, length }: Datagram): string {
  if (length < TFTP_HEADER) return 'error without a code';
  const nul = bytes.indexOf(0, offset + TFTP_HEADER);
  const end = nul < 0 || nul > offset + length ? offset + length : nul;
  const text = decodeText(bytes, offset + TFTP_HEADER, end) ?? 'not text';
  return `error ${view.getUint16(offset + 2)}: ${text}`;
}

/** Longest text of an error that is sent, in bytes. */
const ERROR_TEXT_MAX = 400;

/** Write an ERROR at `at`; returns its length. */
export function writeError(bytes: Uint8Array, at: number, code: number, text: string): number {
  const encoded = encodeText(text.replaceAll('\0', ' ')).subarray(0, ERROR_TEXT_MAX);
  bytes.set([0, TftpOpcode.ERROR, code >>> 8, code & 0xff], at);
  bytes.set(encoded, at + TFTP_HEADER);
  bytes[at + TFTP_HEADER + encoded.length] = 0;
  return TFTP_HEADER + encoded.length + 1;
}

/** Write an OACK at `at`; returns its length. */
export function writeOack(
  bytes: Uint8Array,
  at: number,
  options: ReadonlyMap<string, string>,
): number {
  bytes.set([0, TftpOpcode.OACK], at);
  let length = 2;
  for (const pair of options) {
    for (const text of pair) {
      const encoded = encodeText(text);
      bytes.set(encoded, at + length);
      bytes[at + length + encoded.length] = 0;
      length += encoded.length + 1;
    }
  }
  return length;
}
