// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The clock: time in ticks of 100 ns from the best source there is, and turns of polling loops.
 * Sources are the reference counter, the reference TSC page, and arm64's own counter; none promises
 * to be monotonic, which is the clock's business.
 */

import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { TICKS_PER_MS, type Clock } from '../time.ts';
import type { ClockSource, Platform } from './platform.ts';
import { HV_REFERENCE_TSC_SEQUENCE_INVALID, Msr, ReferenceTscPage } from './protocol.ts';

/** Pauses after which a clock that has not moved is called stopped. */
const STALLED_PAUSES_MAX = 1_000_000;

/** How often the TSC page is read while the host keeps changing it. */
const TSC_TRIES_MAX = 16;

/** Time between two looks beyond which the clock is read once more: one slip is no time. */
const LEAP_TICKS = 1000 * TICKS_PER_MS;

/** Beyond it the source has been set anew (live migration, a guest that was saved), or lies. */
const LEAP_MAX_TICKS = 60 * LEAP_TICKS;

export class ReferenceClock implements Clock {
  readonly #platform: Platform;
  /** The partition reference counter: a register, 10 MHz (TLFS 12.3). Always there. */
  readonly #counter: ClockSource;
  #source: ClockSource;
  /** What the source has said last; NaN before it was asked. */
  #raw = NaN;
  #last = 0;
  #pauses = 0;
  #cancel: (() => boolean) | undefined;

  /**
   * `cancel`: asked in every turn; what it stops, it stops once, so that everything can be undone.
   */
  constructor(platform: Platform, cancel?: () => boolean) {
    const read = (): number => Number(platform.read(Msr.TIME_REF_COUNT));
    this.#platform = platform;
    this.#counter = this.#source = { name: 'reference counter', read };
    this.#cancel = cancel;
  }

  /** Take the time from here, by default from the reference counter. */
  use(source: ClockSource = this.#counter): void {
    if (source === this.#source) return;
    this.#source = source;
    // Sources have epochs of their own; time goes on from where the new one stands
    this.#raw = NaN;
  }

  /** Where the time comes from, for the boot log. */
  get sourceName(): string {
    return this.#source.name;
  }

  /**
   * Reference time in ticks of 100 ns; never less than before, whatever the host does to its scale
   * and offset (live migration): what goes back, or leaps twice, is where time goes on from.
   *
   * @throws HypxeError ClockStopped: every wait depends on it, so none may go on without it
   */
  now(): number {
    const before = this.#raw;
    let raw = this.#read();
    if (raw < before || raw - before > LEAP_TICKS) raw = this.#read();
    this.#raw = raw;
    const passed = raw - before;
    if (passed > 0 && passed <= LEAP_MAX_TICKS) {
      this.#last += passed;
      this.#pauses = 0;
    } else if (Number.isNaN(before) && isTime(raw)) {
      this.#last = raw;
    } else if (this.#pauses > STALLED_PAUSES_MAX) {
      throw new HypxeError('ClockStopped', `reference time stands at ${this.#last}`);
    }
    return this.#last;
  }

  /** A page of the host may hold anything: what is no time is not taken for one. */
  #read(): number {
    const now = this.#source.read();
    return isTime(now) ? now : this.#counter.read()!;
  }

  /** One turn of a polling loop. @throws HypxeError Cancelled, once */
  pause(): void {
    this.checkCancelled();
    this.#pauses++;
    this.#platform.machine.pause();
  }

  /** @throws HypxeError Cancelled, once: what unwinds is not cancelled again */
  checkCancelled(): void {
    if (!this.#cancel || !this.#cancel()) return;
    this.#cancel = undefined;
    throw new HypxeError('Cancelled', 'the boot was cancelled');
  }

  /** From here on nothing is cancelled any more: everything is being undone. */
  finish(): void {
    this.#cancel = undefined;
  }
}

function isTime(ticks: number | undefined): ticks is number {
  return ticks! >= 0 && ticks! <= Number.MAX_SAFE_INTEGER;
}

/**
 * The reference TSC page (TLFS 12.6): sequence, scale and offset with which the processor's counter
 * becomes reference time.
 *
 * @param page guest physical address of the page, mapped
 * @param counter reads the processor's counter
 */
export function referenceTsc(
  memory: GuestMemory,
  page: number,
  counter: () => bigint,
  log: Log,
): ClockSource {
  const { view } = memory;
  const sequence = (): number => view.getUint32(page + ReferenceTscPage.at.sequence, true);
  let told = false;

  // Undefined if sequence 0 says that the page does not count now, or if a page that changes with
  // every look never settles. Exact to the tick: the product has 128 bits
  const read = (): number | undefined => {
    for (let i = 0; i < TSC_TRIES_MAX; i++) {
      const before = sequence();
      if (before === HV_REFERENCE_TSC_SEQUENCE_INVALID) return undefined;
      const scale = view.getBigUint64(page + ReferenceTscPage.at.scale, true);
      const offset = view.getBigInt64(page + ReferenceTscPage.at.offset, true);
      const count = counter();
      if (sequence() === before) return Number(((count * scale) >> 64n) + offset);
    }
    if (!told) log.warning('HV', '', 'reference TSC page never settles: counter used');
    told = true;
    return undefined;
  };
  return { name: 'reference TSC page', read };
}
