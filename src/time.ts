// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Time as the firmware sees it: ticks of 100 ns that move only while the machine is given a turn.
 */

/** Ticks of the partition reference time in a millisecond. */
export const TICKS_PER_MS = 10_000;

/** A clock that can be waited on. Implemented by the hypervisor layer, or by a test. */
export interface Clock {
  /** Reference time in ticks of 100 ns. Monotonic, below 2^53. */
  now(): number;
  /** One turn of a polling loop: the only thing that lets time pass. */
  pause(): void;
}

/**
 * Poll until something has come about. What came with the last turn still counts: there is one more
 * look after the time is over.
 *
 * @param done one look
 * @returns whether it has come about
 * @throws what `done` and the clock throw
 */
export function waitFor(clock: Clock, timeoutMs: number, done: () => boolean): boolean {
  const deadline = clock.now() + timeoutMs * TICKS_PER_MS;
  for (let expired = false; ; expired = clock.now() >= deadline) {
    if (done()) return true;
    if (expired) return false;
    clock.pause();
  }
}
