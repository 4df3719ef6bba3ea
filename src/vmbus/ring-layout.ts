// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Where the two rings of a channel lie. The host sees, for each of them, a control page of 4 KiB
 * and the data; the guest starts control page and data at pages of its own, so that the data could
 * be mapped twice in a row (Linux vmbus.rst, hv_ringbuffer_init). With larger guest pages the rest
 * of each control page is a gap that the host is not told of (Linux HV_GPADL_RING).
 */

import { HypxeError } from '../error.ts';
import { PAGE_SIZE } from '../machine.ts';
import { RingControl } from './protocol.ts';

/** Most data pages of a ring. */
const RING_PAGES_MAX = 4096;

/** A ring in guest memory: addresses of its control page and of its data. */
export interface RingPlace {
  readonly control: number;
  readonly data: number;
  /** Bytes of data, a power of two. */
  readonly length: number;
}

/** A piece of a region, in whole Hyper-V pages. */
export interface RegionPart {
  /** From the start of the region. */
  readonly offset: number;
  readonly length: number;
}

/** Both rings, with offsets for addresses. */
export interface RingLayout {
  /** Bytes of guest memory, gaps included. */
  readonly length: number;
  readonly out: RingPlace;
  readonly in: RingPlace;
  /** What the host is told of. */
  readonly parts: readonly RegionPart[];
  /** Hyper-V pages of the first ring as the host sees it: where the second begins. */
  readonly downstreamPage: number;
}

/**
 * Lay two rings out.
 *
 * @param outPages,inPages data of each in Hyper-V pages, powers of two; at least a guest page is
 * used
 * @throws HypxeError BadRingSize
 */
export function ringLayout(outPages: number, inPages: number, pageSize: number): RingLayout {
  const outLength = Math.max(ringBytes(outPages), pageSize);
  const inLength = Math.max(ringBytes(inPages), pageSize);
  const second = pageSize + outLength;
  const length = second + pageSize + inLength;
  const gap = pageSize - RingControl.size;
  const parts =
    gap === 0
      ? [{ offset: 0, length }]
      : [
          { offset: 0, length: RingControl.size },
          { offset: pageSize, length: outLength + RingControl.size },
          { offset: second + pageSize, length: inLength },
        ];
  return {
    length,
    out: { control: 0, data: pageSize, length: outLength },
    in: { control: second, data: second + pageSize, length: inLength },
    parts,
    downstreamPage: (RingControl.size + outLength) / PAGE_SIZE,
  };
}

/** The ring at an address. */
export function placeRing({ control, data, length }: RingPlace, address: number): RingPlace {
  return { control: address + control, data: address + data, length };
}

/** Bytes of a ring's data. @throws HypxeError BadRingSize */
function ringBytes(pages: number): number {
  const valid = Number.isInteger(pages) && pages > 0 && pages <= RING_PAGES_MAX;
  if (!valid || pages & (pages - 1)) {
    throw new HypxeError('BadRingSize', `a ring cannot have ${pages} data pages`);
  }
  return pages * PAGE_SIZE;
}
