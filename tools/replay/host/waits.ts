// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * How long a turn of the guest's wait takes: as long as in the recording, where the guest waits as
 * the recorded one did, or else a millisecond. What a guest does when its time is up may depend on
 * how far a turn takes it behind that time.
 */

import { Msr } from '../../../src/hyperv/protocol.ts';
import type { TraceEvent, TraceEventOf } from '../trace-events.ts';
import type { Anchor } from './script-types.ts';

/** Longest turn, in ms: whoever recorded a longer one is waited for in several. */
const TURN_MS_MAX = 10_000;

export class Waits {
  /** The last recorded action that the guest has done, and when it did, in ms. */
  #last: Anchor | undefined;
  #since = 0;
  /** How many of the turns behind it have begun. */
  #begun = 0;

  /** The guest has done a recorded action. */
  found(anchor: Anchor, now: number): void {
    this.#last = anchor;
    this.#since = now;
    this.#begun = 0;
  }

  /** Length of the turn that begins now, in ms; 0: the millisecond is not over with it. */
  turn(now: number): number {
    const last = this.#last;
    if (last === undefined) return 1;
    const { turns, time } = last;
    const passed = now - this.#since + time;
    while (this.#begun < turns.length && turns[this.#begun]! < passed) this.#begun++;
    const end = turns[this.#begun++] ?? passed + 1;
    return Math.min(end - passed, TURN_MS_MAX);
  }
}

/** Whether the guest reads the time: that is written down where the host did something then. */
export function isTimeRead(event: TraceEvent): event is TraceEventOf<'rdmsr'> {
  return event.op === 'rdmsr' && Number(event.msr) === Msr.TIME_REF_COUNT;
}

/** The how-manyth read of the time an event is, since the guest has sent; 0: none. */
export function timeReads(event: TraceEvent): number {
  return isTimeRead(event) ? (event.reads ?? 1) : 0;
}
