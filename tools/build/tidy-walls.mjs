// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The walls between the parts of the project, as tables: who may import whom. The type checker and
 * the bundler enforce parts of this too; here the finding names the line.
 */

import { SIMULATOR_SHARES } from './bundle-checks.mjs';
import { importTarget, importsOf } from './source-file.mjs';
import { forbiddenRoom } from './tidy-rooms.mjs';

/** @typedef {import('./source-file.mjs').SourceFile} SourceFile */
/** @typedef {import('./source-file.mjs').Remark} Remark */

/** The files of `src/` that every layer stands on. */
const BASE = /^src\/(?:machine|wire|error|catalogue|events|time)\.ts$/;

/**
 * The layers of the firmware, each with those that it may import, besides itself. RNDIS and the
 * network stack know nothing of Hyper-V; what an OS adds knows the ROM, and the ROM nothing of it;
 * only the entries, which put everything together, may import everything.
 *
 * @type {Readonly<Record<string, readonly string[]>>}
 */
const LAYERS = {
  base: [],
  memory: ['base'],
  hyperv: ['base', 'memory'],
  vmbus: ['base', 'memory', 'hyperv'],
  net: ['base'],
  rndis: ['base', 'memory', 'net'],
  netvsc: ['base', 'memory', 'hyperv', 'vmbus', 'net', 'rndis'],
  os: ['base', 'memory', 'hyperv', 'vmbus', 'net', 'rndis', 'netvsc'],
  driver: ['base', 'memory', 'hyperv', 'vmbus', 'net', 'rndis', 'netvsc'],
  boot: ['base', 'memory', 'net', 'driver'],
  services: ['base', 'memory', 'hyperv', 'vmbus', 'driver', 'boot'],
  doors: ['base', 'top'],
};

/** The drivers as one. */
const DRIVER = /^src\/driver\.ts$/;

/** The entries: all other files at the top of `src/`. */
const TOP = /^src\/[a-z0-9-]+\.ts$/;

/**
 * Files that import what only a run knows: the firmware that somebody brings, a test, what was
 * built just now. Elsewhere an import names its file, or no wall would see it.
 */
const LOADERS = new Set([
  ...['tools/command/pc/pc-files.ts', 'tools/bench/cli.ts'],
  ...['tools/build/fold-protocol.mjs', 'tools/build/test-worker.mjs'],
]);

/** A file that is taken without an import. */
const REFERENCE = /^\s*\/\/\/\s*<reference\b/;

/** Packages that a part may import, besides Node's own modules where those are allowed. */
const PACKAGES = {
  tests: /^(?:uvu|uvu\/assert|esbuild|prettier\/plugins\/typescript|quickjs-wasi)$/,
  build: /^(?:uvu|esbuild|terser)$/,
  bench: /^esbuild$/,
};

/** Whether a folder of `src/` is in the tables. @param {string} name */
export function isLayer(name) {
  return name === 'boot' || (name !== 'base' && name in LAYERS);
}

/** @param {string} path @returns {string | undefined} */
function layerOf(path) {
  if (BASE.test(path)) return 'base';
  if (DRIVER.test(path)) return 'driver';
  if (TOP.test(path)) return 'top';
  return /^src\/([^/]+)\//.exec(path)?.[1];
}

/**
 * Why `from` must not import `target`, or undefined if it may.
 *
 * @param {string} from path of the importing file
 * @param {string} specifier as written
 * @returns {string | undefined}
 */
export function forbiddenImport(from, specifier) {
  if (!specifier.startsWith('.')) return forbiddenPackage(from, specifier);
  const target = importTarget(from, specifier);
  if (!/\.(?:ts|mjs|json)$/.test(target) && !target.startsWith('dist/')) {
    return 'write the name of the file, with .ts or .mjs';
  }
  if (target.endsWith('.test.ts')) return 'nothing imports a test';

  if (from.startsWith('src/')) {
    if (!target.startsWith('src/')) return 'src/ imports only src/';
    if (from.endsWith('/protocol.ts') && target !== 'src/wire.ts') {
      return 'a protocol file imports only wire.ts';
    }
    return forbiddenLayer(from, target);
  }
  if (from.startsWith('tools/simulator/')) {
    if (target.startsWith('tools/simulator/')) return forbiddenRoom(from, target);
    if (SIMULATOR_SHARES.test(target)) return undefined;
    return 'the simulator takes of src/ only machine.ts, wire.ts and protocol.ts files';
  }
  if (!from.startsWith('tools/')) return undefined;
  if (target.startsWith('firmware-tests/')) return 'tools/ does not import tests';
  return target.startsWith('tools/') ? forbiddenRoom(from, target) : undefined;
}

/** @param {string} from @param {string} target */
function forbiddenLayer(from, target) {
  const layer = layerOf(from);
  const other = layerOf(target);
  if (layer === 'top') return undefined;
  const below = layer === undefined ? undefined : LAYERS[layer];
  if (below === undefined) return `the layer of ${from} is not in the table of tidy-walls.mjs`;
  if (other === layer || (other !== undefined && below.includes(other))) return undefined;
  return `${layer} must not know ${other ?? target}`;
}

/** @param {string} from @param {string} specifier */
function forbiddenPackage(from, specifier) {
  if (/^(?:src|tools\/(?:simulator|library|demo))\//.test(from))
    return 'this runs without Node and packages';
  if (specifier.startsWith('node:')) return undefined;
  if (from.startsWith('firmware-tests/') && PACKAGES.tests.test(specifier)) return undefined;
  if (from.startsWith('tools/build/') && PACKAGES.build.test(specifier)) return undefined;
  if (/^tools\/bench\//.test(from) && PACKAGES.bench.test(specifier)) return undefined;
  return 'there are no run-time dependencies (and Node is imported as node:...)';
}

/**
 * @param {SourceFile} file
 * @returns {Remark[]}
 */
export function importWalls(file) {
  const named = importsOf(file).flatMap(({ specifier, line }) => {
    const reason = forbiddenImport(file.path, specifier);
    return reason === undefined ? [] : [{ line, text: `imports ${specifier}: ${reason}` }];
  });
  return [...named, ...otherImports(file)];
}

/**
 * Ways to take another file that no wall sees: imports whose name is computed, `import x =
 * require()`, references in comments.
 *
 * @param {SourceFile} file
 * @returns {Remark[]}
 */
function otherImports({ path, lines, tokens }) {
  const computed = /^(?:src|tools)\//.test(path) && !LOADERS.has(path);
  const found = tokens.flatMap(({ kind, text, line }, i) => {
    if (kind !== 'word' || text !== 'import' || tokens[i - 1]?.text === '.') return [];
    if (tokens[i + 2]?.text === '=' && tokens[i + 3]?.text === 'require') {
      return [{ line, text: 'import = require(): write import … from' }];
    }
    const name = tokens[i + 2];
    const literal = name?.kind === 'string' && /^[),]$/.test(tokens[i + 3]?.text ?? '');
    if (!computed || tokens[i + 1]?.text !== '(' || literal) return [];
    return [{ line, text: 'imports what is computed: name the file (see LOADERS)' }];
  });
  const references = lines.flatMap((line, i) =>
    REFERENCE.test(line) ? [{ line: i + 1, text: '/// <reference: import it' }] : [],
  );
  return [...found, ...references];
}
