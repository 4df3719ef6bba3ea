// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Transmit buffers and transmit IDs. Buffers lie in guest memory, one message each; an ID is taken
 * while a message is with the host. IDs are a FIFO: taken in order, given back in the order of
 * completion (iPXE netvsc_ring). Control messages have buffers and IDs in reserve, so that a device
 * with all frames pending can still be closed. Nothing here is allocated per message.
 */

import type { Region, SharedMemory } from '../memory/shared-memory.ts';
import { RNDIS_BUFFER_SIZE } from '../rndis/transport.ts';

/** Messages that only control messages may have in flight beyond the frames. */
const CONTROL_RESERVE = 4;

/** First ID of the reserve: beyond iPXE's IDs for frames and requests. */
const CONTROL_FIRST_ID = 0x40;

/** No buffer, no ID. */
const NONE = -1;

export class TransmitBuffers {
  /** The memory of the buffers while there is any. */
  region: Region | undefined;
  /** Messages that are with the host. */
  inFlight = 0;
  /** By buffer: length and sequence number of its message. */
  readonly lengths: Int32Array;
  readonly sequences: Int32Array;
  readonly #pages: SharedMemory;
  readonly #slots: number;
  /** Free buffers, a stack. */
  readonly #free: Int32Array;
  #freeCount = 0;
  /** By ID: the buffer in flight, or NONE. */
  readonly #buffers = new Int32Array(CONTROL_FIRST_ID + CONTROL_RESERVE).fill(NONE);
  /** Free IDs of frames, a FIFO: how many were given back and taken since the open. */
  readonly #ids: Uint8Array;
  #given = 0;
  #taken = 0;
  /** Buffers of deferred frames, a FIFO likewise. */
  readonly #deferred: Int32Array;
  #deferredIn = 0;
  #deferredOut = 0;

  constructor(pages: SharedMemory, slots: number, deferredFrames: number) {
    const buffers = slots + deferredFrames + CONTROL_RESERVE;
    this.#pages = pages;
    this.#slots = slots;
    this.lengths = new Int32Array(buffers);
    this.sequences = new Int32Array(buffers);
    this.#free = new Int32Array(buffers);
    this.#ids = new Uint8Array(slots);
    this.#deferred = new Int32Array(deferredFrames);
  }

  /** Allocate the buffers; everything is free. @throws HypxeError OutOfMemory */
  open(): void {
    const { length } = this.#free;
    this.region = this.#pages.allocate('tx-buffer', length * RNDIS_BUFFER_SIZE);
    for (let i = 0; i < length; i++) this.#free[i] = length - 1 - i;
    for (let id = 0; id < this.#slots; id++) this.#ids[id] = id;
    this.#freeCount = length;
    this.#given = this.#slots;
    this.#taken = this.#deferredIn = this.#deferredOut = 0;
  }

  /** Give the buffers back. As long as the host may still read them they stay reserved. */
  close(): void {
    if (this.region !== undefined) this.#pages.free(this.region);
    this.region = undefined;
  }

  // --- buffers, by number ---

  /** A free buffer, or -1. The last ones are for control messages only. */
  allocate(control: boolean): number {
    return this.#freeCount > (control ? 0 : CONTROL_RESERVE)
      ? this.#free[--this.#freeCount]!
      : NONE;
  }

  release(buffer: number): void {
    this.#free[this.#freeCount++] = buffer;
  }

  addressOf(buffer: number): number {
    return this.region!.address + buffer * RNDIS_BUFFER_SIZE;
  }

  bufferAt(address: number): number {
    return (address - this.region!.address) / RNDIS_BUFFER_SIZE;
  }

  // --- in flight ---

  /** Take the next ID for a buffer, or -1 if all are in use. */
  take(buffer: number, control: boolean): number {
    let id = NONE;
    if (this.#taken < this.#given) id = this.#ids[this.#taken++ % this.#slots]!;
    else if (control) id = this.#buffers.indexOf(NONE, CONTROL_FIRST_ID);
    if (id < 0) return NONE;
    this.#buffers[id] = buffer;
    this.inFlight++;
    return id;
  }

  /** The host is about to be told of a buffer: all of them are entered in the ledger. */
  share(): void {
    this.#pages.share(this.region!, 'GPA direct packets');
  }

  /** Take back the ID that was taken last, and was never used. The buffer stays taken. */
  untake(id: number): void {
    if (id < CONTROL_FIRST_ID) this.#taken--;
    this.#leave(id, 'never sent');
  }

  /** The buffer in flight under an ID, or -1. */
  bufferOf(id: number): number {
    return this.#buffers[id] ?? NONE;
  }

  /** The first ID from one on that is in use, or -1. */
  nextInUse(from: number): number {
    return this.#buffers.findIndex((buffer, id) => buffer >= 0 && id >= from);
  }

  /**
   * Give an ID that is in use back, with its buffer.
   *
   * @param letGoBy how the host let go of the buffer; undefined if it was only asked to
   */
  complete(id: number, letGoBy: string | undefined): void {
    this.release(this.#buffers[id]!);
    if (id < CONTROL_FIRST_ID) this.#ids[this.#given++ % this.#slots] = id;
    this.#leave(id, letGoBy);
  }

  /** The last message in flight takes the buffers out of the ledger. */
  #leave(id: number, letGoBy: string | undefined): void {
    this.#buffers[id] = NONE;
    if (--this.inFlight > 0 || letGoBy === undefined) return;
    this.#pages.revoke(this.region!, letGoBy);
  }

  // --- deferred frames ---

  /** Put a frame at the end of the queue. Returns false if the queue is full. */
  defer(buffer: number): boolean {
    const { length } = this.#deferred;
    if (this.#deferredIn - this.#deferredOut === length) return false;
    this.#deferred[this.#deferredIn++ % length] = buffer;
    return true;
  }

  /** The buffer of the first deferred frame, or -1. */
  get firstDeferred(): number {
    if (this.#deferredIn === this.#deferredOut) return NONE;
    return this.#deferred[this.#deferredOut % this.#deferred.length]!;
  }

  /** Take the first deferred frame out of the queue. Its buffer stays taken. */
  shift(): void {
    this.#deferredOut++;
  }
}
