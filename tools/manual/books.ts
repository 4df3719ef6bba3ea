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
  /** What stands behind the fence, all of it: `sh`, `js`, `text`. */
  readonly language: string;
  readonly text: string;
  /** Line of the opening fence, counted from 1. */
  readonly line: number;
  /** Nothing but empty lines stands between the block before and this one. */
  readonly follows: boolean;
}

/** The languages that a block may have: others would be skipped by whoever tests examples. */
export const LANGUAGES: readonly string[] = ['sh', 'js', 'ts', 'text', 'console'];

/** A block with its fences, as Markdown has it. */
interface Fence {
  /** What stands in front of the fence, the fence, and all that stands behind it. */
  readonly indent: string;
  readonly fence: string;
  readonly info: string;
  /** Lines of the opening and of the closing fence, counted from 0. */
  readonly begin: number;
  readonly end: number;
  readonly closed: boolean;
}

/** All blocks, also those that are no blocks of the manual. */
function fencesOf(lines: readonly string[]): Fence[] {
  const fences: Fence[] = [];
  for (let begin = 0; begin < lines.length; begin++) {
    const opened = /^([ \t>]*)(`{3,}|~{3,})(.*)$/.exec(lines[begin]!);
    if (opened === null) continue;
    const [, indent = '', fence = '', info = ''] = opened;
    let end = begin + 1;
    while (end < lines.length && !closes(lines[end]!, fence)) end++;
    const closed = end < lines.length;
    fences.push({ indent, fence, info: info.trim(), begin, end, closed });
    begin = end;
  }
  return fences;
}

function closes(line: string, fence: string): boolean {
  const text = line.replace(/^[ \t>]*/, '').trimEnd();
  return text.length >= fence.length && text === fence[0]!.repeat(text.length);
}

/** The fenced blocks of a text, in order. */
export function blocksOf(text: string): Block[] {
  const lines = text.split('\n');
  let last = -1;
  return fencesOf(lines).map(({ info, begin, end }) => {
    const between = lines.slice(last + 1, begin);
    const follows = last >= 0 && between.every((line) => line.trim() === '');
    last = end;
    const body = lines.slice(begin + 1, end).map((line) => `${line}\n`);
    return { language: info, text: body.join(''), line: begin + 1, follows };
  });
}

/** Blocks that would not be tested as what they are, as lines of text. */
export function oddBlocks({ path, text }: Book): string[] {
  return fencesOf(text.split('\n')).flatMap(({ indent, fence, info, begin, closed }) => {
    const at = `${path}:${begin + 1}`;
    if (!closed) return [`${at}: the block has no end`];
    if (indent !== '' || fence !== '```') return [`${at}: begin a block with \`\`\` at the margin`];
    if (LANGUAGES.includes(info)) return [];
    return [`${at}: a block of ${JSON.stringify(info)}: write one of ${LANGUAGES.join(', ')}`];
  });
}

/** The text with blocks blanked, and spans on one line if asked for; lines stay where they are. */
export function withoutCode(text: string, spans = true): string {
  const lines = text.split('\n');
  for (const { begin, end } of fencesOf(lines)) {
    lines.fill('', begin, Math.min(end + 1, lines.length));
  }
  const prose = lines.join('\n');
  return spans ? prose.replace(/(`+)(?!`)[^\n]*?[^`\n]\1(?!`)/g, '') : prose;
}
