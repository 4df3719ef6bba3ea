// SPDX-License-Identifier: GPL-2.0-or-later

/** The links between the files of the manual: each names a file that is there, and a heading. */

import { posix } from 'node:path';
import type { Book } from './books.ts';

/** A link of a file of the manual to something of the project. */
export interface Link {
  /** File and line where it stands: `README.md:12`. */
  readonly at: string;
  /** From the top of the project. */
  readonly file: string;
  /** Name of a heading behind `#`, or ''. */
  readonly anchor: string;
}

/** Links of a file that do not lead out of the project. Blocks of code have none. */
export function linksOf({ path, text }: Book): Link[] {
  const prose = withoutCode(text);
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .filter(([, target]) => !/^[a-z]+:/.test(target!))
    .map((match) => {
      const [file = '', anchor = ''] = match[1]!.split('#');
      const line = prose.slice(0, match.index).split('\n').length;
      const to = file === '' ? path : posix.join(posix.dirname(path), file);
      return { at: `${path}:${line}`, file: to, anchor };
    });
}

/** Names of the headings of a text, as GitHub and npm make them. */
export function anchorsOf(text: string): Set<string> {
  const names = new Set<string>();
  for (const [, heading] of withoutCode(text, false).matchAll(/^#{1,6} (.*)$/gm)) {
    const plain = heading!.trim().toLowerCase();
    const name = plain.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-');
    let unique = name;
    for (let n = 1; names.has(unique); n++) unique = `${name}-${n}`;
    names.add(unique);
  }
  return names;
}

/**
 * What is wrong with the links of the manual, as lines of text.
 *
 * @param exists whether there is such a file or folder in the project
 */
export function brokenLinks(books: readonly Book[], exists: (path: string) => boolean): string[] {
  const anchors = new Map(books.map(({ path, text }) => [path, anchorsOf(text)]));
  return books.flatMap(linksOf).flatMap(({ at, file, anchor }) => {
    if (!exists(file)) return [`${at}: there is no ${file}`];
    if (anchor === '' || anchors.get(file)?.has(anchor) === true) return [];
    return [`${at}: ${file} has no heading #${anchor}`];
  });
}

/** Blocks, and spans on one line if asked for, blanked; lines stay where they are. */
function withoutCode(text: string, spans = true): string {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, (block) => block.replace(/[^\n]/g, ''));
  return spans ? prose.replace(/`[^`\n]*`/g, '') : prose;
}
