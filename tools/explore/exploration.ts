// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * An exploration as a numbered list of runs: first every single fault of every flow, then the
 * walks. The list depends on nothing but the firmware, the host and the seed, so that it can be
 * divided: shard i of n has the runs whose number leaves i - 1 when divided by n.
 */

import { singleFaults } from './enumeration.ts';
import { FLOWS, planText, type FlowName, type Place, type Plan } from './plan.ts';
import { record, type Recording } from './recording.ts';
import type { Runner } from './run.ts';
import { Walks } from './walks.ts';

/** What an exploration is made of. */
export interface ExplorationOptions {
  /** Decides the walks. */
  readonly seed: number;
  /** Number of walks. */
  readonly walks: number;
  /** Only these kinds of faults: `message`, `message/drop` or `loader:message`. Default all. */
  readonly only?: string | undefined;
  /** Called often while the list is made: that takes a while, and no guest runs in it. */
  readonly alive?: () => void;
}

/** One of several parts, from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** Places of a flow, counted. */
export type PlaceCounts = Readonly<Record<FlowName, Partial<Record<Place, number>>>>;

/** The flow without any fault goes wrong: nothing can be explored. */
export class BrokenFlowError extends Error {}

/** The firmware refuses the host: there is nothing to explore. */
export class RefusedHostError extends BrokenFlowError {}

export class Exploration {
  readonly places: PlaceCounts;
  /** Runs in all shards together. */
  readonly total: number;
  /** Two explorations with the same list of runs have the same. */
  readonly fingerprint: string;
  readonly #singles: readonly Plan[];
  readonly #walks: Walks;

  /** Records the flows. @throws BrokenFlowError */
  constructor(runner: Runner, options: ExplorationOptions) {
    const recordings = FLOWS.filter((flow) => runner.has(flow)).map((flow) => record(runner, flow));
    for (const recording of recordings) requireSound(recording);
    const { alive = () => undefined } = options;
    const wanted = (plan: Plan): boolean => {
      alive();
      return matches(plan, options.only);
    };
    const all = recordings.map((recording) => singleFaults(recording).filter(wanted));
    this.#singles = all.flat();
    // Walks are of the boot over the network, with the faults that it has
    const [ofBoot = []] = all;
    this.#walks = new Walks(options.seed, ofBoot);
    const walks = ofBoot.length === 0 ? 0 : options.walks;
    this.total = this.#singles.length + walks;
    this.places = countPlaces(recordings);
    this.fingerprint = fingerprint([
      ...this.#singles.map((plan) => {
        alive();
        return planText(plan);
      }),
      `seed ${options.seed}, ${walks} walks`,
    ]);
  }

  /** Number of runs with a single fault; the walks come behind them. */
  get singles(): number {
    return this.#singles.length;
  }

  /** A run by its number, from 0. */
  plan(run: number): Plan {
    return this.#singles[run] ?? this.#walks.plan(run - this.#singles.length);
  }
}

/** How many of `total` runs a shard has. */
export function shardSize(total: number, { index, count }: Shard): number {
  return Math.max(0, Math.ceil((total - (index - 1)) / count));
}

/** Number of the nth run of a shard. */
export function shardRun(n: number, { index, count }: Shard): number {
  return n * count + (index - 1);
}

/**
 * Number of the run that is made as the nth of a shard. Each is made once, and wherever that is
 * stopped, the runs that were made lie evenly over faults and walks: steps of the golden section.
 */
export function runAt(n: number, total: number, shard: Shard): number {
  const size = shardSize(total, shard);
  return shardRun(Number((BigInt(n) * BigInt(stride(size))) % BigInt(size)), shard);
}

/** About 0.618 of a number, and without a common divisor with it. */
function stride(size: number): number {
  let step = Math.max(1, Math.round(size * 0.6180339887));
  while (commonDivisor(step, size) > 1) step++;
  return step;
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** Whether all faults of a plan are of these kinds: `message/drop`, `loader:message`. */
export function matches({ flow, faults }: Plan, only: string | undefined): boolean {
  if (only === undefined) return true;
  const [kinds, of = flow] = only.split(':').reverse();
  if (of !== flow) return false;
  return faults.every(({ place, kind }) => kinds === place || kinds === `${place}/${kind}`);
}

function requireSound({ flow, outcome }: Recording): void {
  const finding = outcome.findings[0];
  if (outcome.status === 'booted' && finding === undefined) return;
  // A firmware that refuses the host does so at every boot, which is no finding
  const refusedAgain = outcome.findings.every(({ cause }) => cause.startsWith('second boot fails'));
  if (outcome.refused === true && refusedAgain) {
    throw new RefusedHostError(`the firmware does not run on this host: ${outcome.error}`);
  }
  // That the second boot fails, too, says less
  const failed = outcome.status === 'failed' ? outcome.error : undefined;
  const what = failed === undefined ? finding?.text : `it fails with ${failed}`;
  throw new BrokenFlowError(
    `the ${flow} flow is not clean without any fault: ${what ?? 'it boots nothing'}`,
  );
}

function countPlaces(recordings: readonly Recording[]): PlaceCounts {
  const counts: Record<FlowName, Partial<Record<Place, number>>> = {
    boot: {},
    loader: {},
    push: {},
  };
  for (const { flow, places } of recordings) {
    for (const place of Object.keys(places) as Place[]) counts[flow][place] = places[place].length;
  }
  return counts;
}

/** FNV-1a over texts, as 8 hexadecimal digits. */
export function fingerprint(texts: readonly string[]): string {
  let hash = 0x811c9dc5;
  for (const text of texts) {
    for (let i = 0; i <= text.length; i++) {
      // A line end behind each text
      const code = i < text.length ? text.charCodeAt(i) : 10;
      hash = Math.imul(hash ^ code, 0x01000193);
    }
  }
  return (hash >>> 0).toString(16).padStart(8, '0');
}
