// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What is built, and what of it goes into the npm package. To add a ROM, add a line to
 * {@link LIBRARIES}; to add a program, an entry to {@link TARGETS}. Then name it in package.json
 * (`exports`, or `bin`) and in tsconfig.types.json: a test says so if it is forgotten.
 */

import {
  checkFirmware,
  checkLibrary,
  checkPage,
  checkProgram,
  checkRealm,
} from './bundle-checks.mjs';

/** @typedef {import('esbuild').Metafile} Metafile */

/**
 * Files of `dist/` that are made together.
 *
 * @typedef {object} Target
 * @property {Readonly<Record<string, string>>} entries source by name: `hypxe` becomes
 *   `dist/hypxe.js`. Several entries share their common code in `dist/shared-HASH.js`
 * @property {'neutral' | 'node'} platform neutral: imports nothing, runs everywhere
 * @property {boolean} [minify] as minify.mjs does; then there is one entry
 * @property {boolean} [firmware] names stay in the npm package, too: people step through it
 * @property {boolean} [identifiers] names inside of it are short: nobody sees them
 * @property {string} [executable] name of the entry that is started by its name
 * @property {boolean} [unpublished] for developers: not in the npm package
 * @property {readonly string[]} [externals] packages that a program for developers may import
 * @property {(metafile: Metafile) => string[]} check the findings of what was bundled
 */

/**
 * What users import: one file that stands alone, or one that shares code with the programs; and its
 * type declarations.
 *
 * @typedef {object} Library
 * @property {string} name `hypxe` becomes `dist/hypxe.js`
 * @property {string} entry
 * @property {string} door what is bundled for users: the same exports, which look at what they are
 *   handed. The minified ROM, whose size counts, and the declarations are those of the entry
 * @property {string} specifier what users write: the key in `exports` of package.json
 * @property {boolean} [rom] it is also there minified, as `dist/NAME.min.js`
 * @property {boolean} [unpublishedRom] ... but not in the npm package: no ROM has it
 * @property {(metafile: Metafile) => string[]} [check] of a file that stands alone
 */

/** @param {string} name @param {string} specifier @param {string} file @returns {Library} */
function rom(name, specifier, file) {
  const [entry, door] = [`src/${file}.ts`, `src/doors/${name}.ts`];
  return { name, entry, door, specifier, rom: true, check: checkFirmware };
}

/** @type {readonly Library[]} */
export const LIBRARIES = [
  rom('hypxe', '.', 'index'),
  rom('x64', './x64', 'x64'),
  rom('arm64', './arm64', 'arm64'),
  { ...rom('os', './os', 'os'), unpublishedRom: true },
  {
    name: 'simulator',
    entry: 'tools/library/index.ts',
    door: 'tools/library/door.ts',
    specifier: './simulator',
  },
];

/** Entries of `src/`, by the ROM that stands for them in `run-tests.mjs --minified`. */
export const MINIFIED = { index: 'hypxe', any: 'hypxe', x64: 'x64', arm64: 'arm64', os: 'os' };

/** The bench makes the bundles that it measures as the build does: it may load what that needs. */
const BENCH_EXTERNALS = ['esbuild', 'terser'];

/** @type {readonly Library[]} */
const ALONE = LIBRARIES.filter(({ check }) => check !== undefined);

/** What the command line does, for programs: the same code, which stands there once. */
const SHARING = LIBRARIES.filter((library) => !ALONE.includes(library));

/** What runs in a page of `hypxe report --demo`: linked into it by the command, not imported. */
const DEMO = 'tools/demo/demo.ts';

/** @type {readonly Target[]} */
export const TARGETS = [
  ...ALONE.flatMap(libraryTargets),
  // The tool's part of a guest's realm: loaded there as it is
  {
    entries: { 'guest-realm': 'tools/guests/realm/realm.ts' },
    identifiers: true,
    platform: 'neutral',
    check: checkRealm,
  },
  // The script of a report: it goes into the page as it is
  {
    entries: { 'report-page': 'tools/report/page/main.ts' },
    identifiers: true,
    platform: 'neutral',
    check: checkPage,
  },
  {
    entries: {
      ...Object.fromEntries(SHARING.map(({ name, door }) => [name, door])),
      cli: 'tools/command/cli.ts',
      demo: DEMO,
      'guest-cell': 'tools/command/guest-cell.ts',
      'boot-worker': 'tools/command/boot/boot-worker.ts',
      'explore-worker': 'tools/command/explore/explore-worker.ts',
      'replay-worker': 'tools/command/replay/replay-worker.ts',
      'record-worker': 'tools/command/record/record-worker.ts',
      'scenarios-worker': 'tools/command/scenarios-worker.ts',
      'pc-worker': 'tools/command/pc/pc-worker.ts',
      'pc-explore-worker': 'tools/command/pc/pc-explore-worker.ts',
    },
    platform: 'node',
    executable: 'cli',
    check: (metafile) => [
      ...checkProgram(metafile, 'command line'),
      ...[DEMO, ...SHARING.map(({ door }) => door)].flatMap((entry) =>
        checkLibrary(metafile, entry),
      ),
    ],
  },
  {
    entries: { bench: 'tools/bench/cli.ts' },
    platform: 'node',
    externals: BENCH_EXTERNALS,
    unpublished: true,
    check: (metafile) => checkProgram(metafile, 'bench', BENCH_EXTERNALS),
  },
];

/** @param {Library} library @returns {Target[]} */
function libraryTargets({ name, entry, door, rom, unpublishedRom, check = () => [] }) {
  /** @type {Target} */
  const readable = {
    entries: { [name]: door },
    platform: 'neutral',
    firmware: rom === true,
    check,
  };
  if (!rom) return [readable];
  const entries = { [`${name}.min`]: entry };
  return [readable, { ...readable, entries, minify: true, unpublished: unpublishedRom === true }];
}

/**
 * Recorded sessions that come with the command line, for `hypxe replay NAME`: a whole boot, a host
 * that is refused, a monitored channel, and no NIC at all. The others are for tests only.
 */
export const TRACES = ['01-boot', '02-host-2.4-only', '14-monitored', '19-no-netvsc'];
export const TRACES_FROM = 'firmware-tests/golden/ipxe-traces';

/** Folders of C and Rust that come with the command line, for `hypxe guest`. */
export const GUEST_FOLDERS = ['c', 'rust', 'ipxe'];
export const GUESTS_FROM = 'tools/guests';
