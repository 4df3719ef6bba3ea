// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Transmit buffers and transmit IDs. Buffers lie in guest memory, one message each; an ID is taken
 * while a message is with the host. IDs are a FIFO: taken in order, given back in the order of
 * completion (iPXE netvsc_ring). Control messages have buffers and IDs in reserve, so that a device
 * with all frames pending can still be closed. Nothing here is allocated per message.
 */

import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Region, SharedMemory } from '../memory/shared-memory.ts';
import { RNDIS_BUFFER_SIZE } from '../rndis/transport.ts';

/** Messages that only control messages may have in flight beyond the frames. */
const CONTROL_RESERVE = 4;

/** First ID of the reserve: beyond iPXE's IDs for frames and requests. */
const CONTROL_FIRST_ID = 0x40;

/** log2 of {@link RNDIS_BUFFER_SIZE}. */
const RNDIS_BUFFER_SHIFT = Math.log2(RNDIS_BUFFER_SIZE);

const NONE = -1;

export class TransmitPool {
  readonly #pages: SharedMemory;
  readonly #slots: number;
  readonly #buffers: number;
  #region: Region | undefined;
  /** Address of the first buffer; the others follow. Buffers are kept by their index. */
  #base = 0;
  /** Free buffers, a stack. */
  readonly #free: Int32Array;
  #freeCount = 0;
  /** Free IDs of frames, a FIFO. */
  readonly #ids: Uint16Array;
  #idsOut = 0;
  #idsFree = 0;
  /** By slot: the buffer in flight, or NONE, and what it is. */
  readonly #buffer: Int32Array;
  readonly #sequence: Int32Array;
  /** By slot: whether the host reads the buffer itself, or a copy in the send buffer. */
  readonly #direct: Uint8Array;
  #inFlight = 0;
  #directInFlight = 0;
  /** Deferred frames, a FIFO. */
  readonly #deferred: Int32Array;
  readonly #deferredLength: Int32Array;
  readonly #deferredSequence: Int32Array;
  #deferredOut = 0;
  #deferredCount = 0;

  constructor(pages: SharedMemory, slots: number, deferredFrames: number) {
    this.#pages = pages;
    this.#slots = slots;
    this.#buffers = slots + deferredFrames + CONTROL_RESERVE;
    this.#free = new Int32Array(this.#buffers);
    this.#ids = new Uint16Array(slots);
    this.#buffer = new Int32Array(slots + CONTROL_RESERVE);
    this.#sequence = new Int32Array(slots + CONTROL_RESERVE);
    this.#direct = new Uint8Array(slots + CONTROL_RESERVE);
    this.#deferred = new Int32Array(deferredFrames);
    this.#deferredLength = new Int32Array(deferredFrames);
    this.#deferredSequence = new Int32Array(deferredFrames);
  }

