// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A small tokeniser for TypeScript and JavaScript: enough to tell code from comments, strings and
 * regular expressions, which is what the rules of `tidy-rules.mjs` need. Not a parser.
 */

/**
 * @typedef {object} Token
 * @property {'word' | 'number' | 'string' | 'template' | 'regex' | 'punctuation'} kind
 * @property {string} text the token as written; of strings and templates the raw text
 * @property {number} line line number, from 1
 * @property {number} start where it begins in the text
 */

const WORD = /[\p{ID_Start}$_#][\p{ID_Continue}$\u200c\u200d]*/uy;
const NUMBER = /(?:0[xXbBoO][\da-fA-F_]+|(?:\d[\d_]*)?\.?\d[\d_]*(?:[eE][+-]?\d+)?)n?\.?/y;
const LINE_COMMENT = /\/\/[^\n]*/y;
const BLOCK_COMMENT = /\/\*[^]*?\*\//y;
const STRING = /'(?:[^'\\\n]|\\[^])*'|"(?:[^"\\\n]|\\[^])*"/y;
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
const TEMPLATE_PART = /(?:[^`\\$]|\\[^]|\$(?!\{))*/y;

/** After these words a slash begins a regular expression, not a division. */
const OPERATOR_WORDS = new Set([
  ...['return', 'typeof', 'case', 'in', 'of', 'delete', 'void', 'throw', 'new', 'do', 'else'],
  ...['instanceof', 'yield', 'await'],
]);

/**
 * The tokens of `text`, without comments. The text of a template literal is one token per part;
 * what stands in its `${}` is tokenised as code.
 *
 * @param {string} text
 * @returns {Token[]}
 */
export function tokenise(text) {
  /** @type {Token[]} */
  const tokens = [];
  /** Open braces; true is the `${` of a template. @type {boolean[]} */
  const braces = [];
  let at = 0;
  let line = 1;

  /** @param {RegExp} pattern */
  const match = (pattern) => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  /** @param {string} part */
  const skip = (part) => {
    for (let i = 0; i < part.length; i++) if (part.charCodeAt(i) === 10) line++;
    at += part.length;
  };
  /** @param {Token['kind']} kind @param {string} part */
  const push = (kind, part) => {
    tokens.push({ kind, text: part, line, start: at });
    skip(part);
  };
  const template = () => {
    push('template', match(TEMPLATE_PART) ?? '');
    if (text.startsWith('${', at)) {
      braces.push(true);
      push('punctuation', '${');
    } else {
      at++;
    }
  };

  while (at < text.length) {
    const character = text[at] ?? '';
    let part;
    if (/\s/.test(character)) skip(character);
    else if ((part = match(LINE_COMMENT) ?? match(BLOCK_COMMENT))) skip(part);
    else if ((part = match(STRING))) push('string', part);
    else if (character === '`') {
      at++;
      template();
    } else if ((part = match(WORD))) push('word', part);
    else if (/[\d.]/.test(character) && (part = match(NUMBER))) push('number', part);
    else if (character === '/' && regexMayStart(tokens) && (part = match(REGEX))) {
      push('regex', part);
    } else if (character === '}' && braces.pop() === true) {
      push('punctuation', character);
      template();
    } else {
      if (character === '{') braces.push(false);
      push('punctuation', character);
    }
  }
  return tokens;
}

/** @param {readonly Token[]} tokens */
function regexMayStart(tokens) {
  const last = tokens.at(-1);
  if (last === undefined) return true;
  if (last.kind === 'word') return OPERATOR_WORDS.has(last.text);
  if (last.kind === 'punctuation') return !/^[)\]}]$/.test(last.text);
  return false;
}
