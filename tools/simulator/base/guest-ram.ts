// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Guest RAM from the host's side: bytes and little-endian words at guest physical addresses.
 *
 * What the host writes goes through the methods here, so that somebody can be told which pages it
 * writes to ({@link GuestRam.watch}) instead of searching all of memory for it. Whoever takes one
 * of the plain views writes unseen: from then on nothing is known ({@link GuestRam.isTracked}).
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../../../src/machine.ts';
import { BlockCopy } from './block-copy.ts';

/** Bytes that are only read. */
export type ReadonlyBytes = Pick<Uint8Array, 'length' | 'slice'> & {
  readonly [index: number]: number;
};

/** Words that are only read. */
export type ReadonlyView = Pick<
  DataView,
  'getUint8' | 'getUint16' | 'getUint32' | 'getInt32' | 'getBigUint64' | 'getBigInt64'
>;

/** Who is told of what the host writes. */
export interface PageListener {
  /** The host is about to write to this page. */
  writing(page: number): void;
  /** Somebody has a plain view: nothing more is told. */
  unseen?(): void;
}

export class GuestRam {
  /** The guest's: what it does with it nobody sees. */
  readonly memory: ArrayBufferLike;
  /** To read. */
  readonly contents: ReadonlyBytes;
  readonly reader: ReadonlyView;
  /** The same as signed words in the byte order of this machine: to compare and to search. */
  readonly readerWords: ReadonlyBytes;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #copier = new BlockCopy();
  /** By page: overlays that are shown there. */
  readonly #open = new Map<number, number>();
  #listener: PageListener | undefined;
  #isTracked = true;

  constructor(memory: ArrayBufferLike) {
    this.memory = memory;
    this.contents = this.#bytes = new Uint8Array(memory);
    this.reader = this.#view = new DataView(memory);
    this.#words = new Int32Array(memory, 0, memory.byteLength >>> 2);
    this.readerWords = this.#words as unknown as ReadonlyBytes;
  }

  /** Size in bytes. */
  get size(): number {
    return this.#bytes.length;
  }

  /** Whether `length` bytes at `address` are RAM. */
  has(address: number, length: number): boolean {
    return address >= 0 && length >= 0 && address + length <= this.#bytes.length;
  }

  // --- the host reads and writes ---

  /** Copy `length` bytes at `address` to `into[to…]`. */
  read(address: number, into: Uint8Array, to: number, length: number): void {
    this.#copier.copy(this.#bytes, address, into, to, length);
  }

  /** Copy `length` bytes of `from[start…]` to `address`. */
  write(address: number, from: Uint8Array, start = 0, length = from.length): void {
    if (this.#listener !== undefined) this.#tell(address, length);
    this.#copier.copy(from, start, this.#bytes, address, length);
  }

  fill(value: number, start: number, end: number): void {
    if (this.#listener !== undefined) this.#tell(start, end - start);
    this.#bytes.fill(value, start, end);
  }

  setU8(address: number, value: number): void {
    if (this.#listener !== undefined) this.#tell(address, 1);
    this.#view.setUint8(address, value);
  }

  setU32(address: number, value: number): void {
    if (this.#listener !== undefined) this.#tell(address, 4);
    this.#view.setUint32(address, value, true);
  }

  setU64(address: number, value: bigint): void {
    if (this.#listener !== undefined) this.#tell(address, 8);
    this.#view.setBigUint64(address, value, true);
  }

  /** Whoever has memory next leaves this word in all of the words `first` to `end`. */
  fillWords(value: number, first: number, end: number): void {
    this.#words.fill(value, first, end);
  }

  // --- pages that are written to directly, as long as an overlay is shown there ---

  /** Show an overlay at `address`: views to write to it. */
  open(address: number): { readonly bytes: Uint8Array; readonly view: DataView } {
    const page = address >>> PAGE_SHIFT;
    if (this.#listener !== undefined) this.#listener.writing(page);
    this.#open.set(page, (this.#open.get(page) ?? 0) + 1);
    return { bytes: this.#bytes, view: this.#view };
  }

  /** It is shown there no more. */
  close(address: number): void {
    const page = address >>> PAGE_SHIFT;
    const count = (this.#open.get(page) ?? 0) - 1;
    if (count > 0) this.#open.set(page, count);
    else this.#open.delete(page);
  }

  // --- who wants to know ---

  /** Whether all that the host writes is seen: nobody has a plain view. */
  get isTracked(): boolean {
    return this.#isTracked;
  }

  /**
   * From now on tell `listener` of each write, and once of each page that an overlay is shown at.
   * One listener at a time: undefined for none.
   */
  watch(listener: PageListener | undefined): void {
    this.#listener = listener;
    if (listener !== undefined) for (const page of this.#open.keys()) listener.writing(page);
  }

  #tell(address: number, length: number): void {
    const last = Math.floor((address + length - 1) / PAGE_SIZE);
    for (let page = Math.floor(address / PAGE_SIZE); page <= last; page++)
      this.#listener!.writing(page);
  }

  // --- plain views, for whoever plays a host of his own ---

  get buffer(): ArrayBufferLike {
    this.#unseen();
    return this.memory;
  }

  get bytes(): Uint8Array {
    this.#unseen();
    return this.#bytes;
  }

  get view(): DataView {
    this.#unseen();
    return this.#view;
  }

  get words(): Int32Array {
    this.#unseen();
    return this.#words;
  }

  #unseen(): void {
    if (!this.#isTracked) return;
    this.#isTracked = false;
    this.#listener?.unseen?.();
  }
}
