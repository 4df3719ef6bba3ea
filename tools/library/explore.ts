// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Exploration in the thread that asks for it: every fault at every step, one run after the other. A
 * guest that loops without an exit is not ended; `hypxe explore` does that, and uses all cores.
 */

import {
  Exploration,
  runAt,
  shardSize,
  type PlaceCounts,
  type Shard,
} from '../explore/exploration.ts';
import type { ExploredGuests } from '../explore/explored-guest.ts';
import { parsePlan, planText } from '../explore/plan.ts';
import { RunSeries } from '../explore/run-series.ts';
import { Runner, type RunOutcome } from '../explore/run.ts';
import { Tally, type TallyData } from '../explore/tally.ts';
import { bootPlan, type BootChoices } from './boot-plan.ts';

/** What is explored. Host, knobs, network and architecture as for a boot. */
export interface ExploreChoices extends Pick<
  BootChoices,
  'host' | 'knobs' | 'network' | 'architecture'
> {
  /** Decides the walks. Default 1. */
  readonly seed?: number;
  /** Runs with several faults, behind those with one. Default 0. */
  readonly walks?: number;
  /** Only these kinds of faults: `message` or `message/drop`. */
  readonly only?: string;
  /** A part of the list: default all of it. */
  readonly shard?: Shard;
  /** Called before each run with its number and what it does. False ends the exploration. */
  readonly onRun?: (run: number, plan: string) => boolean | void;
}

/** What an exploration came to. */
export interface ExploreResult {
  /** Runs of all shards together; those with a single fault come first. */
  readonly total: number;
  readonly singles: number;
  readonly places: PlaceCounts;
  /** Two explorations with the same list of runs have the same. */
  readonly fingerprint: string;
  /** Whether all runs of the shard were made. */
  readonly complete: boolean;
  readonly tally: TallyData;
}

function runnerFor(guests: ExploredGuests, choices: ExploreChoices): Runner {
  const { profile, architecture, network } = bootPlan(choices);
  return new Runner(guests, profile, undefined, architecture, undefined, network);
}

/**
 * Explore a guest, in RAM of {@link EXPLORED_MEMORY} bytes.
 *
 * @throws RefusedHostError if it refuses the host; BrokenFlowError if it goes wrong without a fault
 */
export function explore(guests: ExploredGuests, choices: ExploreChoices = {}): ExploreResult {
  const { seed = 1, walks = 0, only, shard = { index: 1, count: 1 }, onRun } = choices;
  const runner = runnerFor(guests, choices);
  const exploration = new Exploration(runner, { seed, walks, only });
  const { total, singles, places, fingerprint } = exploration;
  const series = new RunSeries(runner, exploration);
  const size = shardSize(total, shard);
  let made = 0;
  for (; made < size; made++) {
    const run = runAt(made, total, shard);
    if (onRun?.(run, planText(exploration.plan(run))) === false) break;
    series.run(run);
  }
  const tally = new Tally();
  tally.merge(series.take());
  return { total, singles, places, fingerprint, complete: made === size, tally: tally.data };
}

/** Make one run, by the text of its plan: `message.4/drop`. @throws PlanError */
export function exploreOne(
  guests: ExploredGuests,
  plan: string,
  choices: ExploreChoices = {},
): RunOutcome {
  return runnerFor(guests, choices).run(parsePlan(plan));
}
