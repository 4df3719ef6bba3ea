// SPDX-License-Identifier: GPL-2.0-or-later

/** What a flow comes to when nothing goes wrong: every place, in order, with what was there. */

import type { PlaceDetail } from './counter.ts';
import type { FlowName, Place } from './plan.ts';
import type { Runner, RunOutcome } from './run.ts';

export interface Recording {
  readonly flow: FlowName;
  readonly outcome: RunOutcome;
  /** The places of each kind, by their index. */
  readonly places: Readonly<Record<Place, readonly PlaceDetail[]>>;
}

/** Places that a run will come to, none yet. */
export function noPlaces(): Record<Place, PlaceDetail[]> {
  return {
    step: [],
    call: [],
    register: [],
    owner: [],
    network: [],
    nic: [],
    message: [],
    packet: [],
    rndis: [],
    transmit: [],
    alloc: [],
    read: [],
    race: [],
  };
}

/** Run a flow without faults and write down where it went. */
export function record(runner: Runner, flow: FlowName): Recording {
  const places = noPlaces();
  const outcome = runner.run({ flow, faults: [] }, (place, _index, detail) => {
    places[place].push(detail);
  });
  return { flow, outcome, places };
}
