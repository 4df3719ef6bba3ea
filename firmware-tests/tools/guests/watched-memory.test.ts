// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * That the exploration sees every way to guest memory. The ways are taken from the engine: one that
 * it gets anew, and that nobody watches, fails here.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WatchedMemory } from '../../../tools/guests/watch/watched-memory.ts';

const SIZE = 256;

const ARRAYS = [
  ...([Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array] as const),
  ...([Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array] as const),
];

type Access = readonly [kind: 'load' | 'store', address: number, length: number];
type AnyView = Record<string, (...args: unknown[]) => unknown> & { [index: number]: unknown };
type AnyConstructor = new (...args: unknown[]) => AnyView;

/** Run a guest on watched memory, and write down what it does. */
function accesses(guest: (memory: ArrayBufferLike) => void, shared = false): Access[] {
  const seen: Access[] = [];
  const buffer = shared ? new SharedArrayBuffer(SIZE) : new ArrayBuffer(SIZE);
  const memory = new WatchedMemory(buffer, {
    load: (address, length) => void seen.push(['load', address, length]),
    stores: {
      storing: () => undefined,
      stored: (address, length) => void seen.push(['store', address, length]),
      ordered: () => undefined,
      acquired: () => undefined,
    },
  });
  memory.install();
  try {
    guest(memory.buffer);
  } finally {
    memory.release();
  }
  return seen;
}

/** A global constructor as the guest finds it: while it runs, a watched one. */
function guestsOwn(name: string): AnyConstructor {
  return (globalThis as unknown as Record<string, AnyConstructor>)[name]!;
}

const test = suite('explore: watched memory');

for (const name of Object.getOwnPropertyNames(DataView.prototype)) {
  const match = /^([gs]et)[A-Z][a-z]+?(?:[A-Z][a-z]+)?([0-9]+)$/.exec(name);
  if (match === null) {
    const known = ['constructor', 'buffer', 'byteLength', 'byteOffset'];
    test(`DataView.${name} reads nothing`, () => assert.ok(known.includes(name)));
    continue;
  }
  test(`DataView.${name}`, () => {
    const length = Number(match[2]) / 8;
    const store = match[1] === 'set';
    const value = name.includes('Big') ? 1n : 1;
    for (const offset of [0, 16]) {
      const seen = accesses((memory) => {
        const view = new (guestsOwn('DataView'))(memory, offset);
        view[name]!(8, ...(store ? [value] : []), true);
      });
      assert.equal(seen, [[store ? 'store' : 'load', offset + 8, length]]);
    }
  });
}

for (const native of ARRAYS) {
  const { name, BYTES_PER_ELEMENT: size } = native;
  const one = name.startsWith('Big') ? 1n : 1;

  test(`${name}: an element is loaded and stored`, () => {
    const seen = accesses((memory) => {
      const array = new (guestsOwn(name))(memory, 2 * size, 4);
      array[1] = array[2];
    });
    assert.equal(seen, [
      ['load', 4 * size, size],
      ['store', 3 * size, size],
    ]);
  });

  test(`${name}: a view of a view is watched`, () => {
    const seen = accesses((memory) => {
      const array = new (guestsOwn(name))(memory);
      const part = array['subarray']!(2, 4) as AnyView;
      return part[1];
    });
    assert.equal(seen, [['load', 3 * size, size]]);
  });

  test(`${name}: a copy by the constructor, by spreading and by another view`, () => {
    const other = name.startsWith('Big') ? 'BigInt64Array' : 'Float64Array';
    const ways: ((array: AnyView) => unknown)[] = [
      (array) => new (guestsOwn(other))(array),
      (array) => [...(array as unknown as Iterable<unknown>)],
      (array) => new (guestsOwn(other))(SIZE)['set']!(array),
      (array) => (guestsOwn(name) as unknown as AnyView)['from']!(array),
    ];
    for (const [index, way] of ways.entries()) {
      const seen = accesses((memory) => void way(new (guestsOwn(name))(memory, 0, 2)));
      const bytes = new Set<number>();
      for (const [, address, length] of seen)
        for (let i = 0; i < length; i++) bytes.add(address + i);
      assert.is(bytes.size, 2 * size, `way ${index}`);
    }
  });

  for (const method of Object.getOwnPropertyNames(Object.getPrototypeOf(native.prototype))) {
    const descriptor = Object.getOwnPropertyDescriptor(
      Object.getPrototypeOf(native.prototype),
      method,
    )!;
    // What is no function, and what makes a view or nothing
    if (typeof descriptor.value !== 'function') continue;
    if (['constructor', 'subarray'].includes(method)) continue;
    test(`${name}.${method}`, () => {
      const call = ARGUMENTS[method] ?? (() => [() => true]);
      const seen = accesses((memory) => {
        const array = new (guestsOwn(name))(memory, 0, 8);
        return array[method]!(...call(one));
      });
      const stores = ['fill', 'set', 'copyWithin', 'reverse', 'sort'].includes(method);
      const loads = !['fill', 'set'].includes(method);
      assert.is(
        seen.some(([kind]) => kind === 'load'),
        loads,
        'loads',
      );
      assert.is(
        seen.some(([kind]) => kind === 'store'),
        stores,
        'stores',
      );
    });
  }
}

