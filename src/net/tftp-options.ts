// SPDX-License-Identifier: GPL-2.0-or-later

/** What a TFTP transfer is told, how patient it is, and what becomes of it. */

import type { Ipv4Address } from './bytes.ts';
import type { DownloadSink } from './download.ts';
import type { Patience } from './udp.ts';
import type { TftpValues } from './tftp-packet.ts';

/**
 * Patience with the server: the first try, doubled for each further one up to the longest; times
 * that a packet is sent without any progress, the first included; and the whole download.
 */
export const TFTP_PATIENCE: Required<Pick<TransferOptions, keyof Patience | 'totalMs'>> = {
  firstTimeoutMs: 500,
  longestTimeoutMs: 4000,
  tries: 8,
  totalMs: 1_800_000,
};

/** The longest try before the first answer: a server may have to wake a disk, or itself. */
export const TFTP_LONGEST_REQUEST_MS = 16_000;

/** Requests without an answer before one without options is sent: some servers drop the others. */
export const TFTP_OPTION_TRIES = 4;

/**
 * Tries without an answer before a file is complete that has the size that was told: some servers
 * never send the empty block behind a last one that is full.
 */
export const TFTP_WHOLE_TRIES = 3;

/**
 * Tries in which block 1 came instead of block 0 before the server is known to count so. In a
 * window block 0 may as well be lost.
 */
export const TFTP_WRAP_TRIES = 3;

/** Times that ICMP says that nobody listens before a server that was there is gone. */
export const TFTP_UNREACHABLE_TRIES = 2;

/** Bytes between two progress events. */
export const TFTP_PROGRESS_BYTES = 1 << 18;

/** Patience, and what to send. All times in milliseconds. */
export interface TransferOptions {
  readonly firstTimeoutMs?: number;
  /** Also before the first answer, where the default is {@link TFTP_LONGEST_REQUEST_MS}. */
  readonly longestTimeoutMs?: number;
  readonly tries?: number;
  /** Of all transfers that a file takes. */
  readonly totalMs?: number;
  readonly progressBytes?: number;
  /** Port of the server. Default 69. */
  readonly port?: number;
}

/** What is asked for, of whom, and where it goes. */
export interface TransferRequest {
  readonly server: Ipv4Address;
  readonly serverPort: number;
  readonly file: string;
  /** Our port. */
  readonly port: number;
  readonly ask: TftpValues;
  readonly sink: DownloadSink;
  /** When to give up, in ticks. */
  readonly deadline: number;
  readonly options: TransferOptions;
  /**
   * Where the file may end, if an earlier transfer ended before the size that was told: there, or
   * at that size. A transfer that does so adds to it.
   */
  readonly ends: number[];
}

/** What became of a transfer. */
export interface TftpResult {
  /** Bytes received. */
  readonly length: number;
  readonly blocks: number;
  /** As agreed with the server. */
  readonly blockSize: number;
  readonly windowSize: number;
}
