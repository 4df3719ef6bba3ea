// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Colour on a terminal. Lines are coloured by what they say, once all that comes from files and
 * guests is harmless: no text that a guest has written can bring a colour, or anything else, of its
 * own. Colour is never the only sign.
 */

import { UsageError, didYouMean, quoted } from './usage.ts';

/** When there is colour. */
const WHEN = ['auto', 'always', 'never'] as const;

type When = (typeof WHEN)[number];

/** Select Graphic Rendition: bold red, yellow, green, and what ends each. */
const [RED, YELLOW, GREEN, PLAIN] = ['\x1b[1;31m', '\x1b[33m', '\x1b[32m', '\x1b[0m'];

/** What a line says, and its colour. The first that fits counts. */
const RULES: readonly (readonly [line: RegExp, colour: string])[] = [
  [/^verdict: (?:clean|the bug is caught)/, GREEN],
  [/^verdict: (?:interrupted|refused)/, YELLOW],
  [/^verdict: /, RED],
  [/^hypxe: /, RED],
  [/^ {2}ERROR /, RED],
  [/^ {2}WARNING /, YELLOW],
  [/^ {2}ok {6}/, GREEN],
  [/^ +error: /, RED],
  [/^ +warning: /, YELLOW],
  [/^\[ *[0-9.]+(?: [^\]]*)?\] {3}\S+(?: \S+)? error: /, RED],
  [/^\[ *[0-9.]+(?: [^\]]*)?\] {3}\S+(?: \S+)? warning: /, YELLOW],
  [/^(?:finding|crash|hang) {3,}/, RED],
  [/^FAILED /, RED],
  [/^ok {4}/, GREEN],
];

/** Colours for one output. */
export type Paint = (text: string) => string;

/** The text as it is. */
export const UNPAINTED: Paint = (text) => text;

/** Each line in its colour. */
export const PAINTED: Paint = (text) =>
  text
    .split('\n')
    .map((line) => {
      const rule = RULES.find(([says]) => says.test(line));
      return rule === undefined ? line : `${rule[1]}${line}${PLAIN}`;
    })
    .join('\n');

/** Words behind `hypxe`, without the choice of colour, and that choice. */
export interface Chosen {
  readonly args: readonly string[];
  readonly when: When;
}

/** Take `--color WHEN` out of the words of any command. @throws UsageError BadOption */
export function chooseColour(words: readonly string[]): Chosen {
  const args: string[] = [];
  let when: When | undefined;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === '--') return { args: [...args, ...words.slice(i)], when: when ?? 'auto' };
    if (word !== '--color' && !word.startsWith('--color=')) {
      args.push(word);
      continue;
    }
    if (when !== undefined) throw bad('--color is given twice');
    when = known(word === '--color' ? words[++i] : word.slice('--color='.length));
  }
  return { args, when: when ?? 'auto' };
}

function known(word: string | undefined): When {
  if (word === undefined) throw bad('--color has no value');
  const when = WHEN.find((each) => each === word);
  if (when !== undefined) return when;
  throw bad(`--color cannot be ${quoted(word)}`, didYouMean(word, WHEN, ADVICE));
}

const ADVICE = `Choose ${WHEN.join(', ')}.`;

function bad(text: string, advice = ADVICE): UsageError {
  return new UsageError('BadOption', text, advice);
}

/**
 * How an output is painted: on a terminal, unless `NO_COLOR` is set and not empty (no-color.org) or
 * the terminal is a `dumb` one.
 */
export function paintFor(
  when: When,
  isTerminal: boolean,
  { NO_COLOR = '', TERM = '' }: Readonly<Record<string, string | undefined>>,
): Paint {
  const automatic = isTerminal && NO_COLOR === '' && TERM !== 'dumb';
  return when === 'always' || (when === 'auto' && automatic) ? PAINTED : UNPAINTED;
}
