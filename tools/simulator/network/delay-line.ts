// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Frames on their way, in order of arrival; those of one tick in order of departure. One alarm of
 * the clock serves them all, so that a burst costs one alarm.
 */

import type { Alarm, VirtualClock } from '../base/clock.ts';
import type { Frame, FrameSink } from './frame.ts';
import type { Keeper } from '../base/snapshot.ts';

export class DelayLine {
  readonly #clock: VirtualClock;
  #first: Frame | undefined;
  #last: Frame | undefined;
  #alarm: Alarm | undefined;
  readonly #fire = (): void => this.#arrivals();

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#first, this.#last], (v) => ([this.#first, this.#last] = v));
    keeper.put([this.#alarm], (v) => ([this.#alarm] = v));
    keeper.keep(this.#clock);
  }

  /** Reference time in ticks. */
  get now(): number {
    return this.#clock.now;
  }

  /** Let `frame` arrive at `sink` at the time `due`. */
  add(frame: Frame, due: number, sink: FrameSink): void {
    frame.due = due;
    frame.sink = sink;

    // Most frames arrive after all others: look for the place from the end
    let before = this.#last;
    while (before !== undefined && before.due > due) before = before.previous;
    const after = before === undefined ? this.#first : before.next;
    frame.previous = before;
    frame.next = after;
    if (before === undefined) this.#first = frame;
    else before.next = frame;
    if (after === undefined) this.#last = frame;
    else after.previous = frame;

    if (this.#first === frame) this.#setAlarm();
  }

  /** Take a frame out again that has not arrived yet. */
  remove(frame: Frame): void {
    const { previous, next } = frame;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    frame.previous = frame.next = undefined;
  }

  /** Wake up for the first frame, unless the alarm is set and not later. */
  #setAlarm(): void {
    if (this.#first === undefined) return;
    const { due } = this.#first;
    const delay = due - this.#clock.now;
    if (this.#alarm === undefined) this.#alarm = this.#clock.schedule(delay, this.#fire);
    else if (this.#alarm.state !== 'waiting' || this.#alarm.at > due) {
      this.#clock.reschedule(this.#alarm, delay);
    }
  }

  /** Hand over what is due. What is sent meanwhile takes a tick at least, so this ends. */
  #arrivals(): void {
    const now = this.#clock.now;
    for (let frame = this.#first; frame !== undefined && frame.due <= now; frame = this.#first) {
      const sink = frame.sink!;
      this.remove(frame);
      sink.arrive(frame);
    }
    this.#setAlarm();
  }
}
