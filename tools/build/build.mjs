// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Builds `dist/`: the firmware as one ES module without imports, the simulator, the command line
 * with the sessions that it replays, and the type declarations. The walls of the design are checked
 * on what was really bundled. What is built stands in targets.mjs.
 *
 *     node tools/build/build.mjs [--quiet] [--no-types] [--package]
 *
 * `--quiet` prints nothing but errors. `--no-types` leaves the declarations alone: they take longer
 * than everything else together and only users of the package need them, so that `npm start` and
 * `npm test` do without. `--package` builds what the npm package has: no source maps, no bench, and
 * programs without white space. Libraries stay as they are: to be read, and to be stepped through.
 *
 * What is printed, and what is in `dist/` afterwards, does not depend on what was in it: files of
 * former builds go. Files are replaced in one step, and only when their contents changed: whoever
 * runs from `dist/` never sees half a file. Two builds of one tree are byte-identical.
 */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { checkStandsAlone } from './bundle-checks.mjs';
import { isMain } from './is-main.mjs';
import { ALONE, IN_MEMORY, bundleMinified } from './minify.mjs';
import { TARGETS, GUESTS_FROM, GUEST_FOLDERS, TRACES, TRACES_FROM } from './targets.mjs';

/** @typedef {import('./targets.mjs').Target} Target */

/**
 * Files by their path below the top, with slashes.
 *
 * @typedef {Map<string, Uint8Array>} Files
 */

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Beginning of the names of files that hold the code that several programs share. */
const SHARED = 'dist/shared-';

/** How the npm package has firmware: names stay, to be read and to be stepped through. */
const COMPACT = { minifyWhitespace: true, minifySyntax: true, lineLimit: 100 };

/**
 * How it has the rest: short names inside, too, and long lines, for its size. A stack trace says
 * where by line and column; two builds of one version are the same.
 */
const COMPACT_REST = { ...COMPACT, minifyIdentifiers: true, lineLimit: 1000 };

/** What a build makes, besides `dist/types`: everything else of these names is from another one. */
const MADE = /^[^/]+\.js(?:\.map)?$|^traces\/[^/]+\.json$|^guests\//;
const MADE_TYPES = /^types\//;

/** A build that broke one of the project's own rules. */
export class BuildError extends Error {}

/**
 * Bundle one target in memory and check it.
 *
 * @param {Target} target
 * @param {{ root?: string, published?: boolean }} [options] the working directory: paths in the
 *   metafile count from here; and whether it is for the npm package
 * @returns {Promise<Files>}
 * @throws BuildError if the bundle has in it what it must not have
 */
export async function bundle(target, { root = ROOT, published = false } = {}) {
  const neutral = target.platform === 'neutral';
  const common = {
    absWorkingDir: root,
    entryPoints: { ...target.entries },
    outdir: 'dist',
    banner: { js: banner(target) },
    sourcemap: !published,
  };
  const { metafile, outputFiles } = target.minify
    ? await bundleMinified(common)
    : await build({
        ...(neutral ? ALONE : programOptions(target)),
        ...(published ? (target.firmware ? COMPACT : COMPACT_REST) : {}),
        ...(target.identifiers ? { minify: true } : {}),
        ...common,
        chunkNames: basename(`${SHARED}[hash]`),
        splitting: Object.keys(target.entries).length > 1,
        ...IN_MEMORY,
      });
  const contents = new Map(outputFiles.map((file) => [relative(root, file.path), file.contents]));
  const findings = target.check(metafile);
  if (neutral && findings.length === 0) {
    for (const { path, text } of outputFiles.filter((file) => !file.path.endsWith('.map'))) {
      findings.push(...checkStandsAlone(text, relative(root, path)));
    }
  }
  if (findings.length > 0) throw new BuildError(findings.join('\n'));
  if (target.executable) makeExecutable(contents, programPath(target.executable));
  return contents;
}

/** @param {Target} target @returns {import('esbuild').BuildOptions} */
function programOptions({ externals = [] }) {
  const { packages: _packages, ...common } = ALONE;
  return { ...common, platform: 'node', external: [...externals] };
}

/** @param {string} name */
const programPath = (name) => `dist/${name}.js`;

/**
 * With programs, the first line is left empty: it becomes the `#!` line of the one that is started
 * by its name, without moving what the source map points at.
 *
 * @param {Target} target
 */
