// SPDX-License-Identifier: GPL-2.0-or-later

/** A file of the project as the rules see it, and what it imports. */

import { posix } from 'node:path';
import { tokenise } from './tokens.mjs';

/** @typedef {import('./tokens.mjs').Token} Token */

/**
 * One file, as the rules see it.
 *
 * @typedef {object} SourceFile
 * @property {string} path from the top of the project, with slashes
 * @property {string} text
 * @property {readonly string[]} lines
 * @property {readonly Token[]} tokens without comments; empty if the file is not code
 */

/**
 * What a rule has to say about a line.
 *
 * @typedef {object} Remark
 * @property {number} line
 * @property {string} text
 * @property {boolean} [warning] does not fail the check
 */

/**
 * A finding: a remark, with where it is and whose it is.
 *
 * @typedef {Remark & { path: string, rule: string }} Finding
 */

export const CODE = /\.(?:ts|mjs|js)$/;

/** A type that JavaScript takes from another file, in a comment. */
const TYPE_IN_COMMENT = /\{import\('([^']+)'\)/;

/**
 * @param {string} path
 * @param {string} text
 * @returns {SourceFile}
 */
export function sourceFile(path, text) {
  const tokens = CODE.test(path) ? tokenise(text) : [];
  return { path, text, lines: text.replace(/\n$/, '').split('\n'), tokens };
}

/**
 * All imports of a file: static, of types, re-exports, dynamic.
 *
 * @param {SourceFile} file
 * @returns {{ specifier: string, line: number }[]}
 */
export function importsOf({ path, lines, tokens }) {
  const found = [];
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== 'string') continue;
    const before = tokens[index - 1]?.text;
    const called = before === '(' && tokens[index - 2]?.text === 'import';
    if (before !== 'from' && before !== 'import' && !called) continue;
    found.push({ specifier: token.text.slice(1, -1), line: token.line });
  }
  if (!path.endsWith('js')) return found;
  for (const [index, line] of lines.entries()) {
    const specifier = TYPE_IN_COMMENT.exec(line)?.[1];
    if (specifier !== undefined) found.push({ specifier, line: index + 1 });
  }
  return found;
}

/**
 * The path that an import of `from` means, from the top of the project.
 *
 * @param {string} from path of the importing file
 * @param {string} specifier as written, beginning with a dot
 */
export function importTarget(from, specifier) {
  return posix.join(posix.dirname(from), specifier);
}
