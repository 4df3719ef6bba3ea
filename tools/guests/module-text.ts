// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The text of a guest's module without `import()`: the engine answers that with objects of the
 * tool's realm. Wherever the text may have one, strings and comments included, it gets the name of
 * a function that is not there instead: a keyword cannot be written in any other way.
 */

/** White space and comments, in only one way. */
const SPACE = String.raw`(?:\s|\/\/[^\n\r\u2028\u2029]*|\/\*(?:[^*]|\*(?!\/))*\*\/)*`;

/** Not the end of a longer name, and not a property: `a.import(`, but `...import(`. */
const BEFORE = String.raw`(?<![\p{ID_Continue}$\u200c\u200d#])(?<!(?<!\.)\.)`;

const DYNAMIC = new RegExp(
  String.raw`${BEFORE}import(?=${SPACE}(?:\(|\.${SPACE}(?:source|defer)${SPACE}\())`,
  'gu',
);

/** What stands there instead. */
export const NO_IMPORT = 'guest_may_not_import';

/** The text of a module, without dynamic imports. */
export function withoutDynamicImport(text: string): string {
  return text.replace(DYNAMIC, NO_IMPORT);
}
