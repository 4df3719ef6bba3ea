// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Objects as the engine likes them. One whose properties were deleted or redefined becomes a table:
 * each look-up in it is a call, and what is found there is compiled into nothing. What is a
 * prototype that is in use the engine lays out anew, as if nothing had been changed.
 */

/** Look-ups until the engine remembers what a look-up found, and then of each object. */
const LOOKUPS_FIRST = 1000;
const LOOKUPS = 2;

const { create, setPrototypeOf } = Object;

for (let i = 0; i < LOOKUPS_FIRST; i++) lookUp({});

/** Let the engine lay an object out anew. Nothing that a program can see changes. */
export function keepFast(object: object): void {
  const heir = create(object) as object;
  for (let i = 0; i < LOOKUPS; i++) lookUp(heir);
  setPrototypeOf({}, object);
}

/** A look-up along the prototypes, for what nobody has. */
function lookUp(object: object): unknown {
  return (object as { readonly hypxeHasNone?: unknown }).hypxeHasNone;
}
