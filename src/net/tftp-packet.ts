// SPDX-License-Identifier: GPL-2.0-or-later

/** TFTP packets (RFC 1350) and their options (RFC 2347, 2348, 2349, 7440). */

import { get16, getText, quoted } from './bytes.ts';
import { TFTP_BLOCK_MIN, TFTP_HEADER, TftpErrorCode } from './protocol.ts';
import type { ErrorName } from '../error.ts';

/** Longest text of an error that is repeated to the user, in bytes. */
const ERROR_TEXT_MAX = 128;

/** Options by name: what is asked for, or what the server grants. */
export type TftpValues = Map<string, number>;
export const NO_OPTIONS: TftpValues = new Map();

/** The smallest value of what may be lowered. */
const SMALLEST: Readonly<Record<string, number>> = { blksize: TFTP_BLOCK_MIN, windowsize: 1 };

/** A size of -1, as 32 bits have it: some servers say so when they do not know. */
const SIZE_UNKNOWN = 0xffffffff;

/** A read request in octet mode, behind its opcode. */
export function readRequest(file: string, ask: TftpValues): string {
  return [file, 'octet', ...[...ask].flat(), ''].join('\0');
}

/**
 * Read an option acknowledgement of `length` bytes at `offset`. Servers may leave options out and
 * lower values; they also add options of their own, NULs and blanks (iPXE reads on, too). A size
 * that cannot be is none. A value that nobody can go by is returned as text.
 */
export function parseOptionAck(
  bytes: Uint8Array,
  offset: number,
  length: number,
  ask: TftpValues,
): TftpValues | string {
  const granted: TftpValues = new Map();
  const text = String.fromCharCode(...bytes.subarray(offset + 2, offset + length));
  const words = text.toLowerCase().split(/[\0\s]+/);
  for (const [name, asked] of ask) {
    const at = words.indexOf(name);
    if (at < 0) continue;
    const word = words[at + 1] ?? '';
    const value = /^\d{1,15}$/.test(word) ? Number(word) : 0;
    if (name === 'tsize') {
      if (value > 0 && value !== SIZE_UNKNOWN) granted.set(name, value);
    } else if (value < SMALLEST[name]! || value > asked) {
      return `${quoted(name)} with value ${quoted(word)}`;
    } else granted.set(name, value);
  }
  return granted;
}

/** The error that a code of the server is. */
export function tftpErrorOf(code: number): ErrorName {
  if (code === TftpErrorCode.NOT_FOUND) return 'TftpFileNotFound';
  return code === TftpErrorCode.ACCESS ? 'TftpAccessDenied' : 'TftpServerError';
}

/** An error of the server, at least a header long, in its own words: `error 1: "no such file"`. */
export function errorText(bytes: Uint8Array, offset: number, length: number): string {
  const said = getText(bytes, offset + TFTP_HEADER, Math.min(length - TFTP_HEADER, ERROR_TEXT_MAX));
  return `error ${get16(bytes, offset + 2)}${said && `: ${quoted(said)}`}`;
}
