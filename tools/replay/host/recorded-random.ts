// SPDX-License-Identifier: GPL-2.0-or-later

/** Random numbers of a replay: those that the recorded guest drew. */

import type { RecordedStep } from '../recorded-step.ts';
import type { TraceEvent } from '../trace-events.ts';

/** What is drawn when the recording has no more. */
const RANDOM_FALLBACK = 0x18ae0000;

export class RecordedRandom {
  readonly #events: readonly TraceEvent[];
  #next = 0;

  constructor(events: readonly TraceEvent[]) {
    this.#events = events;
  }

  /** Whether the recorded guest drew any. */
  get isThere(): boolean {
    return this.#events.some(({ op }) => op === 'random');
  }

  /** The next number of a step. */
  draw({ begin, end }: Pick<RecordedStep, 'begin' | 'end'>): number {
    for (let i = Math.max(begin, this.#next); i < end; i++) {
      const event = this.#events[i];
      if (event?.op !== 'random') continue;
      this.#next = i + 1;
      return Number(event.value);
    }
    return RANDOM_FALLBACK;
  }
}
