// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The receive buffer of a network device: guest memory cut into sections, each of which holds one
 * RNDIS message. A section belongs to the guest from the transfer-page packet that names it to the
 * guest's completion of that packet; a guest that forgets completions starves itself.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import type { Grant, GrantLedger } from '../ledger/grants.ts';
import type { NetVspFaults } from './faults.ts';
import type { Keeper } from '../base/snapshot.ts';

/** The layout of received data messages, which decides the size of a section. */
export type SectionLayout = 'exact' | 'sub-allocation';

/**
 * Windows: sections of 1728 bytes at the MTU of 1514, as recorded (golden traces, and the sample
 * of Linux's `nvsp_send_recv_buf_complete`). How it grows with the MTU is inferred.
 */
const EXACT_OVERHEAD = 1728 - 1514;

/** OpenVMM: the data begins at 256, and 36 bytes are for a "co-netvsc footer". */
export const SUB_ALLOCATION_DATA_OFFSET = 256;
const SUB_ALLOCATION_FOOTER = 36;

/**
 * Size of a section in bytes. Each layout has the section that it needs: exact messages fit into
 * the sections that Windows makes (37 in iPXE's 64 KiB), messages that claim the whole section
 * need those of OpenVMM (36).
 */
export function sectionSize(mtu: number, layout: SectionLayout): number {
  if (layout === 'sub-allocation') return SUB_ALLOCATION_DATA_OFFSET + mtu + SUB_ALLOCATION_FOOTER;
  return Math.ceil((mtu + EXACT_OVERHEAD) / 8) * 8;
}

/** Numbers of packets stay below this, so that a transaction ID is below 2^53. */
const SERIAL_LIMIT = 2 ** 20;

/** Sections in the order in which they became free. */
class FreeList {
  readonly #sections: Int32Array;
  #head = 0;
  length: number;

  constructor(first: number, count: number) {
    this.#sections = new Int32Array(Math.max(1, count));
    for (let i = 0; i < count; i++) this.#sections[i] = first + i;
    this.length = count;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#head, this.length], (v) => ([this.#head, this.length] = v));
    keeper.keep(this.#sections);
  }

  /** The section that has been free for longest, or -1. */
  take(): number {
    if (this.length === 0) return -1;
    const section = this.#sections[this.#head]!;
    this.#head = (this.#head + 1) % this.#sections.length;
    this.length--;
    return section;
  }

  put(section: number): void {
    this.#sections[(this.#head + this.length) % this.#sections.length] = section;
    this.length++;
  }
}

export class ReceiveBuffer {
  readonly gpadl: number;
  /** Page set ID, as the guest gave it. */
  readonly id: number;
  readonly sectionSize: number;
  readonly sectionCount: number;
  readonly #grants: GrantLedger;
  readonly #grant: Grant;
  /** Sections that only control messages use: the first ones. */
  readonly #reserved: number;
  /** The same list twice if none are reserved. */
  readonly #control: FreeList;
  readonly #data: FreeList;
  /** Next section of the same packet, or -1. */
  readonly #next: Int32Array;
  /** By first section of a packet: its serial number and the completions that the guest owes. */
  readonly #serial: Int32Array;
  readonly #owed: Int32Array;
  /** By first section of a packet: the queue that it went out on. */
  readonly #queue: Uint8Array;
  /** By first section of a packet: its place in the order of all packets, which never wraps. */
  readonly #order: Float64Array;
  #orders = 0;
  /** By queue: the place of the last packet that was completed; -1 before. */
  readonly #completedUpTo: number[] = [];
  #serials = 0;
  /** The guest took the buffer back: nothing is written to it any more. */
  revoked = false;
  /** Transfer-page packets that the guest has not completed. */
  outstanding = 0;
  /** Told of pieces of memory that come back, and that are used; see {@link NetVspFaults}. */
  moved: NetVspFaults['section'];

