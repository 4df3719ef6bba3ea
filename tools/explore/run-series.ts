// SPDX-License-Identifier: GPL-2.0-or-later

/** Runs of an exploration one after the other, counted; findings of walks are made small. */

import type { Exploration } from './exploration.ts';
import type { Runner } from './run.ts';
import { shrink } from './shrink.ts';
import { Tally, type TallyData } from './tally.ts';

export class RunSeries {
  readonly #runner: Runner;
  readonly #exploration: Exploration;
  /** Causes that have been made small: once is enough for each. */
  readonly #known = new Set<string>();
  #tally = new Tally();

  constructor(runner: Runner, exploration: Exploration) {
    this.#runner = runner;
    this.#exploration = exploration;
  }

  /** Make one run, by its number. */
  run(number: number): void {
    const plan = this.#exploration.plan(number);
    const outcome = this.#runner.run(plan);
    const { findings } = outcome;
    this.#tally.add(number, plan, outcome);
    const [first] = findings;
    if (first === undefined || plan.faults.length === 1 || this.#known.has(first.cause)) return;

    // The smaller plan is the same finding of the same run, with a shorter text
    this.#known.add(first.cause);
    const small = shrink(this.#runner, plan, outcome);
    this.#tally.shorten(number, small.plan, small.outcome);
  }

  /** What was counted since the last call. */
  take(): TallyData {
    const { data } = this.#tally;
    this.#tally = new Tally();
    return data;
  }
}
