// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The host's rules that a guest can break: whoever replays or records a session keeps the same
 * books, so that a violation means the same in both.
 */

import { PacketHeader, PacketType } from '../../src/vmbus/protocol.ts';
import type { MemoryRange } from '../../src/machine.ts';
import type { PacketMeaning } from './anchor-keys.ts';
import type { GuestChannels } from './guest-channels.ts';
import { hexNumber } from './hex.ts';

/** What the rules look at. */
export interface RuledGuest {
  readonly channels: GuestChannels;
  /** Whether a register that is on names a page in [address, address + length). */
  holdsPage(address: number, length: number): boolean;
  violation(text: string): void;
}

/** Checks what a guest does. */
export class GuestRules {
  readonly #guest: RuledGuest;
  /** Transactions that await an answer, by channel. */
  readonly #inFlight = new Map<number, Set<bigint>>();

  constructor(guest: RuledGuest) {
    this.#guest = guest;
  }

  /** A message is posted; the books do not have it yet. */
  message(message: Uint8Array): void {
    const { channels } = this.#guest;
    const closed = channels.closes(message);
    // Whoever is not connected is not heard
    if (closed !== undefined && channels.connected && !channels.open.has(closed))
      this.#guest.violation(`CLOSE_CHANNEL for channel ${closed}, which is not open`);
    const opened = channels.opens(message) ?? closed;
    if (opened !== undefined) this.#inFlight.delete(opened);
  }

  /** A packet is written. */
  packet(channel: number, { asks, transaction }: PacketMeaning): void {
    if (!asks) return;
    const flying = this.#inFlight.get(channel) ?? new Set();
    if (flying.has(transaction))
      this.#guest.violation('guest reuses a transaction that is not answered');
    this.#inFlight.set(channel, flying.add(transaction));
  }

  /** The host has written a packet, which may answer one. */
  hostPacket(channel: number, bytes: Uint8Array): void {
    if (bytes.length < PacketHeader.size) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (view.getUint16(PacketHeader.at.type, true) !== PacketType.COMPLETION) return;
    const transaction = view.getBigUint64(PacketHeader.at.transactionId, true);
    this.#inFlight.get(channel)?.delete(transaction);
  }

  /** Memory goes on to the next owner, by a map: what the host has is not usable. */
  handedOver(map: readonly MemoryRange[]): void {
    for (const { address, length, type } of map) {
      if (type !== 'usable') continue;
      const { channels } = this.#guest;
      const gpadl = channels.gpadlOver(address, length);
      if (gpadl !== undefined)
        this.#guest.violation(
          `guest hands memory on as usable while GPADL ${hexNumber(gpadl.id)} still gives the ` +
            'host access to it',
        );
      if (channels.isContactPage(address, length))
        this.#guest.violation('guest hands pages on as usable while it is connected');
      if (this.#guest.holdsPage(address, length))
        this.#guest.violation('guest hands memory on as usable while a register names it');
    }
  }

  /** Memory is given up. */
  freed(address: number, length: number, purpose: string): void {
    const { channels } = this.#guest;
    const gpadl = channels.gpadlOver(address, length);
    if (gpadl !== undefined)
      this.#guest.violation(
        `guest frees ${purpose} at ${hexNumber(address)} while GPADL ${hexNumber(gpadl.id)} ` +
          'still gives the host access to it',
      );
    if (channels.isContactPage(address, length))
      this.#guest.violation(`guest frees ${purpose} while it is connected`);
    if (this.#guest.holdsPage(address, length))
      this.#guest.violation(`guest frees ${purpose} while a register names it`);
  }
}
