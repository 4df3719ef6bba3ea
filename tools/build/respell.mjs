// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Spell the literals of minified code so that they repeat, for gzip: texts in the quotes of
 * templates, which are there anyway, and numbers beyond 16 bits in base 16, in which registers and
 * status codes have their beginnings in common. The code is the same, and so is what its source map
 * says.
 */

import { tokenise } from './tokens.mjs';

/** @typedef {import('./tokens.mjs').Token} Token */

/** Numbers from here on are spelt in base 16. */
const LONG = 1 << 16;

/** Digits of a source map's numbers: five bits each, the sixth says that more follow. */
const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/**
 * @param {string} code of one or more lines, as a minifier prints it
 * @param {string} [map] its source map, as text
 * @returns {{ code: string, map: string | undefined }}
 */
export function respell(code, map) {
  /** @type {{ line: number, column: number, by: number }[]} */
  const shifts = [];
  const tokens = tokenise(code);
  let out = '';
  let at = 0;
  tokens.forEach((token, i) => {
    const spelt = spell(token, tokens[i - 1]?.text, tokens[i + 1]?.text);
    const end = token.start + token.text.length;
    out += code.slice(at, token.start) + spelt;
    at = end;
    const by = spelt.length - token.text.length;
    if (by !== 0) shifts.push({ line: token.line, column: columnOf(code, end), by });
  });
  return { code: out + code.slice(at), map: map && shifted(map, shifts) };
}

/**
 * @param {Token} token
 * @param {string} [before] the token before it
 * @param {string} [after] the token behind it
 */
function spell({ kind, text }, before = '', after = '') {
  if (kind === 'string') {
    const isName =
      /^([{,]|from|import|as)$/.test(before) && (after === ':' || !/[{,]/.test(before));
    const plain = text.slice(1, -1);
    return isName || /[`$\\]/.test(plain) ? text : `\`${plain}\``;
  }
  const number = kind === 'number' && /^(\d+)(n?)$/.exec(text);
  if (!number || BigInt(number[1] ?? 0) < LONG) return text;
  return `0x${BigInt(number[1] ?? 0).toString(16)}${number[2]}`;
}

/** @param {string} code @param {number} at */
const columnOf = (code, at) => at - (code.lastIndexOf('\n', at - 1) + 1);

/**
 * A source map whose columns have moved: of its numbers only the first of each segment is another.
 *
 * @param {string} map
 * @param {readonly { line: number, column: number, by: number }[]} shifts in their order; lines
 *   count from 1, and what is at a column or behind it has moved
 */
function shifted(map, shifts) {
  const json = JSON.parse(map);
  const lines = String(json.mappings).split(';');
  json.mappings = lines
    .map((line, i) => {
      const here = shifts.filter((shift) => shift.line === i + 1);
      let column = 0;
      let before = 0;
      let sum = 0;
      let next = 0;
      const segments = line.split(',').map((segment) => {
        if (segment === '') return segment;
        const [step, rest] = readNumber(segment);
        column += step;
        for (let shift; (shift = here[next]) && shift.column <= column; next++) sum += shift.by;
        const text = writeNumber(column + sum - before) + rest;
        before = column + sum;
        return text;
      });
      return segments.join(',');
    })
    .join(';');
  return JSON.stringify(json);
}

/**
 * The first number of a segment, and what follows.
 *
 * @param {string} segment
 * @returns {[number, string]}
 */
function readNumber(segment) {
  let value = 0;
  let i = 0;
  for (let digit = 32; digit & 32; i++) {
    digit = DIGITS.indexOf(segment[i] ?? 'A');
    value += (digit & 31) * 32 ** i;
  }
  const number = Math.floor(value / 2);
  return [value % 2 === 0 ? number : -number, segment.slice(i)];
}

/** @param {number} number */
function writeNumber(number) {
  let text = '';
  let rest = number < 0 ? 1 - 2 * number : 2 * number;
  do {
    const digit = rest % 32;
    rest = Math.floor(rest / 32);
    text += DIGITS[rest > 0 ? digit + 32 : digit];
  } while (rest > 0);
  return text;
}
