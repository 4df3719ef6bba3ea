// SPDX-License-Identifier: GPL-2.0-or-later

/** Where a command writes, and how it learns that whoever waits for it has had enough. */
export interface Terminal {
  out(text: string): void;
  error(text: string): void;
  /** A promise while whoever reads is behind; undefined if not. */
  readonly drained?: () => Promise<void> | undefined;
  /** Aborted at Ctrl-C: finish, say what was done, and return the exit code for it. */
  readonly interrupt?: AbortSignal;
}

/**
 * What a terminal acts upon instead of showing it, or shows as nothing: control characters but line
 * end and tab, whatever formats text (directions, joiners, tags), what separates lines, and halves
 * of characters.
 */
const UNPRINTABLE = /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\p{Cf}\p{Cs}]/gu;

/**
 * A text as it may go to a terminal, whoever wrote it: a file, a guest, a file name. The escapes
 * are those of JSON, so that a document stays the same document.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => character.split('').map(escaped).join(''));
}

/** A UTF-16 unit as JSON has it. */
function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** A text of somebody else's as one line: a line end in it would make a line of the tool's own. */
export function oneLine(text: string): string {
  return text.replaceAll('\n', '\\n');
}

/** Whether whoever waits has had enough; gives Ctrl-C the time to be noticed. */
export async function interrupted({ interrupt }: Terminal): Promise<boolean> {
  if (interrupt !== undefined) await new Promise((resolve) => void setImmediate(resolve));
  return interrupt?.aborted === true;
}
