// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The text of a guest's module without `import()`: the engine answers that with objects of the
 * tool's realm. Wherever the text may have one, strings and comments included, it gets the name of
 * a function that is not there instead: a keyword cannot be written in any other way. Takes as long
 * as the text, whatever it holds.
 */

/** Not the end of a longer name, and not a property: `a.import(`, but `...import(`. */
const BEFORE = String.raw`(?<![\p{ID_Continue}$\u200c\u200d#])(?<!(?<!\.)\.)`;

const KEYWORD = new RegExp(`${BEFORE}import`, 'gu');

/** What may stand between it and the bracket: `import.source(`. */
const PHASES = ['source', 'defer'];

const STAR = 0x2a;
const SLASH = 0x2f;
/** Between them nothing is white space. */
const FIRST_VISIBLE = 0x21;
const LAST_ASCII = 0x7f;
const SPACE = /\s/;
const LINE_END = /[\n\r\u2028\u2029]/;

/** What can neither be the bracket nor stand before it. */
const VISIBLE = /^[!-'*-\-0-~]$/;

/** What stands there instead. */
export const NO_IMPORT = 'guest_may_not_import';

/** The text of a module, without dynamic imports. */
export function withoutDynamicImport(text: string): string {
  let ends: Uint32Array | undefined;
  return text.replace(KEYWORD, (keyword, at: number) => {
    // Most are words like "important": the text is gone through for others
    if (VISIBLE.test(text[at + keyword.length]!)) return keyword;
    ends ??= spaceEnds(text);
    let next = ends[at + keyword.length]!;
    if (text[next] === '.') {
      const phase = ends[next + 1]!;
      const name = PHASES.find((each) => text.startsWith(each, phase));
      if (name !== undefined) next = ends[phase + name.length]!;
    }
    return text[next] === '(' ? NO_IMPORT : keyword;
  });
}

/** By place in the text: where the white space and the comments that begin there end. */
function spaceEnds(text: string): Uint32Array {
  const ends = new Uint32Array(text.length + 1);
  ends[text.length] = text.length;
  let lineEnd = text.length;
  // The next end of a comment, and the one behind it: in "/*/" the first is none
  let closing = -1;
  let further = -1;
  for (let at = text.length - 1; at >= 0; at--) {
    const here = text.charCodeAt(at);
    const next = text.charCodeAt(at + 1);
    ends[at] = at;
    if (here === STAR && next === SLASH) {
      further = closing;
      closing = at;
    } else if (here === SLASH && next === SLASH) ends[at] = ends[lineEnd]!;
    else if (here === SLASH && next === STAR) {
      const close = closing === at + 1 ? further : closing;
      if (close >= 0) ends[at] = ends[close + 2]!;
    } else if ((here < FIRST_VISIBLE || here > LAST_ASCII) && SPACE.test(text[at]!)) {
      ends[at] = ends[at + 1]!;
      if (LINE_END.test(text[at]!)) lineEnd = at;
    }
  }
  return ends;
}
