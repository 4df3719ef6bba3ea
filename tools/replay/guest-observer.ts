// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Watches what the guest leaves in shared memory: packets in its outbound rings, bits in the
 * monitor page. Looks whenever the guest calls the machine: a guest that waits does so millions of
 * times.
 */

import { MonitorPage } from '../../src/hyperv/protocol.ts';
import {
  GpaDirectHeader,
  GpaRange,
  PacketFooter,
  PacketHeader,
  PacketType,
} from '../../src/vmbus/protocol.ts';
import type { GuestChannel, GuestChannels } from './guest-channels.ts';
import type { GuestPacket } from './normalise.ts';

/** Largest content of a GPA-direct packet that is read, in bytes. */
export const RANGE_BYTES_MAX = 1024 * 1024;

const TRIGGER = MonitorPage.at.trigger;

/** What the observer found at one look. */
export interface Observation {
  readonly packets: readonly GuestPacket[];
  /** Monitors that the guest has triggered. */
  readonly monitorBits: readonly number[];
  /** Rings whose contents are no packets. */
  readonly faults: readonly string[];
}

/** Watches the guest's memory. */
export class GuestObserver {
  readonly #memory: Uint8Array;
  readonly #channels: GuestChannels;
  /** How far each channel's outbound ring was seen. */
  readonly #seen = new Map<number, number>();
  /** The trigger groups as they were. */
  readonly #triggers = new Uint8Array(MonitorPage.sizes.trigger);

  constructor(memory: Uint8Array, channels: GuestChannels) {
    this.#memory = memory;
    this.#channels = channels;
  }

  /** A channel was opened: its rings are empty. */
  channelOpened(channel: number): void {
    this.#seen.set(channel, this.#channels.channels.get(channel)?.out.producer ?? 0);
  }

  /** The host changed its pages, or the guest named other ones: what is there now is known. */
  acceptPages(): void {
    const page = this.#monitorPage;
    const triggers = this.#triggers;
    for (let at = 0; at < triggers.length; at++)
      triggers[at] = page === 0 ? 0 : this.#memory[page + TRIGGER + at]!;
  }

  /** Look at everything that changed since the last look. */
  look(): Observation {
    const packets: GuestPacket[] = [];
    const faults: string[] = [];
    for (const channel of this.#channels.channels.values()) this.#ring(channel, packets, faults);
    const monitorBits = this.#newTriggers();
    this.acceptPages();
    return { packets, monitorBits, faults };
  }

  /** The guest's monitor page; 0 without one. */
  get #monitorPage(): number {
    const page = this.#channels.monitorOut;
    return page + MonitorPage.size > this.#memory.length ? 0 : page;
  }

  /**
   * Numbers of the bits that are set and were not. A monitor's number counts over the pending words
   * only: each is followed by an armed word.
   */
  #newTriggers(): number[] {
    const bits: number[] = [];
    const page = this.#monitorPage;
    if (page === 0) return bits;
    const triggers = this.#triggers;
    for (let at = 0; at < triggers.length; at++) {
      const set = this.#memory[page + TRIGGER + at]! & ~triggers[at]!;
      if (set === 0) continue;
      const byte = Math.floor(at / 8) * 4 + (at % 8);
      for (let bit = 0; bit < 8; bit++) if ((set >> bit) & 1) bits.push(byte * 8 + bit);
    }
    return bits;
  }

  #ring(channel: GuestChannel, packets: GuestPacket[], faults: string[]): void {
    const { producer, data } = channel.out;
    let at = this.#seen.get(channel.channel) ?? 0;
    this.#seen.set(channel.channel, producer);
    if (producer >= data.length || producer % 8 !== 0) {
      faults.push(`producer index ${producer} of channel ${channel.channel} is out of range`);
      return;
    }
    while (at !== producer) {
      const produced = (producer - at + data.length) % data.length;
      const header = new DataView(data.read(at, PacketHeader.size).buffer);
      const length = header.getUint16(PacketHeader.at.qlen, true) * 8 + PacketFooter.size;
      if (length < PacketHeader.size + PacketFooter.size || length > produced) {
        faults.push(`packet at ${at} of channel ${channel.channel} has a length of ${length}`);
        return;
      }
      const bytes = data.read(at, length);
      const ranges = this.#ranges(bytes);
      packets.push({ channel: channel.channel, start: at, bytes, data: ranges });
      at = (at + length) % data.length;
    }
  }

  /** Contents of the ranges of a GPA-direct packet. */
  #ranges(bytes: Uint8Array): Uint8Array | undefined {
    const view = new DataView(bytes.buffer);
    if (view.getUint16(PacketHeader.at.type, true) !== PacketType.DATA_GPA_DIRECT) return undefined;
    const end = Math.min(view.getUint16(PacketHeader.at.headerQlen, true) * 8, bytes.length);
    const contents: number[] = [];
    for (let at: number = GpaDirectHeader.size; at + GpaRange.size <= end;) {
      const length = view.getUint32(at, true);
      const offset = view.getUint32(at + GpaRange.at.byteOffset, true);
      at += GpaRange.size;
      if (length > RANGE_BYTES_MAX) break;
      const list = at;
      for (let i = offset; i < offset + length; i++) {
        const pfn = list + (i >>> 12) * 8;
        if (pfn + 8 > end) break;
        contents.push(this.#memory[Number(view.getBigUint64(pfn, true)) * 4096 + (i & 4095)] ?? 0);
      }
      at += Math.ceil((offset + length) / 4096) * 8;
    }
    return Uint8Array.from(contents);
  }
}
