// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Frames and where they come from. A frame has one owner at a time: whoever passes it on has it no
 * more, and the last one gives it back to the pool.
 */

import { ETH_LONGEST } from './protocol.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Room for the longest frame, an oversized test block and the zero byte of the checksum. */
const CAPACITY = 1536;

/** Most frames that a network has at one time: queued, held back or built. */
export const FRAMES_MAX = 4096;

/** Where a frame goes when its time has come. */
export interface FrameSink {
  arrive(frame: Frame): void;
}

/** A frame without check sequence. */
export class Frame {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The same bytes as words in the order of the machine, for checksums. */
  readonly words: Uint16Array;
  length = 0;

  /** When and where it arrives, and its neighbours in the queue. For the delay line only. */
  due = 0;
  sink: FrameSink | undefined;
  previous: Frame | undefined;
  next: Frame | undefined;

  /** View of the contents when they were last asked for. */
  #contents: Uint8Array | undefined;

  constructor() {
    const buffer = new ArrayBuffer(CAPACITY);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.words = new Uint16Array(buffer);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.length, this.due, this.sink], (v) => ([this.length, this.due, this.sink] = v));
    keeper.put([this.previous, this.next], (v) => ([this.previous, this.next] = v));
    keeper.put([this.#contents], (v) => ([this.#contents] = v));
    keeper.keep(this.bytes, this.view, this.words);
  }

  /** Exactly the frame's bytes. The view is made again only when the length has changed. */
  get contents(): Uint8Array {
    if (this.#contents?.length !== this.length) {
      this.#contents = this.bytes.subarray(0, this.length);
    }
    return this.#contents!;
  }
}

/** Frames for reuse. */
export class FramePool {
  readonly #free: Frame[] = [];
  #made = 0;

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    // A copy, and nothing of the frames themselves: their contents are nobody's
    keeper.put([this.#made], (v) => ([this.#made] = v));
    keeper.shallow(this.#free);
  }

  /** A frame of undefined contents, or undefined if all {@link FRAMES_MAX} are on their way. */
  take(): Frame | undefined {
    const frame = this.#free.pop();
    if (frame !== undefined) return frame;
    if (this.#made === FRAMES_MAX) return undefined;
    this.#made++;
    return new Frame();
  }

  /** A copy of `bytes`, at most {@link ETH_LONGEST} of them. */
  copy(bytes: Uint8Array): Frame | undefined {
    if (bytes.length > ETH_LONGEST) throw new RangeError(`frame of ${bytes.length} bytes`);
    const frame = this.take();
    if (frame === undefined) return undefined;
    frame.bytes.set(bytes);
    frame.length = bytes.length;
    return frame;
  }

  give(frame: Frame): void {
    this.#free.push(frame);
  }

  /** Frames that are on their way. */
  get used(): number {
    return this.#made - this.#free.length;
  }
}
