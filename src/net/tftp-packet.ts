// SPDX-License-Identifier: GPL-2.0-or-later

/** TFTP packets (RFC 1350) and their options (RFC 2347, 2348, 2349, 7440). */

import { get16, getText, put16, putText, quoted } from './bytes.ts';
import { TFTP_BLOCK_MIN, TFTP_ERROR_TEXT, TFTP_HEADER, TftpOpcode } from './protocol.ts';

/** Longest text of an error that is repeated to the user, in bytes. */
const ERROR_TEXT_MAX = 128;

/** Options of a request. */
export interface TftpAsk {
  /** Bytes in a block, or 0 to leave the option out. */
  readonly blockSize: number;
  /** Blocks that are sent before one is acknowledged; up to 1 leaves the option out. */
  readonly windowSize: number;
  /** Whether to ask for the size of the file. */
  readonly size: boolean;
}

/** Options as the server acknowledges them. */
export interface TftpGrant {
  readonly blockSize: number | undefined;
  readonly windowSize: number | undefined;
  readonly size: number | undefined;
}

/** Length of a read request in bytes, to be checked before it is written. */
export function readRequestLength(file: string, ask: TftpAsk): number {
  let length = 2 + file.length + 1 + 'octet'.length + 1;
  for (const text of optionTexts(ask)) length += text.length + 1;
  return length;
}

/** Write a read request in octet mode and return its length. */
export function putReadRequest(bytes: Uint8Array, file: string, ask: TftpAsk): number {
  put16(bytes, 0, TftpOpcode.RRQ);
  let end = 2;
  for (const text of [file, 'octet', ...optionTexts(ask)]) {
    end = putText(bytes, end, text);
    bytes[end++] = 0;
  }
  return end;
}

/** Names and values of the options, in iPXE's order, with that of RFC 7440 behind. */
function optionTexts(ask: TftpAsk): string[] {
  const texts: string[] = [];
  if (ask.blockSize > 0) texts.push('blksize', String(ask.blockSize));
  if (ask.size) texts.push('tsize', '0');
  if (ask.windowSize > 1) texts.push('windowsize', String(ask.windowSize));
  return texts;
}

/**
 * Read an option acknowledgement of `length` bytes at `offset`. The server may leave options out
 * and lower values; what it may not do is returned as text.
 */
export function parseOptionAck(
  bytes: Uint8Array,
  offset: number,
  length: number,
  ask: TftpAsk,
): TftpGrant | string {
  const end = offset + length;
  if (length > 2 && bytes[end - 1] !== 0) return 'option acknowledgement without NUL at its end';
  let blockSize: number | undefined;
  let windowSize: number | undefined;
  let size: number | undefined;
  for (let at = offset + 2; at < end;) {
    // A name and a value, each with its NUL
    const name = getText(bytes, at, end - at).toLowerCase();
    at += name.length + 1;
    if (at >= end) return `option ${quoted(name)} without a value`;
    const text = getText(bytes, at, end - at);
    at += text.length + 1;
    const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : -1;
    const what = `${quoted(name)} with value ${quoted(text)}`;

    if (name === 'blksize' && ask.blockSize > 0 && blockSize === undefined) {
      if (value < TFTP_BLOCK_MIN || value > ask.blockSize) return what;
      blockSize = value;
    } else if (name === 'windowsize' && ask.windowSize > 1 && windowSize === undefined) {
      if (value < 1 || value > ask.windowSize) return what;
      windowSize = value;
    } else if (name === 'tsize' && ask.size && size === undefined) {
      if (value < 0) return what;
      size = value;
    } else return `${what}, which was not asked for`;
  }
  return { blockSize, windowSize, size };
}

/** Write an acknowledgement and return its length. */
export function putAck(bytes: Uint8Array, block: number): number {
  put16(bytes, 0, TftpOpcode.ACK);
  put16(bytes, 2, block);
  return TFTP_HEADER;
}

/** Write an error and return its length. */
export function putError(bytes: Uint8Array, code: number, text: string): number {
  put16(bytes, 0, TftpOpcode.ERROR);
  put16(bytes, 2, code);
  const end = putText(bytes, TFTP_HEADER, text.slice(0, ERROR_TEXT_MAX));
  bytes[end] = 0;
  return end + 1;
}

/** An error of the server, at least a header long, in words: `file not found (code 1): "…"`. */
export function errorText(bytes: Uint8Array, offset: number, length: number): string {
  const code = get16(bytes, offset + 2);
  const said = getText(bytes, offset + TFTP_HEADER, Math.min(length - TFTP_HEADER, ERROR_TEXT_MAX));
  const words = TFTP_ERROR_TEXT[code] ?? 'unknown error';
  return `${words} (code ${code})${said === '' ? '' : `: ${quoted(said)}`}`;
}
