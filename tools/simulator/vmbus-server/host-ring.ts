// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The host's ends of a channel's two rings: indices, interrupt mask, pending send size. Bytes in,
 * bytes out; what a packet is stands in `ring-channel.ts` (OpenVMM `vmbus_ring`, Linux
 * `ring_buffer.c`). The host keeps its own index to itself and believes the guest's only after a
 * look: each is a multiple of 8 below the size of the data.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import { RING_FEATURE_PENDING_SEND_SIZE, RingControl } from '../../../src/vmbus/protocol.ts';
import type { Grant } from '../ledger/grants.ts';
import type { ChannelDevice } from './channel-interface.ts';
import type { GrantMemory } from './grant-memory.ts';
import type { Keeper } from '../base/snapshot.ts';

/** What {@link IncomingRing.available} and {@link OutgoingRing.free} say of a bad guest index. */
export const BAD_INDEX = -1;

/** Bytes that a sender never fills: the ring would look empty. */
export const RING_RESERVE = 8;

const { prod, cons, interruptMask, pendingSendSize, featureBits } = RingControl.at;

/** The low bits of a pending send size are noise: some guests set it to the ring's size - 1. */
const PENDING_SEND_SIZE_MASK = ~7;

/** How a host looks at rings (knobs `ringFaults`, `readSignals`). */
export interface RingRules {
  /** Indices may be any within the data. */
  readonly anyIndex: boolean;
  /** A guest whose ring does not say that it asks for signals gets one at each read. */
  readonly unlessAsked: boolean;
}

function validIndex(index: number, size: number, { anyIndex }: RingRules): boolean {
  return index < size && (anyIndex || index % 8 === 0);
}

/** Copy out of or into the data behind the control page, around the end if need be. */
function wrapped(
  memory: GrantMemory,
  size: number,
  position: number,
  buffer: Uint8Array,
  at: number,
  length: number,
  toGuest: boolean,
): void {
  const start = position % size;
  const first = Math.min(length, size - start);
  if (toGuest) {
    memory.write(PAGE_SIZE + start, buffer, at, first);
    if (first < length) memory.write(PAGE_SIZE, buffer, at + first, length - first);
  } else {
    memory.read(PAGE_SIZE + start, buffer, at, first);
    if (first < length) memory.read(PAGE_SIZE, buffer, at + first, length - first);
  }
}

/** The ring that the guest writes and the host reads. */
export class IncomingRing {
  readonly memory: GrantMemory;
  /** Length of the data in bytes; need not be a power of two. */
  readonly size: number;
  #out = 0;
  #masked = true;
  readonly #rules: RingRules;

  constructor(memory: GrantMemory, rules: RingRules) {
    this.memory = memory;
    this.#rules = rules;
    this.size = memory.length - PAGE_SIZE;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#out, this.#masked], (v) => ([this.#out, this.#masked] = v));
    keeper.keep(this.memory);
  }

