// SPDX-License-Identifier: GPL-2.0-or-later

/** Counts the places that a run comes to, and finds the faults that a plan has for each. */

import { faultText, type Fault, type Place, type Plan } from './plan.ts';
import type { Keeper } from '../simulator/base/snapshot.ts';

/** What a recording is told of each place. */
export interface PlaceDetail {
  /** What it is, in words. */
  readonly what: string;
  /** Bytes on their way to the guest, where there are any. */
  readonly bytes?: Uint8Array;
  /** A word that is read once more. */
  readonly value?: number;
}

/** Reader of the places: a recording. */
export type PlaceObserver = (place: Place, index: number, detail: PlaceDetail) => void;

const NONE: readonly Fault[] = [];

const PLACES: readonly Place[] = [
  ...(['step', 'call', 'register', 'owner', 'network', 'nic'] as const),
  ...(['message', 'packet', 'rndis', 'transmit', 'alloc', 'read', 'race'] as const),
];

export class PlaceCounter {
  /** Faults that were carried out, by their text. */
  readonly fired = new Set<string>();
  /** How often the run has come to each place so far. */
  readonly counts = Object.fromEntries(PLACES.map((place) => [place, 0])) as Record<Place, number>;
  readonly observer: PlaceObserver | undefined;
  /** Called when a fault is carried out, with what is at that place. */
  onFire: ((fault: Fault, detail: PlaceDetail) => void) | undefined;
  readonly #faults = new Map<Place, Map<number, Fault[]>>();
  /** What is at the last place that a fault was found for. */
  #detail: PlaceDetail = { what: '' };
  #stopped = false;
  #everywhere = false;

  /** @param everywhere all places count, whatever the plan has: others are loaded later */
  constructor(plan: Plan, observer?: PlaceObserver, everywhere = false) {
    this.observer = observer;
    this.load(plan);
    this.#everywhere = everywhere;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.onFire, this.#detail], (v) => ([this.onFire, this.#detail] = v));
    keeper.put([this.#stopped, this.#everywhere], (v) => ([this.#stopped, this.#everywhere] = v));
    keeper.keep(this.fired, this.counts, this.#faults);
  }

  /** The faults of another plan from now on. */
  load(plan: Plan): void {
    this.#everywhere = false;
    this.#faults.clear();
    for (const fault of plan.faults) {
      let byIndex = this.#faults.get(fault.place);
      if (byIndex === undefined) this.#faults.set(fault.place, (byIndex = new Map()));
      byIndex.set(fault.index, [...(byIndex.get(fault.index) ?? []), fault]);
    }
  }

  /** Whether the plan has any fault at a place: else hooks need not be set. */
  has(place: Place): boolean {
    return this.#everywhere || this.observer !== undefined || this.#faults.has(place);
  }

  /** The run comes to a place. Returns what the plan has for it. `detail` is for recordings. */
  arrive(place: Place, detail: () => PlaceDetail): readonly Fault[] {
    if (this.#stopped) return NONE;
    const index = this.counts[place]++;
    if (this.observer !== undefined) this.observer(place, index, detail());
    const faults = this.#faults.get(place)?.get(index) ?? NONE;
    if (faults !== NONE && this.onFire !== undefined) this.#detail = detail();
    return faults;
  }

  /** What is so from the beginning: the run comes to it, and its faults are carried out. */
  begin(place: Place, what: string): readonly Fault[] {
    const faults = this.arrive(place, () => ({ what }));
    for (const fault of faults) this.fire(fault);
    return faults;
  }

  /** Nothing is counted any more, no fault is found: the explored part is over. */
  stop(): void {
    this.#stopped = true;
  }

  /** A fault is carried out. */
  fire(fault: Fault): void {
    this.fired.add(faultText(fault));
    this.onFire?.(fault, this.#detail);
  }
}
