// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a host writes into the inbound ring of a channel, found by looking at the ring: packets, and
 * indices that are none of the ring or do not say where a packet ends.
 */

import {
  PacketFooter,
  PacketHeader,
  XferPageHeader,
  XferPageRange,
} from '../../src/vmbus/protocol.ts';
import type { GuestRing, PageList } from '../replay/host/guest-ring.ts';

/** One write of the host. */
export interface RingWrite {
  readonly start: number;
  /** The packet; empty if only the index moves. */
  readonly bytes: Uint8Array;
  /** The index afterwards. */
  readonly end: number;
}

/** The inbound ring of one channel, as it was seen last. */
export class InboundRing {
  readonly #ring: GuestRing;
  readonly #data: PageList;
  /** Where the host writes next. */
  #next: number;
  /** The index that it has set instead, which is none of the ring. */
  #beyond: number | undefined;
  /** What lay in the ring at the last look: of an index that is none, what is new is a packet. */
  readonly #before: Uint8Array;

  constructor(ring: GuestRing) {
    this.#ring = ring;
    this.#data = ring.data;
    this.#next = this.#isIndex(ring.producer) ? ring.producer : 0;
    this.#before = ring.data.read(0, ring.data.length);
  }

  /** What the host has written since the last look. */
  look(): readonly RingWrite[] {
    const { producer } = this.#ring;
    if (producer === (this.#beyond ?? this.#next)) return [];
    const writes = this.#isIndex(producer) ? this.#upTo(producer) : this.#notTo(producer);
    this.#data.copyTo(this.#before);
    return writes;
  }

  /** Both indices are set to where the host writes next. Returns the index, if there is one. */
  empty(): number | undefined {
    const ring = this.#ring;
    if (ring.producer === ring.consumer) return undefined;
    if (this.#beyond === undefined && this.#isIndex(ring.producer)) this.#next = ring.producer;
    this.#beyond = undefined;
    ring.consumer = ring.producer = this.#next;
    return this.#next;
  }

  /** Whether it is an index of the ring: a guest may have left anything there. */
  #isIndex(value: number): boolean {
    return value < this.#data.length && value % 8 === 0;
  }

  /** The index is one of the ring. */
  #upTo(producer: number): readonly RingWrite[] {
    const size = this.#data.length;
    const writes: RingWrite[] = [];
    // It may say again what it has said before
    if (producer === this.#next)
      writes.push({ start: producer, bytes: new Uint8Array(0), end: producer });
    this.#beyond = undefined;
    while (this.#next !== producer) {
      const start = this.#next;
      const produced = (producer - start + size) % size;
      // A packet is written down whole, also beyond the index: there are guests that read it. What
      // is none is written down as the bytes that it is
      const bytes = this.#packet(start) ?? this.#data.read(start, produced);
      const end = (start + Math.min(bytes.length, produced)) % size;
      writes.push({ start, bytes, end });
      this.#next = end;
    }
    return writes;
  }

  /** The index is none: what has been written is what was not there before. */
  #notTo(producer: number): readonly RingWrite[] {
    const size = this.#data.length;
    const writes: RingWrite[] = [];
    for (let used = 0; used < size;) {
      const start = this.#next;
      const bytes = this.#packet(start);
      const isNew = (byte: number, i: number): boolean => byte !== this.#before[(start + i) % size];
      if (bytes === undefined || !bytes.some(isNew)) break;
      this.#next = (start + bytes.length) % size;
      writes.push({ start, bytes, end: this.#next });
      used += bytes.length;
    }
    this.#beyond = producer;
    const last = writes.pop() ?? { start: this.#next, bytes: new Uint8Array(0) };
    return [...writes, { ...last, end: producer }];
  }

  /** The packet that begins at `start`, if there can be one. */
  #packet(start: number): Uint8Array | undefined {
    const size = this.#data.length;
    const header = new DataView(this.#data.read(start, PacketHeader.size).buffer);
    const length = header.getUint16(PacketHeader.at.qlen, true) * 8 + PacketFooter.size;
    const { consumer } = this.#ring;
    const used = consumer < size ? (start - consumer + size) % size : 0;
    if (length <= PacketHeader.size || length > size - 8 - used) return undefined;
    return this.#data.read(start, length);
  }
}

/** Ranges of a packet that are looked into. */
const RANGES_MAX = 64;

/** Where in the receive buffer a packet of transfer pages says that something lies. */
export function transferRanges(
  bytes: Uint8Array,
): readonly { readonly offset: number; readonly length: number }[] {
  if (bytes.length < XferPageHeader.size) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = view.getUint32(XferPageHeader.at.rangeCount, true);
  const ranges = [];
  for (let i = 0; i < Math.min(count, RANGES_MAX); i++) {
    const at = XferPageHeader.size + i * XferPageRange.size;
    if (at + XferPageRange.size > bytes.length) break;
    const length = view.getUint32(at, true);
    ranges.push({ offset: view.getUint32(at + XferPageRange.at.offset, true), length });
  }
  return ranges;
}
