// SPDX-License-Identifier: GPL-2.0-or-later

/** Where guest RAM lies in a buffer that has more in it: the memory of a PC emulator. */
export interface RamWindow {
  /** Byte of the buffer that is guest physical address 0; a multiple of 4. */
  readonly offset: number;
  /** Bytes of RAM. */
  readonly length: number;
}

/** Guest RAM from the host's side: bytes and little-endian words at guest physical addresses. */
export class GuestRam {
  buffer: ArrayBufferLike;
  bytes: Uint8Array;
  view: DataView;
  /** The same as signed words in the byte order of this machine: to compare and to search. */
  words: Int32Array;
  readonly #window: RamWindow;

  /** `window`: default all of the buffer. @throws RangeError if it is not in the buffer */
  constructor(buffer: ArrayBufferLike, window?: RamWindow) {
    const { offset, length } = (this.#window = window ?? { offset: 0, length: buffer.byteLength });
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer, offset, length);
    this.view = new DataView(buffer, offset, length);
    this.words = new Int32Array(buffer, offset, length >>> 2);
  }

  /**
   * The same bytes lie in another buffer now, at the same offset: the memory of a WebAssembly
   * module has grown, which took the old one away. Views that somebody has kept are to be taken
   * again.
   */
  retake(buffer: ArrayBufferLike): void {
    const { offset, length } = this.#window;
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer, offset, length);
    this.view = new DataView(buffer, offset, length);
    this.words = new Int32Array(buffer, offset, length >>> 2);
  }

  /** Size in bytes. */
  get size(): number {
    return this.bytes.length;
  }

  /** Whether `length` bytes at `address` are RAM. */
  has(address: number, length: number): boolean {
    return address >= 0 && length >= 0 && address + length <= this.bytes.length;
  }
}
