// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the loaded OS does at the seam besides what the drivers do: interrupts, and its own posting.
 */

import { HyperV, type HyperVOptions } from '../../src/hyperv/hyperv.ts';
import type { Platform } from '../../src/hyperv/platform.ts';
import type { Log } from '../../src/events.ts';
import type { Machine } from '../../src/machine.ts';
import type { SharedMemory } from '../../src/memory/shared-memory.ts';
import { MessageHeader, MessageType, OpenChannel } from '../../src/vmbus/protocol.ts';
import { passOn } from '../simulator/base/passing-machine.ts';

/**
 * A processor whose guest takes interrupts: they come while it does nothing. The drivers poll, as
 * firmware must, so that the handler has nothing to do but what polling does not.
 */
export function interruptedMachine(machine: Machine, interrupt: () => void): Machine {
  const interrupted = passOn(machine);
  interrupted.pause = () => {
    machine.pause();
    interrupt();
  };
  return interrupted;
}

/** How the OS posts. */
export interface PostHabits {
  /** Processors that take the events of channels, in turn (Linux `init_vp_index`). */
  readonly eventVps: readonly number[];
  /** Whether a message that the host refuses for the moment is posted again. */
  readonly retries: boolean;
}

/** The hypervisor layer with the habits of an OS. */
export class OsHyperV extends HyperV {
  readonly #habits: PostHabits;
  /** Connection ID of the last message. */
  lastConnectionId = 0;
  #opened = 0;

  constructor(
    platform: Platform,
    pages: SharedMemory,
    log: Log,
    habits: PostHabits,
    options: HyperVOptions,
  ) {
    super(platform, pages, log, options);
    this.#habits = habits;
  }

  override postMessage(
    connectionId: number,
    type: number,
    payload: Uint8Array,
    length: number,
    retry = true,
  ): void {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    if (view.getUint32(MessageHeader.at.type, true) === MessageType.OPEN_CHANNEL) {
      const { eventVps } = this.#habits;
      const vp = eventVps[this.#opened++ % eventVps.length]!;
      view.setUint32(OpenChannel.at.targetVp, vp, true);
    }
    this.lastConnectionId = connectionId;
    super.postMessage(connectionId, type, payload, length, retry && this.#habits.retries);
  }
}
