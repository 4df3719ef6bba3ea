// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a C compiler does with offsetof() and #define, for the minified firmware: `Name.at.field`,
 * `Name.sizes.field`, `Name.size` and `Name.MEMBER` of a table in a `protocol.ts` or `wire.ts`
 * become the number that they are, and tables of which nothing else is used go. The sources, and
 * the bundle that people read, keep the names.
 */

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { build, transform } from 'esbuild';
import { tokenise } from './tokens.mjs';

/** A file of definitions: it imports nothing but `wire.ts`, so that it can be loaded by itself. */
const PROTOCOL = /(?:^|\/)protocol\.ts$/;

/** Firmware sources that may use them. */
const SOURCE = /\/src\/.*\.ts$/;

/** @typedef {Readonly<Record<string, unknown>>} Exports */

/**
 * The exports of a protocol file, as they are at run time.
 *
 * @param {string} path
 * @returns {Promise<Exports>}
 */
async function load(path) {
  const { outputFiles } = await build({
    entryPoints: [path],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
  });
  const text = Buffer.from(outputFiles[0]?.contents ?? []).toString('base64');
  return import(`data:text/javascript;base64,${text}`);
}

/**
 * A number or bigint as source text, or undefined for everything else.
 *
 * @param {unknown} value
 */
function literal(value) {
  if (typeof value === 'number') return value < 0 ? `(${value})` : String(value);
  if (typeof value === 'bigint') return `${value}n`;
  return undefined;
}

/**
 * Replace what can be known of the imported tables.
 *
 * @param {string} text JavaScript
 * @param {ReadonlyMap<string, unknown>} tables what each imported name is
 */
export function foldTables(text, tables) {
  const tokens = tokenise(text);
  let result = '';
  let done = 0;
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i];
    if (token === undefined || token.kind !== 'word' || !tables.has(token.text)) continue;
    if (tokens[i - 1]?.text === '.') continue;
    let value = tables.get(token.text);
    let end = i;
    // Follow the members as far as they lead
    while (tokens[end + 1]?.text === '.' && typeof value === 'object' && value !== null) {
      const member = tokens[end + 2]?.text ?? '';
      if (!Object.hasOwn(value, member)) break;
      value = /** @type {Record<string, unknown>} */ (value)[member];
      end += 2;
    }
    const number = literal(value);
    const last = tokens[end];
    if (number === undefined || last === undefined || end === i) continue;
    result += text.slice(done, token.start) + number;
    done = last.start + last.text.length;
    i = end;
  }
  return result + text.slice(done);
}

/**
 * The step of the bundler.
 *
 * @returns {import('esbuild').Plugin}
 */
export function foldProtocol() {
  /** @type {Map<string, Promise<Exports>>} */
  const loaded = new Map();
  /** @param {string} path */
  const exportsOf = (path) => {
    const known = loaded.get(path) ?? load(path);
    loaded.set(path, known);
    return known;
  };
  return {
    name: 'fold-protocol',
    setup({ onLoad }) {
      onLoad({ filter: SOURCE }, async ({ path }) => {
        const source = await readFile(path, 'utf8');
        const imports = source.matchAll(/^import \{([^}]*)\} from '(\.[^']*protocol\.ts)';$/gm);
        /** @type {Map<string, unknown>} */
        const tables = new Map();
        for (const [, names = '', target = ''] of imports) {
          const exported = await exportsOf(join(dirname(path), target));
          for (const name of names.split(',').map((word) => word.trim())) {
            if (name in exported) tables.set(name, exported[name]);
          }
        }
        // Types go first: what is left is what runs
        const { code } = await transform(source, { loader: 'ts', target: 'es2022' });
        const contents = PROTOCOL.test(path)
          ? code.replaceAll(
              /^(const \w+ = |export const \w+ = )(?=struct\()/gm,
              '$1/* @__PURE__ */ ',
            )
          : foldTables(code, tables);
        return { contents, loader: 'js' };
      });
    },
  };
}