function banner(target) {
  const { version } = JSON.parse(fs.readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const first = target.executable ? '\n' : '';
  return `${first}// hypxe ${version}. SPDX-License-Identifier: GPL-2.0-or-later`;
}

/** @param {Files} contents @param {string} path */
function makeExecutable(contents, path) {
  const body = contents.get(path) ?? new Uint8Array();
  contents.set(path, Buffer.concat([Buffer.from('#!/usr/bin/env node'), body]));
}

/**
 * Replace a file in one step, if its contents changed.
 *
 * @param {string} path
 * @param {Uint8Array} contents
 * @param {number} mode permissions of the file
 */
function replace(path, contents, mode) {
  if (fs.existsSync(path) && fs.readFileSync(path).equals(contents)) return;
  const temporary = `${path}.${process.pid}.tmp`;
  fs.mkdirSync(dirname(path), { recursive: true });
  fs.writeFileSync(temporary, contents, { mode });
  fs.renameSync(temporary, path);
}

/**
 * The declarations, through the type checker. Its complaints go to the terminal as they are.
 *
 * @returns {Files}
 */
function declarations() {
  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  const config = join(ROOT, 'tools/build/tsconfig.types.json');
  const out = fs.mkdtempSync(join(tmpdir(), 'hypxe-types-'));
  try {
    const args = [join(typescript, 'bin/tsc'), '-p', config, '--outDir', out];
    execFileSync(process.execPath, args, { stdio: 'inherit' });
    return readFiles(out, 'dist/types');
  } finally {
    fs.rmSync(out, { recursive: true, force: true });
  }
}

/** The declarations of the entries of the package. */
const ENTRIES = [
  ...['src/index', 'src/x64', 'src/arm64', 'src/os', 'tools/library/index'].map(
    (name) => `dist/types/${name}.d.ts`,
  ),
];

/**
 * Declarations of the npm package: those that others refer to, which are three of five; and what is
 * offered to nobody outside needs its types, but not its explanations, a third of the text, and
 * no indentation.
 *
 * @param {Files} files
 * @returns {Files}
 */
function shortened(files) {
  const offered = new Set(ENTRIES.flatMap((entry) => [...offeredFrom(entry, files)]));
  return new Map(
    [...referredFrom(ENTRIES, files)].map((path) => {
      const bytes = files.get(path);
      if (bytes === undefined) throw new Error(`there is no declaration ${path}`);
      if (offered.has(path)) return [path, bytes];
      const text = Buffer.from(bytes).toString().replace(COMMENT, '').replace(/^ +/gm, '');
      return [path, Buffer.from(text)];
    }),
  );
}

/** The path of another declaration in one: of an import, or of a type in its place. */
const REFERENCE = /(?:from |import\()['"](\.[^'"]*)\.ts['"]/g;

/**
 * Declarations, and all that they refer to.
 *
 * @param {readonly string[]} paths
 * @param {Files} files
 * @returns {Set<string>}
 */
function referredFrom(paths, files) {
  const referred = new Set(paths);
  for (const path of referred) {
    const text = Buffer.from(files.get(path) ?? []).toString();
    for (const [, module = ''] of text.matchAll(REFERENCE)) {
      referred.add(posix.join(posix.dirname(path), `${module}.d.ts`));
    }
  }
  return referred;
}

/** A doc comment, with its line. */
const COMMENT = /^[ \t]*\/\*\*[\s\S]*?\*\/[ \t]*\n/gm;

/**
 * The files that an index names, those that are indices themselves with all that they name.
 *
 * @param {string} index
 * @param {Files} files
 * @returns {Set<string>}
 */
function offeredFrom(index, files) {
  const offered = new Set([index]);
  const text = Buffer.from(files.get(index) ?? []).toString();
  for (const [, module = ''] of text.matchAll(/from '(\.[^']*)\.ts'/g)) {
    const path = posix.join(posix.dirname(index), `${module}.d.ts`);
    const more = posix.basename(path) === 'index.d.ts' ? offeredFrom(path, files) : [path];
    for (const each of more) offered.add(each);
  }
  return offered;
}

/** The recorded sessions that come with the command line. @returns {Files} */
function traces() {
  return new Map(
    TRACES.map((name) => {
      const contents = fs.readFileSync(join(ROOT, TRACES_FROM, `${name}.json`));
      return [`dist/traces/${name}.json`, contents];
    }),
  );
}

/** Templates and headers of guests. @returns {Files} */
function guests() {
  return new Map(
    GUEST_FOLDERS.flatMap((name) => [
      ...readFiles(join(ROOT, GUESTS_FROM, name), `dist/guests/${name}`),
    ]),
  );
}

/** @param {string} folder @param {string} as what stands for the folder in the paths */
function readFiles(folder, as) {
  /** @type {Files} */
  const files = new Map();
  for (const path of filesBelow(folder)) {
    files.set(`${as}/${path}`, fs.readFileSync(join(folder, path)));
  }
  return files;
}

/** The files below a folder, as paths with slashes. @param {string} folder */
function filesBelow(folder) {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)))
    .map((path) => path.replaceAll('\\', '/'))
    .sort();
}

