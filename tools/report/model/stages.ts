// SPDX-License-Identifier: GPL-2.0-or-later

/** Who had the machine, and when it was handed over. Places are numbers of events. */

import { text, type TraceRecord } from './record.ts';

/** An owner of the machine. */
export interface Stage {
  readonly name: string;
  /** Its first event, and the one after its last. */
  readonly from: number;
  to: number;
}

/** A handoff: what the host holds at this event crosses it. */
export interface Handoff {
  readonly at: number;
  /** Who handed over, and how. */
  readonly stage: string;
  readonly end: string;
  /** Who gives it all up: not firmware that stays, as in a SAN boot. */
  readonly final: boolean;
}

/** The owners, in order. A trace that does not name them has one. */
export function stagesOf(events: readonly TraceRecord[]): Stage[] {
  const stages: Stage[] = [];
  for (const [at, event] of events.entries()) {
    const name = event.kind === 'stage' ? text(event, 'stage') : undefined;
    const last = stages.at(-1);
    if (name === undefined || last?.name === name) continue;
    if (last !== undefined) last.to = at;
    stages.push({ name, from: stages.length === 0 ? 0 : at, to: events.length });
  }
  if (stages.length > 0) return stages;
  const guest = events.find((event) => text(event, 'guest') !== '');
  const name = guest === undefined ? 'guest' : text(guest, 'guest');
  return [{ name, from: 0, to: events.length }];
}

/** The handoffs, in order. */
export function handoffsOf(events: readonly TraceRecord[]): Handoff[] {
  return events.flatMap((event, at) => {
    if (event.kind !== 'handoff') return [];
    const end = text(event, 'end');
    return [{ at, stage: text(event, 'stage'), end, final: end !== 'quiesce' }];
  });
}
