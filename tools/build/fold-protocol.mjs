// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a C compiler does with offsetof() and #define, for the minified firmware: `Name.at.field`,
 * `Name.sizes.field`, `Name.size` and `Name.MEMBER` of what a `protocol.ts` exports, and its plain
 * numbers, become the number that they are; tables of which nothing else is used go. The sources,
 * and the bundle that people read, keep the names.
 *
 * How: the import is taken away from a file, esbuild replaces what is then a free name (it knows
 * scopes, strings and comments), and the import comes back for what is left.
 */

import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { build, transform } from 'esbuild';

/** A file of definitions: it imports nothing but `wire.ts`, so that it can be loaded by itself. */
const PROTOCOL = /(?:^|\/)protocol\.ts$/;

/** Firmware sources that may use them. */
const SOURCE = /\/src\/.*\.ts$/;

/** An import of values. Without the types among them. */
const IMPORT = /^import \{([^}]*)\} from '(\.[^']*protocol\.ts)';$/gm;

/** Stands for a bigint until the text is done: esbuild replaces by JSON or by a name. */
const BIGINT = '__bigint_';

/** A mistake in a source, or one that this step does not understand. */
export class FoldError extends Error {}

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
 * All numbers, bigints and texts below a value, by the names that lead to them.
 *
 * @param {string} name
 * @param {unknown} value
 * @returns {[name: string, replacement: string][]}
 */
function numbersIn(name, value) {
  if (typeof value === 'number') return [[name, String(value)]];
  if (typeof value === 'string') return [[name, JSON.stringify(value)]];
  if (typeof value === 'bigint') {
    if (value < 0n) throw new FoldError(`${name}: a negative bigint cannot be folded`);
    return [[name, `${BIGINT}${value}`]];
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([member, inner]) => numbersIn(`${name}.${member}`, inner));
}

/**
 * Fold a source.
 *
 * @param {string} source TypeScript
 * @param {(target: string) => Promise<Exports>} exportsOf what the import of `target` gives
 * @returns {Promise<string>} JavaScript
 * @throws FoldError for an import under another name, or of what is not there
 */
export async function fold(source, exportsOf) {
  /** @type {[string, string][]} */
  const numbers = [];
  const imports = [];
  for (const [, list = '', target = ''] of source.matchAll(IMPORT)) {
    const exported = await exportsOf(target);
    const words = list.split(',').map((word) => word.trim());
    const names = words.filter((word) => word !== '' && !word.startsWith('type '));
    for (const name of names) {
      if (!(name in exported)) {
        throw new FoldError(`import { ${name} } from '${target}': only plain names are folded`);
      }
      numbers.push(...numbersIn(name, exported[name]));
    }
    imports.push(`import { ${names.join(', ')} } from '${target}';\n`);
  }
  // Nothing is added to where a structure begins
  const zeros = numbers.filter(([name, number]) => number === '0' && name.includes('.at.'));
  const plus = zeros.map(([name]) => ` \\+ ${name.replaceAll('.', '\\.')}\\b`).join('|');
  const rest = source.replace(IMPORT, '').replace(new RegExp(plus || '$^', 'g'), '');
  const { code } = await transform(rest, {
    loader: 'ts',
    target: 'es2022',
    define: Object.fromEntries(numbers),
    // Fields as assignments of the constructor: those that are only declared cost nothing
    tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
  });
  const folded = code
    .replace(new RegExp(`\\b${BIGINT}(\\d+)\\b`, 'g'), '$1n')
    .replace(/\bBigInt\((\d+)\)/g, '$1n');
  return imports.join('') + folded;
}

/** A plain number at the top of a file, as esbuild prints it: digits, and operators. */
const NUMBER = /^(export )?const (\w+) = ((?:[-+*() ]|<<|0x[\da-f]+|\d[\d.]*(?:e\d+)?)+);$/gm;

/**
 * Replace the plain numbers of a file. Those that it exports come first in what is left: then the
 * bundler replaces them in other files.
 *
 * @param {string} code JavaScript as esbuild prints it
 * @returns {Promise<string>}
 */
export async function foldNumbers(code) {
  /** @type {Record<string, string>} */
  const numbers = {};
  const exported = [];
  for (const [, isExported, name = '', expression = ''] of code.matchAll(NUMBER)) {
    const value = String(Function(`return ${expression}`)());
    numbers[name] = value;
    if (isExported !== undefined) exported.push(`export const ${name} = ${value};\n`);
  }
  const rest = await transform(code.replace(NUMBER, ''), { target: 'es2022', define: numbers });
  return exported.join('') + rest.code;
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
        try {
          let code = await fold(source, (target) => exportsOf(join(dirname(path), target)));
          // A table of which nothing is left is no call that anybody would miss
          if (PROTOCOL.test(path)) code = code.replace(/= (?=struct\()/g, '= /* @__PURE__ */ ');
          return { contents: await foldNumbers(code), loader: 'js' };
        } catch (error) {
          if (!(error instanceof FoldError)) throw error;
          return { errors: [{ text: `${basename(path)}: ${error.message}` }] };
        }
      });
    },
  };
}
