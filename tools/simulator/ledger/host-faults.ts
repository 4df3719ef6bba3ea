// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the host itself has done wrong, so that no guest is blamed for it: messages that were lost
 * or changed on their way, and posts that were refused for good.
 */

import { HvStatus } from '../../../src/hyperv/protocol.ts';

/** Statuses after which a guest tries again: they count once it has tried so often in a row. */
const LATER: readonly number[] = [
  HvStatus.INSUFFICIENT_MEMORY,
  HvStatus.INVALID_CONNECTION_ID,
  HvStatus.INSUFFICIENT_BUFFERS,
  HvStatus.TIME_OUT,
];
const TRIES = 3;

/** Entries kept, the latest: of a long chain the stage that is judged is the last. */
const ENTRIES_MAX = 1024;

interface HostFault {
  readonly what: 'lost' | 'refused';
  /** VMBus message type. */
  readonly type: number;
  /** In ticks. */
  readonly at: number;
}

export class HostFaults {
  readonly #entries: HostFault[] = [];
  readonly #now: () => number;
  /** By type: when the last one was late. */
  readonly #late = new Map<number, number>();
  #refusals = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** A message to the guest was lost, or came as something else. */
  lost(type: number): void {
    this.#enter('lost', type);
  }

  /** A message to the guest comes later than the host sent it. */
  late(type: number): void {
    this.#late.set(type, this.#now());
  }

  /** A message of the guest was not taken. */
  refused(type: number, status: number): void {
    if (!LATER.includes(status) || ++this.#refusals >= TRIES) this.#enter('refused', type);
  }

  /** One was. */
  taken(): void {
    this.#refusals = 0;
  }

  /** Whether a message of one of these types was lost after `since`. */
  hasLost(since: number, ...types: readonly number[]): boolean {
    return this.#has('lost', since, types);
  }

  /** Whether a message of these types that was sent after `since` came as it is and at once. */
  hasDelivered(since: number, ...types: readonly number[]): boolean {
    const late = types.some((type) => (this.#late.get(type) ?? -1) > since);
    return !late && !this.#has('lost', since, types);
  }

  /** Whether one of these types was refused after `since`; without types: any. */
  hasRefused(since: number, ...types: readonly number[]): boolean {
    return this.#has('refused', since, types);
  }

  #has(what: HostFault['what'], since: number, types: readonly number[]): boolean {
    return this.#entries.some(
      (entry) =>
        entry.what === what &&
        entry.at > since &&
        (types.length === 0 || types.includes(entry.type)),
    );
  }

  #enter(what: HostFault['what'], type: number): void {
    if (this.#entries.length === ENTRIES_MAX) this.#entries.shift();
    this.#entries.push({ what, type, at: this.#now() });
  }
}
