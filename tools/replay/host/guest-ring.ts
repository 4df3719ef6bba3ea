// SPDX-License-Identifier: GPL-2.0-or-later

/** Memory that the guest has given to the host, as the host sees it: lists of pages, and rings. */

import { RingControl } from '../../../src/vmbus/protocol.ts';

/** Bytes of the guest that may not be contiguous: a part of a GPADL. */
export class PageList {
  readonly #memory: Uint8Array;
  readonly #view: DataView;
  readonly #pages: readonly number[];
  /** Length in bytes. */
  readonly length: number;

  constructor(memory: Uint8Array, pages: readonly number[]) {
    this.#memory = memory;
    this.#view = new DataView(memory.buffer, memory.byteOffset);
    this.#pages = pages;
    this.length = pages.length * 4096;
  }

  /** Guest physical address of a byte. */
  address(offset: number): number {
    return this.#pages[offset >>> 12]! + (offset & 0xfff);
  }

  /** Read `length` bytes from `offset`, wrapping at the end of the list. */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++)
      bytes[i] = this.#memory[this.address((offset + i) % this.length)]!;
    return bytes;
  }

  /** Copy all of it. */
  copyTo(target: Uint8Array): void {
    this.#pages.forEach((page, i) =>
      target.set(this.#memory.subarray(page, page + 4096), i * 4096),
    );
  }

  /** Write `bytes` from `offset`, wrapping at the end of the list. */
  write(offset: number, bytes: Uint8Array): void {
    bytes.forEach((byte, i) => (this.#memory[this.address((offset + i) % this.length)] = byte));
  }

  readU32(offset: number): number {
    return this.#view.getUint32(this.address(offset), true);
  }

  writeU32(offset: number, value: number): void {
    this.#view.setUint32(this.address(offset), value, true);
  }
}

/** One ring: control page and data. */
export class GuestRing {
  readonly control: PageList;
  readonly data: PageList;

  constructor(memory: Uint8Array, pages: readonly number[]) {
    this.control = new PageList(memory, pages.slice(0, 1));
    this.data = new PageList(memory, pages.slice(1));
  }

  get producer(): number {
    return this.control.readU32(RingControl.at.prod);
  }

  set producer(value: number) {
    this.control.writeU32(RingControl.at.prod, value);
  }

  get consumer(): number {
    return this.control.readU32(RingControl.at.cons);
  }

  set consumer(value: number) {
    this.control.writeU32(RingControl.at.cons, value);
  }

  /** The host looks by itself and wants no signals. */
  get isMasked(): boolean {
    return this.control.readU32(RingControl.at.interruptMask) !== 0;
  }
}