  /**
   * Start of day: take the indices as the guest left them and mask interrupts until the host waits
   * (OpenVMM `IncomingRing::new`). Returns false if an index is bad.
   */
  start(): boolean {
    const out = this.memory.u32(cons);
    if (!validIndex(out, this.size, this.#rules)) return false;
    // Where the guest's index may be mended later it is looked at later
    const index = this.memory.u32(prod);
    if (!this.#rules.anyIndex && !validIndex(index, this.size, this.#rules)) return false;
    this.#out = out;
    this.mask(true);
    return true;
  }

  /** Whether the host asked the guest not to signal. */
  get masked(): boolean {
    return this.#masked;
  }

  mask(masked: boolean): void {
    this.#masked = masked;
    this.memory.setU32(interruptMask, masked ? 1 : 0);
  }

  /** Where the host reads next. */
  get position(): number {
    return this.#out;
  }

  /** Bytes that the guest has published, or {@link BAD_INDEX}. */
  available(): number {
    const index = this.memory.u32(prod);
    if (!validIndex(index, this.size, this.#rules)) return BAD_INDEX;
    return index >= this.#out ? index - this.#out : this.size - (this.#out - index);
  }

  /** Copy `length` bytes, `skip` bytes behind the read index, to `into[to…]`. */
  peek(skip: number, into: Uint8Array, to: number, length: number): void {
    wrapped(this.memory, this.size, this.#out + skip, into, to, length, false);
  }

  /**
   * Give `length` bytes back to the guest. Returns true if the guest waits for room and this is
   * what made it enough: then it must be signalled (OpenVMM `commit_read`).
   */
  consume(length: number): boolean {
    // Free space before and after, with the 8 bytes that the sender keeps back
    const before = this.size - RING_RESERVE - this.available();

    // Publish
    this.#out = (this.#out + length) % this.size;
    this.memory.setU32(cons, this.#out);

    if (this.#rules.unlessAsked) {
      const asks = this.memory.u32(featureBits) & RING_FEATURE_PENDING_SEND_SIZE;
      if (asks === 0) return true;
    }
    const wanted = (this.memory.u32(pendingSendSize) & PENDING_SEND_SIZE_MASK) >>> 0;
    return wanted !== 0 && before < wanted && before + length >= wanted;
  }
}

/** What is written over a piece of a ring that is free: no descriptor, no index. */
const RECLAIMED = 0xa5a5a5a5;

/** The ring that the host writes and the guest reads. */
export class OutgoingRing {
  readonly memory: GrantMemory;
  readonly size: number;
  #in = 0;
  #waitingFor = 0;
  readonly #rules: RingRules;
  #reclaimed = 0;

  constructor(memory: GrantMemory, rules: RingRules) {
    this.memory = memory;
    this.#rules = rules;
    this.size = memory.length - PAGE_SIZE;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#in, this.#waitingFor], (v) => ([this.#in, this.#waitingFor] = v));
    keeper.put([this.#reclaimed], (v) => ([this.#reclaimed] = v));
    keeper.keep(this.memory);
  }

  /** Start of day, as OpenVMM `OutgoingRing::new`. Returns false if an index is bad. */
  start(): boolean {
    const index = this.memory.u32(prod);
    if (!validIndex(index, this.size, this.#rules)) return false;
    if (!this.#rules.anyIndex && !validIndex(this.memory.u32(cons), this.size, this.#rules))
      return false;
    this.#in = this.#reclaimed = index;
    this.memory.setU32(featureBits, RING_FEATURE_PENDING_SEND_SIZE);
    this.memory.setU32(pendingSendSize, 0);
    return true;
  }

  /** Where the host writes next. */
  get position(): number {
    return this.#in;
  }

  /** Bytes that a packet may take, footer included, or {@link BAD_INDEX}. */
  free(): number {
    const index = this.memory.u32(cons);
    if (!validIndex(index, this.size, this.#rules)) return BAD_INDEX;
    const used = this.#in >= index ? this.#in - index : this.size - (index - this.#in);
    return this.size - used - RING_RESERVE;
  }

  /** Whether the guest has something to read and did not ask to be left alone. */
  get unread(): boolean {
    return this.memory.u32(interruptMask) === 0 && this.memory.u32(cons) !== this.#in;
  }

  /** Whether the guest has read everything. */
  get drained(): boolean {
    return this.memory.u32(cons) === this.#in;
  }

  /** Put bytes behind what is published; the guest does not see them yet. */
  write(bytes: Uint8Array, length: number): void {
    wrapped(this.memory, this.size, this.#in, bytes, 0, length, true);
  }

  /**
   * Publish `length` bytes. Returns true if the guest must be signalled: the ring was empty and
   * its mask is 0 (OpenVMM `commit_write`, Linux `hv_signal_on_write`).
   */
  publish(length: number): boolean {
    const before = this.#in;
    this.#in = (before + length) % this.size;
    this.memory.setU32(prod, this.#in);
    return this.memory.u32(interruptMask) === 0 && this.memory.u32(cons) === before;
  }

  /** Write over what the guest has given back since the last call: it is anything's now. */
  reclaim(): void {
    const index = this.memory.u32(cons);
    if (!validIndex(index, this.size, this.#rules)) return;
    while (this.#reclaimed !== index) {
      this.memory.setU32(PAGE_SIZE + this.#reclaimed, RECLAIMED);
      this.#reclaimed = (this.#reclaimed + 4) % this.size;
    }
  }

  /** Bytes that the host waits for, or 0. */
  get waitingFor(): number {
    return this.#waitingFor;
  }

  /** Ask the guest for a signal when this much is free; 0 withdraws it. */
  waitFor(bytes: number): void {
    this.#waitingFor = bytes;
    this.memory.setU32(pendingSendSize, bytes);
  }
}

/** What the server knows of a channel that it opens. */
export interface RingChannelRequest {
  readonly id: number;
  readonly vmbusVersion: number;
  readonly userData: Uint8Array;
  readonly device: ChannelDevice;
  readonly incoming: GrantMemory;
  readonly outgoing: GrantMemory;
  /** Interrupts the guest by the rules of the version. */
  readonly interrupt: () => void;
  readonly gpadl: (id: number) => Grant | undefined;
  readonly offerSubchannels: (devices: readonly ChannelDevice[]) => boolean;
}