/**
 * Write what was built, and remove what other builds left. Shared code comes before the programs
 * that import it.
 *
 * @param {string} root
 * @param {Files} files
 * @param {boolean} types whether the declarations were built too
 */
function writeAll(root, files, types) {
  const executable = TARGETS.flatMap((target) => target.executable ?? []).map(programPath);
  const inOrder = [...files].sort(([a], [b]) => Number(isShared(b)) - Number(isShared(a)));
  for (const [path, contents] of inOrder) {
    replace(join(root, path), contents, executable.includes(path) ? 0o755 : 0o644);
  }
  const dist = join(root, 'dist');
  for (const path of filesBelow(dist)) {
    const made = MADE.test(path) || (types && MADE_TYPES.test(path));
    if (made && !files.has(`dist/${path}`)) fs.rmSync(join(dist, path), { force: true });
  }
}

/** @param {string} path */
const isShared = (path) => path.startsWith(SHARED);

/** @param {number} bytes */
const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`.padStart(11);

/** @param {Files} files */
function printSizes(files) {
  for (const [path, bytes] of files) {
    if (!path.endsWith('.js')) continue;
    const zipped = gzipSync(bytes, { level: 9 }).length;
    console.log(`  ${path.padEnd(24)}${kib(bytes.length)}${kib(zipped)} gzip`);
  }
  for (const folder of ['dist/traces/', 'dist/types/']) {
    const below = [...files.keys()].filter((path) => path.startsWith(folder)).length;
    if (below > 0) console.log(`  ${folder.padEnd(24)}${below} files`);
  }
}

/**
 * The whole build. Nothing is written unless everything is as it should be.
 *
 * @param {{ quiet?: boolean, types?: boolean, published?: boolean, root?: string }} [options]
 *   `published`: only what the npm package has; `root`: the folder that `dist/` is written to
 */
export async function buildAll(options = {}) {
  const { quiet = false, types = true, published = false, root = ROOT } = options;
  const targets = TARGETS.filter((target) => !(published && target.unpublished));
  const bundles = await Promise.all(targets.map((target) => bundle(target, { published })));
  const files = new Map([
    ...bundles.flatMap((contents) => [...contents]),
    ...traces(),
    ...guests(),
    ...(types ? (published ? shortened(declarations()) : declarations()) : []),
  ]);
  writeAll(root, files, types);
  if (!quiet) printSizes(files);
}

const OPTIONS = ['--quiet', '--no-types', '--package'];

/** @param {readonly string[]} args */
async function main(args) {
  const unknown = args.find((arg) => !OPTIONS.includes(arg));
  if (unknown !== undefined) {
    console.error(`build: unknown option ${unknown} (known: ${OPTIONS.join(', ')})`);
    return 2;
  }
  try {
    await buildAll({
      quiet: args.includes('--quiet'),
      types: !args.includes('--no-types'),
      published: args.includes('--package'),
    });
    return 0;
  } catch (error) {
    console.error(`build failed:\n${await describe(error)}`);
    return 1;
  }
}

/** @param {unknown} error */
async function describe(error) {
  if (error instanceof BuildError) return error.message;
  if (error instanceof Error && 'errors' in error && Array.isArray(error.errors)) {
    const { formatMessages } = await import('esbuild');
    return (await formatMessages(error.errors, { kind: 'error' })).join('\n');
  }
  return error instanceof Error ? error.message : String(error);
}

if (isMain(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
