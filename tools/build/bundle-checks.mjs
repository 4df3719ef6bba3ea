// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a bundle may be made of. esbuild's metafile says which files went in and what they import;
 * each check returns its findings as lines of text, none if the bundle is as it should be.
 */

import { tokenise } from './tokens.mjs';

/** @typedef {import('esbuild').Metafile} Metafile */

/** What of `src/` the simulator may take: the seam and the wire definitions. */
export const SIMULATOR_SHARES = /^src\/(?:machine|wire|(?:[a-z0-9-]+\/)*protocol)\.ts$/;

/**
 * The firmware: inputs from `src/` alone, no import of anything else, no dynamic import.
 *
 * @param {Metafile} metafile
 * @returns {string[]}
 */
export function checkFirmware(metafile) {
  return [
    ...checkInputs(
      metafile,
      'firmware',
      (path) => path.startsWith('src/'),
      'src/ imports only src/',
    ),
    ...checkImports(metafile, 'firmware'),
  ];
}

/** The door of the simulator: what is behind it shares no logic with the drivers. */
const SIMULATOR = 'tools/simulator/index.ts';

/**
 * A library that shares its code with programs: it runs without Node. And the simulator in it:
 * inputs from `tools/simulator/` and what {@link SIMULATOR_SHARES} allows.
 *
 * @param {Metafile} metafile
 * @param {string} entry
 * @returns {string[]}
 */
export function checkLibrary(metafile, entry) {
  const judge = partOf(metafile, SIMULATOR);
  return [
    ...checkInputs(
      judge,
      'simulator',
      (path) => path.startsWith('tools/simulator/') || SIMULATOR_SHARES.test(path),
      'of src/ the simulator may take machine.ts, wire.ts and protocol.ts files only',
    ),
    ...checkImports(partOf(metafile, entry), entry),
  ];
}

/**
 * What of a bundle one of its files needs, itself included; nothing if it is not in there.
 *
 * @param {Metafile} metafile
 * @param {string} entry
 * @returns {Metafile}
 */
function partOf({ inputs, outputs }, entry) {
  /** @type {Metafile['inputs']} */
  const part = {};
  const waiting = [entry];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const input = inputs[path];
    if (input === undefined || path in part) continue;
    part[path] = input;
    waiting.push(...input.imports.filter((each) => !each.external).map((each) => each.path));
  }
  return { inputs: part, outputs };
}

/**
 * The part of the tool that lives in the realm of a guest: itself, and the watch over memory.
 *
 * @param {Metafile} metafile
 * @returns {string[]}
 */
export function checkRealm(metafile) {
  const allowed = /^tools\/guests\/(?:realm|watch)\//;
  return [
    ...checkInputs(metafile, 'guest realm', (path) => allowed.test(path), 'it stands alone'),
    ...checkImports(metafile, 'guest realm'),
  ];
}

/**
 * The script of a report's page: how it is drawn, how a trace is read, and definitions. No
 * firmware, no simulator.
 *
 * @param {Metafile} metafile
 * @returns {string[]}
 */
export function checkPage(metafile) {
  const allowed = /^tools\/(?:report|replay|simulator\/audit|simulator\/base)\//;
  const all = (/** @type {string} */ path) => allowed.test(path) || SIMULATOR_SHARES.test(path);
  return [
    ...checkInputs(metafile, 'report page', all, 'it draws what is in a trace'),
    ...checkImports(metafile, 'report page'),
  ];
}

/**
 * A program for Node: imports nothing but Node's own modules (and `externals`) at run time, and
 * does not carry the firmware, which it loads from the bundle.
 *
 * @param {Metafile} metafile
 * @param {string} name
 * @param {readonly string[]} externals
 * @returns {string[]}
 */
export function checkProgram(metafile, name, externals = []) {
  const findings = [];
  if ('src/index.ts' in metafile.inputs) {
    findings.push(`${name}: src/index.ts is bundled in: load dist/hypxe.js at run time instead`);
  }
  for (const [path, input] of Object.entries(metafile.inputs)) {
    if (path.startsWith('node_modules/')) {
      findings.push(`${name}: ${path} is bundled in: there are no run-time dependencies`);
    }
    for (const { path: target, external } of input.imports) {
      if (!external || target.startsWith('node:') || externals.includes(target)) continue;
      findings.push(`${name}: ${path} imports "${target}": there are no run-time dependencies`);
    }
  }
  return findings;
}

/**
 * No `import` may be left in the text of a bundle that has to stand alone.
 *
 * @param {string} code
 * @param {string} name
 * @returns {string[]}
 */
export function checkStandsAlone(code, name) {
  return tokenise(code)
    .filter((token) => token.kind === 'word' && token.text === 'import')
    .map((token) => `${name}: line ${token.line} of the bundle still has an import`);
}

/**
 * @param {Metafile} metafile
 * @param {string} name
 * @param {(path: string) => boolean} allowed
 * @param {string} rule
 */
function checkInputs(metafile, name, allowed, rule) {
  return Object.keys(metafile.inputs)
    .filter((path) => !allowed(path))
    .map((path) => `${name}: ${path} is bundled in (by ${importers(metafile, path)}): ${rule}`);
}

/**
 * @param {Metafile} metafile
 * @param {string} name
 */
function checkImports(metafile, name) {
  const findings = [];
  for (const [path, input] of Object.entries(metafile.inputs)) {
    for (const { path: target, external, kind } of input.imports) {
      if (external) findings.push(`${name}: ${path} imports "${target}": it must stand alone`);
      else if (kind === 'dynamic-import') findings.push(`${name}: ${path} has a dynamic import`);
    }
  }
  return findings;
}

/**
 * @param {Metafile} metafile
 * @param {string} path
 */
function importers(metafile, path) {
  const from = Object.entries(metafile.inputs)
    .filter(([, input]) => input.imports.some((target) => target.path === path))
    .map(([importer]) => importer);
  return from.length > 0 ? from.join(', ') : 'the entry point';
}
