// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The virtual clock: ticks of 100 ns (Hyper-V's reference time) and alarms in order of their time,
 * those of one tick in order of their setting. It moves only when it is told to.
 */

import { SnapshotError, type Keeper } from './snapshot.ts';

/** Ticks in a millisecond and in a microsecond. */
export const TICKS_PER_MS = 10_000;
export const TICKS_PER_US = 10;

/** An alarm whose action sets it again, each time. */
export interface Poll {
  /** ... for so many ticks later. */
  readonly everyTicks: number;
  /** Whether all that the action would do now is that. */
  readonly idle: () => boolean;
}

/** Something that shall happen at a time. */
export interface Alarm {
  readonly at: number;
  readonly action: () => void;
  /** Set for one that looks at something again and again. */
  readonly poll?: Poll;
  /** Next alarm in order of time. For the clock only. */
  next: Alarm | undefined;
  state: 'waiting' | 'fired' | 'cancelled';
}

export class VirtualClock {
  /** Reference time of the partition in ticks of 100 ns. */
  now: number;
  #first: Alarm | undefined;

  constructor(now = 0) {
    this.now = now;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.now, this.#first], (v) => ([this.now, this.#first] = v));
  }

  /** Let `action` happen `delayTicks` from now; 0 is the next time that the clock moves. */
  schedule(delayTicks: number, action: () => void): Alarm {
    const alarm: Alarm = { at: 0, action, next: undefined, state: 'fired' };
    this.reschedule(alarm, delayTicks);
    return alarm;
  }

  /** Set an alarm again that has fired or was cancelled: as {@link schedule}, but no new object. */
  reschedule(alarm: Alarm, delayTicks: number): void {
    if (alarm.state === 'waiting') this.cancel(alarm);
    (alarm as { at: number }).at = this.now + Math.max(0, Math.floor(delayTicks));
    alarm.state = 'waiting';
    this.#insert(alarm);
  }

  #insert(alarm: Alarm): void {
    let before: Alarm | undefined;
    let after = this.#first;
    while (after !== undefined && after.at <= alarm.at) {
      before = after;
      after = after.next;
    }
    alarm.next = after;
    if (before === undefined) this.#first = alarm;
    else before.next = alarm;
  }

  /** Cancel an alarm; a fired or cancelled one is left alone. */
  cancel(alarm: Alarm): void {
    if (alarm.state !== 'waiting') return;
    alarm.state = 'cancelled';
    let before: Alarm | undefined;
    for (let at = this.#first; at !== undefined; before = at, at = at.next) {
      if (at !== alarm) continue;
      if (before === undefined) this.#first = alarm.next;
      else before.next = alarm.next;
      return;
    }
  }

  /** Time of the next alarm, or undefined. */
  get nextAlarm(): number | undefined {
    return this.#first?.at;
  }

  /** Time of the next alarm that does something, as far as can be known; or undefined. */
  get nextEvent(): number | undefined {
    let alarm = this.#first;
    while (alarm?.poll?.idle() === true) alarm = alarm.next;
    return alarm?.at;
  }

  /** Move to `time`, firing each alarm at its own time. Alarms set meanwhile fire too if due. */
  advanceTo(time: number): void {
    while (this.#first !== undefined && this.#first.at <= time) {
      const alarm = this.#first;
      this.#first = alarm.next;
      if (alarm.at > this.now) this.now = alarm.at;
      if (alarm.poll?.idle() === true) {
        this.#pollUntil(alarm, alarm.poll.everyTicks, time);
        continue;
      }
      alarm.state = 'fired';
      alarm.action();
    }
    if (time > this.now) this.now = time;
  }

  /** All turns of an idle poll that come before anything else happens, at once. */
  #pollUntil(alarm: Alarm, everyTicks: number, time: number): void {
    const other = this.#first?.at ?? Infinity;
    const last = Math.min(time, other - 1);
    const turns = Math.max(0, Math.floor((last - this.now) / everyTicks));
    this.now += turns * everyTicks;
    (alarm as { at: number }).at = this.now + everyTicks;
    this.#insert(alarm);
  }
}

/** Time from outside, and what comes in with it. */
export interface WallSource {
  /** Ticks of 100 ns since a time of its own; never goes back. */
  now(): number;
  /** Take what has come in. Whether anything had. */
  poll(): boolean;
  /** Block until so much time has passed or something has come in, or for less. */
  wait(ticks: number): void;
}

/** Waits that are shorter are not worth it: as long as that the clock may be ahead (100 us). */
const WAIT_MIN_TICKS = 100 * TICKS_PER_US;

/**
 * A clock that goes by the wall's: it is never behind, and ahead by {@link WAIT_MIN_TICKS} at most.
 * Alarms still fire in order and see their own time, as far as the wall allows.
 */
export class WallClock extends VirtualClock {
  readonly #wall: WallSource;
  readonly #origin: number;
  /** Something has happened since the last wait: whoever waits now may not have seen it. */
  #news = false;

  constructor(wall: WallSource) {
    super();
    this.#wall = wall;
    this.#origin = wall.now();
  }

  /** @throws SnapshotError always: nobody takes the wall's time back */
  override saveTo(): never {
    throw new SnapshotError("a machine on a real link goes by the wall's time: it has no snapshot");
  }

  /**
   * Move towards `time`, by one tick at least: not as far if something comes in meanwhile, and
   * further if the wall's time has gone on. What is there is never slept on: a frame that came in,
   * or an alarm that went off, since the guest was last given a turn ends its next wait at once.
   */
  override advanceTo(time: number): void {
    const wall = this.#wall;
    let passed = wall.now() - this.#origin;
    let until = time;
    const waits = time - passed >= WAIT_MIN_TICKS;
    if (waits) {
      if (!wall.poll() && !this.#news) {
        wall.wait(time - passed);
        wall.poll();
      }
      passed = until = wall.now() - this.#origin;
    }
    const target = Math.max(this.now + 1, until, passed);
    const fires = this.nextAlarm !== undefined && this.nextAlarm <= target;
    super.advanceTo(target);
    // What comes with the end of a wait is looked at next; else the guest may have looked before
    const came = wall.poll();
    this.#news = !waits && (this.#news || fires || came);
  }
}
