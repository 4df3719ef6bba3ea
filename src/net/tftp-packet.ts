// SPDX-License-Identifier: GPL-2.0-or-later

/** TFTP packets (RFC 1350) and their options (RFC 2347, 2348, 2349, 7440). */

import { get16, getText, quoted } from './bytes.ts';
import { TFTP_BLOCK_MIN, TFTP_ERROR_TEXT, TFTP_HEADER, TftpErrorCode } from './protocol.ts';
import type { ErrorName } from '../error.ts';

/** Longest text of an error that is repeated to the user, in bytes. */
const ERROR_TEXT_MAX = 128;

/** Options by name: what is asked for, or what the server grants. */
export type TftpValues = Map<string, number>;

/** The smallest value of each option. The largest is what was asked for, but of the size. */
const SMALLEST: Readonly<Record<string, number>> = {
  blksize: TFTP_BLOCK_MIN,
  tsize: 0,
  windowsize: 1,
};

/** A read request in octet mode, behind its opcode. */
export function readRequest(file: string, ask: TftpValues): string {
  return [file, 'octet', ...[...ask].flat(), ''].join('\0');
}

/**
 * Read an option acknowledgement of `length` bytes at `offset`. The server may leave options out
 * and lower values; what it may not do is returned as text.
 */
export function parseOptionAck(
  bytes: Uint8Array,
  offset: number,
  length: number,
  ask: TftpValues,
): TftpValues | string {
  const granted: TftpValues = new Map();
  const end = offset + length;
  if (length > 2 && bytes[end - 1] !== 0) return 'option acknowledgement without NUL at its end';
  for (let at = offset + 2; at < end;) {
    // A name and a value, each with its NUL
    const name = getText(bytes, at, end - at).toLowerCase();
    at += name.length + 1;
    if (at >= end) return `option ${quoted(name)} without a value`;
    const text = getText(bytes, at, end - at);
    at += text.length + 1;

    // Within what was asked for, and once
    const what = `${quoted(name)} with value ${quoted(text)}`;
    const asked = ask.get(name);
    if (asked === undefined || granted.has(name)) return `${what}, which was not asked for`;
    const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : -1;
    if (value < SMALLEST[name]! || (value > asked && name !== 'tsize')) return what;
    granted.set(name, value);
  }
  return granted;
}

/** The error that a code of the server is. */
export function tftpErrorOf(code: number): ErrorName {
  if (code === TftpErrorCode.NOT_FOUND) return 'TftpFileNotFound';
  return code === TftpErrorCode.ACCESS ? 'TftpAccessDenied' : 'TftpServerError';
}

/** An error of the server, at least a header long, in words: `file not found (code 1): "…"`. */
export function errorText(bytes: Uint8Array, offset: number, length: number): string {
  const code = get16(bytes, offset + 2);
  const said = getText(bytes, offset + TFTP_HEADER, Math.min(length - TFTP_HEADER, ERROR_TEXT_MAX));
  const words = TFTP_ERROR_TEXT[code] ?? 'unknown error';
  return `${words} (code ${code})${said && `: ${quoted(said)}`}`;
}
