// SPDX-License-Identifier: GPL-2.0-or-later

/** What an entry of the list of deliberate differences is. */

/**
 * How hypxe treats something that iPXE does. `fixed`: hypxe does it otherwise. `kept`: hypxe does
 * the same, for the reason given. `inapplicable`: it cannot exist here (a matter of C, a comment).
 */
export type Handling = 'fixed' | 'kept' | 'inapplicable';

/**
 * One entry of the list. The rule of one that is `fixed` is a switch of the reference guest with
 * the same name: its trigger is a session in which the switch makes a difference, and what it
 * changes is the exact reaction that is required.
 */
export interface DeliberateDifference {
  /** Stable name, for scripts and the report: `reversed-ranges`. */
  readonly id: string;
  readonly title: string;
  /** Where it is described: `5.n` of the defects, `observation n` of the traces' README. */
  readonly sources: readonly string[];
  readonly handling: Handling;
  readonly ipxe: string;
  readonly hypxe: string;
  readonly why: string;
  /** The file below `firmware-tests/` that has the test; its name begins with the entry's `id`. */
  readonly test: string;
  /** Of one that is fixed and has no switch: why no session can show it. */
  readonly unseen?: string | undefined;
}

/** What an entry says in words. */
type Text = Pick<DeliberateDifference, 'title' | 'ipxe' | 'hypxe' | 'why' | 'unseen'>;

/**
 * Makes entries of one handling. `sources` stand in one text, with commas; `test` is the path of
 * the file below `firmware-tests/src/`, without its `.test.ts`.
 */
function entriesThatAre(handling: Handling) {
  return (id: string, sources: string, test: string, text: Text): DeliberateDifference => ({
    ...{ id, handling, sources: sources.split(', '), test: `src/${test}.test.ts` },
    ...text,
  });
}

export const fixed = entriesThatAre('fixed');
export const kept = entriesThatAre('kept');
export const inapplicable = entriesThatAre('inapplicable');
