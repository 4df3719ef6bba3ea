// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Shared pages that somebody goes on with when a kernel has taken over: the pattern and the late
 * writes of the audit are nothing that the host has said. They are taken back, so that nobody is
 * blamed for them. These are message and event pages, and, under a firmware that stays resident,
 * all that it shares: it looks at its rings again when it is asked.
 */

import { PAGE_SIZE } from '../../src/machine.ts';
import type { Grant } from '../simulator/ledger/grants.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

const SYNIC: readonly Grant['kind'][] = ['message-page', 'event-page'];

/** A page as it was. */
interface KeptPage {
  readonly grant: Grant;
  readonly address: number;
  readonly bytes: Uint8Array;
}

export class LivePages {
  readonly #machine: SimulatedMachine;
  readonly #resident: boolean;
  readonly #pages: readonly KeptPage[];

  /**
   * Take down what they hold.
   *
   * @param resident whoever has the connection stays in memory, and goes on with all of it
   */
  constructor(machine: SimulatedMachine, resident: boolean) {
    this.#machine = machine;
    this.#resident = resident;
    const { contents } = machine.partition.ram;
    this.#pages = this.#live.flatMap((grant) =>
      grant.pfns.map((pfn) => {
        const address = pfn * PAGE_SIZE;
        return { grant, address, bytes: contents.slice(address, address + PAGE_SIZE) };
      }),
    );
  }

  /** Put it back, wherever the host still has the page. */
  restore(): void {
    const { ram } = this.#machine.partition;
    const live = new Set(this.#live);
    for (const { grant, address, bytes } of this.#pages) {
      if (live.has(grant)) ram.write(address, bytes);
    }
  }

  get #live(): Grant[] {
    const written = [...this.#machine.partition.grants.live()].filter(
      ({ access }) => access === 'write',
    );
    return this.#resident ? written : written.filter(({ kind }) => SYNIC.includes(kind));
  }
}
