// SPDX-License-Identifier: GPL-2.0-or-later

/** A NIC of a driver guest, as the network client on top wants it. */

import type { FrameReceiver, NetDevice, NetObserver } from '../../src/net/device.ts';
import { ETHERNET_FRAME_MAX } from '../../src/net/device.ts';
import type { Log } from '../../src/events.ts';
import type { Keeper, Saved } from '../simulator/base/snapshot.ts';
import { ABI_ERRNO } from './abi/abi.ts';
import { GuestFault } from './guest-error.ts';
import { frameError, guestError } from './guest-status.ts';
import type { GuestInstance } from './wasm-instance.ts';

/** Frames that wait for a guest that says "not now". */
const DEFERRED_MAX = 64;

/** Room for a frame, in bytes, at `hypxe_buffer`. */
const BUFFER_LENGTH = 2048;

const MAC_LENGTH = 6;

/** What a NIC is made of. */
export interface GuestNicOptions {
  readonly index: number;
  readonly instance: GuestInstance;
  readonly memory: ArrayBuffer;
  /** Guest memory that a MAC address can be written to. */
  readonly scratch: number;
  readonly log: Log;
}

export class GuestNic implements NetDevice, Saved {
  readonly name: string;
  readonly instance: string;
  readonly permanentAddress: Uint8Array;
  readonly address: Uint8Array;
  readonly maxFrame = ETHERNET_FRAME_MAX;
  readonly statistics = { txGood: 0, txBad: 0, rxGood: 0, rxBad: 0 };
  isOpen = false;
  receiver: FrameReceiver | undefined;
  observer?: NetObserver | undefined;
  readonly #options: GuestNicOptions;
  readonly #bytes: Uint8Array;
  /** The frame that is being received. */
  readonly #frame = new Uint8Array(BUFFER_LENGTH);
  /** Frames that the guest could not take, and those that it has. */
  #deferred: { readonly bytes: Uint8Array; readonly sequence: number }[] = [];
  readonly #out: number[] = [];
  /** Frames that were out when it was closed, and that the guest has not told of. */
  #late = 0;
  #sequence = 0;
  #up: boolean | undefined;

  constructor(options: GuestNicOptions) {
    const { index, instance, scratch } = options;
    this.#options = options;
    this.#bytes = new Uint8Array(options.memory);
    this.name = `net${index}`;
    this.instance = `{guest NIC ${index}}`;
    instance.callWide('hypxe_mac', 1, index, scratch);
    this.permanentAddress = this.#bytes.slice(scratch, scratch + MAC_LENGTH);
    this.address = this.permanentAddress;
    void this.link;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.isOpen, this.receiver], (v) => ([this.isOpen, this.receiver] = v));
    keeper.put([this.observer, this.#deferred], (v) => ([this.observer, this.#deferred] = v));
    keeper.put([this.#late, this.#sequence], (v) => ([this.#late, this.#sequence] = v));
    keeper.put([this.#up], (v) => ([this.#up] = v));
    keeper.keep(this.statistics, this.#out);
  }

  /** Asking the guest tells of what has changed. */
  get link(): 'unknown' | 'up' | 'down' {
    const { instance, index } = this.#options;
    const link = instance.call('hypxe_link', index);
    if (link < 0) return 'unknown';
    if (this.#up !== link > 0) {
      this.#up = link > 0;
      this.#options.log.emit({ kind: 'link', name: this.name, up: this.#up });
      this.observer?.linkChanged(this.#up);
    }
    return this.#up ? 'up' : 'down';
  }

  open(): void {
    if (this.isOpen) return;
    const { instance, index } = this.#options;
    const status = instance.call('hypxe_open', index);
    if (status < 0) throw guestError('hypxe_open', status);
    this.isOpen = true;
    void this.link;
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const { sequence } of this.#deferred.splice(0)) this.#done(sequence, -ABI_ERRNO.ECANCELED);
    this.#options.instance.call('hypxe_close', this.#options.index);
    // What the guest has not told of is over; it may tell of it yet
    this.#late += this.#out.length;
    for (const sequence of this.#out.splice(0)) this.#done(sequence, -ABI_ERRNO.ECANCELED);
  }

  transmit(frame: Uint8Array, length: number): 'sent' | 'deferred' | 'dropped' {
    const sequence = this.#sequence++;
    if (!this.isOpen || length > this.maxFrame) {
      this.#done(sequence, -ABI_ERRNO.EPIPE);
      return 'dropped';
    }
    if (this.#deferred.length > 0) return this.#defer(frame, length, sequence);
    const status = this.#send(frame.subarray(0, length), sequence);
    if (status === -ABI_ERRNO.EAGAIN) return this.#defer(frame, length, sequence);
    return status < 0 ? 'dropped' : 'sent';
  }

  poll(): void {
    if (!this.isOpen) return;
    const { instance, index } = this.#options;
    instance.call('hypxe_poll', index);
    void this.link;
    while (this.#deferred.length > 0) {
      const { bytes, sequence } = this.#deferred[0]!;
      if (this.#send(bytes, sequence) === -ABI_ERRNO.EAGAIN) return;
      this.#deferred.shift();
    }
  }

  /** The guest has received a frame: the bytes are its own memory, and are copied. */
  received(bytes: Uint8Array): void {
    if (bytes.length > this.#frame.length) {
      this.statistics.rxBad++;
      return;
    }
    this.#frame.set(bytes);
    this.statistics.rxGood++;
    this.receiver?.receive(this.#frame, 0, bytes.length);
  }

  /** The guest is done with the oldest frame out. @throws GuestFault if none is out */
  transmitted(status: number): void {
    if (this.#late > 0) {
      this.#late--;
      return;
    }
    const sequence = this.#out.shift();
    if (sequence === undefined) {
      throw new GuestFault(`transmitted(${this.#options.index}): no frame is out`);
    }
    this.#done(sequence, status);
  }

  #send(bytes: Uint8Array, sequence: number): number {
    const { instance, index } = this.#options;
    const buffer = instance.callWide('hypxe_buffer', 0) >>> 0;
    if (buffer + BUFFER_LENGTH > this.#bytes.length) {
      throw new GuestFault(`hypxe_buffer: ${BUFFER_LENGTH} bytes at ${buffer} are not in RAM`);
    }
    this.#bytes.set(bytes, buffer);
    // It may be done before the call returns
    this.#out.push(sequence);
    const status = instance.callWide('hypxe_transmit', 1, index, buffer, bytes.length);
    if (status >= 0) return status;
    this.#out.splice(this.#out.lastIndexOf(sequence), 1);
    if (status !== -ABI_ERRNO.EAGAIN) this.#done(sequence, status);
    return status;
  }

  #defer(frame: Uint8Array, length: number, sequence: number): 'deferred' | 'dropped' {
    if (this.#deferred.length >= DEFERRED_MAX) {
      this.#done(sequence, -ABI_ERRNO.ENOBUFS);
      return 'dropped';
    }
    this.#deferred.push({ bytes: frame.slice(0, length), sequence });
    return 'deferred';
  }

  #done(sequence: number, status: number): void {
    if (status === 0) this.statistics.txGood++;
    else this.statistics.txBad++;
    this.observer?.transmitted(sequence, frameError(status));
  }
}
