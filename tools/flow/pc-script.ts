// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What is expected of a PC's console, and what is answered: a text file, one step a line.
 *
 *     within 30          seconds of the PC's time for each `expect` from here on (at first 120)
 *     expect TEXT        wait until this text comes
 *     type TEXT          type it on the keyboard
 *     send TEXT          send it to the serial line
 *     end                the run ends here, and this is a success
 *
 * `\n`, `\r`, `\t`, `\e`, `\\` and `\xHH` stand for characters; empty lines and those that begin
 * with `#` are left out.
 */

/** A step. */
export type ScriptStep =
  | { readonly step: 'expect' | 'type' | 'send'; readonly text: string; readonly line: number }
  | { readonly step: 'within'; readonly seconds: number; readonly line: number }
  | { readonly step: 'end'; readonly line: number };

/** A line that is no step. */
export class BadScript extends Error {}

/** Most steps of a script. */
const STEPS_MAX = 1000;

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', e: '\x1b' };

/** Read a script. @throws BadScript */
export function parseScript(text: string): ScriptStep[] {
  const steps = text.split('\n').flatMap((line, i): ScriptStep[] => {
    const trimmed = line.replace(/\r$/, '').trimStart();
    if (trimmed.trimEnd() === '' || trimmed.startsWith('#')) return [];
    return [readStep(trimmed, i + 1)];
  });
  if (steps.length > STEPS_MAX) throw new BadScript(`${steps.length} steps, at most ${STEPS_MAX}`);
  return steps;
}

/** Text of a `type`. @throws BadScript */
export function parseKeys(text: string): string {
  const bad = (why: string): BadScript => new BadScript(why);
  if (text.includes('\n')) throw bad('a line end is written \\n');
  return unescaped(text, bad);
}

function readStep(text: string, line: number): ScriptStep {
  const [, word = '', rest = ''] = /^(\S+) ?(.*)$/.exec(text) ?? [];
  const bad = (why: string): BadScript => new BadScript(`line ${line}: ${why}`);
  switch (word) {
    case 'expect':
    case 'type':
    case 'send':
      if (rest === '') throw bad(`${word} without a text`);
      return { step: word, text: unescaped(rest, bad), line };
    case 'within': {
      const seconds = Number(rest);
      if (seconds > 0 && seconds <= 86_400) return { step: 'within', seconds, line };
      throw bad(`within takes seconds up to 86400, not ${JSON.stringify(rest)}`);
    }
    case 'end':
      if (rest.trim() !== '') throw bad('end takes nothing');
      return { step: 'end', line };
    default:
      throw bad(`there is no step ${JSON.stringify(word)} (expect, type, send, within, end)`);
  }
}

function unescaped(text: string, bad: (why: string) => BadScript): string {
  return text.replace(/\\(x[0-9a-fA-F]{2}|.|$)/g, (_all, code: string) => {
    if (/^x[0-9a-fA-F]{2}$/.test(code)) return String.fromCharCode(parseInt(code.slice(1), 16));
    const character = code === '\\' ? '\\' : ESCAPES[code];
    if (character === undefined) throw bad(`there is no escape \\${code}`);
    return character;
  });
}
