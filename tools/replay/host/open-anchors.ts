// SPDX-License-Identifier: GPL-2.0-or-later

/** Actions of the recorded guest that the guest of a replay has not done. */

import { isMovable } from '../anchor-keys.ts';
import type { Anchor } from './script-types.ts';

/** The actions that are left. */
export class OpenAnchors {
  readonly #byKey = new Map<string, Anchor[]>();
  readonly #byStep = new Map<number, Anchor[]>();

  constructor(anchors: readonly Anchor[]) {
    for (const anchor of anchors) {
      const ofStep = this.#byStep.get(anchor.step) ?? [];
      this.#byStep.set(anchor.step, ofStep);
      ofStep.push(anchor);
      const list = this.#byKey.get(anchor.key) ?? [];
      if (list.length === 0) this.#byKey.set(anchor.key, list);
      list.push(anchor);
    }
  }

  /** All actions of a step, done or not. */
  ofStep(step: number): readonly Anchor[] {
    return this.#byStep.get(step) ?? [];
  }

  /** Whether one is left that something is which the guest does in a step. */
  has(key: string, step: number): boolean {
    return this.#byKey.get(key)?.some((anchor) => anchor.step === step) === true;
  }

  /** Take the one that something is which the guest does in a step; undefined: none is. */
  take(key: string, step: number): Anchor | undefined {
    const list = this.#byKey.get(key) ?? this.#gpadlsLike(key, step);
    if (list === undefined) return undefined;
    let at = list.findIndex((anchor) => anchor.step === step);
    if (at < 0 && isMovable(key)) at = 0;
    return at < 0 ? undefined : list.splice(at, 1)[0];
  }

  /** Where one side does not tell what memory a GPADL is, the next of the channel is the one. */
  #gpadlsLike(key: string, step: number): Anchor[] | undefined {
    const channel = /^gpadl \d+ /.exec(key)?.[0];
    if (channel === undefined) return undefined;
    const told = key !== channel;
    const lists = [...this.#byKey].filter(([other]) =>
      told ? other === channel : other.startsWith(channel),
    );
    const next = lists
      .flatMap(([, anchors]) => anchors.filter((anchor) => anchor.step === step))
      .sort((a, b) => a.index - b.index)[0];
    return lists.find(([, anchors]) => next !== undefined && anchors.includes(next))?.[1];
  }
}
