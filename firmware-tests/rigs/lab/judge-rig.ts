// SPDX-License-Identifier: GPL-2.0-or-later

/** Effects of guests, made by hand, and what the judge of the replay says of them. */

import { GuestChannels } from '../../../tools/replay/guest-channels.ts';
import { makeItem, type Item, type ItemKind } from '../../../tools/replay/item.ts';
import { judge, type Compared, type Judgement } from '../../../tools/replay/judge.ts';
import { HostBooks } from '../../../tools/replay/principles/host-books.ts';

/** An item with its fields. */
export function item(
  kind: ItemKind,
  label: string,
  fields: Readonly<Record<string, string>> = {},
): Item {
  const list = Object.entries(fields).map(([name, text]) => ({ name, text }));
  return makeItem(kind, label, list, 0);
}

/** Books of a host in which nothing has happened yet. */
export function booksOf(memory = new Uint8Array(1 << 20)): HostBooks {
  return new HostBooks(memory, new GuestChannels(memory));
}

/** Sides that are compared, and what of the run is not as in any. */
export type Judged = Partial<Omit<Compared, 'run'>> &
  Pick<Compared, 'recorded' | 'guest'> & {
    readonly run?: Partial<NonNullable<Compared['run']>>;
  };

/** What is judged of a guest whose recorded one is not understood. */
export function judged(names: readonly string[], { run, ...sides }: Judged): Judgement {
  const initial = (): string => 'as found';
  const facts = {
    books: booksOf(),
    held: new Map(),
    transmits: new Map(),
    taken: new Map(),
    cut: false,
    open: [],
    recordedOpen: [],
    initial,
  };
  const same = { defective: sides.recorded, fixed: sides.recorded };
  return judge(names, { ...same, ...sides, run: { ...facts, ...run } }, false);
}
