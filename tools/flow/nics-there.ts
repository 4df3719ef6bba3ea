// SPDX-License-Identifier: GPL-2.0-or-later

/** Which NICs the host has for a guest, and whether it took or moved one meanwhile. */

import type { SimulatedMachine } from '../simulator/machine.ts';

/** Instances of the NICs that are there: not rescinded, nor a debugger's (reserved channel). */
export function nicsThere(machine: SimulatedMachine): string[] {
  const { clients } = machine.vmbus.inspect();
  const channels = clients.flatMap((client) => client.channels);
  const there = machine.nics.filter((nic) =>
    channels.some(
      ({ instanceId, state, reserved }) =>
        instanceId === nic.instanceId && state !== 'revoked' && !reserved,
    ),
  );
  return there.map(({ instanceId }) => instanceId);
}

/** Whether the host was without a NIC for a guest at some time from a moment on. */
export class NicWatch {
  readonly #machine: SimulatedMachine;
  readonly #before: ReadonlyMap<string, number>;

  /** From now on. */
  constructor(machine: SimulatedMachine) {
    this.#machine = machine;
    this.#before = machine.vmbus.inspect().changesOf;
  }

  /**
   * Whether a NIC has come or gone since, or none is there: who finds no network then is not to
   * blame.
   *
   * @param expected instances of NICs that were taken away once as a trial of the guest
   */
  excuses(expected: readonly string[] = []): boolean {
    const { changesOf } = this.#machine.vmbus.inspect();
    const moved = this.#machine.nics.some(({ instanceId }) => {
      const changes = (changesOf.get(instanceId) ?? 0) - (this.#before.get(instanceId) ?? 0);
      return changes > (expected.includes(instanceId) ? 1 : 0);
    });
    if (moved) return true;
    return nicsThere(this.#machine).length === 0 && expected.length === 0;
  }
}
