// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What may lie in the three houses: kinds of files that the rules know, in rooms that the tables
 * know. A file of another kind would get no rule, and one in another room no wall.
 */

import { isRoom } from './tidy-rooms.mjs';
import { isLayer } from './tidy-walls.mjs';

/** @typedef {import('./source-file.mjs').Finding} Finding */

/** Data of others, and kept texts: as they are. */
const GOLDEN = 'firmware-tests/golden/';

/**
 * Where, and what may lie there; the first that fits decides. What runs without Node is TypeScript
 * only: the rules for it, and its type check, see nothing else.
 *
 * @type {readonly (readonly [where: RegExp, kinds: RegExp])[]}
 */
const KINDS = [
  [/^firmware-tests\/golden\//, /\.(?:txt|json|md)$/],
  [/^(?:src|tools\/simulator)\//, /(?:\.ts|\/README\.md|\/tsconfig\.json)$/],
  [/^tools\/capture\//, /\.(?:ts|mjs|json|md|lua)$/],
  [/^tools\/guests\/(?:c|rust|ipxe)\//, /(?:\.(?:c|h|rs)|\/Makefile)$/],
  [/^firmware-tests\/real\//, /\.(?:ts|mjs|json|md|sh)$/],
  [/^/, /\.(?:ts|mjs|json|md)$/],
];

/** What the runner takes for a test, and what looks like one. */
const TEST = /^firmware-tests\/.*\.test\.ts$/;
const LIKE_A_TEST = /[.-](?:test|spec)\.[^/]*$/;

/** The folders of `firmware-tests/` itself. */
const TEST_FOLDERS = ['golden', 'mutants', 'real', 'rigs', 'src', 'tools'];

/** Folders of tests of the firmware that are no layer: they test several. */
const ACROSS_LAYERS = ['driver', 'os', 'protocol'];

/**
 * Files of a kind that nobody knows, files that look like tests and never run, and rooms that are
 * in no table.
 *
 * @param {readonly string[]} paths of all files
 * @returns {Finding[]}
 */
export function unknownKinds(paths) {
  /** @type {Finding[]} */
  const findings = [];
  for (const path of paths) {
    /** @param {string} text */
    const find = (text) => findings.push({ path, line: 1, rule: 'kind', text });
    const name = path.split('/').at(-1) ?? '';
    const kinds = KINDS.find(([where]) => where.test(path))?.[1];
    if (name.startsWith('.') || kinds?.test(path) !== true) {
      find('unknown kind of file: no rule would check it (see tidy-kinds.mjs)');
    } else if (LIKE_A_TEST.test(name) && !TEST.test(path) && !path.startsWith(GOLDEN)) {
      find('a test that never runs: name it firmware-tests/…/NAME.test.ts');
    }
    const room = unknownRoom(path.split('/'));
    if (room !== undefined) find(room);
  }
  return findings;
}

/** Tests of the simulator that are about no room of it: guests of others. */
const ACROSS_ROOMS = ['peers'];

/** @param {readonly string[]} parts of the path @returns {string | undefined} */
function unknownRoom([house, room = '', inner = '', ...rest]) {
  if (inner === '') return undefined;
  if (house === 'src' && !isLayer(room)) {
    return `the layer ${room} is not in the table of tidy-walls.mjs`;
  }
  if (house === 'tools') {
    if (!isRoom(room)) return `the room ${room} is not in the table of tidy-rooms.mjs`;
    if (room !== 'simulator' || rest.length === 0 || isRoom(inner, true)) return undefined;
    return `the room ${inner} of the simulator is not in the table of tidy-rooms.mjs`;
  }
  if (house !== 'firmware-tests') return undefined;
  if (!TEST_FOLDERS.includes(room)) return `firmware-tests/ has no folder ${room}`;
  return unknownMirror(room, inner, rest);
}

/** @param {string} house @param {string} room @param {readonly string[]} rest */
function unknownMirror(house, room, [inner = '', ...rest]) {
  const says = `firmware-tests/${house}/${room}`;
  if (inner === '') return undefined;
  if (house === 'src' && !isLayer(room) && !ACROSS_LAYERS.includes(room)) {
    return `${says} mirrors nothing: there is no layer ${room}`;
  }
  if (house !== 'tools') return undefined;
  if (!isRoom(room)) return `${says} mirrors nothing: there is no room ${room}`;
  if (room !== 'simulator' || rest.length === 0 || isRoom(inner, true)) return undefined;
  if (ACROSS_ROOMS.includes(inner)) return undefined;
  return `${says}/${inner} mirrors nothing: there is no room ${inner} of the simulator`;
}
