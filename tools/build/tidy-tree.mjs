// SPDX-License-Identifier: GPL-2.0-or-later

/** Rules of the tree as a whole: circles of imports, and files that lie outside of a room. */

import { posix } from 'node:path';
import { importTarget, importsOf } from './source-file.mjs';

/** @typedef {import('./source-file.mjs').SourceFile} SourceFile */
/** @typedef {import('./source-file.mjs').Finding} Finding */

/**
 * All files that may lie at the top of a house or of the simulator; everything else has a room.
 *
 * @type {Readonly<Record<string, readonly string[]>>}
 */
const AT_THE_DOOR = {
  src: [
    ...[
      'README.md',
      'tsconfig.json',
      'index.ts',
      'any.ts',
      'x64.ts',
      'arm64.ts',
      'os.ts',
      'driver.ts',
    ],
    ...['machine.ts', 'wire.ts', 'error.ts', 'catalogue.ts', 'events.ts', 'time.ts'],
  ],
  tools: ['README.md'],
  'tools/simulator': ['README.md', 'tsconfig.json', 'index.ts', 'machine.ts'],
  'firmware-tests': ['README.md'],
  'firmware-tests/src': [],
  'firmware-tests/tools': [],
};

/**
 * Most files in one folder, without its README and those of its sub-folders. A fuller room needs
 * rooms.
 */
export const FOLDER_FILES_MAX = 30;

/**
 * Files that lie where no file belongs, and folders that are too full.
 *
 * @param {readonly string[]} paths of all files
 * @returns {Finding[]}
 */
export function looseFiles(paths) {
  /** @type {Finding[]} */
  const findings = [];
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const path of paths) {
    const folder = posix.dirname(path);
    if (!path.endsWith('README.md')) counts.set(folder, (counts.get(folder) ?? 0) + 1);
    if (AT_THE_DOOR[folder]?.includes(posix.basename(path)) !== false) continue;
    findings.push({ path, line: 1, rule: 'loose', text: `put it into a room of ${folder}/` });
  }
  for (const [path, count] of counts) {
    if (count <= FOLDER_FILES_MAX) continue;
    const text = `${count} files in one folder, at most ${FOLDER_FILES_MAX}: make sub-folders`;
    findings.push({ path, line: 1, rule: 'loose', text });
  }
  return findings;
}

/**
 * Circles of imports, each found once, at the file of it that comes first by name. Imports of types
 * count: whoever reads one file of a circle must read all.
 *
 * @param {readonly SourceFile[]} files
 * @returns {Finding[]}
 */
export function importCircles(files) {
  const known = new Set(files.map(({ path }) => path));
  const graph = new Map(
    files.map((file) => [
      file.path,
      importsOf(file)
        .filter(({ specifier }) => specifier.startsWith('.'))
        .map(({ specifier, line }) => ({ path: importTarget(file.path, specifier), line }))
        .filter(({ path }) => known.has(path)),
    ]),
  );
  /** @type {Finding[]} */
  const findings = [];
  /** Files that no circle can pass any more: all circles through them are found. */
  const done = new Set();
  for (const path of [...known].sort()) {
    const circle = shortestCircle(graph, path, done);
    done.add(path);
    if (circle === undefined) continue;
    const line = graph.get(path)?.find((target) => target.path === circle[1])?.line ?? 1;
    findings.push({ path, line, rule: 'circle', text: `imports itself: ${circle.join(' -> ')}` });
  }
  return findings;
}

/**
 * The shortest way from a file back to it, its name at both ends; undefined if there is none.
 *
 * @param {ReadonlyMap<string, readonly { path: string }[]>} graph
 * @param {string} start
 * @param {ReadonlySet<string>} without
 * @returns {string[] | undefined}
 */
function shortestCircle(graph, start, without) {
  /** Where each file was reached from. @type {Map<string, string>} */
  const from = new Map();
  // Breadth first: the queue grows while it is walked
  const queue = [start];
  for (const path of queue) {
    for (const { path: target } of graph.get(path) ?? []) {
      if (target === start) {
        const way = [start];
        for (let at = path; at !== start; at = from.get(at) ?? start) way.unshift(at);
        return [start, ...way];
      }
      if (from.has(target) || without.has(target)) continue;
      from.set(target, path);
      queue.push(target);
    }
  }
  return undefined;
}
