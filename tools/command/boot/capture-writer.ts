// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Writes a capture to a file, each block as it comes: memory does not grow with it, and of a guest
 * that hangs and is ended from outside nothing is lost that led to it.
 */

import * as fs from 'node:fs';
import { Capture } from '../../capture/capture.ts';
import type { CapturedMemory } from '../../capture/rndis-messages.ts';

/** What a capture needs to know of the machine. */
export interface CapturedMachine {
  readonly nics: number;
  readonly memory: CapturedMemory;
}

export class CaptureWriter {
  readonly capture: Capture;
  readonly #descriptor: number;
  /**
   * Why the file is incomplete: nothing is written any more once a write has failed. Events come
   * out of the middle of a guest, which is no place for a full disk.
   */
  failure: string | undefined;

  /** @throws Error of the file system if the file cannot be opened */
  constructor(path: string, { nics, memory }: CapturedMachine) {
    this.#descriptor = fs.openSync(path, 'w');
    const write = (block: Uint8Array): void => this.#write(block);
    this.capture = new Capture({ nics, memory, application: 'hypxe', write });
  }

  close(): void {
    this.#attempt(() => fs.closeSync(this.#descriptor));
  }

  #write(block: Uint8Array): void {
    if (this.failure !== undefined) return;
    this.#attempt(() => {
      // One write may take less than all
      let left = block;
      while (left.length > 0) left = left.subarray(fs.writeSync(this.#descriptor, left));
    });
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.failure ??= (error as Error).message;
    }
  }
}
