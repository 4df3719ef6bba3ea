// SPDX-License-Identifier: GPL-2.0-or-later

/** The manual as files: README.md at the top, and one at the door of each room. */

import { readFileSync, readdirSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's directory. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The houses that have rooms. */
const HOUSES = ['src', 'tools', 'firmware-tests'];

/** Data that came from elsewhere, with a text of its own beside it. */
const NOT_OURS = 'firmware-tests/golden/';

/** One file of the manual. */
export interface Book {
  /** From the top of the project, with slashes: `tools/simulator/README.md`. */
  readonly path: string;
  readonly text: string;
}

/** All files of the manual, the one at the top first. */
export function readBooks(root = ROOT): Book[] {
  const rooms = HOUSES.flatMap((house) =>
    readdirSync(join(root, house), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name === 'README.md')
      .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
      .map((path) => path.split(sep).join('/')),
  );
  return ['README.md', ...rooms.filter((path) => !path.startsWith(NOT_OURS)).sort()].map(
    (path) => ({ path, text: readFileSync(join(root, path), 'utf8') }),
  );
}

/** A fenced block of a file. */
export interface Block {
  /** What stands behind the fence: `sh`, `js`, `text`. */
  readonly language: string;
  readonly text: string;
  /** Line of the opening fence, counted from 1. */
  readonly line: number;
  /** Nothing but empty lines stands between the block before and this one. */
  readonly follows: boolean;
}

/** The fenced blocks of a text, in order. */
export function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  let end = -1;
  for (const match of text.matchAll(/^```([a-z]*)\n([\s\S]*?)^```$/gm)) {
    const follows = end >= 0 && text.slice(end, match.index).trim() === '';
    const line = text.slice(0, match.index).split('\n').length;
    blocks.push({ language: match[1]!, text: match[2]!, line, follows });
    end = match.index + match[0].length;
  }
  return blocks;
}
