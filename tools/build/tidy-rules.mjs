// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The project's own rules, each a small check of one file. What the type checker, prettier and the
 * bundler see already is not repeated here.
 */

import { CODE, sourceFile } from './source-file.mjs';
import { importWalls } from './tidy-walls.mjs';

/** @typedef {import('./tokens.mjs').Token} Token */

/** @typedef {import('./source-file.mjs').SourceFile} SourceFile */
/** @typedef {import('./source-file.mjs').Remark} Remark */
/** @typedef {import('./source-file.mjs').Finding} Finding */

/**
 * @typedef {object} Rule
 * @property {string} name
 * @property {RegExp} applies to which paths
 * @property {(file: SourceFile) => Remark[]} check
 */

/** What runs in a browser and in QuickJS, and the same way each time. */
const PORTABLE = /^(?:src|tools\/simulator)\/.*\.ts$/;

const COLUMNS_MAX = 100;
const FILE_LINES_MAX = 400;
/** Test files are lists of cases: nobody has to hold one in the head as a whole. */
const TEST_LINES_MAX = 600;
const FILE_LINES_GOOD = 300;
const FUNCTION_LINES_MAX = 70;

/** Globals that portable code must not name. A dot stands for a member of a global. */
const BANNED = new Set([
  ...['async', 'await', 'Promise', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'],
  ...['Math.random', 'Date', 'performance', 'console', 'process', 'require', 'Buffer'],
  ...['TextEncoder', 'TextDecoder', 'structuredClone', 'WebAssembly', 'Atomics.wait', 'eval'],
  ...['globalThis', 'Intl'],
]);
/** The same, only where it is called. */
const BANNED_CALLS = new Set(['Function', 'import']);
/** An option that makes a buffer resizable, which QuickJS does not know. */
const BANNED_OPTION = 'maxByteLength';

/** Written in two parts, so that this file does not find itself. */
const LEFT_OPEN = new RegExp(
  `\\b(?:${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`,
);
const BUILD_MACHINE = new RegExp(`/${'work'}/|/${'home'}/[a-z]`);

/** A URL, a row of hexadecimal digits, or an import of one name: prettier leaves them whole. */
const UNBREAKABLE = /https?:\/\/\S{40}|[\da-f]{40}|^import .* from '\S+';$/i;

/** @type {readonly Rule[]} */
export const RULES = [
  { name: 'walls', applies: CODE, check: importWalls },
  { name: 'banned', applies: PORTABLE, check: bannedGlobals },
  { name: 'any', applies: PORTABLE, check: anyTypes },
  { name: 'columns', applies: CODE, check: columns },
  { name: 'file-length', applies: CODE, check: fileLength },
  { name: 'function-length', applies: CODE, check: functionLength },
  { name: 'spdx', applies: CODE, check: licence },
  { name: 'enum', applies: CODE, check: enums },
  { name: 'exports', applies: CODE, check: exportStyle },
  { name: 'only', applies: /^firmware-tests\/.*\.ts$/, check: onlyAndSkip },
  { name: 'left-open', applies: CODE, check: (file) => linesThatHave(file, LEFT_OPEN) },
  { name: 'build-machine', applies: /./, check: (file) => linesThatHave(file, BUILD_MACHINE) },
  { name: 'name', applies: /./, check: fileName },
];

/**
 * All findings in one file.
 *
 * @param {SourceFile} file
 * @returns {Finding[]}
 */
export function checkSource(file) {
  return RULES.filter((rule) => rule.applies.test(file.path)).flatMap((rule) =>
    rule.check(file).map((remark) => ({ ...remark, path: file.path, rule: rule.name })),
  );
}

/**
 * The same of a text that is to be at `path`.
 *
 * @param {string} path
 * @param {string} text
 */
export const checkFile = (path, text) => checkSource(sourceFile(path, text));

/** @param {SourceFile} file @returns {Remark[]} */
function bannedGlobals({ tokens }) {
  const found = [];
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== 'word' || tokens[index - 1]?.text === '.') continue;
    const next = tokens[index + 1]?.text;
    const member = next === '.' ? `${token.text}.${tokens[index + 2]?.text}` : token.text;
    const called = BANNED_CALLS.has(token.text) && next === '(';
    if (token.text === BANNED_OPTION) found.push({ line: token.line, text: 'resizable buffer' });
    // A property of that name is no global
    if (next === ':' && tokens[index - 1]?.text !== '?') continue;
    if (called || BANNED.has(token.text) || BANNED.has(member)) {
      found.push({
        line: token.line,
        text: `${BANNED.has(member) ? member : token.text} is banned here`,
      });
    }
  }
  return found;
}

