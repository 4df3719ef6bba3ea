// SPDX-License-Identifier: GPL-2.0-or-later

/** The boot image: a place for it in guest memory, filled as it arrives. */

import { HypxeError } from '../error.ts';
import type { MapAllocator, PageRun } from '../memory/allocator.ts';
import { copyBytes, type GuestMemory } from '../memory/guest-memory.ts';
import type { DownloadSink } from '../net/download.ts';

/** Images lie above the first MiB, where nothing of a PC's own lies. */
export const IMAGE_ADDRESS_MIN = 0x100000;

/** Where the memory for images and shared pages comes from: a `MapAllocator`, also another's. */
export type ImageAllocator = Pick<
  MapAllocator,
  'pageSize' | 'allocate' | 'allocateLow' | 'largest' | 'free'
>;

export class Image implements DownloadSink {
  readonly #memory: GuestMemory;
  readonly #allocator: ImageAllocator;
  #place: PageRun | undefined;
  /** Bytes received. */
  length = 0;
  /** Where the last block came from, and its view: all blocks come from one buffer. */
  #source: Uint8Array | undefined;
  #sourceView: DataView | undefined;

  constructor(memory: GuestMemory, allocator: ImageAllocator) {
    this.#memory = memory;
    this.#allocator = allocator;
  }

  /** Guest physical address of the first byte; 0 before {@link begin}. */
  get address(): number {
    return this.#place?.address ?? 0;
  }

  /** Find a place. @throws HypxeError ImageTooLarge, before anything is overwritten */
  begin(size: number | undefined): void {
    this.discard();
    if (size === 0) throw new HypxeError('ImageEmpty', 'the image is empty');
    const room = this.#allocator.largest(IMAGE_ADDRESS_MIN);
    this.#place = this.#allocator.allocateLow(size, IMAGE_ADDRESS_MIN);
    if (this.#place !== undefined) return;
    const what = size === undefined ? 'an image' : `an image of ${size} bytes`;
    const text = `${what} does not fit: ${room} bytes are free in one piece`;
    throw new HypxeError('ImageTooLarge', text);
  }

  /** @throws HypxeError ImageTooLarge if the server sends more than there is room for */
  write(offset: number, buffer: Uint8Array, from: number, length: number): void {
    const place = this.#place!;
    if (offset + length > place.length) {
      const text = `image exceeds the ${place.length} bytes at 0x${place.address.toString(16)}`;
      throw new HypxeError('ImageTooLarge', text);
    }
    if (buffer !== this.#source) {
      this.#source = buffer;
      this.#sourceView = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    }
    copyBytes(this.#sourceView!, from, this.#memory.view, place.address + offset, length);
    this.length = Math.max(this.length, offset + length);
  }

  /** The image is complete: give back what was taken too much. @throws HypxeError ImageEmpty */
  finish(): void {
    if (this.length === 0) throw new HypxeError('ImageEmpty', 'the image is empty');
    const { pageSize } = this.#allocator;
    this.#keep(Math.ceil(this.length / pageSize) * pageSize);
  }

  /** Give the place back: the download has failed. */
  discard(): void {
    this.#keep(0);
    this.#place = undefined;
    this.length = 0;
  }

  /** Give back all but the first `kept` bytes of the place. */
  #keep(kept: number): void {
    const { address = 0, length = 0 } = this.#place ?? {};
    if (kept < length) this.#allocator.free(address + kept, length - kept);
    this.#place = { address, length: kept };
  }
}
