// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Frames that wait until the device below has room for them, in their order (iPXE netdev_tx_defer).
 * A place of the queue takes memory when it is used first, and keeps it: no frame allocates any.
 */

import { ETHERNET_FRAME_MAX } from './device.ts';

/** A place of the queue: a frame at the start of `frame`, and the number that it was sent under. */
interface Place {
  readonly frame: Uint8Array;
  length: number;
  sequence: number;
}

export class FrameQueue {
  /** Frames that wait, the first of them first; and places that are free. */
  readonly #waiting: Place[] = [];
  readonly #free: Place[] = [];

  get length(): number {
    return this.#waiting.length;
  }

  /** The frame that has waited longest, until it is {@link shift}ed; undefined if none waits. */
  get next(): Place | undefined {
    return this.#waiting[0];
  }

  /** Take a frame of at most {@link ETHERNET_FRAME_MAX} bytes. */
  push(frame: Uint8Array, length: number, sequence: number): void {
    const place = this.#free.pop() ?? {
      frame: new Uint8Array(ETHERNET_FRAME_MAX),
      length,
      sequence,
    };
    place.length = length;
    place.sequence = sequence;
    place.frame.set(frame.length > length ? frame.subarray(0, length) : frame);
    this.#waiting.push(place);
  }

  /** The frame that has waited longest does not wait any more. */
  shift(): void {
    this.#free.push(this.#waiting.shift()!);
  }
}