/** @param {SourceFile} file @returns {Remark[]} */
function anyTypes({ tokens }) {
  return tokens
    .filter((token, index) => {
      if (token.kind !== 'word' || token.text !== 'any') return false;
      const before = tokens[index - 1];
      return before?.text === 'as' || /^[:<,|&=(]$/.test(before?.text ?? '');
    })
    .map(({ line }) => ({ line, text: 'the type any: use unknown, or the type' }));
}

/** @param {SourceFile} file @returns {Remark[]} */
function columns({ lines }) {
  return lines.flatMap((line, index) => {
    if (line.length <= COLUMNS_MAX || UNBREAKABLE.test(line)) return [];
    return [{ line: index + 1, text: `${line.length} columns, at most ${COLUMNS_MAX}` }];
  });
}

/** @param {SourceFile} file @returns {Remark[]} */
function fileLength({ path, lines }) {
  if (lines.length <= FILE_LINES_GOOD) return [];
  const most = path.startsWith('firmware-tests/') ? TEST_LINES_MAX : FILE_LINES_MAX;
  const text = `${lines.length} lines, at most ${most}`;
  return [{ line: lines.length, text, warning: lines.length <= most }];
}

/** @param {SourceFile} file @returns {Remark[]} */
function functionLength({ tokens }) {
  /** @type {Remark[]} */
  const found = [];
  /** Open braces: the line where a function's body begins, or undefined. */
  const open = [];
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== 'punctuation') continue;
    if (token.text === '{' || token.text === '${') {
      open.push(token.text === '{' && opensFunction(tokens, index) ? token.line : undefined);
    } else if (token.text === '}') {
      const begin = open.pop();
      const length = begin === undefined ? 0 : token.line - begin + 1;
      if (begin !== undefined && length > FUNCTION_LINES_MAX) {
        const text = `function of ${length} lines, at most ${FUNCTION_LINES_MAX}`;
        found.push({ line: begin, text });
      }
    }
  }
  return found;
}

/** Words in front of a parenthesis whose braces are no function. */
const CONTROL = new Set(['if', 'for', 'while', 'switch', 'catch', 'with', 'await']);

/**
 * Whether the brace at `index` opens the body of a function: after `=>`, after a parameter list, or
 * after a parameter list and a result type. Good enough for code that prettier has formatted.
 *
 * @param {readonly Token[]} tokens
 * @param {number} index
 */
function opensFunction(tokens, index) {
  const before = tokens[index - 1]?.text;
  if (before === '>' && tokens[index - 2]?.text === '=') return true;
  let at = index - 1;
  if (before !== ')') {
    // Back over a result type to the colon in front of it
    while (at > 0 && !(tokens[at]?.text === ':' && tokens[at - 1]?.text === ')')) {
      if (/^[;{}(=]$/.test(tokens[at]?.text ?? '')) return false;
      at--;
    }
    if (at <= 0 || at === index - 1) return false;
    at--;
  }
  // Back over the parameter list to what stands in front of it
  for (let depth = 0; at >= 0; at--) {
    if (tokens[at]?.text === ')') depth++;
    else if (tokens[at]?.text === '(' && --depth === 0) break;
  }
  const name = tokens[at - 1];
  return name !== undefined && !CONTROL.has(name.text);
}

/** @param {SourceFile} file @returns {Remark[]} */
function licence({ lines }) {
  if (lines[0] === '// SPDX-License-Identifier: GPL-2.0-or-later') return [];
  return [{ line: 1, text: 'the first line is not // SPDX-License-Identifier: GPL-2.0-or-later' }];
}

/** @param {SourceFile} file @returns {Remark[]} */
function enums({ tokens }) {
  return tokens
    .filter(
      (token, i) =>
        isWord(token, 'enum') && tokens[i + 1]?.kind === 'word' && tokens[i + 2]?.text === '{',
    )
    .map(({ line }) => ({ line, text: 'enum: use a constant object and a union type' }));
}

/** The file of a room that others import. */
const DOOR = /\/index\.ts$/;

/** @param {SourceFile} file @returns {Remark[]} */
function exportStyle({ path, tokens }) {
  return tokens.flatMap((token, index) => {
    const next = tokens[index + 1]?.text;
    if (isWord(token, 'export') && next === 'default') {
      return [{ line: token.line, text: 'default export: give it a name' }];
    }
    if (isWord(token, 'export') && next === '*') {
      // A door hands on another one, at which the names stand
      const from = tokens[index + 3]?.text ?? '';
      if (DOOR.test(path) && DOOR.test(from.slice(0, -1))) return [];
      return [{ line: token.line, text: 'export *: name what is exported' }];
    }
    if (isWord(token, 'as') && next === 'default') {
      return [{ line: token.line, text: 'default export: give it a name' }];
    }
    return [];
  });
}

/** @param {SourceFile} file @returns {Remark[]} */
function onlyAndSkip({ tokens }) {
  return tokens.flatMap((token, index) => {
    const call = tokens[index - 1]?.text === '.' && tokens[index + 1]?.text === '(';
    if (!call || !(isWord(token, 'only') || isWord(token, 'skip'))) return [];
    return [{ line: token.line, text: `.${token.text}( was left in` }];
  });
}

/** @param {SourceFile} file @param {RegExp} pattern @returns {Remark[]} */
function linesThatHave({ lines }, pattern) {
  return lines.flatMap((line, index) => {
    const found = pattern.exec(line);
    return found
      ? [{ line: index + 1, text: `"${found[0]}" in: ${line.trim().slice(0, 60)}` }]
      : [];
  });
}

/** @param {SourceFile} file @returns {Remark[]} */
function fileName({ path }) {
  const parts = path.split('/');
  const last = parts.pop() ?? '';
  const good = /^(?:\.?[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9-]+)*|README\.md|LICENSE)$/.test(last);
  const folders = parts.every((part) => /^\.?[a-z0-9]+(?:-[a-z0-9]+)*$/.test(part));
  return good && folders ? [] : [{ line: 1, text: `the name ${path} is not in kebab-case` }];
}

/** @param {Token} token @param {string} text */
function isWord(token, text) {
  return token.kind === 'word' && token.text === text;
}
