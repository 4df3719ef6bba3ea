// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Watches what the guest leaves in shared memory: packets in its outbound rings, bits in the
 * interrupt page and the monitor page. Looks whenever the guest calls the machine.
 */

import { MonitorPage } from '../../src/hyperv/protocol.ts';
import {
  GpaDirectHeader,
  GpaRange,
  InterruptPage,
  PacketFooter,
  PacketHeader,
  PacketType,
} from '../../src/vmbus/protocol.ts';
import type { GuestChannel, GuestChannels } from './guest-channels.ts';
import type { GuestPacket } from './normalise.ts';
import { newBits } from './recording.ts';

/** Largest content of a GPA-direct packet that is read, in bytes. */
export const RANGE_BYTES_MAX = 1024 * 1024;

/** What the observer found at one look. */
export interface Observation {
  readonly packets: readonly GuestPacket[];
  readonly interruptBits: readonly number[];
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
  readonly #interrupt = new Uint8Array(InterruptPage.size);
  readonly #monitor = new Uint8Array(MonitorPage.size);

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
    this.#copyPage(this.#channels.interruptPage, this.#interrupt);
    this.#copyPage(this.#channels.monitorOut, this.#monitor);
  }

  /** Look at everything that changed since the last look. */
  look(): Observation {
    const packets: GuestPacket[] = [];
    const faults: string[] = [];
    for (const channel of this.#channels.channels.values()) this.#ring(channel, packets, faults);
    const { interruptPage, monitorOut } = this.#channels;
    const { out } = InterruptPage.at;
    const trigger = MonitorPage.at.trigger;
    const triggerEnd = trigger + MonitorPage.sizes.trigger;
    const interruptBits = this.#bits(interruptPage, this.#interrupt, out, 4096, false);
    const monitorBits = this.#bits(monitorOut, this.#monitor, trigger, triggerEnd, true);
    this.acceptPages();
    return { packets, interruptBits, monitorBits, faults };
  }

  #bits(page: number, before: Uint8Array, from: number, to: number, monitor: boolean): number[] {
    if (page === 0 || page + 4096 > this.#memory.length) return [];
    return newBits(before, this.#memory.subarray(page, page + 4096), from, to, monitor);
  }

  #copyPage(page: number, copy: Uint8Array): void {
    if (page === 0 || page + 4096 > this.#memory.length) copy.fill(0);
    else copy.set(this.#memory.subarray(page, page + 4096));
  }

  #ring(channel: GuestChannel, packets: GuestPacket[], faults: string[]): void {
    const { producer, data } = { producer: channel.out.producer, data: channel.out.data };
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
