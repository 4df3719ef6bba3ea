// SPDX-License-Identifier: GPL-2.0-or-later

/** The example in C explored in full, on one core: steps, faults, and the time of all runs. */

import { WasmProgram } from '../guests/wasm-guest.ts';
import { EXPLORED_MEMORY, explore, type ExploreResult } from '../library/index.ts';
import { timeMs } from './measure.ts';
import { count, short, type Section } from './section.ts';

export interface ExplorationOptions {
  /** Most runs that are made. */
  readonly runs: number;
}

export const EXPLORATION_FULL: ExplorationOptions = { runs: Infinity };
export const EXPLORATION_QUICK: ExplorationOptions = { runs: 20 };

export interface ExplorationFigure {
  /** Places of a fault, by the kind of step: messages, packets, calls, pages and so on. */
  readonly steps: Readonly<Partial<Record<string, number>>>;
  /** Single faults at all of them: each is a run. */
  readonly faults: number;
  /** Runs that were made; all, unless it was a quick one. */
  readonly runs: number;
  readonly findings: number;
  /** For the runs that were made, with the recording of the steps. */
  readonly seconds: number;
}

/** @param example bytes of the module */
export function measureExploration(
  example: Uint8Array,
  { runs }: ExplorationOptions,
): ExplorationFigure {
  const boot = new WasmProgram('example', example).instantiate(EXPLORED_MEMORY);
  let made = 0;
  let result: ExploreResult | undefined;
  const ms = timeMs(() => {
    result = explore({ boot }, { onRun: () => made++ < runs });
  });
  const { places, singles, tally } = result!;
  return {
    steps: places.boot,
    ...{ faults: singles, runs: tally.runs, findings: tally.groups.length, seconds: ms / 1000 },
  };
}

export function explorationSection(figure: ExplorationFigure): Section {
  const { steps, faults, runs, findings, seconds } = figure;
  const perSecond = runs / seconds;
  return {
    name: 'exploration',
    title: 'The example that hypxe guest new c makes, explored: every fault at every step',
    data: figure,
    tables: [
      {
        columns: ['steps', ''],
        rows: Object.entries(steps).map(([place, number]) => [place, count(number ?? 0)]),
      },
      {
        columns: ['faults', 'runs made', 'findings', 'runs/s', 's', 's in full'],
        rows: [
          [
            ...[faults, runs, findings].map(count),
            ...[perSecond, seconds, faults / perSecond].map(short),
          ],
        ],
      },
    ],
    notes: [
      'One thread; hypxe explore takes all cores. A step is a place at which the host, or the ' +
        'machine, may do something else: each fault that can happen there is a run of its own, a ' +
        'whole boot with handoff and audit.',
    ],
  };
}
