// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The host's queue of guest messages: bounded, each handled a latency after it came, in order, and
 * not read at all while the host has something undelivered (back-pressure; knob
 * `contactBehindMessages` for those that begin and end a connection).
 */

import { HV_MESSAGE_PAYLOAD_MAX, HvStatus } from '../../../src/hyperv/protocol.ts';
import { MessageType, VMBUS_MESSAGE_TYPE } from '../../../src/vmbus/protocol.ts';
import type { Alarm } from '../base/clock.ts';
import { GUEST_MESSAGES_MAX } from '../profiles/knob-values.ts';
import type { ServerContext } from './context.ts';
import type { Keeper } from '../base/snapshot.ts';

interface Slot {
  port: number;
  readonly bytes: Uint8Array;
  length: number;
  due: number;
  /** The act of the guest that it is, for the stream of events. */
  act: number | undefined;
}

export class GuestMessages {
  readonly #context: ServerContext;
  readonly #ready: () => boolean;
  readonly #handle: (port: number, payload: Uint8Array) => void;
  readonly #slots: Slot[] = [];
  /** Messages that the host takes before HvPostMessage fails. */
  readonly #max: number;
  #first = 0;
  #count = 0;
  #alarm: Alarm | undefined;
  readonly #run: () => void;

  /** `handle` gets each message with the connection ID it came on; valid during the call. */
  constructor(
    context: ServerContext,
    ready: () => boolean,
    handle: (port: number, payload: Uint8Array) => void,
  ) {
    this.#context = context;
    const { contactBehindMessages } = context.services.profile.knobs;
    this.#ready = contactBehindMessages === 'read' ? () => ready() || this.#contactWaits : ready;
    this.#handle = handle;
    const { messageQueue } = context.services.profile.knobs;
    this.#max = Math.max(1, Math.min(messageQueue, GUEST_MESSAGES_MAX));
    this.#run = () => {
      this.#alarm = undefined;
      this.#handleDue();
    };
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#first, this.#count], (v) => ([this.#first, this.#count] = v));
    keeper.put([this.#alarm], (v) => ([this.#alarm] = v));
    keeper.keep(this.#context, this.#slots);
  }

  /** Messages not yet handled. */
  get length(): number {
    return this.#count;
  }

  /** A guest posts: returns the hypercall's status. */
  post(port: number, type: number, payload: Uint8Array): number {
    if (type !== VMBUS_MESSAGE_TYPE) {
      this.#context.violation('vmbus', `message of SynIC type 0x${type.toString(16)}`);
      return HvStatus.SUCCESS;
    }
    if (this.#count === this.#max) return HvStatus.INSUFFICIENT_BUFFERS;

    // Copy into the queue
    const { clock, profile, events } = this.#context.services;
    const slot = this.#slot((this.#first + this.#count++) % this.#max);
    slot.port = port;
    slot.bytes.set(payload);
    slot.length = payload.length;
    slot.act = events.cause;
    slot.due = clock.now + profile.knobs.messageLatencyTicks;
    this.#arm();
    return HvStatus.SUCCESS;
  }

  /** A slot, made when it is first used: most guests never have more than a few in the queue. */
  #slot(index: number): Slot {
    const bytes = (): Uint8Array => new Uint8Array(HV_MESSAGE_PAYLOAD_MAX);
    return (this.#slots[index] ??= { port: 0, bytes: bytes(), length: 0, due: 0, act: undefined });
  }

  /** A slot was emptied: perhaps the host reads again. */
  resume(): void {
    this.#arm();
  }

  /** Forget what was not read. */
  drop(): void {
    this.reset();
  }

  reset(): void {
    this.#first = this.#count = 0;
    if (this.#alarm !== undefined) this.#context.services.clock.cancel(this.#alarm);
    this.#alarm = undefined;
  }

  /** Whether a message waits that begins or ends a connection: what is before it is read, too. */
  get #contactWaits(): boolean {
    for (let i = 0; i < this.#count; i++) {
      const { bytes, length } = this.#slots[(this.#first + i) % this.#max]!;
      const begins = bytes[0] === MessageType.INITIATE_CONTACT || bytes[0] === MessageType.UNLOAD;
      if (length >= 8 && begins && bytes[1] === 0) return true;
    }
    return false;
  }

  #arm(): void {
    if (this.#alarm !== undefined || this.#count === 0 || !this.#ready()) return;
    const { clock } = this.#context.services;
    const { due } = this.#slots[this.#first]!;
    this.#alarm = clock.schedule(Math.max(0, due - clock.now), this.#run);
  }

  #handleDue(): void {
    const { clock, events } = this.#context.services;
    while (this.#count > 0 && this.#ready() && this.#slots[this.#first]!.due <= clock.now) {
      const slot = this.#slots[this.#first]!;
      const payload = slot.bytes.slice(0, slot.length);
      this.#first = (this.#first + 1) % this.#max;
      this.#count--;
      events.cause = slot.act;
      this.#handle(slot.port, payload);
      events.end();
    }
    // The same few slots are used again and again
    if (this.#count === 0) this.#first = 0;
    this.#arm();
  }
}
