// SPDX-License-Identifier: GPL-2.0-or-later

/** The reference time of a replay, in ticks of 100 ns. Its host goes by whole milliseconds. */

/** Reference time at the start: one second after power-on. */
const TIME_START = 10_000_000;

const TICKS_PER_MS = 10_000;

/** Longest wait of one call, in ticks: an hour. Each millisecond of it is gone through. */
const DELAY_TICKS_MAX = 3_600_000 * TICKS_PER_MS;

const millisecond = (ticks: number): number => Math.floor(ticks / TICKS_PER_MS);

export class ReplayClock {
  /** What the guest reads. */
  time = TIME_START;

  /** Time since the start. */
  get now(): number {
    return this.time - TIME_START;
  }

  /** Let so many milliseconds pass. `each` is called when one is over. Returns whether one is. */
  turn(ms: number, each: () => void): boolean {
    return this.delay(ms * TICKS_PER_MS, each);
  }

  /**
   * Let so many ticks pass: of what is no number, one; at most {@link DELAY_TICKS_MAX}. `each` and
   * what is returned are as with {@link turn}.
   */
  delay(ticks: number, each: () => void): boolean {
    const before = millisecond(this.time);
    const end = this.time + Math.min(Math.max(1, ticks || 0), DELAY_TICKS_MAX);
    for (let ms = before + 1; ms <= millisecond(end); ms++) {
      this.time = ms * TICKS_PER_MS;
      each();
    }
    this.time = end;
    return millisecond(end) > before;
  }
}
