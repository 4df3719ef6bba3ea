// SPDX-License-Identifier: GPL-2.0-or-later

/** What memory of a guest its host may have. */

import type { GuestChannels } from '../guest-channels.ts';
import type { Places } from '../places.ts';

/** Blocks of memory, by purpose, that are in GPADLs or were named in a contact: how many. */
export function heldBlocks(
  { gpadls, contactPages }: GuestChannels,
  places: Places,
): ReadonlyMap<string, number> {
  const firsts = [...gpadls.values()].map(({ pages }) => pages[0]);
  const blocks = [...firsts, ...contactPages].map((page) => places.find(page ?? 0));
  const held = new Map<string, number>();
  for (const block of new Set(blocks))
    if (block !== undefined) held.set(block.purpose, (held.get(block.purpose) ?? 0) + 1);
  return held;
}
