// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Random walks: several faults at once, drawn from the single ones. In each walk some kinds are
 * wholly off, so that a kind that ends every boot early does not hide what lies behind it (swarm
 * testing). A walk is decided by the seed and its number alone.
 */

import { Random } from '../simulator/base/random.ts';
import type { Fault, Plan } from './plan.ts';

/** Faults of one walk. */
const FAULTS_MIN = 2;
const FAULTS_MAX = 6;

/** Draws of a fault before a walk is content with what it has. */
const DRAWS_MAX = 64;

export class Walks {
  readonly #seed: number;
  readonly #flow: Plan['flow'];
  /** The single faults by what they are: every kind is as likely as any other. */
  readonly #kinds: readonly (readonly Fault[])[];

  /** `plans` are all single faults of one flow. */
  constructor(seed: number, plans: readonly Plan[]) {
    this.#seed = seed;
    this.#flow = plans[0]?.flow ?? 'boot';
    const byKind = new Map<string, Fault[]>();
    for (const fault of plans.flatMap(({ faults }) => faults)) {
      const name = `${fault.place}/${fault.kind}`;
      const kind = byKind.get(name);
      if (kind === undefined) byKind.set(name, [fault]);
      else kind.push(fault);
    }
    this.#kinds = [...byKind.values()];
  }

  /** The plan of a walk. */
  plan(walk: number): Plan {
    const random = new Random(this.#seed, walk);

    // Half of the kinds are off
    const on = this.#kinds.filter(() => random.chance(0.5));
    const kinds = on.length === 0 ? this.#kinds : on;
    const wanted = FAULTS_MIN + random.below(FAULTS_MAX - FAULTS_MIN + 1);
    const faults: Fault[] = [];
    for (let draw = 0; draw < DRAWS_MAX && faults.length < wanted; draw++) {
      const kind = kinds[random.below(kinds.length)]!;
      const fault = kind[random.below(kind.length)]!;
      const taken = faults.some(
        ({ place, index }) => place === fault.place && index === fault.index,
      );
      if (!taken) faults.push(fault);
    }
    return { flow: this.#flow, faults };
  }
}
