// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The language of a cell's own realm, as nobody can change it: should a guest ever get hold of an
 * object of that realm, its methods stay what they are. Done before
 * anything of a guest is loaded.
 *
 * What Node's `--frozen-intrinsics` does, without what makes it slow: getters in the place of every
 * method, and frozen prototypes.
 */

import { keepFast } from '../realm/fast-object.ts';

/** Names of the realm, of whatever kind; what an engine does not have is left out. */
const INTRINSICS: readonly string[] = [
  ...['Object', 'Function', 'Boolean', 'Symbol', 'Number', 'BigInt', 'Math', 'String', 'RegExp'],
  ...['Error', 'AggregateError', 'EvalError', 'RangeError', 'ReferenceError', 'SyntaxError'],
  ...['TypeError', 'URIError', 'Date', 'Array', 'Map', 'Set', 'WeakMap', 'WeakSet', 'WeakRef'],
  ...['FinalizationRegistry', 'Iterator', 'Promise', 'Proxy', 'Reflect', 'JSON', 'Intl'],
  ...['ArrayBuffer', 'SharedArrayBuffer', 'DataView', 'Atomics', 'WebAssembly'],
  ...['Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array'],
  ...['Int32Array', 'Uint32Array', 'Float16Array', 'Float32Array', 'Float64Array'],
  ...['BigInt64Array', 'BigUint64Array'],
  ...['SuppressedError', 'DisposableStack', 'AsyncDisposableStack'],
  ...['decodeURI', 'decodeURIComponent', 'encodeURI', 'encodeURIComponent', 'escape', 'unescape'],
  ...['eval', 'isFinite', 'isNaN', 'parseFloat', 'parseInt'],
  // Of Node's what everybody has
  ...['console', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'],
  ...['clearTimeout', 'clearInterval', 'clearImmediate'],
];

/** What has no name: of generators, asynchronous functions and iterators. */
const UNNAMED: readonly unknown[] = [
  function* () {},
  async () => {},
  async function* () {},
  [][Symbol.iterator](),
  new Map()[Symbol.iterator](),
  new Set()[Symbol.iterator](),
  ''[Symbol.iterator](),
  ''.matchAll(/$/g),
];

type Properties = Record<PropertyKey, PropertyDescriptor>;

/**
 * Objects that get properties of their prototypes' names assigned: programs give errors names, and
 * fill tables whose keys may be any. A property that cannot be written would forbid it.
 */
function assignable(): readonly object[] {
  const errors = INTRINSICS.filter((name) => name.endsWith('Error')).flatMap(
    (name) => (globalThis as unknown as Record<string, ErrorConstructor>)[name]?.prototype ?? [],
  );
  return [Object.prototype, ...errors];
}

/** Let `object[name] = value` make a property of whatever inherits it. */
function allowOverride(prototype: object, name: PropertyKey): void {
  const { value, writable, configurable, enumerable } = (
    Object.getOwnPropertyDescriptors(prototype) as Properties
  )[name]!;
  if (writable !== true || configurable !== true) return;
  const { defineProperty } = Object;
  defineProperty(prototype, name, {
    configurable,
    enumerable: enumerable === true,
    get: () => value as unknown,
    set(this: object, own: unknown) {
      // Nothing of the language itself
      if (this === prototype) throw new TypeError(`${String(name)} cannot be changed`);
      defineProperty(this, name, {
        ...{ value: own, writable: true, enumerable: true, configurable: true },
      });
    },
  });
}

/**
 * The prototypes of the typed arrays. Their `constructor` stays as it was: without it the engine
 * looks the length of an array up, each time.
 */
const arrayPrototypes = (): readonly unknown[] => {
  const shared = Object.getPrototypeOf(Uint8Array.prototype) as object;
  return INTRINSICS.map(
    (name) => (globalThis as unknown as Record<string, { prototype?: object }>)[name]?.prototype,
  ).filter((prototype) => prototype && Object.getPrototypeOf(prototype) === shared);
};

/**
 * Freeze an object and all that can be reached from it: property by property. After `Object.freeze`
 * of a prototype the engine stores into arrays twelve times slower than before, since their
 * elements might be on a prototype that cannot be changed. Returns what was frozen.
 */
function freezeAll(roots: readonly unknown[]): ReadonlySet<object> {
  const arrays = arrayPrototypes();
  const seen = new Set<object>();
  const waiting = [...roots];
  while (waiting.length > 0) {
    const one = waiting.pop();
    if ((typeof one !== 'object' && typeof one !== 'function') || one === null) continue;
    if (seen.has(one)) continue;
    seen.add(one);
    waiting.push(Object.getPrototypeOf(one));
    const properties = Object.getOwnPropertyDescriptors(one) as Properties;
    for (const name of Reflect.ownKeys(properties)) {
      const { value, get, set, configurable } = properties[name]!;
      waiting.push(value, get, set);
      if (name === 'constructor' && arrays.includes(one)) continue;
      const isValue = get === undefined && set === undefined;
      if (configurable !== true && !(isValue && properties[name]!.writable === true)) continue;
      const locked = isValue ? { writable: false, configurable: false } : { configurable: false };
      Object.defineProperty(one, name, locked);
    }
    Object.preventExtensions(one);
  }
  return seen;
}

/** Freeze the language of this realm, for good. */
export function freezeRealm(): void {
  for (const prototype of assignable())
    for (const name of Reflect.ownKeys(prototype)) allowOverride(prototype, name);
  const names = globalThis as unknown as Record<string, unknown>;
  const frozen = freezeAll([...INTRINSICS.map((name) => names[name]), ...UNNAMED]);
  // Of a method nobody looks anything up
  const isMethod = (one: object): boolean =>
    typeof one === 'function' && !Object.hasOwn(one, 'prototype');
  for (const one of frozen) if (!isMethod(one)) keepFast(one);
  for (const name of INTRINSICS) {
    const descriptor = Object.getOwnPropertyDescriptor(globalThis, name);
    if (descriptor?.configurable !== true) continue;
    Object.defineProperty(globalThis, name, { configurable: false, writable: false });
  }
}
