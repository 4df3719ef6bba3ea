// SPDX-License-Identifier: GPL-2.0-or-later

/** The last step of a file that holds only the beginning of a session. */

import type { GuestSide } from './guest-side.ts';
import { NO_PROGRESS } from './normalise.ts';
import type { Item, ItemKind } from './item.ts';

/** What is done in an order: as many of a kind as were recorded compare. */
const IN_ORDER: readonly ItemKind[] = [
  ...(['message', 'packet', 'sent', 'frame', 'completion'] as const),
  ...(['receive-error', 'link', 'device', 'livelock'] as const),
];

/**
 * A step whose end is not recorded: of what a guest does in it, only as much compares as was
 * recorded, and nothing of what holds at the end of a step.
 */
export class CutStep {
  readonly step: number;
  readonly #counts = new Map<ItemKind, number>();

  /** @param side the recorded guest's */
  constructor(step: number, side: GuestSide) {
    this.step = step;
    for (const { kind } of side.itemsOf(step))
      this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }

  /** Those of a guest's items in the step that compare. */
  itemsOf(items: readonly Item[]): readonly Item[] {
    const seen = new Map<ItemKind, number>();
    return items.filter(({ kind, label }) => {
      // What is the guest's own fault always counts; that it gets no further may be the file's
      if (kind === 'violation' || (kind === 'livelock' && label !== NO_PROGRESS)) return true;
      const count = (seen.get(kind) ?? 0) + 1;
      seen.set(kind, count);
      return IN_ORDER.includes(kind) && count <= (this.#counts.get(kind) ?? 0);
    });
  }
}
