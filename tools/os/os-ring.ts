// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Rings as Linux makes them: of any number of pages, the first of which is the control page, so
 * that their data is no power of two (`hv_ringbuffer_init`, `VMBUS_RING_SIZE`).
 */

import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import { RingControl } from '../../src/vmbus/protocol.ts';
import { InboundRing, OutboundRing } from '../../src/vmbus/ring.ts';

/** Returned for an index that no correct host writes. */
const INVALID = -1;

/** The guest to host ring, with `length` bytes of data: whole pages. */
export class OsOutboundRing extends OutboundRing {
  readonly #length: number;
  #start = 0;
  #next = 0;

  constructor(memory: GuestMemory, control: number, length: number, pageSize: number) {
    super(memory, control, length, pageSize);
    this.#length = length;
  }

  protected override distance(at: number, own: number): number {
    return distanceIn(this.#length, this.field(at), own);
  }

  override get writable(): number {
    const free = this.distance(RingControl.at.cons, this.#start);
    if (free < 0) return INVALID;
    return free === 0 ? this.mask : free - 1;
  }

  override put32(value: number): void {
    this.memory.set32(this.data + this.#next, value);
    this.#next += 4;
    if (this.#next === this.#length) this.#next = 0;
  }

  override publish(): boolean {
    const old = this.#start;
    this.put64(0, old);
    this.#start = this.#next;
    this.publishIndex(RingControl.at.prod, this.#start);
    if (this.field(RingControl.at.interruptMask) !== 0) return false;
    return this.field(RingControl.at.cons) === old;
  }
}

/** The host to guest ring, with `length` bytes of data: whole pages. */
export class OsInboundRing extends InboundRing {
  readonly #length: number;
  #cons = 0;

  constructor(memory: GuestMemory, control: number, length: number, pageSize: number) {
    super(memory, control, length, pageSize);
    this.#length = length;
  }

  protected override distance(at: number, own: number): number {
    return distanceIn(this.#length, this.field(at), own);
  }

  override get readable(): number {
    return this.distance(RingControl.at.prod, this.#cons);
  }

  override copy(offset: number, into: DataView, length: number): void {
    const { view } = this.memory;
    let at = (this.#cons + offset) % this.#length;
    for (let i = offset; i < offset + length; i += 4) {
      into.setInt32(i, view.getInt32(this.data + at, true), true);
      at += 4;
      if (at === this.#length) at = 0;
    }
  }

  override consume(length: number): boolean {
    const before = this.#room;
    this.#cons = (this.#cons + length) % this.#length;
    this.publishIndex(RingControl.at.cons, this.#cons);
    const wanted = this.field(RingControl.at.pendingSendSize);
    return wanted !== 0 && before <= wanted && this.#room > wanted;
  }

  get #room(): number {
    const produced = this.field(RingControl.at.prod);
    return this.#length - ((produced - this.#cons + this.#length) % this.#length);
  }
}

/** The way from one index to another, or -1 if the host's is no index of the ring. */
function distanceIn(length: number, index: number, own: number): number {
  return index >= length || index & 7 ? INVALID : (index - own + length) % length;
}

/**
 * Bytes of a ring for a payload, in guest pages: the control page is taken from a ring that is
 * large, and added to one that is small (hyperv.h, `VMBUS_RING_SIZE`).
 */
export function vmbusRingSize(payload: number, pageSize: number): number {
  const bytes = payload >= 8 * pageSize ? payload : payload + pageSize;
  return Math.ceil(bytes / pageSize) * pageSize;
}
