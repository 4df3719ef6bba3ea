// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A ring of Ethernet frames in shared memory: one thread puts frames in, one takes them out, and
 * neither ever waits for the other. A frame that finds no room is counted and lost, as in a NIC.
 *
 * Memory: four words, then the data. A record is a word with the length of the frame and the frame,
 * filled up to whole words; it never wraps round. Where it would, a word {@link TO_START} says that
 * the next record is at the start of the data.
 */

/** Longest frame that a ring takes, in bytes: what a jumbo frame and an offload may have. */
export const FRAME_MAX = 65535;

/** Words of the head of a ring. HEAD and TAIL count bytes modulo 2^32. */
const HEAD = 0;
const TAIL = 1;
const DROPPED = 2;
const STATE = 3;
const HEAD_BYTES = 16;

/** Bits of the STATE word. */
const CLOSED = 1;
const ASLEEP = 2;

/** In place of a length: the rest of the data is not used. */
const TO_START = 0xffff_ffff;

/** Size of the data, in bytes: a power of two with room for some of the longest frames. */
const DATA_MIN = 2 ** 18;
const DATA_MAX = 2 ** 30;

/** What stands in a ring is impossible: whoever is at the other end has broken it. */
export class BrokenRingError extends Error {
  override readonly name = 'BrokenRingError';
}

export class FrameRing {
  /** The memory, for the other end. */
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #records: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #size: number;

  /**
   * One end of a ring.
   *
   * @param memory memory of the ring whose other end there is, or size of the data of a new one, a
   *   power of two from 256 KiB
   * @throws RangeError for a size that makes no ring
   */
  constructor(memory: SharedArrayBuffer | number = DATA_MIN * 4) {
    const size = typeof memory === 'number' ? memory : memory.byteLength - HEAD_BYTES;
    if (size < DATA_MIN || size > DATA_MAX || (size & (size - 1)) !== 0) {
      throw new RangeError(`a ring of ${size} bytes`);
    }
    this.buffer = typeof memory === 'number' ? new SharedArrayBuffer(HEAD_BYTES + size) : memory;
    this.#words = new Int32Array(this.buffer, 0, HEAD_BYTES / 4);
    this.#records = new Uint32Array(this.buffer, HEAD_BYTES);
    this.#bytes = new Uint8Array(this.buffer, HEAD_BYTES);
    this.#size = size;
  }

  /** Frames that found no room. */
  get dropped(): number {
    return Atomics.load(this.#words, DROPPED) >>> 0;
  }

  /** Whether whoever puts frames in has said that there will be no more. */
  get closed(): boolean {
    return (Atomics.load(this.#words, STATE) & CLOSED) !== 0;
  }

  get empty(): boolean {
    return Atomics.load(this.#words, HEAD) === Atomics.load(this.#words, TAIL);
  }

  // --- the end that puts in ---

  /** Put a frame in. False if there is no room, or the frame is longer than {@link FRAME_MAX}. */
  push(frame: Uint8Array): boolean {
    const size = this.#size;
    const head = Atomics.load(this.#words, HEAD) >>> 0;
    const tail = Atomics.load(this.#words, TAIL) >>> 0;
    const need = 4 + ((frame.length + 3) & ~3);
    let at = head & (size - 1);
    const skipped = at + need > size ? size - at : 0;
    if (frame.length > FRAME_MAX || ((head - tail) >>> 0) + skipped + need > size) {
      Atomics.add(this.#words, DROPPED, 1);
      return false;
    }
    if (skipped > 0) {
      this.#records[at >>> 2] = TO_START;
      at = 0;
    }
    this.#records[at >>> 2] = frame.length;
    this.#bytes.set(frame, at + 4);
    // The frame is there before whoever takes it is told
    Atomics.store(this.#words, HEAD, (head + skipped + need) | 0);
    return true;
  }

  /** There will be no more frames. */
  close(): void {
    Atomics.or(this.#words, STATE, CLOSED);
  }

  /** Wake a taker that sleeps in {@link wait}. */
  notify(): void {
    Atomics.notify(this.#words, HEAD);
  }

  /** Whether the taker has said that it wants to be told; it is told once. */
  takeSleeper(): boolean {
    return (Atomics.and(this.#words, STATE, ~ASLEEP) & ASLEEP) !== 0;
  }

  // --- the end that takes out ---

  /**
   * Take a frame out: `take` is called with bytes that are valid during the call only. False if
   * there is none.
   *
   * @throws BrokenRingError
   */
  pull(take: (frame: Uint8Array) => void): boolean {
    const size = this.#size;
    const head = Atomics.load(this.#words, HEAD) >>> 0;
    let tail = Atomics.load(this.#words, TAIL) >>> 0;
    if (head === tail) return false;
    let at = tail & (size - 1);
    if (this.#records[at >>> 2] === TO_START) {
      tail += size - at;
      at = 0;
    }
    const length = this.#records[at >>> 2]!;
    const used = (head - tail) >>> 0;
    const need = 4 + ((length + 3) & ~3);
    if (length > FRAME_MAX || need > used || used > size || at + need > size) {
      throw new BrokenRingError(`a frame of ${length} bytes where ${used} are in use`);
    }
    try {
      take(this.#bytes.subarray(at + 4, at + 4 + length));
    } finally {
      Atomics.store(this.#words, TAIL, (tail + need) | 0);
    }
    return true;
  }

  /** Block until a frame is put in or the ring is being closed, or for so many milliseconds. */
  wait(ms: number): void {
    const head = Atomics.load(this.#words, HEAD);
    if (head !== Atomics.load(this.#words, TAIL)) return;
    Atomics.wait(this.#words, HEAD, head, ms);
  }

  /** Ask to be told of the next frame (see {@link takeSleeper}). */
  sleep(): void {
    Atomics.or(this.#words, STATE, ASLEEP);
  }
}
