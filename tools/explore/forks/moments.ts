// SPDX-License-Identifier: GPL-2.0-or-later

/** Moments of a run without faults: others begin at the last one before their own faults. */

import type { Restore } from '../../simulator/base/snapshot.ts';
import type { Place, Plan } from '../plan.ts';

/** Places that a run comes to before the guest runs: no moment is earlier. */
const AT_ONCE: readonly Place[] = ['network', 'nic', 'owner', 'race'];

type Counts = Readonly<Record<Place, number>>;

interface Moment {
  /** How often the run had come to each place. */
  readonly counts: Counts;
  readonly restore: Restore;
}

export class Moments {
  #all: readonly Moment[] = [];

  get count(): number {
    return this.#all.length;
  }

  /** The run is there, later than at all others. */
  add(counts: Counts, restore: Restore): void {
    this.#all = [...this.#all, { counts: { ...counts }, restore }];
  }

  /** Every second one goes. */
  thin(): void {
    this.#all = this.#all.filter((_, i) => i % 2 === 0);
  }

  /** What goes back to where nothing of a plan has happened yet, as late as possible. */
  before({ faults }: Plan): Restore | undefined {
    if (faults.some(({ place }) => AT_ONCE.includes(place))) return undefined;
    const isEarly = ({ counts }: Moment): boolean =>
      faults.every(({ place, index }) => counts[place] <= index);
    return this.#all.filter(isEarly).at(-1)?.restore;
  }
}
