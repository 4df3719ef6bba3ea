// SPDX-License-Identifier: GPL-2.0-or-later

/** The clock: time in ticks of 100 ns from the best source there is, and turns of polling loops. */

import { HypxeError } from '../error.ts';
import type { Machine } from '../machine.ts';
import type { Clock } from '../time.ts';
import { counterSource, type ClockSource } from './clock-source.ts';
import type { Platform } from './platform.ts';

/** Pauses after which a clock that has not moved is called stopped. */
const STALLED_PAUSES_MAX = 1_000_000;

export class ReferenceClock implements Clock {
  readonly #machine: Machine;
  /** Always there; also when the source cannot tell. */
  readonly #counter: ClockSource;
  #source: ClockSource;
  #last = 0;
  #pauses = 0;
  #cancel: (() => boolean) | undefined;

  /**
   * `cancel`: asked in every turn; what it stops, it stops once, so that everything can be undone.
   */
  constructor(machine: Machine, platform: Platform, cancel?: () => boolean) {
    this.#machine = machine;
    this.#counter = this.#source = counterSource(platform);
    this.#cancel = cancel;
  }

  /** Take the time from here. */
  use(source: ClockSource): void {
    this.#source = source;
    // Sources have epochs of their own; time goes on from where the new one stands
    this.#last = 0;
  }

  /** Take the time from the reference counter again, and give the source back. */
  release(): void {
    const source = this.#source;
    if (source === this.#counter) return;
    this.use(this.#counter);
    source.unmap();
  }

  /** Where the time comes from, for the boot log. */
  get sourceName(): string {
    return this.#source.name;
  }

  /**
   * Reference time in ticks of 100 ns; never less than before, whatever the host does to its scale
   * and offset (live migration).
   *
   * @throws HypxeError ClockStopped: every wait depends on it, so none may go on without it
   */
  now(): number {
    const read = this.#source.read();
    const now = isTime(read) ? read : (this.#counter.read() ?? 0);
    if (now > this.#last) {
      this.#last = now;
      this.#pauses = 0;
    } else if (this.#pauses > STALLED_PAUSES_MAX) {
      throw new HypxeError('ClockStopped', `reference time stands at ${this.#last}`);
    }
    return this.#last;
  }

  /** One turn of a polling loop. @throws HypxeError Cancelled, once */
  pause(): void {
    this.checkCancelled();
    this.#pauses++;
    this.#machine.pause();
  }

  /** @throws HypxeError Cancelled, once: what unwinds is not cancelled again */
  checkCancelled(): void {
    if (this.#cancel === undefined || !this.#cancel()) return;
    this.#cancel = undefined;
    throw new HypxeError('Cancelled', 'the boot was cancelled');
  }

  /** From here on nothing is cancelled any more: everything is being undone. */
  finish(): void {
    this.#cancel = undefined;
  }
}

/** Whether a source told a time at all: a page of the host may hold anything. */
function isTime(ticks: number | undefined): ticks is number {
  return ticks !== undefined && ticks >= 0 && ticks <= Number.MAX_SAFE_INTEGER;
}
