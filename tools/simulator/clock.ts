// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The virtual clock: ticks of 100 ns (Hyper-V's reference time) and alarms in order of their time,
 * those of one tick in order of their setting. It moves only when it is told to.
 */

/** Ticks in a millisecond and in a microsecond. */
export const TICKS_PER_MS = 10_000;
export const TICKS_PER_US = 10;

/** Something that shall happen at a time. */
export interface Alarm {
  readonly at: number;
  readonly action: () => void;
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

  /** Move to `time`, firing each alarm at its own time. Alarms set meanwhile fire too if due. */
  advanceTo(time: number): void {
    while (this.#first !== undefined && this.#first.at <= time) {
      const alarm = this.#first;
      this.#first = alarm.next;
      if (alarm.at > this.now) this.now = alarm.at;
      alarm.state = 'fired';
      alarm.action();
    }
    if (time > this.now) this.now = time;
  }
}