  /**
   * `grant` is the accepted GPADL, page aligned; see {@link sectionSize} for `size`; `reserved`
   * sections are for control messages alone, 0 is one pool for all.
   */
  constructor(
    grants: GrantLedger,
    grant: Grant,
    gpadl: number,
    id: number,
    size: number,
    reserved: number,
  ) {
    this.gpadl = gpadl;
    this.id = id;
    this.sectionSize = size;
    this.sectionCount = Math.floor(grant.length / size);
    this.#grants = grants;
    this.#grant = grant;
    this.#reserved = Math.min(reserved, this.sectionCount);
    this.#data = new FreeList(this.#reserved, this.sectionCount - this.#reserved);
    this.#control = reserved === 0 ? this.#data : new FreeList(0, this.#reserved);
    this.#next = new Int32Array(this.sectionCount).fill(-1);
    this.#serial = new Int32Array(this.sectionCount).fill(-1);
    this.#owed = new Int32Array(this.sectionCount);
    this.#queue = new Uint8Array(this.sectionCount);
    this.#order = new Float64Array(this.sectionCount);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#orders, this.#serials], (v) => ([this.#orders, this.#serials] = v));
    keeper.put([this.revoked, this.outstanding], (v) => ([this.revoked, this.outstanding] = v));
    keeper.put([this.moved], (v) => ([this.moved] = v));
    keeper.keep(this.#grants, this.#grant, this.#control, this.#data, this.#next, this.#serial);
    keeper.keep(this.#owed, this.#queue, this.#order, this.#completedUpTo);
  }

  /** Enough for a queue: the reserved sections and one for data (OpenVMM, queue set-up). */
  get usable(): boolean {
    return this.dataSections > 0;
  }

  /** Sections that frames may use. */
  get dataSections(): number {
    return this.sectionCount - this.#reserved;
  }

  /** Sections that wait for a packet or that the guest has. */
  get inUse(): number {
    const control = this.#reserved === 0 ? 0 : this.#control.length;
    return this.sectionCount - control - this.#data.length;
  }

  get freeControl(): number {
    return this.revoked ? 0 : this.#control.length;
  }

  get freeData(): number {
    return this.revoked ? 0 : this.#data.length;
  }

  /** Take a section for a control message or for data; -1 if there is none. */
  take(control: boolean): number {
    if (this.revoked) return -1;
    const section = control ? this.#control.take() : this.#data.take();
    if (section >= 0 && this.moved !== undefined) this.#tell('used', section);
    return section;
  }

  /** Give one section back that has not been sent. */
  put(section: number): void {
    if (this.moved !== undefined && !this.revoked) this.#tell('returned', section);
    if (section < this.#reserved) this.#control.put(section);
    else this.#data.put(section);
  }

  /** Byte offset of a section in the buffer. */
  offset(section: number): number {
    return section * this.sectionSize;
  }

  /** Write into a section, through the grant of the guest's GPADL. */
  write(section: number, at: number, bytes: Uint8Array, length: number): void {
    if (at + length > this.sectionSize) throw new Error(`message longer than section ${section}`);
    this.#grants.write(this.#grant, this.offset(section) + at, bytes, 0, length);
  }

  /** Let `section` follow `previous` in the same packet. */
  chain(previous: number, section: number): void {
    this.#next[previous] = section;
  }

  /**
   * Number the packet that begins with section `first` and goes out on `queue`; the high half of
   * its transaction ID.
   */
  number(first: number, queue: number): number {
    this.#queue[first] = queue;
    this.#order[first] = this.#orders++;
    const serial = this.#serials;
    this.#serials = (this.#serials + 1) % SERIAL_LIMIT;
    this.#serial[first] = serial;
    return serial;
  }

  /** Order of the packet that was numbered last, from 0; -1 if there was none. */
  get lastNumber(): number {
    return this.#orders - 1;
  }

  /** ... and of the latest of a queue that the guest has completed. */
  completedUpTo(queue: number): number {
    return this.#completedUpTo[queue] ?? -1;
  }

  /** The packet that begins with `first` went out so many times; 0 takes its sections back. */
  sent(first: number, copies: number): void {
    this.#owed[first] = copies;
    if (copies === 0) this.#recycle(first);
    else this.outstanding++;
  }

  /**
   * The guest completes a packet: all of its sections are free again. False for a transaction that
   * is not outstanding on that queue.
   */
  complete(low: number, high: number, queue: number): boolean {
    if (low >= this.sectionCount || this.#serial[low] !== high || this.#owed[low] === 0)
      return false;
    if (this.#queue[low] !== queue) return false;
    this.#owed[low]!--;
    this.#completedUpTo[queue] = Math.max(this.#completedUpTo[queue] ?? -1, this.#order[low]!);
    if (this.#owed[low] !== 0) return true;
    this.outstanding--;
    this.#recycle(low);
    return true;
  }

  /**
   * Packets that the guest has not completed though it has completed a later one of their queue:
   * of all queues, or of one.
   */
  skipped(only?: number): number {
    let packets = 0;
    for (let first = 0; first < this.sectionCount; first++) {
      const queue = this.#queue[first]!;
      if (this.#owed[first] === 0 || (only ?? queue) !== queue) continue;
      if (this.#order[first]! < (this.#completedUpTo[queue] ?? -1)) packets++;
    }
    return packets;
  }

  /** A queue closes: what the guest still has of it comes back. Returns the number of packets. */
  abandon(queue: number): number {
    let packets = 0;
    for (let first = 0; first < this.sectionCount; first++) {
      if (this.#owed[first] === 0 || this.#queue[first] !== queue) continue;
      this.#owed[first] = 0;
      this.outstanding--;
      this.#recycle(first);
      packets++;
    }
    return packets;
  }

  /** Page by page: the guest's pages need not be in one piece. */
  #tell(change: 'returned' | 'used', section: number): void {
    const begin = this.offset(section);
    for (let at = 0; at < this.sectionSize;) {
      const address = this.#grants.address(this.#grant, begin + at);
      const run = Math.min(this.sectionSize - at, PAGE_SIZE - (address % PAGE_SIZE));
      this.moved?.(change, address, run);
      at += run;
    }
  }

  #recycle(first: number): void {
    this.#serial[first] = -1;
    for (let section = first; section >= 0;) {
      const next = this.#next[section]!;
      this.#next[section] = -1;
      this.put(section);
      section = next;
    }
  }
}
