// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Messages of the reference guest on their way to the host: IDs, deferral (iPXE netvsc_transmit,
 * netvsc_ring, netdev_tx).
 */

import type { Block, GuestContext } from './guest.ts';

/** IDs of messages. */
const IDS = 32;

/** IDs and buffers that are in reserve for control messages, and the first of them. */
const RESERVE = 4;
const RESERVE_FIRST = 0x40;

/** Frames that may be deferred. */
const DEFERRED_MAX = 512;

/** Bytes of a buffer, where there is one memory for all messages. */
const BUFFER = 2048;

/** Alignment of the memory of a message, and where a frame's message lies in it. */
const ALIGN = 64;
const HEADROOM = 20;

/** A message. */
export interface Message {
  readonly bytes: Uint8Array;
  /** Number of the frame in it, or undefined for a control message. */
  readonly frame: number | undefined;
}

/** What carries the messages. */
export interface Carrier {
  readonly context: GuestContext;
  /** Why nothing can be sent any more. */
  readonly failure: string | undefined;
  readonly receiver: { transmitted(message: Message, errno: string | undefined): void };
  /** Put a message on the ring. Returns whether there was room. */
  sendDirect(id: number, address: number, length: number, control: boolean): boolean;
}

/** A message with its memory. */
interface Placed {
  readonly message: Message;
  readonly address: number;
  /** Its own memory. */
  readonly block: Block | undefined;
}

/** What became of a message: `sent`, `deferred`, or the class of the error. */
export type Sent = string;

export class Transmits {
  readonly #netvsc: Carrier;
  /** Memory for all messages, where they have none of their own. */
  #memory: Block | undefined;
  readonly #used = new Set<number>();
  #ids: number[] = [];
  readonly #flying = new Map<number, Placed>();
  #deferred: Placed[] = [];

  constructor(netvsc: Carrier) {
    this.#netvsc = netvsc;
  }

  /** @throws GuestError ENOMEM */
  open(): void {
    const { context } = this.#netvsc;
    this.#ids = Array.from({ length: IDS }, (_, id) => id);
    if (context.has('no-allocation-per-message')) return;
    const length = (IDS + DEFERRED_MAX + RESERVE) * BUFFER;
    this.#memory = context.allocate('tx-buffer', length);
  }

  /** Give up everything. */
  close(): void {
    const left = [...this.#flying.values(), ...this.#deferred];
    this.#flying.clear();
    this.#deferred = [];
    for (const placed of left) this.#done(placed, 'ECANCELED');
    if (this.#memory !== undefined) this.#netvsc.context.free(this.#memory);
    this.#memory = undefined;
  }

  /** IDs of what is with the host, in order. */
  get inFlight(): readonly number[] {
    return [...this.#flying.keys()].sort((a, b) => a - b);
  }

  /** Send or defer. @throws GuestError ENOMEM */
  transmit(message: Message): Sent {
    const { context, failure } = this.#netvsc;
    const control = message.frame === undefined;
    if (failure !== undefined && (control || context.has('drop-is-named'))) return failure;
    if (failure !== undefined) return 'dropped';
    const placed = this.#place(message);
    if (placed === undefined)
      return control || context.has('drop-is-named') ? 'ENOBUFS' : 'dropped';
    const full = this.#ids.length === 0;
    const waits = !control && this.#deferred.length > 0 && !context.has('deferral-is-bounded');
    if (!waits && this.#send(placed)) return 'sent';
    if (control) {
      this.#release(placed);
      return full && context.has('control-messages-have-slots') ? 'ENOTSUP' : 'ENOBUFS';
    }
    return this.#defer(placed, full || waits);
  }

  /** A frame that could not be sent. `full`: for want of an ID. */
  #defer(placed: Placed, full: boolean): Sent {
    const { context } = this.#netvsc;
    const { has } = context;
    const drop = !full && has('full-ring-defers');
    if (drop || (this.#deferred.length >= DEFERRED_MAX && !has('deferral-is-bounded'))) {
      this.#release(placed);
      if (!drop) return has('drop-is-named') ? 'ENOBUFS' : 'dropped';
      // iPXE: what fails takes with it all that waits
      for (const other of this.#deferred.splice(0)) this.#done(other, 'ECANCELED');
      return has('drop-is-named') ? 'ENOBUFS' : 'dropped';
    }
    this.#deferred.push(placed);
    return 'deferred';
  }

  /** Put a message into memory. @throws GuestError ENOMEM */
  #place(message: Message): Placed | undefined {
    const { context } = this.#netvsc;
    const { bytes, frame } = message;
    let address = 0;
    let block: Block | undefined;
    if (this.#memory === undefined) {
      const head = frame === undefined ? 0 : HEADROOM;
      const purpose = frame === undefined ? 'rndis-message' : 'tx-frame';
      const length = Math.max(Math.ceil((bytes.length + head) / ALIGN) * ALIGN, 128);
      block = context.allocate(purpose, length, ALIGN);
      address = block.address + head;
    } else {
      const most = IDS + DEFERRED_MAX + (frame === undefined ? RESERVE : 0);
      let slot = 0;
      while (this.#used.has(this.#memory.address + slot * BUFFER)) slot++;
      if (slot >= most) return undefined;
      address = this.#memory.address + slot * BUFFER;
      this.#used.add(address);
    }
    context.bytes.set(bytes, address);
    return { message, address, block };
  }

  #release({ address, block }: Placed): void {
    if (block !== undefined) this.#netvsc.context.free(block);
    this.#used.delete(address);
  }

  #done(placed: Placed, errno: string | undefined): void {
    this.#release(placed);
    this.#netvsc.receiver.transmitted(placed.message, errno);
  }

  #send(placed: Placed): boolean {
    const { context } = this.#netvsc;
    const control = placed.message.frame === undefined;
    let id = this.#ids[0];
    const ordinary = id !== undefined;
    if (!ordinary && control && !context.has('control-messages-have-slots'))
      for (let i = RESERVE_FIRST; i < RESERVE_FIRST + RESERVE; i++)
        if (!this.#flying.has(i)) id ??= i;
    if (id === undefined) return false;
    const { bytes } = placed.message;
    if (!this.#netvsc.sendDirect(id, placed.address, bytes.length, control)) return false;
    if (ordinary) this.#ids.shift();
    this.#flying.set(id, placed);
    return true;
  }

  /** A completion. Returns whether it was of a message. */
  completed(id: number, failed: boolean): boolean {
    const placed = this.#flying.get(id);
    if (placed === undefined) return false;
    this.#flying.delete(id);
    if (id < RESERVE_FIRST) this.#ids.push(id);
    this.#done(placed, failed ? 'EIO' : undefined);
    const bounded = !this.#netvsc.context.has('deferral-is-bounded');
    if (bounded) this.sendDeferred();
    else if (placed.message.frame !== undefined) this.#sendOne();
    return true;
  }

  /** iPXE: a completed frame makes room for one that waits. */
  #sendOne(): void {
    const placed = this.#deferred.shift();
    if (placed === undefined || this.#send(placed)) return;
    if (this.#ids.length === 0) {
      this.#deferred.unshift(placed);
      return;
    }
    this.#done(placed, 'ENOBUFS');
    for (const other of this.#deferred.splice(0)) this.#done(other, 'ECANCELED');
  }

  sendDeferred(): void {
    if (this.#netvsc.context.has('deferral-is-bounded')) return;
    while (this.#netvsc.failure === undefined && this.#deferred.length > 0) {
      if (!this.#send(this.#deferred[0]!)) return;
      this.#deferred.shift();
    }
  }
}
