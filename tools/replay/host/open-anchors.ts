// SPDX-License-Identifier: GPL-2.0-or-later

/** Actions of the recorded guest that the guest of a replay has not done. */

import { isMovable } from '../anchor-keys.ts';
import type { Anchor } from './script-types.ts';

/** Actions of one key that are left, by their step, in order. A step without any is not there. */
type BySteps = Map<number, Anchor[]>;

/** The actions that are left. */
export class OpenAnchors {
  readonly #byKey = new Map<string, BySteps>();
  readonly #byStep = new Map<number, Anchor[]>();

  constructor(anchors: readonly Anchor[]) {
    for (const anchor of anchors) {
      const { key, step } = anchor;
      const ofStep = this.#byStep.get(step) ?? [];
      if (ofStep.length === 0) this.#byStep.set(step, ofStep);
      ofStep.push(anchor);
      const steps = this.#byKey.get(key) ?? new Map<number, Anchor[]>();
      if (steps.size === 0) this.#byKey.set(key, steps);
      const list = steps.get(step) ?? [];
      if (list.length === 0) steps.set(step, list);
      list.push(anchor);
    }
  }

  /** All actions of a step, done or not. */
  ofStep(step: number): readonly Anchor[] {
    return this.#byStep.get(step) ?? [];
  }

  /** Whether one is left that something is which the guest does in a step. */
  has(key: string, step: number): boolean {
    return this.#byKey.get(key)?.has(step) === true;
  }

  /** Take the one that something is which the guest does in a step; undefined: none is. */
  take(key: string, step: number): Anchor | undefined {
    const steps = this.#byKey.has(key) ? this.#byKey.get(key) : this.#gpadlsLike(key, step);
    if (steps === undefined) return undefined;
    const first = isMovable(key) ? steps.keys().next().value : undefined;
    const from = steps.has(step) ? step : first;
    const list = from === undefined ? undefined : steps.get(from);
    if (list?.length === 1) steps.delete(from!);
    return list?.shift();
  }

  /** Where one side does not tell what memory a GPADL is, the next of the channel is the one. */
  #gpadlsLike(key: string, step: number): BySteps | undefined {
    const channel = /^gpadl \d+ /.exec(key)?.[0];
    if (channel === undefined) return undefined;
    const told = key !== channel;
    const like = [...this.#byKey].filter(([other]) =>
      told ? other === channel : other.startsWith(channel),
    );
    const next = like
      .flatMap(([, steps]) => steps.get(step) ?? [])
      .sort((a, b) => a.index - b.index)[0];
    return like.find(([, steps]) => next !== undefined && steps.get(step)?.includes(next))?.[1];
  }
}