  /** Allocate the buffers; everything is free. @throws HypxeError OutOfMemory */
  open(): void {
    const length = this.#buffers * RNDIS_BUFFER_SIZE;
    this.#region = this.#pages.allocate('tx-buffer', length);
    this.#base = this.#region.address;
    for (let i = 0; i < this.#buffers; i++) this.#free[i] = this.#buffers - 1 - i;
    this.#freeCount = this.#buffers;
    for (let id = 0; id < this.#slots; id++) this.#ids[id] = id;
    this.#idsOut = 0;
    this.#idsFree = this.#slots;
    this.#buffer.fill(NONE);
    this.#directInFlight = 0;
    this.#inFlight = this.#deferredOut = this.#deferredCount = 0;
  }

  /** The memory of the buffers while there is any. */
  get region(): Region | undefined {
    return this.#region;
  }

  /** Give the buffers back. As long as the host may still read them they stay reserved. */
  close(): void {
    if (this.#region === undefined) return;
    this.#pages.free(this.#region);
    this.#region = undefined;
  }

  get memory(): GuestMemory {
    return this.#pages.memory;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get deferred(): number {
    return this.#deferredCount;
  }

  // --- buffers ---

  /** A free buffer, or 0. The last ones are for control messages only. */
  allocate(control: boolean): number {
    if (this.#freeCount <= (control ? 0 : CONTROL_RESERVE)) return 0;
    return this.#addressOf(this.#free[--this.#freeCount]!);
  }

  release(buffer: number): void {
    this.#free[this.#freeCount++] = this.#indexOf(buffer);
  }

  // Addresses from a Float64Array would be objects to an engine that does not optimise
  #addressOf(index: number): number {
    return this.#base + index * RNDIS_BUFFER_SIZE;
  }

  #indexOf(buffer: number): number {
    return (buffer - this.#base) >>> RNDIS_BUFFER_SHIFT;
  }

  // --- IDs ---

  /** The ID that {@link take} gives a frame next, or -1 if all are in use. */
  get nextId(): number {
    return this.#idsFree > 0 ? this.#ids[this.#idsOut]! : NONE;
  }

  /**
   * Take the next ID for a buffer, or -1 if all are in use.
   *
   * @param direct whether the host is told of the buffer itself
   */
  take(buffer: number, control: boolean, sequence: number, direct = true): number {
    if (this.#idsFree > 0) {
      const id = this.#ids[this.#idsOut]!;
      this.#idsOut = (this.#idsOut + 1) % this.#slots;
      this.#idsFree--;
      return this.#assign(id, id, buffer, sequence, direct);
    }
    if (!control) return NONE;
    for (let i = 0; i < CONTROL_RESERVE; i++) {
      const slot = this.#slots + i;
      if (this.#buffer[slot] === NONE) {
        return this.#assign(slot, CONTROL_FIRST_ID + i, buffer, sequence, direct);
      }
    }
    return NONE;
  }

  #assign(slot: number, id: number, buffer: number, sequence: number, direct: boolean): number {
    this.#buffer[slot] = this.#indexOf(buffer);
    this.#sequence[slot] = sequence;
    this.#direct[slot] = direct ? 1 : 0;
    this.#inFlight++;
    // The first message in flight shares the buffers with the host
    if (direct && this.#directInFlight++ === 0) {
      this.#pages.share(this.#region!, 'GPA direct packets');
    }
    return id;
  }

  /** Whether an ID is in use. */
  owns(id: number): boolean {
    const slot = this.#slotOf(id);
    return slot >= 0 && this.#buffer[slot] !== NONE;
  }

  /** Sequence number of the message with an ID that is in use. */
  sequenceOf(id: number): number {
    return this.#sequence[this.#slotOf(id)]!;
  }

  /**
   * Give an ID that is in use back, with its buffer.
   *
   * @param hostLetGo whether the host is done with the buffer (it completed the message), or was
   * only asked to be
   */
  complete(id: number, hostLetGo: boolean): void {
    const slot = this.#slotOf(id);
    this.#free[this.#freeCount++] = this.#buffer[slot]!;
    this.#buffer[slot] = NONE;
    if (slot < this.#slots) {
      this.#ids[(this.#idsOut + this.#idsFree) % this.#slots] = id;
      this.#idsFree++;
    }
    this.#leave(slot, hostLetGo ? 'completion' : undefined);
  }

  /** A message is no longer in flight: the last one takes the buffers back. */
  #leave(slot: number, letGoBy: string | undefined): void {
    this.#inFlight--;
    if (this.#direct[slot] === 0 || --this.#directInFlight > 0) return;
    if (letGoBy !== undefined) this.#pages.revoke(this.#region!, letGoBy);
  }

  /**
   * Take back an ID that was never used after all: the last one taken, put back to where it was,
   * so that the order is kept. The buffer is not released.
   */
  untake(id: number): void {
    const slot = this.#slotOf(id);
    this.#buffer[slot] = NONE;
    if (slot < this.#slots) {
      this.#idsOut = (this.#idsOut + this.#slots - 1) % this.#slots;
      this.#idsFree++;
    }
    this.#leave(slot, 'never sent');
  }

  /** The first ID in use, in order of slots, or -1. */
  firstInUse(): number {
    for (let slot = 0; slot < this.#buffer.length; slot++) {
      if (this.#buffer[slot] !== NONE) return this.#idOf(slot);
    }
    return NONE;
  }

  #slotOf(id: number): number {
    if (id >= 0 && id < this.#slots) return id;
    const reserve = id - CONTROL_FIRST_ID;
    return reserve >= 0 && reserve < CONTROL_RESERVE ? this.#slots + reserve : NONE;
  }

  #idOf(slot: number): number {
    return slot < this.#slots ? slot : slot - this.#slots + CONTROL_FIRST_ID;
  }

  // --- deferred frames ---

  /** Put a frame at the end of the queue. @returns false if the queue is full */
  defer(buffer: number, length: number, sequence: number): boolean {
    const size = this.#deferred.length;
    if (this.#deferredCount === size) return false;
    const at = (this.#deferredOut + this.#deferredCount++) % size;
    this.#deferred[at] = this.#indexOf(buffer);
    this.#deferredLength[at] = length;
    this.#deferredSequence[at] = sequence;
    return true;
  }

  /** Buffer, length and sequence of the first deferred frame. */
  get firstBuffer(): number {
    return this.#addressOf(this.#deferred[this.#deferredOut]!);
  }

  get firstLength(): number {
    return this.#deferredLength[this.#deferredOut]!;
  }

  get firstSequence(): number {
    return this.#deferredSequence[this.#deferredOut]!;
  }

  /** Take the first deferred frame out of the queue. Its buffer stays taken. */
  shift(): void {
    this.#deferredOut = (this.#deferredOut + 1) % this.#deferred.length;
    this.#deferredCount--;
  }
}
