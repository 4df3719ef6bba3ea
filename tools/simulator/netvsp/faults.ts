// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Faults that a test or a scenario puts into the network device, and the one door through which
 * all of its packets leave. Without faults the door costs one comparison.
 */

import type { DeviceChannel } from '../vmbus-server/channel-interface.ts';
import type { VirtualClock } from '../base/clock.ts';
import type { Keeper } from '../base/snapshot.ts';

/** A ring packet on its way to the guest. A fault may change all of it. */
export interface OutgoingPacket {
  type: number;
  flags: number;
  transactionIdLow: number;
  transactionIdHigh: number;
  /** Type-specific header: the ranges of a transfer-page packet. */
  extra: Uint8Array;
  extraLength: number;
  payload: Uint8Array;
  payloadLength: number;
}

/** An RNDIS message on its way into a receive-buffer section. A fault may change both. */
export interface OutgoingMessage {
  bytes: Uint8Array;
  length: number;
}

/** What becomes of a packet or message: a number is a delay in ticks of 100 ns. */
export type FaultVerdict = 'send' | 'drop' | 'twice' | number;

/** Faults of a network device; each is optional and may be set or unset at any time. */
export interface NetVspFaults {
  /** Each ring packet: completions, transfer pages, in-band messages. */
  packet?: ((packet: OutgoingPacket) => FaultVerdict) | undefined;
  /** Each RNDIS message, data included, before it is put into a section. */
  message?: ((message: OutgoingMessage) => FaultVerdict) | undefined;
  /** True withholds the completion of the transmit at hand until it is released or the close. */
  withhold?: (() => boolean) | undefined;
  /** A section of the receive buffer is back with the host, or is used for the guest (again). */
  section?: ((change: 'returned' | 'used', address: number, length: number) => void) | undefined;
}

/** Whether what the guest is told may be anything but what the device has to say. */
export const isMeddledWith = ({ packet, message, withhold }: NetVspFaults): boolean =>
  (packet ?? message ?? withhold) !== undefined;

/** {@link Outbox.send}: the ring has no room. */
export const NO_ROOM = -1;

/** The way out: every packet of the device passes here, and meets the faults. */
export class Outbox {
  readonly #clock: VirtualClock;
  readonly #faults: NetVspFaults;
  #channel: DeviceChannel | undefined;
  /** Packets that were put into the ring. */
  sent = 0;

  constructor(clock: VirtualClock, faults: NetVspFaults) {
    this.#clock = clock;
    this.#faults = faults;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#channel, this.sent], (v) => ([this.#channel, this.sent] = v));
    keeper.keep(this.#clock, this.#faults);
  }

  /** Send to this channel from now on, or (undefined) to none. */
  connect(channel: DeviceChannel | undefined): void {
    this.#channel = channel;
  }

  /**
   * Send a packet; the parameters are those of {@link DeviceChannel.send}. Returns how many copies
   * the guest gets (1, or what a fault made of it), or {@link NO_ROOM}.
   */
  send(
    type: number,
    flags: number,
    low: number,
    high: number,
    extra: Uint8Array,
    extraLength: number,
    payload: Uint8Array,
    payloadLength: number,
  ): number {
    const channel = this.#channel;
    if (channel === undefined || channel.dead) return NO_ROOM;
    if (this.#faults.packet !== undefined) {
      return this.#sendFaulty(channel, {
        type,
        flags,
        transactionIdLow: low,
        transactionIdHigh: high,
        extra: extra.slice(0, extraLength),
        extraLength,
        payload: payload.slice(0, payloadLength),
        payloadLength,
      });
    }
    if (!channel.send(type, flags, low, high, extra, extraLength, payload, payloadLength))
      return NO_ROOM;
    this.sent++;
    return 1;
  }

  #sendFaulty(channel: DeviceChannel, packet: OutgoingPacket): number {
    const verdict = this.#faults.packet!(packet);
    if (verdict === 'drop') return 0;
    if (typeof verdict === 'number') {
      this.#clock.schedule(verdict, () => {
        if (this.#channel === channel && !channel.dead) this.#put(channel, packet);
      });
      return 1;
    }
    if (!this.#put(channel, packet)) return NO_ROOM;
    return verdict === 'twice' && this.#put(channel, packet) ? 2 : 1;
  }

  #put(channel: DeviceChannel, packet: OutgoingPacket): boolean {
    const done = channel.send(
      packet.type,
      packet.flags,
      packet.transactionIdLow,
      packet.transactionIdHigh,
      packet.extra,
      packet.extraLength,
      packet.payload,
      packet.payloadLength,
    );
    if (done) this.sent++;
    return done;
  }
}
