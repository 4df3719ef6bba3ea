// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Writes a capture to a file, each block as it comes: memory does not grow with it, and of a guest
 * that hangs and is ended from outside nothing is lost that led to it.
 */

import { Capture } from '../../capture/capture.ts';
import type { CapturedMemory } from '../../capture/rndis-messages.ts';
import { OutputFile } from './output-file.ts';
import { systemReason } from '../system-reason.ts';

/** What a capture needs to know of the machine. */
export interface CapturedMachine {
  readonly nics: number;
  readonly memory: CapturedMemory;
}

export class CaptureWriter {
  readonly capture: Capture;
  readonly #file: OutputFile;
  /**
   * Why the file is incomplete: nothing is written any more once a write has failed. Events come
   * out of the middle of a guest, which is no place for a full disk.
   */
  failure: string | undefined;

  /** @throws Error of the file system if the file cannot be opened */
  constructor(path: string, { nics, memory }: CapturedMachine) {
    this.#file = new OutputFile(path);
    const write = (block: Uint8Array): void => this.#write(block);
    this.capture = new Capture({ nics, memory, application: 'hypxe', write });
  }

  close(): void {
    this.#attempt(() => (this.failure === undefined ? this.#file.finish() : this.#file.abandon()));
  }

  /** Nothing more comes, and it is not whole: what was there before stays. */
  abandon(): void {
    this.failure ??= 'the run came to no end';
    this.close();
  }

  #write(block: Uint8Array): void {
    if (this.failure !== undefined) return;
    this.#attempt(() => this.#file.write(block));
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.failure ??= systemReason(error);
    }
  }
}
