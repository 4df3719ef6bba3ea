// SPDX-License-Identifier: GPL-2.0-or-later

/** Where a downloaded file goes. */

/** Takes a file in order, from its first byte to its last. */
export interface DownloadSink {
  /**
   * Called before anything is written: the size in bytes, a hint, or undefined if the server has
   * not told it. Called again when the file begins anew: what was written does not count then.
   *
   * @throws HypxeError to refuse the file: the server is told to stop, nothing is written.
   */
  begin(size: number | undefined): void;
  /**
   * `length` bytes of the file at `offset`: those at `from` of `buffer`, valid only during the
   * call.
   *
   * @throws HypxeError to end the download.
   */
  write(offset: number, buffer: Uint8Array, from: number, length: number): void;
}
