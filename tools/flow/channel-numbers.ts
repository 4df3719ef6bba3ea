// SPDX-License-Identifier: GPL-2.0-or-later

/** Which channel number each device was offered with: it must be the same for the next owner. */

import type { SimulatedMachine } from '../simulator/machine.ts';

export class ChannelNumbers {
  readonly #machine: SimulatedMachine;
  #numbers = new Map<string, number>();
  readonly stop: () => void;

  constructor(machine: SimulatedMachine) {
    this.#machine = machine;
    this.stop = machine.events.listen((event) => {
      if (event.kind === 'vmbus' && event.change === 'offered') this.#note();
    });
  }

  /** The numbers since the last call, by instance. */
  take(): ReadonlyMap<string, number> {
    const numbers = this.#numbers;
    this.#numbers = new Map();
    return numbers;
  }

  #note(): void {
    for (const { id, instanceId } of this.#machine.vmbus.inspect().channels) {
      if (id !== 0) this.#numbers.set(instanceId, id);
    }
  }
}
