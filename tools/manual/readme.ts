// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Writes the generated parts of the manual. `npm run readme` writes them, `--check` only looks
 * whether they are up to date, and whether the manual keeps its size.
 *
 * A part stands between `<!-- generated: NAME -->` and `<!-- end -->`, in one file of the manual.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT, oddBlocks, readBooks, withoutCode, type Book } from './books.ts';
import { PARTS } from './parts.ts';

/**
 * A part that no marker names, that two markers name, a marker that names no part or is not written
 * as it must be, or a block that would not be tested.
 */
export class ManualError extends Error {}

/** The manual with its generated parts made anew. @throws ManualError */
export function regenerate(books: readonly Book[]): Book[] {
  for (const book of books) checkMarkers(book);
  const [odd] = books.flatMap(oddBlocks);
  if (odd !== undefined) throw new ManualError(odd);
  const places = new Map<string, string>();
  const marker = /(<!-- generated: ([a-z-]+) -->\n)[\s\S]*?(<!-- end -->)/g;
  const made = books.map(({ path, text }) => ({
    path,
    text: text.replace(marker, (_all, begin: string, name: string, end: string) => {
      const part = PARTS[name];
      if (part === undefined) throw new ManualError(`${path}: there is no part ${name}`);
      const other = places.get(name);
      if (other !== undefined) throw new ManualError(`${path}: ${name} is in ${other} already`);
      places.set(name, path);
      return `${begin}\n${part().trimEnd()}\n\n${end}`;
    }),
  }));
  for (const name of Object.keys(PARTS)) {
    if (!places.has(name)) throw new ManualError(`no README.md has a marker for the part ${name}`);
  }
  return made;
}

/** Comments are markers, each begin with its end. @throws ManualError */
function checkMarkers({ path, text }: Book): void {
  const prose = withoutCode(text);
  let open = false;
  for (const { 0: comment, index } of prose.matchAll(/<!--[^]*?(?:-->|$)/g)) {
    const begins = /^<!-- generated: [a-z-]+ -->$/.test(comment);
    if ((begins && !open) || (comment === '<!-- end -->' && open)) {
      open = begins;
      continue;
    }
    const at = `${path}:${prose.slice(0, index).split('\n').length}`;
    const how = 'write <!-- generated: name --> and <!-- end -->, one after the other';
    throw new ManualError(`${at}: ${comment} is no marker here: ${how}`);
  }
  if (open) throw new ManualError(`${path}: the last marker has no <!-- end -->`);
}

/** README.md is read in one sitting, in a window of that many columns. */
const LINES_MAX = 350;
const COLUMNS_MAX = 120;

/** What of the manual is too long or too wide, one line of text each; tables are not wrapped. */
export function oversize(books: readonly Book[]): string[] {
  const wide = books.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, i) => {
      if (line.length <= COLUMNS_MAX || line.startsWith('|')) return [];
      return [`${path}:${i + 1}: ${line.length} columns, at most ${COLUMNS_MAX}`];
    }),
  );
  const lines = books[0]?.text.trimEnd().split('\n').length ?? 0;
  const long = `${books[0]?.path}: ${lines} lines, at most ${LINES_MAX}`;
  return lines > LINES_MAX ? [long, ...wide] : wide;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const books = readBooks();
  const changed = regenerate(books).filter(({ text }, i) => text !== books[i]!.text);
  for (const { path, text } of changed) {
    if (!process.argv.includes('--check')) {
      writeFileSync(join(ROOT, path), text);
      continue;
    }
    process.stderr.write(`${path} is out of date: run npm run readme\n`);
    process.exitCode = 1;
  }
  for (const line of oversize(books)) {
    process.stderr.write(`${line}\n`);
    process.exitCode = 1;
  }
}
