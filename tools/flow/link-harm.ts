// SPDX-License-Identifier: GPL-2.0-or-later

/** What networks have done to the frames of a guest: whose fault it is that it has no network. */

import { ERRORS, errorEntry } from '../../src/catalogue.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

/** What findings say of it. */
export const NETWORK_HARMED = 'its network has lost, changed or refused what was sent';

/** Errors that a network alone can bring about. */
const OF_NETWORK: ReadonlySet<string> = new Set(
  [ERRORS.network, ERRORS.DHCP, ERRORS.TFTP].flatMap((errors) => Object.keys(errors)),
);

export class LinkHarm {
  readonly #machine: SimulatedMachine;
  readonly #before: ReadonlyMap<string, number>;

  /** From now on. */
  constructor(machine: SimulatedMachine) {
    this.#machine = machine;
    this.#before = new Map(
      machine.nics.map(({ instanceId, link }) => [instanceId, link.harmed ?? 0]),
    );
  }

  /**
   * Whether the network has harmed what a guest sent or was sent since, and its error is one that
   * comes of that, or one that nobody here knows.
   *
   * @param name of the error
   * @param instance of the NIC; by default any
   */
  excuses(name: string | undefined, instance?: string): boolean {
    const known = name !== undefined && errorEntry(name) !== undefined;
    if (known && !OF_NETWORK.has(name)) return false;
    return this.#machine.nics.some(
      ({ instanceId, link }) =>
        (instance === undefined || instance === instanceId) &&
        (link.harmed ?? 0) > (this.#before.get(instanceId) ?? 0),
    );
  }
}
