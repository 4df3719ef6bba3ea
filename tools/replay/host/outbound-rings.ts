// SPDX-License-Identifier: GPL-2.0-or-later

/** The guest's outbound rings as the host of a replay sees them: what waits, and who was woken. */

import type { PacketMeaning } from '../anchor-keys.ts';
import type { GuestChannel, GuestChannels } from '../guest-channels.ts';
import { FurtherSignals } from './further-signals.ts';
import type { Anchor } from './script-types.ts';

/** A packet of the guest that is not taken. */
export interface Waiting {
  readonly anchor: Anchor | undefined;
  readonly packet: PacketMeaning;
  /** When it was written, in ms. */
  readonly time: number;
  /** Ring offset behind it. */
  readonly end: number;
}

/** Takes a packet. */
export type TakePacket = (number: number, channel: GuestChannel, packet: Waiting) => void;

/** One channel's outbound ring. */
interface RingState {
  waiting: Waiting[];
  awake: boolean;
  /** The last packet with an anchor, and how many signals followed it. */
  signalled: Anchor | undefined;
  signals: number;
}

/** The rings of all channels. */
export class OutboundRings {
  readonly #rings = new Map<number, RingState>();
  readonly #channels: GuestChannels;
  readonly #further: FurtherSignals;

  /** The host looks when it is signalled, and then no more. */
  readonly #atOnce: boolean;

  /** @param anchors what the recorded guest has done */
  constructor(channels: GuestChannels, anchors: readonly Anchor[]) {
    this.#channels = channels;
    this.#further = new FurtherSignals(anchors);
    const taken = anchors.filter(({ consumed }) => consumed !== undefined);
    this.#atOnce = taken.length > 0 && taken.every(({ consumed, time }) => consumed === time);
  }

  #ring(channel: number): RingState {
    const none = { waiting: [], awake: false, signalled: undefined, signals: 0 };
    const ring = this.#rings.get(channel) ?? none;
    this.#rings.set(channel, ring);
    return ring;
  }

  /** The channel is opened or closed: nothing waits there. */
  forget(channel: number): void {
    this.#rings.delete(channel);
  }

  /** The guest has written a packet. */
  written(channel: number, packet: Waiting): void {
    const ring = this.#ring(channel);
    ring.waiting.push(packet);
    ring.signalled = packet.anchor;
    ring.signals = 0;
  }

  /** The guest signals. Returns the status of the hypercall. */
  signalled(channel: number): number {
    const ring = this.#ring(channel);
    const { signalled } = ring;
    const status = signalled?.signals[ring.signals++] ?? this.#further.after(signalled);
    if (status === 0) ring.awake = ring.waiting.length > 0 || !this.#atOnce;
    return status;
  }

  /** Whether the host is about to look at a ring. */
  isAwake(channel: number): boolean {
    return this.#ring(channel).awake;
  }

  /** The host looks at a ring. */
  wake(channel: number): void {
    this.#ring(channel).awake = true;
  }

  /** Whether a packet waits that the recorded host took before an event. */
  haveBefore(index: number): boolean {
    return [...this.#rings.values()].some(({ waiting }) =>
      waiting.some(({ anchor }) => anchor !== undefined && anchor.consumedIndex < index),
    );
  }

  /** Take the packets at the heads of the rings that are due. Returns whether there were any. */
  consume(take: TakePacket, isDue: (waiting: Waiting) => boolean): boolean {
    let some = false;
    for (const [number, ring] of this.#rings) {
      const channel = this.#channels.channels.get(number);
      if (channel === undefined) continue;
      for (let head = ring.waiting[0]; head !== undefined; head = ring.waiting[0]) {
        if (!mayTake(ring, head, channel) || !isDue(head)) break;
        ring.waiting.shift();
        if (ring.waiting.length === 0) ring.awake = false;
        take(number, channel, head);
        some = true;
      }
    }
    return some;
  }
}

function mayTake(ring: RingState, { anchor }: Waiting, channel: GuestChannel): boolean {
  // The recorded host was told of it, and did not take it, nor what lies behind it
  const taken = ring.waiting.some((each) => each.anchor?.consumed !== undefined);
  if (anchor !== undefined && !taken && anchor.awake) return false;
  const byItself = anchor?.consumed !== undefined && !anchor.woken;
  return ring.awake || byItself || channel.out.isMasked;
}
