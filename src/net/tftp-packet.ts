// SPDX-License-Identifier: GPL-2.0-or-later

/** TFTP packets (RFC 1350) and their options (RFC 2347, 2348, 2349, 7440). */

import { get16, getText, quoted } from './bytes.ts';
import { TFTP_BLOCK_MIN, TFTP_ERROR_TEXT, TFTP_HEADER, TftpErrorCode } from './protocol.ts';
import type { ErrorName } from '../error.ts';

/** Longest text of an error that is repeated to the user, in bytes. */
const ERROR_TEXT_MAX = 128;

/** Options by name: what is asked for, or what the server grants. */
export type TftpValues = Map<string, number>;
export const NO_OPTIONS: TftpValues = new Map();

/**
 * Sizes from here on are none: servers say -1 for what they do not know, and as 32 bits that is
 * this number.
 */
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
  const text = Array.from(bytes.subarray(offset + 2, offset + length), (byte) =>
    String.fromCharCode(byte),
  );
  const words = text
    .join('')
    .toLowerCase()
    .split(/[\0 ]+/);
  for (const [name, asked] of ask) {
    const at = words.indexOf(name);
    if (at < 0) continue;
    const word = words[at + 1] ?? '';
    const value = /^\d+$/.test(word) ? Number(word) : -1;
    const isSize = name === 'tsize';
    const least = name === 'blksize' ? TFTP_BLOCK_MIN : 1;
    if (value >= least && (isSize ? value < SIZE_UNKNOWN : value <= asked))
      granted.set(name, value);
    else if (!isSize) return `${quoted(name)} with value ${quoted(word)}`;
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
