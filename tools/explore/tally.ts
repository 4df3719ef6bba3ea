// SPDX-License-Identifier: GPL-2.0-or-later

/** What the runs of an exploration came to: outcomes counted, findings grouped by their cause. */

import { planText, type Plan } from './plan.ts';
import type { FindingKind } from './explored-guest.ts';
import type { RunOutcome } from './run.ts';

/** Findings with one cause. */
export interface Group {
  readonly kind: FindingKind;
  readonly cause: string;
  /** Runs that have it. */
  readonly runs: number;
  /** The smallest of them: fewest faults, then the first. */
  readonly reproduction: string;
  readonly faults: number;
  readonly run: number;
  /** What was seen in that run. */
  readonly text: string;
}

/** The counts so far: plain data, can be posted and written. */
export interface TallyData {
  readonly runs: number;
  /** Runs by how the first boot ended: `booted`, `ended`, or the name of its error. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Runs that never came to their fault. */
  readonly unreached: number;
  readonly groups: readonly Group[];
}

export class Tally {
  #runs = 0;
  #unreached = 0;
  readonly #outcomes = new Map<string, number>();
  readonly #groups = new Map<string, Group>();

  /** Add a run. */
  add(run: number, plan: Plan, outcome: RunOutcome): void {
    this.#runs++;
    if (outcome.fired === 0 && plan.faults.length > 0) this.#unreached++;
    this.#count(outcome.error ?? outcome.status, 1);
    for (const { kind, cause, text } of outcome.findings) {
      const reproduction = planText(plan);
      const { length: faults } = plan.faults;
      this.#group({ kind, cause, runs: 1, reproduction, faults, run, text });
    }
  }

  /** A run that was added shows the same findings with fewer faults. */
  shorten(run: number, plan: Plan, outcome: RunOutcome): void {
    for (const { kind, cause, text } of outcome.findings) {
      const reproduction = planText(plan);
      const { length: faults } = plan.faults;
      this.#group({ kind, cause, runs: 0, reproduction, faults, run, text });
    }
  }

  /** A run that did not end: only that is known of it. */
  addHang(run: number, plan: Plan, text: string): void {
    const finding = { kind: 'hang', cause: 'the firmware loops without an exit', text } as const;
    this.add(run, plan, {
      findings: [finding],
      fired: 1,
      status: 'ended',
      error: undefined,
      steps: 0,
    });
  }

  /** Add what another tally has counted. */
  merge(data: TallyData): void {
    this.#runs += data.runs;
    this.#unreached += data.unreached;
    for (const [name, count] of Object.entries(data.outcomes)) this.#count(name, count);
    for (const group of data.groups) this.#group(group);
  }

  /** Everything, in an order that does not depend on the order of the runs. */
  get data(): TallyData {
    const outcomes = [...this.#outcomes].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
    const groups = [...this.#groups.values()].sort((a, b) => a.run - b.run || compare(a, b));
    return {
      runs: this.#runs,
      outcomes: Object.fromEntries(outcomes),
      unreached: this.#unreached,
      groups,
    };
  }

  #count(name: string, count: number): void {
    this.#outcomes.set(name, (this.#outcomes.get(name) ?? 0) + count);
  }

  #group(group: Group): void {
    const known = this.#groups.get(group.cause);
    if (known === undefined) {
      this.#groups.set(group.cause, group);
      return;
    }
    const smaller =
      group.faults < known.faults || (group.faults === known.faults && group.run < known.run);
    const smallest = smaller ? group : known;
    this.#groups.set(group.cause, { ...smallest, runs: known.runs + group.runs });
  }
}

function compare(a: Group, b: Group): number {
  return a.cause < b.cause ? -1 : 1;
}
