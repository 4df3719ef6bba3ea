// SPDX-License-Identifier: GPL-2.0-or-later

/** The ranges of a GPA-direct packet, read one by one from the host's copy of the packet. */

import { PAGE_SHIFT, PAGE_SIZE } from '../../../src/machine.ts';
import { GpaDirectHeader, GpaRange } from '../../../src/vmbus/protocol.ts';
import type { GuestPacket } from '../vmbus-server/channel-interface.ts';
import type { PacketRequest } from '../ledger/grants.ts';
import type { GuestRam } from '../base/guest-ram.ts';
import type { Keeper } from '../base/snapshot.ts';

/** What {@link GpaRanges.next} found. */
export const RangeResult = {
  /** No more ranges. */
  END: 0,
  /** A range: see {@link GpaRanges.request}. */
  RANGE: 1,
  /** A range with pages that are not RAM. */
  OUTSIDE: 2,
  /** The packet is not well formed: the channel ends. */
  MALFORMED: 3,
} as const;

export class GpaRanges {
  readonly #ram: GuestRam;
  #packet: GuestPacket | undefined;
  #left = 0;
  #at = 0;
  /** The range, as the ledger wants it. The same object each time. */
  readonly request: PacketRequest = {
    purpose: 'packet in flight',
    pfns: [],
    pfnCount: 0,
    offset: 0,
    length: 0,
    grantedBy: 'GPA-direct packet',
    revokedWith: 'the completion of the packet',
    channel: 0,
  };

  constructor(ram: GuestRam) {
    this.#ram = ram;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#packet, this.#left], (v) => ([this.#packet, this.#left] = v));
    keeper.put([this.#at], (v) => ([this.#at] = v));
    keeper.keep(this.#ram, this.request);
  }

  /** Begin with a GPA-direct packet of a channel. */
  begin(packet: GuestPacket, channel: number): void {
    this.#packet = packet;
    this.#left = packet.view.getUint32(GpaDirectHeader.at.rangeCount, true);
    this.#at = GpaDirectHeader.size;
    this.request.channel = channel;
  }

  /** The next range: a value of {@link RangeResult}. Each step consumes bytes of the packet. */
  next(): number {
    if (this.#left === 0) return RangeResult.END;
    const { view, payloadOffset } = this.#packet!;
    const request = this.request;
    if (this.#at + GpaRange.size > payloadOffset) return RangeResult.MALFORMED;
    const length = view.getUint32(this.#at + GpaRange.at.byteCount, true);
    const offset = view.getUint32(this.#at + GpaRange.at.byteOffset, true);
    const pfns = this.#at + GpaRange.at.pfn;
    if (length === 0 || offset >= PAGE_SIZE) return RangeResult.MALFORMED;
    const rest = offset + (length & (PAGE_SIZE - 1));
    const pages = (length >>> PAGE_SHIFT) + ((rest + PAGE_SIZE - 1) >>> PAGE_SHIFT);
    if (pfns + pages * 8 > payloadOffset) return RangeResult.MALFORMED;

    // Page numbers are 64 bits; none above 2^53 can be RAM
    let outside = false;
    for (let i = 0; i < pages; i++) {
      const low = view.getUint32(pfns + i * 8, true);
      const high = view.getUint32(pfns + i * 8 + 4, true);
      const pfn = high === 0 ? low : high * 2 ** 32 + low;
      request.pfns[i] = pfn;
      if (!this.#ram.has(pfn * PAGE_SIZE, PAGE_SIZE)) outside = true;
    }
    request.pfnCount = pages;
    request.offset = offset;
    request.length = length;
    this.#at = pfns + pages * 8;
    this.#left--;
    return outside ? RangeResult.OUTSIDE : RangeResult.RANGE;
  }
}
