// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Time in which this process gets its turn. While a machine is suspended, or so busy that nobody
 * comes to run, nobody is silent: whoever looks every {@link STEP_MS} sees no more than
 * {@link STEP_MAX_MS} pass in between.
 */

/** How often is looked, in ms. */
export const STEP_MS = 50;

/** What lies between two looks counts at most as this, in ms. */
export const STEP_MAX_MS = 2 * STEP_MS;

export class OwnTime {
  #ms = 0;
  #lookedAt: number;
  readonly #wall: () => number;

  /** @param wall a clock, in ms */
  constructor(wall = (): number => performance.now()) {
    this.#wall = wall;
    this.#lookedAt = wall();
  }

  /** Time at the last look, in ms since the beginning. */
  get now(): number {
    return this.#ms;
  }

  /** Look. Returns the time, in ms since the beginning. */
  look(): number {
    const at = this.#wall();
    this.#ms += Math.min(at - this.#lookedAt, STEP_MAX_MS);
    this.#lookedAt = at;
    return this.#ms;
  }
}

/** Do something after so many ms of {@link OwnTime}. Returns the timer, to call it off. */
export function afterOwnTime(ms: number, action: () => void): NodeJS.Timeout {
  const time = new OwnTime();
  const timer = setInterval(() => {
    if (time.look() < ms) return;
    clearInterval(timer);
    action();
  }, STEP_MS);
  return timer;
}
