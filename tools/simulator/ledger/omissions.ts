// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a guest left out while it cleaned up, and something else made up for: memory that the host
 * let go of only at UNLOAD, a NIC that was switched off only by its channel's end. Nothing is
 * wrong then, but what iPXE does one by one (`netvsc_close`, `vmbus_close`, `vmbus_unload`), this
 * guest did not, and the next host may not make up for it. Entered where it can be seen: by the
 * VMBus server and the devices, when the step has become impossible.
 */

import { HostFaults } from './host-faults.ts';
import type { Keeper } from '../base/snapshot.ts';

/** The steps that can be left out, as their messages are called. */
export type OmittedStep =
  /** A new contact ended the connection. */
  | 'UNLOAD'
  /** UNLOAD ended the channel. */
  | 'CLOSE_CHANNEL'
  /** UNLOAD ended the GPADL. */
  | 'GPADL_TEARDOWN'
  /** The end of the channel ended the use of the buffer. */
  | 'REVOKE_RECEIVE_BUFFER'
  | 'REVOKE_SEND_BUFFER'
  /** The end of the channel stopped RNDIS. */
  | 'RNDIS HALT'
  /** The channel ended while frames still came through. */
  | 'packet filter 0';

/** One step that was left out. */
export interface Omission {
  readonly step: OmittedStep;
  /** What it was about: `channel 3`, `NIC 0`. */
  readonly of: string;
  /** When what the step would have undone was set up, in ticks. */
  readonly since: number;
  /** When it was too late, in ticks. */
  readonly at: number;
}

/** Omissions kept, the latest: of a long chain the stage that is judged is the last. */
export const OMISSIONS_MAX = 1024;

export class Omissions {
  /** What the host did wrong meanwhile. */
  readonly host: HostFaults;
  readonly #entries: Omission[] = [];
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
    this.host = new HostFaults(now);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.host, this.#entries);
  }

  /** Enter a step that was left out; `since` as in {@link Omission}. */
  enter(step: OmittedStep, of: string, since: number): void {
    if (this.#entries.length === OMISSIONS_MAX) this.#entries.shift();
    this.#entries.push({ step, of, since, at: this.#now() });
  }

  /** What was set up after `since` and not undone: an earlier owner's is not among them. */
  ofOwner(since: number): Omission[] {
    return this.#entries.filter((entry) => entry.since > since);
  }
}
