// SPDX-License-Identifier: GPL-2.0-or-later

/** What the host of a replay writes into the guest's memory: GPADLs and inbound rings. */

import { PacketFooter } from '../../../src/vmbus/protocol.ts';
import type { GuestChannel, GuestChannels } from '../guest-channels.ts';

/** How a packet was recorded: where, and how the producer index moved. */
export interface RecordedPlace {
  readonly offset: number;
  readonly prod: readonly number[];
}

/** Writes. */
export class HostMemory {
  readonly #memory: Uint8Array;
  readonly #channels: GuestChannels;
  readonly #note: (text: string) => void;
  /** Where the host writes next, by GPADL of the rings. */
  readonly #producers = new Map<number, number>();

  constructor(context: {
    readonly memory: Uint8Array;
    readonly channels: GuestChannels;
    note(text: string): void;
  }) {
    this.#memory = context.memory;
    this.#channels = context.channels;
    this.#note = (text) => context.note(text);
  }

  /** Write into a GPADL. */
  write(gpadl: number, offset: number, bytes: Uint8Array): void {
    const pages = this.#channels.gpadls.get(gpadl)?.pages;
    if (pages === undefined) {
      this.#note("the guest has no memory for the host's write");
      return;
    }
    bytes.forEach((byte, i) => {
      const page = pages[(offset + i) >>> 12];
      if (page !== undefined) this.#memory[page + ((offset + i) & 4095)] = byte;
    });
  }

  /** Write a packet into a channel's inbound ring. Returns whether there was room. */
  packet(channel: GuestChannel, bytes: Uint8Array, recorded?: RecordedPlace): boolean {
    const ring = channel.in;
    const size = ring.data.length;
    const start = this.#producers.get(channel.gpadl) ?? ring.producer;
    const copy = bytes.slice();
    const footer = copy.length - PacketFooter.size + PacketFooter.at.offset;
    const view = new DataView(copy.buffer);
    if (footer >= 0 && view.getUint32(footer, true) === (recorded?.offset ?? 0))
      view.setUint32(footer, start, true);
    // The recorded index moves by what it moved, which need not be the length of the packet
    const [before = 0, after = 0] = recorded?.prod ?? [0, copy.length];
    const odd = after >= 2 ** 31 || after % 8 !== 0;
    const moved = after - before + (after < before ? size : 0);
    const used = (start - ring.consumer + size) % size;
    if (!odd && moved === copy.length && used + copy.length >= size) return false;
    ring.data.write(start, copy);
    const isIndex = !odd && after < size;
    const producer = isIndex ? (start + moved) % size : after;
    // A host knows where it has written to, whatever it says
    this.#producers.set(channel.gpadl, isIndex ? producer : (start + copy.length) % size);
    ring.producer = producer;
    return true;
  }

  /** Take back what the guest has not read. */
  withdraw(channel: GuestChannel): void {
    channel.in.producer = channel.in.consumer;
    this.#producers.set(channel.gpadl, channel.in.consumer);
  }
}
