// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The boundary between the file copy service and whoever takes the files: what the device
 * /dev/vmbus/hv_fcopy is between Linux's driver and its daemon. A handshake with a version, then
 * one operation at a time, answered at once or later.
 */

/** A file that the host begins to copy. */
export interface FileStart {
  /** Directory and name in UTF-8, as the host gave them: nothing about them is checked. */
  readonly path: Uint8Array;
  readonly name: Uint8Array;
  /** Replace a file that is there already. */
  readonly overwrite: boolean;
  /** Make directories that are missing. */
  readonly createPath: boolean;
  /** Bytes that the file will have: below 2^53. */
  readonly size: number;
}

/** The service's end. */
export interface FilePort {
  /**
   * The handshake: until it is done the host's requests wait.
   *
   * @param version FILE_CONSUMER_VERSION
   * @returns false if the service does not know that version: then nothing will come
   */
  register(version: number): boolean;
  /**
   * Answer an operation for which {@link LATER} was returned.
   *
   * @param status an IcStatus
   * @returns false if it is too late: the host was told a failure, the answer is discarded
   */
  answer(ticket: number, status: number): boolean;
}

/**
 * Takes files. Each operation returns its status (an IcStatus), or LATER and answers through the
 * port, within the service's time limit. Throws nothing.
 *
 * Sizes and offsets are checked before the consumer hears of them; operations come in order: start,
 * writes, then complete or cancel.
 */
export interface FileConsumer {
  /** The service is there: register, now or later. Called again if its channel is opened again. */
  attach(port: FilePort): void;
  start(ticket: number, file: FileStart): number;
  /**
   * `length` bytes at `offset` of the file: those at `from` of `bytes`, valid until answered.
   * Offsets need not be in order, and the same bytes may come again.
   */
  write(ticket: number, offset: number, bytes: Uint8Array, from: number, length: number): number;
  /** The file is complete: each of its bytes was written. */
  complete(ticket: number): number;
  /** The file is not wanted any more: remove what was written. */
  cancel(ticket: number): number;
  /** The same without anybody who waits for an answer, and also while an operation is under way. */
  abandon(reason: string): void;
}
