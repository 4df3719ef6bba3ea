// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Message and event pages that are live when a kernel takes over: the pattern and the late writes
 * of the audit are no messages of the host. They are taken back, so that nobody is blamed for them.
 */

import { PAGE_SIZE } from '../../src/machine.ts';
import type { Grant } from '../simulator/ledger/grants.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

const KINDS: readonly Grant['kind'][] = ['message-page', 'event-page'];

export class SynicPages {
  readonly #machine: SimulatedMachine;
  readonly #pages: readonly { readonly grant: Grant; readonly bytes: Uint8Array }[];

  /** Take down what they hold. */
  constructor(machine: SimulatedMachine) {
    this.#machine = machine;
    this.#pages = this.#live.map((grant) => {
      const start = grant.pfns[0]! * PAGE_SIZE;
      return { grant, bytes: machine.partition.ram.contents.slice(start, start + PAGE_SIZE) };
    });
  }

  get #live(): Grant[] {
    return [...this.#machine.partition.grants.live()].filter(({ kind }) => KINDS.includes(kind));
  }

  /** Put it back. */
  restore(): void {
    const { ram } = this.#machine.partition;
    const live = this.#live;
    for (const { grant, bytes } of this.#pages) {
      if (live.includes(grant)) ram.write(grant.pfns[0]! * PAGE_SIZE, bytes);
    }
  }
}
