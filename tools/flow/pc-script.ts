// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What is expected of a PC's console, and what is answered: a text file, one step a line.
 *
 *     within 30          seconds of the PC's time for each `expect` from here on (at first 120)
 *     expect TEXT        wait until this text comes
 *     type TEXT          type it on the keyboard
 *     send TEXT          send it to the serial line
 *     boot               wait until the boot program runs that the network offers
 *     end                the run ends here, and this is a success
 *
 * `\n`, `\r`, `\t`, `\e`, `\\` and `\xHH` stand for characters; empty lines and those that begin
 * with `#` are left out. A script expects something: otherwise its end would come at once. And
 * nothing stands behind `end`.
 */

import { hasKey } from '../guests/pc/pc-console.ts';

/** A step. */
export type ScriptStep =
  | { readonly step: 'expect' | 'type' | 'send'; readonly text: string; readonly line: number }
  | { readonly step: 'within'; readonly seconds: number; readonly line: number }
  | { readonly step: 'boot'; readonly line: number }
  | { readonly step: 'end'; readonly line: number };

/** A line that is no step. */
export class BadScript extends Error {}

/** Most steps of a script. */
const STEPS_MAX = 1000;

/** Characters of a line that a message shows. */
const SHOWN_MAX = 40;

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', e: '\x1b' };

/** Read a script. @throws BadScript */
export function parseScript(text: string): ScriptStep[] {
  const steps = text.split('\n').flatMap((line, i): ScriptStep[] => {
    const trimmed = line.replace(/\r$/, '').trimStart();
    if (trimmed.trimEnd() === '' || trimmed.startsWith('#')) return [];
    return [readStep(trimmed, i + 1)];
  });
  if (steps.length > STEPS_MAX) throw new BadScript(`${steps.length} steps, at most ${STEPS_MAX}`);
  if (steps.length === 0) throw new BadScript('it has no step');
  const end = steps.findIndex(({ step }) => step === 'end');
  const lost = end < 0 ? undefined : steps[end + 1];
  if (lost !== undefined) {
    const where = `line ${steps[end]!.line}`;
    throw new BadScript(`line ${lost.line}: ${lost.step} stands behind the end of ${where}`);
  }
  if (!steps.some(({ step }) => step === 'expect' || step === 'boot')) {
    throw new BadScript('it expects nothing: its end would come at once');
  }
  return steps;
}

/** Text of a `type`. @throws BadScript */
export function parseKeys(text: string): string {
  const bad = (why: string): BadScript => new BadScript(why);
  if (text.includes('\n')) throw bad('a line end is written \\n');
  return typed(unescaped(text, bad), bad);
}

function readStep(text: string, line: number): ScriptStep {
  const [, word = '', rest = ''] = /^(\S+)[ \t]?(.*)$/.exec(text) ?? [];
  const bad = (why: string): BadScript => new BadScript(`line ${line}: ${why}`);
  switch (word) {
    case 'expect':
    case 'type':
    case 'send':
      if (rest === '') throw bad(`${word} without a text`);
      return { step: word, text: readText(word, unescaped(rest, bad), bad), line };
    case 'within': {
      const seconds = Number(rest);
      if (seconds > 0 && seconds <= 86_400) return { step: 'within', seconds, line };
      throw bad(`within takes seconds up to 86400, not ${shown(rest)}`);
    }
    case 'boot':
    case 'end':
      if (rest.trim() !== '') throw bad(`${word} takes nothing`);
      return { step: word, line };
    default:
      throw bad(`there is no step ${shown(word)} (expect, type, send, within, boot, end)`);
  }
}

const readText = (word: string, text: string, bad: (why: string) => BadScript): string =>
  word === 'type' ? typed(text, bad) : text;

/** A text for the keyboard. @throws what `bad` makes of a character that no key has */
function typed(text: string, bad: (why: string) => BadScript): string {
  const unknown = [...text].find((character) => !hasKey(character));
  if (unknown === undefined) return text;
  throw bad(`no key of the keyboard is ${shown(unknown)}`);
}

/** A text in a message: of one that is none for people a part is enough. */
function shown(text: string): string {
  const ascii = JSON.stringify(text.slice(0, SHOWN_MAX)).replace(
    /[^ -~]/g,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return text.length > SHOWN_MAX ? `${ascii} and so on` : ascii;
}

function unescaped(text: string, bad: (why: string) => BadScript): string {
  return text.replace(/\\(x[0-9a-fA-F]{2}|.|$)/g, (_all, code: string) => {
    if (/^x[0-9a-fA-F]{2}$/.test(code)) return String.fromCharCode(parseInt(code.slice(1), 16));
    const character = code === '\\' ? '\\' : ESCAPES[code];
    if (character === undefined) throw bad(`there is no escape \\${code}`);
    return character;
  });
}
