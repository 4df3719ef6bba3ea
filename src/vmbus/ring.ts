// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Ring buffers in guest memory: packets written and read word by word, wrapping at any 8 bytes.
 * Lengths are powers of two (a policy of iPXE), indices are byte offsets into the data.
 *
 * The other side's index is read once per use and checked: the host is not trusted.
 */

import { PAGE_SIZE } from '../machine.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { pageNumbers } from '../memory/shared-memory.ts';
import { PacketFooter, RingControl } from './protocol.ts';

/** Returned for an index that no correct host writes. */
const INVALID = -1;

/**
 * Where a ring lies, and the indices in its control page.
 *
 * The host sees a control page of 4 KiB and the data; the guest starts each of them at a page of
 * its own, so that the data could be mapped twice in a row (Linux vmbus.rst, hv_ringbuffer_init).
 * With larger guest pages the rest of the control page is a gap that the host is not told of (Linux
 * HV_GPADL_RING).
 */
class Ring {
  protected readonly memory: GuestMemory;
  /** Guest physical address of the control page. */
  readonly control: number;
  protected readonly data: number;
  /** Bytes of data less one: what a packet may have in an empty ring. */
  readonly mask: number;

  /**
   * @param control guest physical address of the control page
   * @param length bytes of data, a power of two
   * @param pageSize size of the guest's pages
   */
  constructor(memory: GuestMemory, control: number, length: number, pageSize = PAGE_SIZE) {
    this.memory = memory;
    this.control = control;
    this.data = control + pageSize;
    this.mask = length - 1;
  }

  /** Numbers of the Hyper-V pages that the host is told of. */
  get pages(): number[] {
    const data = pageNumbers(this.data, this.mask + 1);
    return [this.control / PAGE_SIZE, ...data];
  }

  /**
   * A field of the control page. Nothing behind it is looked at before it: else a packet may be one
   * that was there before its index (Linux hv_pkt_iter_avail: virt_load_acquire).
   */
  protected field(at: number): number {
    return this.memory.acquire32(this.control + at);
  }

  /**
   * Write an index of ours. The host sees it after all that we have read and written before (a
   * packet before it is there, a packet before its room is given back), and before we look whether
   * the host sleeps: else it may go to sleep without having seen it (Linux hv_ringbuffer_write,
   * hv_signal_on_write and hv_pkt_iter_close have barriers there).
   */
  protected publishIndex(at: number, index: number): void {
    const address = this.control + at;
    this.memory.barrier(address);
    this.memory.set32(address, index);
    this.memory.barrier(address);
  }

  /** The distance from an index of ours to one of the host, or -1 if that is out of range. */
  protected distance(at: number, own: number): number {
    const index = this.field(at);
    return index > this.mask || index & 7 ? INVALID : (index - own) & this.mask;
  }
}

/** The guest to host ring: we own `prod`, the host owns `cons` and the interrupt mask. */
export class OutboundRing extends Ring {
  /** Where the packet under construction begins, and where its next word goes. */
  #start = 0;
  #next = 0;

  /**
   * Bytes that a packet (footer included) may have, or -1 if the host's index is out of range. The
   * ring is never filled completely.
   */
  get writable(): number {
    const distance = this.distance(RingControl.at.cons, this.#start);
    return distance < 0 ? INVALID : this.mask - (-distance & this.mask);
  }

  /** Append a word to the packet under construction. */
  put32(value: number): void {
    this.memory.set32(this.data + this.#next, value);
    this.#next = (this.#next + 4) & this.mask;
  }

  /** Append the low and high halves of a 64-bit word. */
  put64(low: number, high: number): void {
    this.put32(low);
    this.put32(high);
  }

  /** Append bytes, and zeros up to a multiple of 8. */
  putBytes(bytes: Uint8Array, length: number): void {
    for (let i = 0; i < length || i & 7; i += 4) {
      let word = 0;
      for (let j = Math.min(length - i, 4) - 1; j >= 0; j--) word = (word << 8) | bytes[i + j]!;
      this.put32(word);
    }
  }

  /**
   * Publish the packet under construction, with its footer.
   *
   * @returns whether the host must be told: only if it had read everything before, and has not
   * masked the ring (Linux hv_need_to_signal)
   */
  publish(): boolean {
    const old = this.#start;
    this.put64(0, old);
    this.#start = this.#next;
    this.publishIndex(RingControl.at.prod, this.#start);
    if (this.field(RingControl.at.interruptMask) !== 0) return false;
    return this.field(RingControl.at.cons) === old;
  }
}

/** The host to guest ring: the host owns `prod`, we own `cons`. */
export class InboundRing extends Ring {
  #cons = 0;

  /** Bytes that the host has produced, or -1 if its index is out of range. */
  get readable(): number {
    return this.distance(RingControl.at.prod, this.#cons);
  }

  /** Copy `length` bytes (whole words) out, from `offset` bytes after the first unread one. */
  copy(offset: number, into: DataView, length: number): void {
    const { view } = this.memory;
    let at = (this.#cons + offset) & this.mask;
    for (let i = offset; i < offset + length; i += 4) {
      into.setInt32(i, view.getInt32(this.data + at, true), true);
      at = (at + 4) & this.mask;
    }
  }

  /**
   * Give `length` bytes back to the host.
   *
   * @returns whether the host must be told: it waits for as much room as there is now
   */
  consume(length: number): boolean {
    const free = this.mask + 1 - ((this.field(RingControl.at.prod) - this.#cons) & this.mask);
    this.#cons = (this.#cons + length) & this.mask;
    this.publishIndex(RingControl.at.cons, this.#cons);
    const wanted = this.field(RingControl.at.pendingSendSize) & ~7;
    return wanted !== 0 && free <= wanted && free + length > wanted;
  }
}

/** Bytes that a packet takes on the ring. */
export function ringLength(headerLength: number, payloadLength: number): number {
  return headerLength + ((payloadLength + 7) & ~7) + PacketFooter.size;
}
