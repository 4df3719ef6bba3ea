// SPDX-License-Identifier: GPL-2.0-or-later

/** Writes a capture to a file, as it comes: what is gathered in memory has a bound. */

import * as fs from 'node:fs';
import { Capture } from '../capture/capture.ts';

/** Bytes gathered before they are written. */
const BUFFER_SIZE = 1 << 16;

/** What a capture needs to know of the machine. */
export interface CapturedMachine {
  readonly nics: number;
  readonly memory: ArrayBufferLike;
}

export class CaptureWriter {
  readonly capture: Capture;
  readonly #descriptor: number;
  readonly #buffer = new Uint8Array(BUFFER_SIZE);
  #length = 0;
  /**
   * Why the file is incomplete: nothing is written any more once a write has failed. Events come
   * out of the middle of a guest, which is no place for a full disk.
   */
  failure: string | undefined;

  /** @throws Error of the file system if the file cannot be opened */
  constructor(path: string, { nics, memory }: CapturedMachine) {
    this.#descriptor = fs.openSync(path, 'w');
    const write = (block: Uint8Array): void => this.#gather(block);
    this.capture = new Capture({ nics, memory, application: 'hypxe', write });
  }

  close(): void {
    this.#attempt(() => this.#flush());
    this.#attempt(() => fs.closeSync(this.#descriptor));
  }

  #gather(block: Uint8Array): void {
    if (this.failure !== undefined) return;
    this.#attempt(() => {
      if (this.#length + block.length > BUFFER_SIZE) this.#flush();
      if (block.length > BUFFER_SIZE) return this.#put(block);
      this.#buffer.set(block, this.#length);
      this.#length += block.length;
    });
  }

  #flush(): void {
    if (this.failure !== undefined) return;
    const length = this.#length;
    this.#length = 0;
    this.#put(this.#buffer.subarray(0, length));
  }

  /** One write may take less than all. */
  #put(bytes: Uint8Array): void {
    let left = bytes;
    while (left.length > 0) left = left.subarray(fs.writeSync(this.#descriptor, left));
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.failure ??= (error as Error).message;
    }
  }
}
