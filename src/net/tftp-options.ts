// SPDX-License-Identifier: GPL-2.0-or-later

/** What a TFTP transfer can be told, its bounds, and what it reports. */

/** Patience with the server: first try, doubled for each further one up to the longest. */
export const TFTP_FIRST_TIMEOUT_MS = 500;
export const TFTP_LONGEST_TIMEOUT_MS = 4000;

/** Times that a packet is sent without any progress, the first included. */
export const TFTP_TRIES = 8;

/** Patience with the whole download. */
export const TFTP_TOTAL_MS = 1_800_000;

/** Bytes between two progress events. */
export const TFTP_PROGRESS_BYTES = 1 << 18;

/** Patience, and what to send. All times in milliseconds. */
export interface TransferOptions {
  readonly firstTimeoutMs?: number;
  readonly longestTimeoutMs?: number;
  readonly tries?: number;
  readonly totalMs?: number;
  readonly progressBytes?: number;
  /** Port of the server. Default 69. */
  readonly port?: number;
}

/** What became of a transfer. */
export interface TftpResult {
  /** Bytes received. */
  readonly length: number;
  readonly blocks: number;
  /** As agreed with the server. */
  readonly blockSize: number;
  readonly windowSize: number;
  /** Blocks that came again, that came too early, and packets that we sent again. */
  readonly duplicates: number;
  readonly gaps: number;
  readonly retransmissions: number;
  /** Packets of other hosts and ports, and malformed ones. */
  readonly ignored: number;
}
