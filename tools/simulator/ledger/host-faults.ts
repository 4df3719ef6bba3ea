// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the host itself has done wrong, so that no guest is blamed for it: messages that were lost
 * or changed on their way, and posts that were refused for good.
 */

import { HvStatus } from '../../../src/hyperv/protocol.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Statuses after which a guest tries again: they count once it has tried so often in a row. */
const LATER: readonly number[] = [
  HvStatus.INSUFFICIENT_MEMORY,
  HvStatus.INVALID_CONNECTION_ID,
  HvStatus.INSUFFICIENT_BUFFERS,
  HvStatus.TIME_OUT,
];
const TRIES = 3;

/** The longest that an answer, once it can be given, waits for its turn: 10 ms. */
const ANSWER_TICKS = 100_000;

/** Entries kept, the latest: of a long chain the stage that is judged is the last. */
const ENTRIES_MAX = 1024;

interface HostFault {
  /** `lost`: it never came; `changed`: it came as something else; `repeated`: more than once. */
  readonly what: 'lost' | 'changed' | 'repeated' | 'refused';
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
  /** When a signal of the guest was refused last, in ticks. */
  #signalRefusedAt = -1;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#refusals], (v) => ([this.#refusals] = v));
    keeper.put([this.#signalRefusedAt], (v) => ([this.#signalRefusedAt] = v));
    keeper.keep(this.#entries, this.#late);
  }

  /** A message to the guest was lost. */
  lost(type: number): void {
    this.#enter('lost', type);
  }

  /** ... came as something else: the guest was told what is not so. */
  changed(type: number): void {
    this.#enter('changed', type);
  }

  /** ... came more than once. */
  repeated(type: number): void {
    this.#enter('repeated', type);
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

  /** A signal of the guest was not taken. */
  signalRefused(): void {
    this.#signalRefusedAt = this.#now();
  }

  /** Whether one was refused after `since`. */
  hasRefusedSignal(since: number): boolean {
    return this.#signalRefusedAt > since;
  }

  /** Whether a message of one of these types was lost after `since`, or came as something else. */
  hasLost(since: number, ...types: readonly number[]): boolean {
    return this.#has('lost', since, types) || this.#has('changed', since, types);
  }

  /** Whether the answer of this type to what was done at `at`, in ticks, came as something else. */
  hasChangedAnswer(at: number, type: number): boolean {
    return this.#entries.some(
      (entry) =>
        entry.what === 'changed' &&
        entry.type === type &&
        entry.at >= at &&
        entry.at - at < ANSWER_TICKS,
    );
  }

  /** Whether messages of a type told the guest after `since` what is not so, or once more. */
  hasMisled(since: number, type: number): boolean {
    return this.#has('changed', since, [type]) || this.#has('repeated', since, [type]);
  }

  /** VMBus types of the messages that were lost from `since` on, each once. */
  lostFrom(since: number): number[] {
    const gone: readonly string[] = ['lost', 'changed'];
    const lost = this.#entries.filter(({ what, at }) => gone.includes(what) && at >= since);
    return [...new Set(lost.map(({ type }) => type))];
  }

  /** Whether a message of these types that was sent after `since` came as it is and at once. */
  hasDelivered(since: number, ...types: readonly number[]): boolean {
    const late = types.some((type) => (this.#late.get(type) ?? -1) > since);
    return !late && !this.hasLost(since, ...types);
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
