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
  /** Those of frames that wait, the first of them first; then the free ones. */
  readonly #places: Place[] = [];
  /** Frames that wait. */
  length = 0;

  /** The frame that has waited longest, until it is {@link shift}ed; undefined if none waits. */
  get next(): Place | undefined {
    return this.length > 0 ? this.#places[0] : undefined;
  }

  /** Take a frame of at most {@link ETHERNET_FRAME_MAX} bytes. */
  push(frame: Uint8Array, length: number, sequence: number): void {
    const place = (this.#places[this.length++] ??= {
      frame: new Uint8Array(ETHERNET_FRAME_MAX),
    } as Place);
    place.length = length;
    place.sequence = sequence;
    place.frame.set(frame.length > length ? frame.subarray(0, length) : frame);
  }

  /** The frame that has waited longest does not wait any more: its place is free, the last one. */
  shift(): void {
    this.#places.push(this.#places.shift()!);
    this.length--;
  }
}
