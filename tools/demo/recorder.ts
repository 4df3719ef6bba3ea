// SPDX-License-Identifier: GPL-2.0-or-later

/** Makes of what happens on a machine the events of a page, and tells them while it goes on. */

import type { CapturedMemory } from '../capture/rndis-messages.ts';
import type { LiveMessage } from '../report/live.ts';
import type { TraceRecord } from '../report/model/record.ts';
import { isClockRead, slim, slimFrame } from '../report/read-trace.ts';
import { TraceLines, traceLine } from '../report/trace-line.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

/** Tells the page. */
export type Tell = (message: LiveMessage) => void;

/** Events that are told at a time. */
const TOLD_AT_ONCE = 500;

/** Most events that are kept, or told: what a page can still draw. */
export const EVENTS_MAX = 300_000;

/** Those that come beyond it, up to twice as many: what a run came to. */
const ALWAYS = /^(run|stage|handoff|finding|verdict|revoke|crash|hang)$/;

/** What is told instead of the rest. */
const FULL = {
  ...{ guest: 'page', kind: 'log', level: 'info', layer: 'PAGE', object: '' },
  text: `${EVENTS_MAX} events: only findings and the like from here`,
};

/** Events of one run. */
export class Recorder {
  /** All of them, if nobody is told. */
  readonly events: TraceRecord[] = [];
  readonly #tell: Tell | undefined;
  #waiting: TraceRecord[] = [];
  #count = 0;
  #now = 0;

  /** @param tell told of the events; without it they are kept */
  constructor(tell?: Tell) {
    this.#tell = tell;
  }

  /** Whether somebody is told. */
  get tells(): boolean {
    return this.#tell !== undefined;
  }

  /** Take what happens on a machine. `memory`: the guest's, to read what packets refer to. */
  listen({ events }: SimulatedMachine, memory: CapturedMemory): void {
    const lines = new TraceLines(memory);
    events.listen((event, now) => {
      if (!isClockRead(event)) this.#add(event.kind, () => lines.host(slimFrame(event), now), now);
    });
  }

  /** Take an event of anybody else, at `now` in ticks. */
  write(event: { readonly kind: string; readonly [name: string]: unknown }, now: number): void {
    this.#add(event.kind, () => traceLine(event, now), now);
  }

  /** Tell what has not been told yet. */
  flush(): void {
    const events = this.#waiting;
    this.#waiting = [];
    if (events.length > 0) this.#tell?.({ kind: 'events', events, ms: this.#now / TICKS_PER_MS });
  }

  #add(kind: string, line: () => string, now: number): void {
    if (this.#count >= (ALWAYS.test(kind) ? 2 * EVENTS_MAX : EVENTS_MAX)) return;
    this.#keep(line(), now);
    if (this.#count === EVENTS_MAX) this.#keep(traceLine(FULL, now), now);
  }

  #keep(line: string, now: number): void {
    this.#now = now;
    const records = slim([JSON.parse(line) as TraceRecord]);
    this.#count += records.length;
    if (this.#tell === undefined) {
      this.events.push(...records);
      return;
    }
    this.#waiting.push(...records);
    if (this.#waiting.length >= TOLD_AT_ONCE) this.flush();
  }
}
