// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Ethernet frames on a stream: each with its length before it, in 4 bytes, big endian. So do passt,
 * QEMU's `-netdev stream` and `-netdev socket`, and a bridge of a TAP device of a few lines.
 */

import { FRAME_MAX } from './frame-ring.ts';

/** Bytes of the length. */
const LENGTH_BYTES = 4;

/** A peer that says what cannot be: where one frame ends is not known any more. */
export class FrameLengthError extends Error {
  override readonly name = 'FrameLengthError';
}

/** A frame as it goes onto the stream. */
export function encodeFrame(frame: Uint8Array): Uint8Array {
  const record = new Uint8Array(LENGTH_BYTES + frame.length);
  new DataView(record.buffer).setUint32(0, frame.length);
  record.set(frame, LENGTH_BYTES);
  return record;
}

/** Cuts a stream into frames, however it comes in. */
export class StreamFrames {
  readonly #take: (frame: Uint8Array) => void;
  /** A record that has not come in as a whole: its length and the frame, as far as it is there. */
  readonly #record = new Uint8Array(LENGTH_BYTES + FRAME_MAX);
  readonly #view = new DataView(this.#record.buffer);
  #have = 0;
  #length: number | undefined;

  /** @param take gets each frame; its bytes are valid during the call only */
  constructor(take: (frame: Uint8Array) => void) {
    this.#take = take;
  }

  /** What of a frame has come in; undefined between frames. */
  get partial(): string | undefined {
    if (this.#have === 0) return undefined;
    const of = this.#length === undefined ? 'the length' : `${this.#length + LENGTH_BYTES}`;
    return `after ${this.#have} bytes of ${of}`;
  }

  /** More of the stream has come in. @throws FrameLengthError */
  write(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const want = LENGTH_BYTES + (this.#length ?? 0) - this.#have;
      const part = chunk.subarray(at, at + want);
      this.#record.set(part, this.#have);
      this.#have += part.length;
      at += part.length;
      if (part.length === want) this.#complete();
    }
  }

  /** The length is there, or the whole frame. */
  #complete(): void {
    if (this.#length !== undefined) {
      this.#take(this.#record.subarray(LENGTH_BYTES, this.#have));
      this.#length = undefined;
      this.#have = 0;
      return;
    }
    const length = this.#view.getUint32(0);
    if (length === 0 || length > FRAME_MAX) {
      const text = `a frame of ${length} bytes was announced: 1 to ${FRAME_MAX} are possible`;
      throw new FrameLengthError(text);
    }
    this.#length = length;
  }
}
