// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What networks have done to the frames of a guest, and the host to its messages: whose fault it is
 * that it has no network, or did not boot.
 */

import { ERRORS, errorEntry } from '../../src/catalogue.ts';
import { MessageType } from '../../src/vmbus/protocol.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

/** What findings say of it. */
export const NETWORK_HARMED = 'its network has lost, changed or refused what was sent';

/** Errors that a network alone can bring about. */
const OF_NETWORK: ReadonlySet<string> = new Set(
  [ERRORS.network, ERRORS.DHCP, ERRORS.TFTP].flatMap((errors) => Object.keys(errors)),
);

/** VMBus messages that the host has lost from `since` on, by their names; empty for none. */
export function lostMessages(machine: SimulatedMachine, since: number): string {
  const types = machine.partition.omissions.host.lostFrom(since);
  if (types.length === 0) return '';
  const named = Object.entries(MessageType).filter(([, type]) => types.includes(type));
  return named.map(([name]) => name).join(', ') || 'messages';
}

export class LinkHarm {
  readonly #machine: SimulatedMachine;
  /** In ticks. */
  readonly #since: number;
  readonly #before: ReadonlyMap<string, number>;

  /** From now on. */
  constructor(machine: SimulatedMachine) {
    this.#machine = machine;
    this.#since = machine.clock.now;
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

  /**
   * Why nobody is to blame for a guest that failed, or undefined if somebody may be: its network
   * has done harm; or the host has lost or refused messages, and no network alone explains it.
   *
   * @param name of the error, if it is known
   */
  reason(name: string | undefined): string | undefined {
    if (this.excuses(name)) return NETWORK_HARMED;
    if (name !== undefined && OF_NETWORK.has(name)) return undefined;
    const lost = lostMessages(this.#machine, this.#since);
    if (lost !== '') return `the host has lost ${lost}`;
    const { host } = this.#machine.partition.omissions;
    return host.hasRefused(this.#since) ? 'the host has refused messages' : undefined;
  }
}
