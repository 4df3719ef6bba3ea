// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Ranges of receive buffers that the guest has given back with a completion: from then on the host
 * may write there, and so it does. Whoever completes a packet before it has read it reads that.
 */

import {
  COMPLETION_REQUESTED,
  PacketHeader,
  PacketType,
  XferPageHeader,
  XferPageRange,
} from '../../../src/vmbus/protocol.ts';
import type { PacketMeaning } from '../anchor-keys.ts';
import type { GuestChannels, GuestGpadl } from '../guest-channels.ts';
import { PageList } from './guest-ring.ts';

/** What a host writes into memory that is its own again. */
const RETURNED = 0xdd;

/** Most ranges of a packet that are looked at. */
const RANGES_MAX = 512;

/** A part of a receive buffer. */
interface LentRange {
  readonly gpadl: GuestGpadl;
  readonly offset: number;
  readonly length: number;
}

export class ReturnedRanges {
  readonly #memory: Uint8Array;
  readonly #channels: GuestChannels;
  /** Ranges that the guest may read, by channel and transaction. */
  readonly #lent = new Map<string, readonly LentRange[]>();
  /** What lay in those that were written over. */
  #returned: { readonly range: LentRange; readonly bytes: Uint8Array }[] = [];

  constructor(memory: Uint8Array, channels: GuestChannels) {
    this.#memory = memory;
    this.#channels = channels;
  }

  /** The host is about to write: what it has written before is there again. */
  restore(): void {
    for (const { range, bytes } of this.#returned.reverse())
      if (this.#isGranted(range)) this.#pages(range).write(range.offset, bytes);
    this.#returned = [];
  }

  /** The host has written a packet. */
  written(channel: number, bytes: Uint8Array): void {
    if (bytes.length < XferPageHeader.size) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const asks = (view.getUint16(PacketHeader.at.flags, true) & COMPLETION_REQUESTED) !== 0;
    const { DATA_XFER_PAGES } = PacketType;
    if (!asks || view.getUint16(PacketHeader.at.type, true) !== DATA_XFER_PAGES) return;
    const transaction = view.getBigUint64(PacketHeader.at.transactionId, true);
    this.#lent.set(`${channel} ${transaction}`, this.#rangesOf(channel, view));
  }

  #rangesOf(channel: number, view: DataView): readonly LentRange[] {
    const buffer = this.#channels.receiveBuffers.get(channel);
    const gpadl = this.#channels.gpadls.get(buffer?.gpadl ?? -1);
    if (gpadl === undefined) return [];
    const { rangeCount } = XferPageHeader.at;
    const count = Math.min(view.getUint32(rangeCount, true), RANGES_MAX);
    const ranges: LentRange[] = [];
    for (let i = 0; i < count; i++) {
      const at = XferPageHeader.size + i * XferPageRange.size;
      if (at + XferPageRange.size > view.byteLength) break;
      const length = view.getUint32(at, true);
      const offset = view.getUint32(at + XferPageRange.at.offset, true);
      if (offset + length <= gpadl.pages.length * 4096) ranges.push({ gpadl, offset, length });
    }
    return ranges;
  }

  /** The guest has written a packet: a completion gives back what it completes. */
  answered(channel: number, { type, transaction }: PacketMeaning): void {
    if (type !== PacketType.COMPLETION) return;
    const key = `${channel} ${transaction}`;
    const ranges = this.#lent.get(key) ?? [];
    this.#lent.delete(key);
    const others = [...this.#lent.values()].flat();
    for (const range of ranges) {
      if (!this.#isGranted(range) || others.some((other) => overlaps(range, other))) continue;
      const pages = this.#pages(range);
      this.#returned.push({ range, bytes: pages.read(range.offset, range.length) });
      pages.write(range.offset, new Uint8Array(range.length).fill(RETURNED));
    }
  }

  #pages({ gpadl }: LentRange): PageList {
    return new PageList(this.#memory, gpadl.pages);
  }

  /** Whether the host has the memory still. */
  #isGranted({ gpadl }: LentRange): boolean {
    return this.#channels.gpadls.get(gpadl.id) === gpadl;
  }
}

function overlaps(one: LentRange, other: LentRange): boolean {
  if (one.gpadl !== other.gpadl) return false;
  return one.offset < other.offset + other.length && other.offset < one.offset + one.length;
}
