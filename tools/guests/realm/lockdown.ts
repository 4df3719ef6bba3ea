// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a guest finds in its realm: the language without clocks, without randomness, without code
 * from texts, and without what the engine adds. Done once, before the guest's module is loaded.
 */

import { keepFast } from './fast-object.ts';
import {
  NativeError,
  apply,
  defineProperty,
  deleteProperty,
  head,
  ownKeys,
  textOf,
} from './intrinsics.ts';

/** All globals that a guest has. */
const GLOBALS: readonly PropertyKey[] = [
  ...['globalThis', 'Infinity', 'NaN', 'undefined'],
  ...['isFinite', 'isNaN', 'parseFloat', 'parseInt'],
  ...['decodeURI', 'decodeURIComponent', 'encodeURI', 'encodeURIComponent'],
  ...['Object', 'Function', 'Boolean', 'Symbol', 'Number', 'BigInt', 'Math', 'String', 'RegExp'],
  ...['Error', 'AggregateError', 'EvalError', 'RangeError', 'ReferenceError', 'SyntaxError'],
  ...['TypeError', 'URIError'],
  ...['Array', 'Map', 'Set', 'WeakMap', 'WeakSet', 'Iterator'],
  ...['ArrayBuffer', 'DataView', 'Atomics', 'JSON', 'Promise', 'Proxy', 'Reflect'],
  ...['Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array'],
  ...['Int32Array', 'Uint32Array', 'Float16Array', 'Float32Array', 'Float64Array'],
  ...['BigInt64Array', 'BigUint64Array'],
];

/** Most frames of a stack, and characters of a frame. */
const FRAMES_MAX = 20;
const FRAME_MAX = 200;

// The realm's own, before anybody could replace it
const promiseThen: unknown = Reflect.get(Promise.prototype, 'then');

/** What an engine calls with the frames of an error. */
interface CallSite {
  getFileName(): unknown;
  toString(): string;
}

/**
 * Lock the realm.
 *
 * @param origin beginning of the names of the guest's modules: only their frames are shown
 */
export function lockDown(origin: string): void {
  const names = ownKeys(globalThis);
  for (let i = 0; i < names.length; i++) {
    if (!includes(GLOBALS, names[i]!)) deleteProperty(globalThis, names[i]!);
  }

  // What would take the memory away from under the host, wait without a call of the seam, or tell
  // of things from outside
  for (const name of ['transfer', 'transferToFixedLength', 'resize']) {
    deleteProperty(ArrayBuffer.prototype, name);
  }
  for (const name of ['wait', 'waitAsync', 'notify']) deleteProperty(Atomics, name);
  deleteProperty(Math, 'random');

  // Whoever waits for a promise of the realm's asks these two: as getters they would be called from
  // the tool's realm, with its objects
  lock(Promise.prototype, 'constructor', Promise);
  lock(Promise.prototype, 'then', promiseThen);

  // The engine asks the realm's Error how a stack looks: that, and which Error it is, is ours
  lock(globalThis, 'Error', NativeError);
  lock(NativeError, 'prepareStackTrace', (error: unknown, frames: readonly CallSite[]) =>
    stackText(error, frames, origin),
  );
  for (const changed of [Math, Atomics, ArrayBuffer.prototype, Promise.prototype])
    keepFast(changed);
}

/** The name of an error and the frames of the guest's own. */
function stackText(error: unknown, frames: readonly CallSite[], origin: string): string {
  let text = 'Error';
  try {
    const { name, message } = error as Error;
    text = `${textOf(name)}: ${textOf(message)}`;
  } catch {
    // It has none that can be read
  }
  for (let i = 0, shown = 0; i < frames.length && shown < FRAMES_MAX; i++) {
    const frame = frames[i]!;
    const file = frame.getFileName();
    if (typeof file !== 'string' || head(file, origin.length) !== origin) continue;
    shown++;
    text += `\n    at ${head(frame.toString(), FRAME_MAX)}`;
  }
  return text;
}

function lock(target: object, name: string, value: unknown): void {
  defineProperty(target, name, {
    __proto__: null,
    value,
    writable: false,
    enumerable: false,
    configurable: false,
  } as PropertyDescriptor);
}

function includes(names: readonly PropertyKey[], name: PropertyKey): boolean {
  return apply(Array.prototype.includes, names, [name]);
}
