// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The rooms of `tools/` in their order, as tables. A room may import those on lower floors and
 * itself, never one beside it or above: so there is no circle of rooms either.
 */

/** @typedef {readonly (readonly string[])[]} Floors */

/** @type {Floors} Lowest first. The files at the top of the simulator are rooms of their own. */
const SIMULATOR = [
  ['base'],
  ['profiles', 'ledger', 'network'],
  ['hypervisor'],
  ['vmbus-server'],
  ['netvsp', 'services'],
  ['machine.ts'],
  ['audit'],
  ['index.ts'],
];

/**
 * Lowest first. The command line stands on top of all that does something; the manual documents it
 * and the bench measures it: they are above. The build and its checks know nothing of what they
 * build.
 *
 * @type {Floors}
 */
const TOOLS = [
  ['simulator', 'reference', 'build'],
  ['guests'],
  ['os', 'replay', 'links'],
  ['flow', 'record', 'capture', 'engines'],
  ['scenarios', 'explore', 'report'],
  ['library'],
  ['demo'],
  ['command'],
  ['manual', 'bench'],
];

/** The room that imports no other one; and who may import it: to document it, to measure it. */
const APART = 'build';
const ABOVE_BUILD = ['manual', 'bench'];

/**
 * Why a file of `tools/` must not import another one, or undefined if it may.
 *
 * @param {string} from
 * @param {string} target
 * @returns {string | undefined}
 */
export function forbiddenRoom(from, target) {
  const inside = from.startsWith('tools/simulator/') && target.startsWith('tools/simulator/');
  const depth = inside ? 2 : 1;
  const room = from.split('/')[depth] ?? '';
  const other = target.split('/')[depth] ?? '';
  if (room === other) return undefined;

  const floors = inside ? SIMULATOR : TOOLS;
  const floor = floors.findIndex((rooms) => rooms.includes(room));
  const otherFloor = floors.findIndex((rooms) => rooms.includes(other));
  if (floor < 0 || otherFloor < 0) {
    return `the room ${floor < 0 ? room : other} is not in the table of tidy-rooms.mjs`;
  }
  if (room === APART || (other === APART && !ABOVE_BUILD.includes(room))) {
    return `${room} and ${other} stand apart`;
  }
  return otherFloor < floor ? undefined : `${room} must not know ${other}`;
}

/**
 * Whether the tables have a room.
 *
 * @param {string} name
 * @param {boolean} [inside] of the simulator
 */
export function isRoom(name, inside = false) {
  return (inside ? SIMULATOR : TOOLS).some((rooms) => rooms.includes(name));
}
