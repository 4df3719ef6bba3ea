// SPDX-License-Identifier: GPL-2.0-or-later

/** What the host of a replay writes into the guest's memory: GPADLs and inbound rings. */

import { PacketFooter } from '../../../src/vmbus/protocol.ts';
import type { GuestChannel, GuestChannels } from '../guest-channels.ts';
import type { HostEvent } from './script-types.ts';
import { ReturnedRanges } from './returned-ranges.ts';

type PacketEvent = Extract<HostEvent['what'], { readonly kind: 'packet' }>;

/** How a packet was recorded: where, and how the producer index moved. */
export interface RecordedPlace {
  readonly offset: number;
  readonly prod: readonly number[];
  /** Bytes of data of the recorded ring, which need not be as long as the guest's. */
  readonly ringBytes: number | undefined;
}

/** How a packet of the recorded host was written. */
export function placeOf(what: PacketEvent): RecordedPlace {
  return { ...what.event, ringBytes: what.ringBytes };
}

/** Writes. */
export class HostMemory {
  readonly #memory: Uint8Array;
  readonly #channels: GuestChannels;
  readonly #note: (text: string) => void;
  /** Where the host writes next, by GPADL of the rings. */
  readonly #producers = new Map<number, number>();
  /** Ranges of receive buffers; undefined: what is given back stays as it is. */
  readonly returned: ReturnedRanges | undefined;

  constructor(context: {
    readonly memory: Uint8Array;
    readonly channels: GuestChannels;
    /** Writes over what the guest has given back. */
    readonly overwrites: boolean;
    note(text: string): void;
  }) {
    this.#memory = context.memory;
    this.#channels = context.channels;
    if (context.overwrites) this.returned = new ReturnedRanges(context.memory, context.channels);
    this.#note = (text) => context.note(text);
  }

  /** Write into a GPADL. */
  write(gpadl: number, offset: number, bytes: Uint8Array): void {
    this.returned?.restore();
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

  /** Whether a channel's inbound ring has room for a packet, as the host sees it. */
  hasRoom(channel: GuestChannel, length: number, recorded?: RecordedPlace): boolean {
    const size = channel.in.data.length;
    const { start, moved, odd } = this.#place(channel, length, recorded);
    const used = (start - channel.in.consumer + size) % size;
    return odd || moved !== length || used + length < size;
  }

  /** Whether the host's index is one of the ring, and says where a packet of it ends. */
  tellsEnd(channel: GuestChannel, length: number, recorded: RecordedPlace): boolean {
    const { moved, odd } = this.#place(channel, length, recorded);
    return !odd && moved === length && (recorded.prod[1] ?? 0) < channel.in.data.length;
  }

  /** Where the host writes; by how much its index moves, and whether that is none. */
  #place(
    { gpadl, in: ring }: GuestChannel,
    length: number,
    recorded?: RecordedPlace,
  ): { readonly start: number; readonly moved: number; readonly odd: boolean } {
    // The recorded index moves by what it moved, which need not be the length of the packet
    const [before = 0, after = 0] = recorded?.prod ?? [0, length];
    return {
      start: this.#producers.get(gpadl) ?? ring.producer,
      moved: after - before + (after < before ? (recorded?.ringBytes ?? ring.data.length) : 0),
      odd: after >= 2 ** 31 || after % 8 !== 0,
    };
  }

  /** Write a packet into a channel's inbound ring. Returns whether there was room. */
  packet(channel: GuestChannel, bytes: Uint8Array, recorded?: RecordedPlace): boolean {
    const ring = channel.in;
    const size = ring.data.length;
    const { start, moved, odd } = this.#place(channel, bytes.length, recorded);
    const after = recorded?.prod[1] ?? bytes.length;
    const copy = bytes.slice();
    const footer = copy.length - PacketFooter.size + PacketFooter.at.offset;
    const view = new DataView(copy.buffer);
    if (footer >= 0 && view.getUint32(footer, true) === (recorded?.offset ?? 0))
      view.setUint32(footer, start, true);
    if (!this.hasRoom(channel, bytes.length, recorded)) return false;
    this.returned?.restore();
    this.returned?.written(channel.channel, copy);
    ring.data.write(start, copy);
    const isIndex = !odd && after < (recorded?.ringBytes ?? size);
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
