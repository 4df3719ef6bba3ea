// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Ring buffers in guest memory: packets written and read word by word, wrapping at any 8 bytes.
 * Lengths are powers of two (a policy of iPXE), indices are byte offsets into the data.
 *
 * The other side's index is read once per use and checked: the host is not trusted.
 */

import type { GuestMemory } from '../memory/guest-memory.ts';
import { PacketFooter, RING_FEATURE_PENDING_SEND_SIZE, RingControl } from './protocol.ts';

/** Returned for an index that no correct host writes. */
const INVALID = -1;

/** The guest to host ring: we own `prod`, the host owns `cons` and the interrupt mask. */
export class OutboundRing {
  readonly #memory: GuestMemory;
  readonly #control: number;
  readonly #data: number;
  readonly #mask: number;
  /** Where the packet under construction begins, and where its next word goes. */
  #start = 0;
  #next = 0;

  /** `control`: address of the control page; `length` bytes of data are at `data`, or follow it. */
  constructor(memory: GuestMemory, control: number, length: number, data?: number) {
    this.#memory = memory;
    this.#control = control;
    this.#data = data ?? control + RingControl.size;
    this.#mask = length - 1;
  }

  /**
   * Bytes that a packet (footer included) may have, or -1 if the host's index is out of range. The
   * ring is never filled completely.
   */
  get writable(): number {
    const cons = this.#memory.u32(this.#control + RingControl.at.cons);
    if (cons > this.#mask || cons & 7) return INVALID;
    const fill = (this.#start - cons) & this.#mask;
    return this.#mask - fill;
  }

  /** Whether the host has read everything. */
  get isEmpty(): boolean {
    return this.#memory.u32(this.#control + RingControl.at.cons) === this.#start;
  }

  /** Bytes that a packet may have in an empty ring. */
  get capacity(): number {
    return this.#mask;
  }

  /**
   * Ask for a signal once the ring has more room than `length` bytes; 0 to ask no more. Everything
   * that the host does afterwards it does knowing this: look at the room again.
   */
  want(length: number): void {
    this.#memory.set32(this.#control + RingControl.at.pendingSendSize, length);
    this.#memory.barrier();
  }

  /** Whether the host has read everything that was published. */
  get allRead(): boolean {
    return this.#memory.u32(this.#control + RingControl.at.cons) === this.#start;
  }

  /** Append a word to the packet under construction. */
  put32(value: number): void {
    this.#memory.set32(this.#data + this.#next, value);
    this.#next = (this.#next + 4) & this.#mask;
  }

  /** Append the low and high halves of a 64-bit word. */
  put64(low: number, high: number): void {
    this.put32(low);
    this.put32(high);
  }

  /** Append bytes, and zeros up to a multiple of 8. */
  putBytes(bytes: Uint8Array, length: number): void {
    let i = 0;
    for (; i + 4 <= length; i += 4) {
      this.put32(bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
    }
    for (; i < length || i & 7; i += 4) {
      let word = 0;
      for (let j = i; j < length; j++) word |= bytes[j]! << (8 * (j - i));
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
    this.#memory.set32(this.#control + RingControl.at.prod, this.#start);
    if (this.#memory.u32(this.#control + RingControl.at.interruptMask) !== 0) return false;
    return this.#memory.u32(this.#control + RingControl.at.cons) === old;
  }
}

/** The host to guest ring: the host owns `prod`, we own `cons`. */
export class InboundRing {
  readonly #memory: GuestMemory;
  readonly #control: number;
  readonly #data: number;
  readonly #mask: number;
  #cons = 0;

  constructor(memory: GuestMemory, control: number, length: number, data?: number) {
    this.#memory = memory;
    this.#control = control;
    this.#data = data ?? control + RingControl.size;
    this.#mask = length - 1;
  }

  /** Bytes that the host has produced, or -1 if its index is out of range. */
  get readable(): number {
    const prod = this.#memory.u32(this.#control + RingControl.at.prod);
    if (prod > this.#mask || prod & 7) return INVALID;
    return (prod - this.#cons) & this.#mask;
  }

  /** Whether the host has produced anything, cheaply. */
  get isEmpty(): boolean {
    return this.#memory.u32(this.#control + RingControl.at.prod) === this.#cons;
  }

  /** Tell the host whether to signal when the ring is no longer empty. */
  mask(masked: boolean): void {
    this.#memory.set32(this.#control + RingControl.at.interruptMask, masked ? 1 : 0);
    this.#memory.barrier();
  }

  /** Copy `length` bytes (whole words) out, from `offset` bytes after the first unread one. */
  copy(offset: number, into: DataView, length: number): void {
    const { view } = this.#memory;
    let at = (this.#cons + offset) & this.#mask;
    for (let i = offset; i < offset + length; i += 4) {
      into.setInt32(i, view.getInt32(this.#data + at, true), true);
      at = (at + 4) & this.#mask;
    }
  }

  /**
   * Give `length` bytes back to the host.
   *
   * @returns whether the host must be told: it waits for as much room as there is now
   */
  consume(length: number): boolean {
    const before = this.#free;
    this.#cons = (this.#cons + length) & this.#mask;
    this.#memory.set32(this.#control + RingControl.at.cons, this.#cons);
    const wanted = this.#memory.u32(this.#control + RingControl.at.pendingSendSize) & ~7;
    return wanted !== 0 && before <= wanted && this.#free > wanted;
  }

  /** Skip everything that has been produced: the framing is lost. */
  resynchronise(): void {
    const prod = this.#memory.u32(this.#control + RingControl.at.prod);
    if (prod > this.#mask || prod & 7) return;
    this.#cons = prod;
    this.#memory.set32(this.#control + RingControl.at.cons, this.#cons);
  }

  get #free(): number {
    const prod = this.#memory.u32(this.#control + RingControl.at.prod);
    return this.#mask + 1 - ((prod - this.#cons) & this.#mask);
  }
}

/**
 * Say in an outbound ring's control page that its sender honours the pending send size. Before the
 * host is told of the ring (Linux hv_ringbuffer_init).
 */
export function enableFlowControl(memory: GuestMemory, control: number): void {
  memory.set32(control + RingControl.at.featureBits, RING_FEATURE_PENDING_SEND_SIZE);
}

/** Bytes that a packet takes on the ring. */
export function ringLength(headerLength: number, payloadLength: number): number {
  return headerLength + ((payloadLength + 7) & ~7) + PacketFooter.size;
}
