// SPDX-License-Identifier: GPL-2.0-or-later

/** All that a page shows of a run, made from its events and nothing else. */

import { answersOf, type Answers } from './answers.ts';
import { checksOf, type CheckView } from './audit.ts';
import { lanesOf, type Lane } from './lanes.ts';
import { channelsOf } from './message.ts';
import { text, type TraceRecord } from './record.ts';
import { handoffsOf, stagesOf, type Handoff, type Stage } from './stages.ts';

export interface Model {
  readonly events: readonly TraceRecord[];
  /** What was asked for, as pairs of name and value. */
  readonly run: readonly (readonly [string, string])[];
  readonly verdict: string;
  readonly stages: readonly Stage[];
  readonly handoffs: readonly Handoff[];
  readonly lanes: readonly Lane[];
  readonly channels: ReadonlyMap<number, string>;
  readonly answers: Answers;
  readonly checks: readonly CheckView[];
}

export function modelOf(events: readonly TraceRecord[]): Model {
  const handoffs = handoffsOf(events);
  const lanes = lanesOf(events, handoffs);
  const run = events[0]?.kind === 'run' ? events[0] : { kind: 'run', ms: 0 };
  const verdict = events.filter(({ kind }) => kind === 'verdict').at(-1);
  return {
    events,
    run: Object.keys(run)
      .filter((name) => !['kind', 'ms', 'trace'].includes(name))
      .map((name) => [name, text(run, name)] as const),
    verdict: verdict === undefined ? 'no verdict: the run was cut short' : text(verdict, 'verdict'),
    stages: stagesOf(events),
    handoffs,
    lanes,
    channels: channelsOf(events),
    answers: answersOf(events),
    checks: checksOf(events, lanes),
  };
}
