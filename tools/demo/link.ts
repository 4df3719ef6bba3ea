// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Makes one script of modules that import each other: a page from disk may start no worker of
 * modules. Only for what the project's own bundler has made: imports first, each of another file of
 * the same folder, one export at the end, nothing exported that changes later.
 */

/** A module is not of the form that can be linked. */
export class LinkError extends Error {}

const IMPORT = /^(?:\s|\/\/[^\n]*\n)*import\s*(?:\{([^{}]*)\}\s*from\s*)?"\.\/([\w.-]+)\.js"\s*;?/;
const EXPORT = /export\s*\{([^{}]*)\}\s*;?\s*(?:\/\/[^\n]*\s*)*$/;

/** The table of what modules export: its name is in none of them. */
const TABLE = 'linked$modules';

/** What a linked module exports, as an expression for the end of a script. */
export function exportsOf(name: string): string {
  return `${TABLE}[${JSON.stringify(name)}]`;
}

/** `{ a as b, c }` as pairs of the name there and the name here. */
function names(list: string): [string, string][] {
  return list
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
    .map((each) => {
      const [from = '', to = from] = each.split(/\s+as\s+/);
      return [from, to];
    });
}

/**
 * One script with these modules and all that they import. {@link exportsOf} has what each
 * exports, and `end` is its last line.
 *
 * @param read the text of a module, by its name without `.js`
 * @throws LinkError
 */
export function linkModules(
  entries: readonly string[],
  read: (name: string) => string,
  end: string,
): string {
  const linked = new Map<string, string>();
  const open = new Set<string>();
  const add = (name: string): void => {
    if (linked.has(name)) return;
    if (open.has(name)) throw new LinkError(`${name}.js imports itself`);
    open.add(name);
    let text = read(name);
    if (text.includes(TABLE)) throw new LinkError(`${name}.js uses the name ${TABLE}`);
    let head = '';
    for (let found = IMPORT.exec(text); found !== null; found = IMPORT.exec(text)) {
      const [whole, list = '', other = ''] = found;
      add(other);
      const taken = names(list).map(([from, to]) => (from === to ? from : `${from}:${to}`));
      if (taken.length > 0) head += `const{${taken.join(',')}}=${exportsOf(other)};`;
      text = text.slice(whole.length);
    }
    const found = EXPORT.exec(text);
    const given = names(found?.[1] ?? '').map(([from, to]) => `${to}:${from}`);
    const body = found === null ? text : text.slice(0, found.index);
    const stray = /^\s*(?:import\b(?!\s*\()|export\b)/m.exec(body);
    if (stray !== null) throw new LinkError(`${name}.js has an ${stray[0].trim()} in its middle`);
    // Strict each: as a module is, whatever comes before the script
    linked.set(
      name,
      `${exportsOf(name)}=(()=>{"use strict";${head}${body}\nreturn{${given.join(',')}}})();`,
    );
  };
  for (const entry of entries) add(entry);
  return `const ${TABLE}={};\n${[...linked.values()].join('\n')}\n${end}\n`;
}
