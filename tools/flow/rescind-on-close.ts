// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Takes each NIC away at the moment at which its guest closes it: the rescind comes between
 * CLOSE_CHANNEL and UNLOAD, where a guest that is on its way out may not expect it any more.
 */

import { bringBack } from './nic-schedule.ts';
import type { NetVsp } from '../simulator/netvsp/netvsp.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

export class RescindOnClose {
  readonly #machine: SimulatedMachine;
  readonly #rescinded: NetVsp[] = [];
  #stop: (() => void) | undefined;

  constructor(machine: SimulatedMachine) {
    this.#machine = machine;
  }

  /** Whether a NIC was taken away. */
  get happened(): boolean {
    return this.#rescinded.length > 0;
  }

  /** Instances of the NICs that were taken away. */
  get instances(): readonly string[] {
    return this.#rescinded.map(({ instanceId }) => instanceId);
  }

  /** From now on. Again is the same as once. */
  arm(): void {
    const { events, clock, vmbus } = this.#machine;
    this.#stop ??= events.listen((event) => {
      if (event.kind !== 'vmbus' || event.change !== 'closed') return;
      const nic = this.#nicOf(event.channel);
      if (nic === undefined || this.#rescinded.includes(nic)) return;
      this.#rescinded.push(nic);
      // Not while the host is closing it
      clock.schedule(1, () => vmbus.rescind(nic));
    });
  }

  /** Not any longer; what was taken away is there again. */
  disarm(): void {
    this.#stop?.();
    this.#stop = undefined;
    const { clock } = this.#machine;
    clock.advanceTo(clock.now + 1);
    for (const nic of this.#rescinded) bringBack(this.#machine, nic);
  }

  #nicOf(channel: number | undefined): NetVsp | undefined {
    const { channels } = this.#machine.vmbus.inspect();
    const instance = channels.find(({ id }) => id === channel)?.instanceId;
    return this.#machine.nics.find(({ instanceId }) => instanceId === instance);
  }
}
