// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A channel as an OS uses it: the host signals when there is room to send again, and no event comes
 * while the ring is drained (Linux vmbus_on_event, hv_begin_read, hv_end_read, hv_need_to_signal).
 */

import type { GuestMemory } from '../memory/guest-memory.ts';
import type { ChannelPart, VmbusChannel } from '../vmbus/channel.ts';
import type { ChannelSizes } from '../vmbus/device.ts';
import { RING_FEATURE_PENDING_SEND_SIZE, RingControl } from '../vmbus/protocol.ts';

/** How an OS opens a channel. */
export interface OsChannelSizes extends ChannelSizes {
  /** Virtual processor whose event flags the host sets; by default 0. */
  readonly targetVp?: number | undefined;
  /**
   * Whether the guest asks the host for a signal when it waits for room in its ring, and says so
   * (Linux; by default not, as iPXE has it).
   */
  readonly flowControl?: boolean | undefined;
}

/**
 * Say in an outbound ring's control page that its sender honours the pending send size. Before the
 * host reads the ring (Linux hv_ringbuffer_init).
 */
export function enableFlowControl(memory: GuestMemory, control: number): void {
  memory.set32(control + RingControl.at.featureBits, RING_FEATURE_PENDING_SEND_SIZE);
}

/** Looks that find nothing although the host says that there is something, in one drain. */
const EMPTY_PASSES_MAX = 16;

export class OsChannel implements ChannelPart {
  /** Virtual processor whose event flags the host sets. */
  readonly targetVp: number;
  readonly #channel: VmbusChannel;
  readonly #memory: GuestMemory;
  readonly #flowControl: boolean;
  /** Room that somebody waits for, in bytes, or 0. */
  #wanted = 0;
  #draining = false;

  constructor(channel: VmbusChannel, memory: GuestMemory, sizes: OsChannelSizes) {
    this.targetVp = sizes.targetVp ?? 0;
    this.#channel = channel;
    this.#memory = memory;
    this.#flowControl = sizes.flowControl ?? false;
  }

  /** Ask the host for a signal as soon as there is room. It may have made some meanwhile. */
  noRoom(length: number): boolean {
    // What the ring can never hold is nothing to wait for
    const { out } = this.#channel;
    if (!this.#flowControl || length > out.mask) return false;
    this.#want(Math.max(this.#wanted, length));
    if (out.writable < length) return false;
    this.#want(0);
    return true;
  }

  polled(): void {
    const { broken, handler, out } = this.#channel;
    if (this.#wanted === 0 || broken !== undefined || out.writable < this.#wanted) return;
    this.#want(0);
    handler.writable?.();
  }

  /**
   * Ask for a signal once the ring has more room than `length` bytes; 0 to ask no more. Everything
   * that the host does afterwards it does knowing this: look at the room again.
   */
  #want(length: number): void {
    this.#wanted = length;
    const address = this.#channel.out.control + RingControl.at.pendingSendSize;
    this.#memory.set32(address, length);
    this.#memory.barrier(address);
  }

  /**
   * Handle what has come, with the ring's interrupts masked meanwhile: mask, drain, unmask, and
   * look again for what came in between, of which the host has told nobody.
   *
   * @returns how many were handled. If it is `max`, or it was stopped, the ring is still masked:
   * whoever drains must come again without being told
   */
  drain(max: number, stop?: () => boolean): number {
    // No packet is handled inside another
    if (this.#draining) return 0;
    this.#draining = true;
    let count = 0;
    let empty = 0;
    try {
      do {
        this.#mask(1);
        empty++;
        while (this.#channel.poll()) {
          count++;
          empty = 0;
          if (count === max || stop?.()) return count;
        }
        this.#mask(0);
        // An index that moves between two reads is no reason to stay: the next signal tells more
        if (empty === EMPTY_PASSES_MAX) break;
      } while (this.#channel.broken === undefined && this.#channel.in.readable !== 0);
      return count;
    } finally {
      this.#draining = false;
    }
  }

  /** Tell the host whether to signal when the ring is no longer empty. */
  #mask(masked: number): void {
    const address = this.#channel.in.control + RingControl.at.interruptMask;
    this.#memory.set32(address, masked);
    this.#memory.barrier(address);
  }
}
