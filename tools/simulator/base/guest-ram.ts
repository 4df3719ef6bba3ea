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
import { putImage, takeImage, type PageImage } from './page-image.ts';
import type { Keeper } from './snapshot.ts';

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

/** Words from which on a fill is worth two views. */
const PAIRS_MIN = 4096;

/** Where guest RAM lies in a buffer that has more in it: the memory of a PC emulator. */
export interface RamWindow {
  /** Byte of the buffer that is guest physical address 0; a multiple of 4. */
  readonly offset: number;
  /** Bytes of RAM. */
  readonly length: number;
}

export class GuestRam {
  /** The guest's: what it does with it nobody sees. */
  memory!: ArrayBufferLike;
  /** To read. */
  contents!: ReadonlyBytes;
  reader!: ReadonlyView;
  /** The same as signed words in the byte order of this machine: to compare and to search. */
  readerWords!: ReadonlyBytes;
  #bytes!: Uint8Array;
  #view!: DataView;
  #words!: Int32Array;
  readonly #window: RamWindow;
  readonly #copier = new BlockCopy();
  /** By page: overlays that are shown there. */
  readonly #open = new Map<number, number>();
  #listener: PageListener | undefined;
  #isTracked = true;

  /** `window`: default all of the buffer. @throws RangeError if it is not in the buffer */
  constructor(memory: ArrayBufferLike, window?: RamWindow) {
    this.#window = window ?? { offset: 0, length: memory.byteLength };
    this.retake(memory);
  }

  /**
   * The same bytes lie in another buffer now, at the same offset: the memory of a WebAssembly
   * module has grown, which took the old one away. Views that somebody has kept are to be taken
   * again.
   */
  retake(memory: ArrayBufferLike): void {
    const { offset, length } = this.#window;
    this.memory = memory;
    this.contents = this.#bytes = new Uint8Array(memory, offset, length);
    this.reader = this.#view = new DataView(memory, offset, length);
    this.#words = new Int32Array(memory, offset, length >>> 2);
    this.readerWords = this.#words as unknown as ReadonlyBytes;
  }

  /** For a snapshot: who listens. The bytes are saved by page, wherever they lie by then. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#listener, this.#isTracked], (v) => ([this.#listener, this.#isTracked] = v));
    keeper.keep(this.#open);
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
    const { offset } = this.#window;
    const start = offset + 4 * first;
    const inPairs = (end - first) % 2 === 0 && start % 8 === 0 && end - first >= PAIRS_MIN;
    if (!inPairs) return void this.#words.fill(value, first, end);

    // Two at a time take half the time
    const word = BigInt.asUintN(32, BigInt(value));
    new BigUint64Array(this.memory, start, (end - first) / 2).fill((word << 32n) | word);
  }

  /** All that is in it, by page. */
  takeImage(before: PageImage): PageImage {
    return takeImage(this.memory, before, this.#window);
  }

  /** Put back what was in it: nobody is told. */
  putImage(image: PageImage): void {
    putImage(image, this.memory, this.#window);
  }

  // --- pages that are written to directly, as long as an overlay is shown there ---

  /** Show an overlay at `address`: views to write to it. */
  open(address: number): { readonly bytes: Uint8Array; readonly view: DataView } {
    const page = address >>> PAGE_SHIFT;
    if (this.#listener !== undefined) this.#listener.writing(page);
    this.#open.set(page, (this.#open.get(page) ?? 0) + 1);
    return { bytes: this.#bytes, view: this.#view };
  }

  /** The views of overlays that are shown, after {@link retake}. */
  get shown(): { readonly bytes: Uint8Array; readonly view: DataView } {
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
