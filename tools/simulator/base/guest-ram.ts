// SPDX-License-Identifier: GPL-2.0-or-later

/** Guest RAM from the host's side: bytes and little-endian words at guest physical addresses. */
export class GuestRam {
  readonly buffer: ArrayBufferLike;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The same as signed words in the byte order of this machine: to compare and to search. */
  readonly words: Int32Array;

  constructor(buffer: ArrayBufferLike) {
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.words = new Int32Array(buffer, 0, buffer.byteLength >>> 2);
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