/** Arguments of methods that do not take a function. */
const ARGUMENTS: Readonly<Record<string, (one: number | bigint) => unknown[]>> = {
  at: () => [1],
  copyWithin: () => [0, 2, 4],
  entries: () => [],
  fill: (one) => [one],
  includes: (one) => [one],
  indexOf: (one) => [one],
  join: () => [],
  keys: () => [],
  lastIndexOf: (one) => [one],
  map: (one) => [() => one],
  reduce: (one) => [() => one, one],
  reduceRight: (one) => [() => one, one],
  reverse: () => [],
  set: (one) => [[one, one]],
  slice: () => [1, 3],
  sort: () => [],
  toLocaleString: () => [],
  toReversed: () => [],
  toSorted: () => [],
  toString: () => [],
  values: () => [],
  with: (one) => [1, one],
};

for (const name of Object.getOwnPropertyNames(Atomics)) {
  const operation = (Atomics as unknown as Record<string, unknown>)[name];
  if (typeof operation !== 'function' || ['isLockFree', 'pause'].includes(name)) continue;
  // A wait that is over at once, since the value is another one
  const waits = ['wait', 'waitAsync'].includes(name);
  test(`Atomics.${name}`, () => {
    const seen = accesses((memory) => {
      const words = new Int32Array(memory as SharedArrayBuffer);
      const atomics = Atomics as unknown as Record<string, (...args: unknown[]) => unknown>;
      atomics[name]!(words, 3, waits ? 7 : 1, 0);
    }, true);
    assert.equal(seen[0], ['load', 12, 4]);
    const stores = !['load', 'wait', 'waitAsync', 'notify'].includes(name);
    assert.is(
      seen.some(([kind]) => kind === 'store'),
      stores,
    );
  });
}

test('slice of the buffer', () => {
  assert.equal(
    accesses((memory) => void memory.slice(16, 32)),
    [['load', 16, 16]],
  );
  assert.equal(
    accesses((memory) => void memory.slice(-8)),
    [['load', SIZE - 8, 8]],
  );
});

test('other memory is not watched', () => {
  const seen = accesses(() => {
    const other = new Uint8Array(16);
    other[3] = other[2]!;
    Atomics.add(other, 1, 1);
    new DataView(other.buffer).getUint32(0);
  });
  assert.equal(seen, []);
});

test('afterwards everything is as before', () => {
  const before = [DataView, Uint8Array, Int32Array, Atomics];
  accesses(() => undefined);
  assert.equal(
    [DataView, Uint8Array, Int32Array, Atomics].map((x, i) => x === before[i]),
    [true, true, true, true],
  );
});

test.run();
