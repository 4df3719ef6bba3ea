// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The runs of an exploration of a PC: a boot of a real program takes seconds, and all single faults
 * of it would take days. A sample has as many of each kind of fault as of any other, and is decided
 * by its seed.
 */

import { Random } from '../simulator/base/random.ts';
import { singleFaults } from './enumeration.ts';
import { BrokenFlowError, RefusedHostError, matches } from './exploration.ts';
import type { PcRunner } from './pc-runner.ts';
import { planText, type Place, type Plan } from './plan.ts';
import { noPlaces } from './recording.ts';

export interface PcSampleOptions {
  readonly samples: number;
  readonly seed: number;
  /** Only these kinds of faults: `message` or `message/drop`. Default all. */
  readonly only?: string | undefined;
}

export interface PcSample {
  /** Single faults in all, and the places that they are of. */
  readonly total: number;
  readonly places: Readonly<Partial<Record<Place, number>>>;
  /** The runs, as texts; each once. */
  readonly plans: readonly string[];
}

/**
 * Run the program without faults, and choose.
 *
 * @throws BrokenFlowError if it does not boot, or is not clean without any fault
 */
export async function samplePc(runner: PcRunner, options: PcSampleOptions): Promise<PcSample> {
  const places = noPlaces();
  const outcome = await runner.run({ flow: 'boot', faults: [] }, (place, _index, detail) => {
    places[place].push({ ...detail, ...(detail.bytes && { bytes: detail.bytes.slice() }) });
  });
  const [finding] = outcome.findings;
  if (outcome.refused === true) {
    throw new RefusedHostError('the program does not run on this host');
  }
  if (outcome.status !== 'booted' || finding !== undefined) {
    const what = finding?.text ?? 'nothing is booted';
    throw new BrokenFlowError(`the program is not clean without any fault: ${what}`);
  }
  const all = singleFaults({ flow: 'boot', places }).filter((plan) => matches(plan, options.only));
  const counts = (Object.keys(places) as Place[]).map((place) => [place, places[place].length]);
  const there = counts.filter(([, count]) => count !== 0);
  return {
    total: all.length,
    places: Object.fromEntries(there) as PcSample['places'],
    plans: draw(all, options),
  };
}

/** Draw from the kinds by turns, each plan at most once. */
function draw(plans: readonly Plan[], { samples, seed }: PcSampleOptions): string[] {
  const kinds = new Map<string, Plan[]>();
  for (const plan of plans) {
    const { place, kind } = plan.faults[0]!;
    const name = `${place}/${kind}`;
    const same = kinds.get(name);
    if (same === undefined) kinds.set(name, [plan]);
    else same.push(plan);
  }
  const random = new Random(seed);
  const drawn: string[] = [];
  while (drawn.length < Math.min(samples, plans.length)) {
    for (const left of kinds.values()) {
      if (left.length === 0 || drawn.length === samples) continue;
      const [plan] = left.splice(random.below(left.length), 1);
      drawn.push(planText(plan!));
    }
  }
  return drawn;
}
