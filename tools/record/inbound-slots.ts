// SPDX-License-Identifier: GPL-2.0-or-later

/** The slots of a guest's message page: what a host has put there since the last look. */

import { HV_MESSAGE_PENDING, SINT_COUNT, SynicMessage } from '../../src/hyperv/protocol.ts';

/** Most bytes of a message that are looked at. */
const PAYLOAD_MAX = 240;

/** A message that has come. */
export interface InboundMessage {
  readonly sint: number;
  readonly type: number;
  readonly payload: Uint8Array;
  /** The host says that another one waits: 1. */
  readonly pending: number;
  /** Address of the slot. */
  readonly slot: number;
}

/** The slots, as they were seen last. */
export class InboundSlots {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Address of the message page; 0: there is none. */
  #page = 0;
  /** Slots that were full when last seen. */
  readonly #full = new Set<number>();

  /** @param bytes guest RAM */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  /** The message page is there, or with 0 is not. */
  use(page: number): void {
    this.#page = page;
    this.#full.clear();
  }

  #type(sint: number): number {
    return this.#view.getUint32(this.#page + sint * SynicMessage.size + SynicMessage.at.type, true);
  }

  /** The guest has acted: what it has emptied may be filled. */
  guestActed(): void {
    for (const sint of this.#full) if (this.#type(sint) === 0) this.#full.delete(sint);
  }

  /** What has come since the last look. */
  *look(): Iterable<InboundMessage> {
    for (let sint = 0; this.#page !== 0 && sint < SINT_COUNT; sint++) {
      const type = this.#type(sint);
      if (type === 0 || this.#full.has(sint)) continue;
      this.#full.add(sint);
      const slot = this.#page + sint * SynicMessage.size;
      const length = Math.min(this.#bytes[slot + SynicMessage.at.length]!, PAYLOAD_MAX);
      const data = slot + SynicMessage.at.data;
      const payload = this.#bytes.slice(data, data + length);
      const pending = this.#bytes[slot + SynicMessage.at.flags]! & HV_MESSAGE_PENDING;
      yield { sint, type, payload, pending, slot };
    }
  }
}
