// SPDX-License-Identifier: GPL-2.0-or-later

/** The piece of a run that is looked at, by events or by time, and how wide it is. */

import type { Model } from '../model/model.ts';

/** Least part of the whole that is shown. */
const ZOOM_MIN = 1e-5;

export class Axis {
  readonly #times: Float64Array;
  readonly #count: number;
  by: 'event' | 'time' = 'event';
  /** What is shown, as parts of the whole. */
  from = 0;
  to = 1;
  /** Called when something else is shown. */
  onChange: (() => void)[] = [];

  constructor({ events }: Model) {
    this.#count = Math.max(1, events.length);
    this.#times = Float64Array.from(events, ({ ms }) => ms);
  }

  /** Where an event stands, as a part of what is shown: 0 is its left end, 1 its right. */
  place(event: number): number {
    return (this.#whole(event) - this.from) / (this.to - this.from);
  }

  /** The event at a part of what is shown. */
  event(place: number): number {
    const whole = this.from + place * (this.to - this.from);
    if (this.by === 'event')
      return Math.max(0, Math.min(this.#count - 1, Math.floor(whole * this.#count)));
    let [low, high] = [0, this.#count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#whole(middle) < whole) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  ms(event: number): number {
    return this.#times[Math.max(0, Math.min(event, this.#times.length - 1))] ?? 0;
  }

  zoom(factor: number, around = 0.5): void {
    const width = Math.min(1, Math.max(ZOOM_MIN, (this.to - this.from) * factor));
    const middle = this.from + around * (this.to - this.from);
    this.show(middle - around * width, middle + (1 - around) * width);
  }

  pan(part: number): void {
    const shift = part * (this.to - this.from);
    this.show(this.from + shift, this.to + shift);
  }

  show(from: number, to: number): void {
    const width = Math.min(1, to - from);
    this.from = Math.max(0, Math.min(1 - width, from));
    this.to = this.from + width;
    for (const each of this.onChange) each();
  }

  /** Show these events. */
  showEvents(from: number, to: number): void {
    const [a, b] = [this.#whole(from), this.#whole(to)];
    this.show(a, Math.max(b, a + ZOOM_MIN));
  }

  #whole(event: number): number {
    if (this.by === 'event') return event / this.#count;
    const first = this.#times[0] ?? 0;
    const span = (this.#times[this.#times.length - 1] ?? 0) - first || 1;
    return (this.ms(event) - first) / span;
  }
}
