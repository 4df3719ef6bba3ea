// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Builds `dist/`: the firmware as one ES module without imports, the simulator, the command line,
 * and the type declarations. The walls of the design are checked on what was really bundled.
 *
 *     node tools/build/build.mjs [--quiet] [--no-types]
 *
 * `--quiet` prints nothing but errors. `--no-types` leaves the declarations alone: they take longer
 * than everything else together and only users of the package need them, so that `npm start` and
 * `npm test` do without. Files are replaced in one step, and only when their contents changed:
 * whoever runs from `dist/` never sees half a file. Two builds of one tree are byte-identical.
 */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { checkProgram, checkSimulator, checkStandsAlone } from './bundle-checks.mjs';
import { FIRMWARE_TARGETS } from './firmware-targets.mjs';

/** @typedef {import('esbuild').BuildOptions} BuildOptions */
/** @typedef {import('esbuild').Metafile} Metafile */

/**
 * One file of `dist/`.
 *
 * @typedef {object} Target
 * @property {string} entry
 * @property {string} outfile
 * @property {'neutral' | 'node'} platform
 * @property {boolean} [minify]
 * @property {() => import('esbuild').Plugin[]} [plugins] steps of the bundler
 * @property {boolean} [executable]
 * @property {boolean} [optional] not worth a word if there is no such entry
 * @property {readonly string[]} [externals] packages that a program for developers may import
 * @property {(metafile: Metafile) => string[]} check
 */

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The bench compares with other settings of the bundler, so it may load it; nobody else may. */
const BENCH_EXTERNALS = ['esbuild'];

/** @type {readonly Target[]} */
export const TARGETS = [
  ...FIRMWARE_TARGETS,
  {
    entry: 'tools/simulator/index.ts',
    outfile: 'dist/simulator.js',
    platform: 'neutral',
    check: checkSimulator,
  },
  {
    entry: 'tools/command/cli.ts',
    outfile: 'dist/cli.js',
    platform: 'node',
    executable: true,
    check: (metafile) => checkProgram(metafile, 'command line'),
  },
  {
    entry: 'tools/command/boot-worker.ts',
    outfile: 'dist/boot-worker.js',
    optional: true,
    platform: 'node',
    check: (metafile) => checkProgram(metafile, 'boot worker'),
  },
  {
    entry: 'tools/explore/explore-worker.ts',
    outfile: 'dist/explore-worker.js',
    optional: true,
    platform: 'node',
    check: (metafile) => checkProgram(metafile, 'explore worker'),
  },
  {
    entry: 'tools/bench/cli.ts',
    outfile: 'dist/bench.js',
    optional: true,
    platform: 'node',
    externals: BENCH_EXTERNALS,
    check: (metafile) => checkProgram(metafile, 'bench', BENCH_EXTERNALS),
  },
];

/** A build that broke one of the project's own rules. */
export class BuildError extends Error {}

/**
 * Bundle one target in memory and check it.
 *
 * @param {Target} target
 * @param {string} root the working directory: paths in the metafile count from here
 * @returns {Promise<Map<string, Uint8Array>>} contents by path
 * @throws BuildError if the bundle has in it what it must not have
 */
export async function bundle(target, root = ROOT) {
  const neutral = target.platform === 'neutral';
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [target.entry],
    outfile: target.outfile,
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    target: 'es2022',
    platform: target.platform,
    minify: target.minify ?? false,
    plugins: target.plugins?.() ?? [],
    charset: 'utf8',
    legalComments: 'none',
    banner: { js: banner(target) },
    sourcemap: true,
    logLevel: 'silent',
    // Imports of packages and of Node stay as they are and become findings that name the importer.
    ...(neutral ? { packages: 'external' } : { external: [...(target.externals ?? [])] }),
  });
  const contents = new Map(outputFiles.map((file) => [relative(root, file.path), file.contents]));
  const findings = target.check(metafile);
  if (neutral && findings.length === 0) {
    const code = outputFiles.find((file) => !file.path.endsWith('.map'));
    findings.push(...checkStandsAlone(code?.text ?? '', target.outfile));
  }
  if (findings.length > 0) throw new BuildError(findings.join('\n'));
  return contents;
}

/** @param {Target} target */
function banner(target) {
  const { version } = JSON.parse(fs.readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const shebang = target.executable ? '#!/usr/bin/env node\n' : '';
  return `${shebang}// hypxe ${version}. SPDX-License-Identifier: GPL-2.0-or-later`;
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

/** The declarations, through the type checker. Its complaints go to the terminal as they are. */
function declarations() {
  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  const config = join(ROOT, 'tools/build/tsconfig.types.json');
  fs.rmSync(join(ROOT, 'dist/types'), { recursive: true, force: true });
  execFileSync(process.execPath, [join(typescript, 'bin/tsc'), '-p', config], { stdio: 'inherit' });
}

/** @param {number} bytes */
const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`.padStart(11);

/** @param {ReadonlyMap<string, Uint8Array>} contents */
function printSizes(contents) {
  for (const [path, bytes] of contents) {
    if (path.endsWith('.map')) continue;
    const zipped = gzipSync(bytes, { level: 9 }).length;
    console.log(`  ${path.padEnd(20)}${kib(bytes.length)}${kib(zipped)} gzip`);
  }
}

/**
 * The whole build.
 *
 * @param {{ quiet: boolean, types: boolean }} options
 */
export async function buildAll({ quiet, types }) {
  const present = TARGETS.filter((target) => fs.existsSync(join(ROOT, target.entry)));
  for (const target of TARGETS) {
    if (!present.includes(target) && !(quiet && target.optional)) {
      console.log(`  ${target.outfile.padEnd(20)} skipped: there is no ${target.entry}`);
    }
  }

  // Nothing is written unless everything is as it should be
  const bundles = await Promise.all(present.map((target) => bundle(target)));
  for (const [index, contents] of bundles.entries()) {
    const target = present[index];
    for (const [path, bytes] of contents) {
      const mode = target?.executable && path === target.outfile ? 0o755 : 0o644;
      replace(join(ROOT, path), bytes, mode);
    }
    if (!quiet) printSizes(contents);
  }

  // Only users of the package need the declarations
  const entries = ['src/index.ts', 'src/os.ts', 'tools/simulator/index.ts'];
  if (types && entries.every((path) => fs.existsSync(join(ROOT, path)))) {
    declarations();
    if (!quiet) console.log('  dist/types');
  }
}

/** @param {readonly string[]} args */
async function main(args) {
  const unknown = args.find((arg) => arg !== '--quiet' && arg !== '--no-types');
  if (unknown !== undefined) {
    console.error(`build: unknown option ${unknown} (known: --quiet, --no-types)`);
    return 2;
  }
  try {
    await buildAll({ quiet: args.includes('--quiet'), types: !args.includes('--no-types') });
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

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
