// SPDX-License-Identifier: GPL-2.0-or-later

/** What an entry of the list of deliberate differences is, and what it can ask of a comparison. */

import type { Difference } from '../compare.ts';
import type { SignalCause } from '../item.ts';
import type { RecordedStep } from '../recording.ts';
import type { TraceEvent, TraceEventOf, TraceOp } from '../trace-events.ts';

/**
 * How hypxe treats something that iPXE does. `fixed`: hypxe does it otherwise. `kept`: hypxe does
 * the same, for the reason given. `inapplicable`: it cannot exist here (a matter of C, a comment).
 */
export type Handling = 'fixed' | 'kept' | 'inapplicable';

/** One entry of the list. */
export interface DeliberateDifference {
  /** Stable name, for scripts and the report: `reversed-ranges`. */
  readonly id: string;
  readonly title: string;
  /** Where it is described: `5.n` of the defects, `observation n` of the traces' README. */
  readonly sources: readonly string[];
  readonly handling: Handling;
  readonly ipxe: string;
  readonly hypxe: string;
  readonly why: string;
  /** The file below `firmware-tests/` that has the test; its name begins with the entry's `id`. */
  readonly test: string;
  /** Whether a difference is a trace of it. Without it the entry leaves none in a comparison. */
  readonly matches?: (difference: Difference, context: ReplayContext) => boolean;
}

/** What an entry says in words, and how it is recognised. */
type Text = Pick<DeliberateDifference, 'title' | 'ipxe' | 'hypxe' | 'why' | 'matches'>;

/**
 * Makes entries of one handling. `sources` stand in one text, with commas; `test` is the path of
 * the file below `firmware-tests/src/`, without its `.test.ts`.
 */
function entriesThatAre(handling: Handling) {
  return (id: string, sources: string, test: string, text: Text): DeliberateDifference => ({
    ...{ id, handling, sources: sources.split(', '), test: `src/${test}.test.ts` },
    ...text,
  });
}

export const fixed = entriesThatAre('fixed');
export const kept = entriesThatAre('kept');
export const inapplicable = entriesThatAre('inapplicable');

/** What entries may look at. */
export class ReplayContext {
  readonly #events: readonly TraceEvent[];
  readonly #steps: readonly RecordedStep[];
  readonly #differences: readonly Difference[];
  readonly #written: ReadonlyMap<number, SignalCause>;

  /** @param written the recorded packets that the guest wrote, by their event. */
  constructor(
    events: readonly TraceEvent[],
    steps: readonly RecordedStep[],
    differences: readonly Difference[],
    written: ReadonlyMap<number, SignalCause>,
  ) {
    this.#events = events;
    this.#steps = steps;
    this.#differences = differences;
    this.#written = written;
  }

  /** Recorded events of one `op` in the step of a difference, and up to the next step. */
  recorded<O extends TraceOp>(difference: Difference, op: O): TraceEventOf<O>[] {
    const { index } = difference.step;
    const begin = this.#steps[index]!.begin;
    const end = this.#steps[index + 1]?.begin ?? this.#events.length;
    return this.#events
      .slice(begin, end)
      .filter((event): event is TraceEventOf<O> & TraceEvent => event.op === op);
  }

  /** Whether the step of a difference has another one that satisfies `test`. */
  hasOther(difference: Difference, test: (other: Difference) => boolean): boolean {
    return this.#differences.some(
      (other) => other !== difference && other.step.index === difference.step.index && test(other),
    );
  }

  /** How the guest wrote a recorded packet, or undefined if it did not. */
  written(event: number): SignalCause | undefined {
    return this.#written.get(event);
  }
}
