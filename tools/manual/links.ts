// SPDX-License-Identifier: GPL-2.0-or-later

/** The links between the files of the manual: each names a file that is there, and a heading. */

import { posix } from 'node:path';
import { withoutCode, type Book } from './books.ts';

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
    .filter(([, target]) => !/^[a-z]+:/i.test(target!))
    .map((match) => {
      const [file = '', anchor = ''] = match[1]!.split('#');
      const line = prose.slice(0, match.index).split('\n').length;
      const to = file === '' ? path : posix.join(posix.dirname(path), file);
      return { at: `${path}:${line}`, file: to, anchor };
    });
}

/** Forms of links that nothing here follows, with what to write instead. */
const ODD: readonly (readonly [form: RegExp, what: string])[] = [
  [/\]\[/g, 'a link by reference'],
  [/^ {0,3}\[[^\]]+\]:/gm, 'a link by reference'],
  [/\]\(\s*</g, 'a link in angle brackets'],
  [/\]\([^)]*\s[^)]*\)/g, 'a link with a title or a space'],
  [/\]\(\s*\)/g, 'a link to nothing'],
  [/<(?:a|img)\b/gi, 'a link of HTML'],
];

/** Links of forms that are not checked: refused. */
function oddLinks({ path, text }: Book): string[] {
  const prose = withoutCode(text);
  return ODD.flatMap(([form, what]) =>
    [...prose.matchAll(form)].map(({ index }) => {
      const line = prose.slice(0, index).split('\n').length;
      return `${path}:${line}: ${what}: write [text](file)`;
    }),
  );
}

/** What is not in a fresh checkout. */
const NOT_THERE = /^(?:\/|\.\.(?:\/|$)|(?:dist|out|node_modules)(?:\/|$))/;

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
  const broken = books.flatMap(linksOf).flatMap(({ at, file, anchor }) => {
    if (NOT_THERE.test(file)) return [`${at}: ${file} is no file of the project`];
    if (!exists(file)) return [`${at}: there is no ${file}`];
    if (anchor === '' || anchors.get(file)?.has(anchor) === true) return [];
    return [`${at}: ${file} has no heading #${anchor}`];
  });
  return [...broken, ...books.flatMap(oddLinks)];
}
