// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What programs hand to the libraries wrongly: all that package.json exports tells by name what is
 * missing or wrong, and nothing ends in an error of the language.
 */

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BOOT_SHAPES } from '../../../src/doors/boot-shapes.ts';
import { FIRMWARE_SHAPES } from '../../../src/doors/firmware-shapes.ts';
import { OS_SHAPES } from '../../../src/doors/os-shapes.ts';
import type { Shapes } from '../../../src/doors/guard.ts';
import type * as Os from '../../../src/os.ts';
import type * as Library from '../../../tools/library/index.ts';
import { LIBRARY_SHAPES } from '../../../tools/library/library-shapes.ts';

type Callable = (...values: unknown[]) => unknown;

const MANIFEST = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { exports: Record<string, unknown> };

/** The specifiers of all entries, as users write them. */
const SPECIFIERS = Object.keys(MANIFEST.exports)
  .filter((name) => name !== './package.json')
  .map((name) => name.replace(/^\./, 'hypxe'));

const load = async (name: string): Promise<Record<string, unknown>> =>
  (await import(name)) as Record<string, unknown>;

const BOOT = 'src/doors/boot-shapes.ts';
const DRIVERS = 'src/doors/drivers.ts';

/** The doors of the libraries: where signatures stand, with the shapes of what is handed in. */
const DOORS: Readonly<Record<string, readonly (readonly [source: string, shapes: Shapes])[]>> = {
  hypxe: [
    [BOOT, FIRMWARE_SHAPES],
    [DRIVERS, FIRMWARE_SHAPES],
  ],
  'hypxe/x64': [[BOOT, BOOT_SHAPES]],
  'hypxe/arm64': [[BOOT, BOOT_SHAPES]],
  'hypxe/os': [
    [BOOT, OS_SHAPES],
    [DRIVERS, FIRMWARE_SHAPES],
    ['src/doors/os.ts', OS_SHAPES],
  ],
  'hypxe/simulator': [['tools/library/door.ts', LIBRARY_SHAPES]],
};

/** The signatures of a door, by name, each with the shapes that it names. */
function signatures(specifier: string): [name: string, signature: string, shapes: Shapes][] {
  return DOORS[specifier]!.flatMap(([source, shapes]) => {
    const file = readFileSync(new URL(`../../../${source}`, import.meta.url), 'utf8');
    const text = file.replace(/' \+\s*'/g, '');
    const lines = text.matchAll(/guard\.of\(\s*(['"])(\w+)\1,\s*(['"])(.*?)\3,\s*bare/gs);
    const found = [...lines].map(([, , name = '', , signature = '']) => ({ name, signature }));
    return found.map(({ name, signature }): [string, string, Shapes] => [name, signature, shapes]);
  });
}

/** Values that almost nothing takes; each is of another kind. */
const WRONG: readonly unknown[] = [
  ...[undefined, null, NaN, -1, 1e300, 'no such thing', Symbol('wrong'), 5n, true],
  ...[{}, [], [null], [{}], () => undefined, new Map(), new Date(0)],
];

/** What V8 says of a value that was taken for another. */
const OF_THE_LANGUAGE = new RegExp(
  [
    'Cannot (?:read|set|destructure|convert|mix|create|use|define|assign)',
    'is not (?:a function|iterable|a constructor|an object|defined|callable)',
    '^Invalid (?!.*: )|out of (?:range|bounds)|^Expected|Reflect|Object prototype',
    'undefined or null|private (?:member|field)|call stack',
  ].join('|'),
);

/** How an export ends for these values, if it ends in an error of the language. */
async function ending(bare: Callable, values: readonly unknown[]): Promise<string | undefined> {
  try {
    await called(bare, values);
  } catch (error) {
    assert.ok(error instanceof Error, `${String(error)} is no error`);
    const own = error.constructor !== TypeError && error.constructor !== RangeError;
    if (own || !OF_THE_LANGUAGE.test(error.message)) return undefined;
    return `${error.name}: ${error.message}`;
  }
  return undefined;
}

/** A guarded class does not say that it is one: but it has something that is made of it. */
function called(bare: Callable, values: readonly unknown[]): unknown {
  const isClass = Object.getOwnPropertyDescriptor(bare, 'prototype')?.writable === false;
  return isClass ? Reflect.construct(bare, values) : bare(...values);
}

function told(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function callables(exported: object): [string, Callable][] {
  return Object.entries(exported).filter(
    (entry): entry is [string, Callable] =>
      // Errors are made of whatever text there is
      typeof entry[1] === 'function' && !(entry[1].prototype instanceof Error),
  );
}

const test = suite('wrong arguments');

for (const specifier of SPECIFIERS) {
  test(`${specifier}: no wrong value ends in an error of the language`, async () => {
    const found: string[] = [];
    for (const [name, bare] of callables(await load(specifier))) {
      for (const value of WRONG) {
        for (const values of [[value], [value, value], [value, value, value, value, value]]) {
          const text = await ending(bare, values);
          if (text !== undefined) found.push(`${name}(${values.map(told).join(', ')}): ${text}`);
        }
      }
      const text = await ending(bare, []);
      if (text !== undefined) found.push(`${name}(): ${text}`);
    }
    assert.equal(found, []);
  });
}

/** A value of a type as signatures have it, with all that it cannot do without. */
function sample(type: string, shapes: Shapes): unknown {
  if (type.includes('/')) return sample(type.slice(0, type.indexOf('/')), shapes);
  if (type.endsWith('[]')) return [sample(type.slice(0, -2), shapes)];
  const range = /^(\d+)\.\./.exec(type);
  if (range !== null) return Number(range[1]);
  if (type.startsWith("'")) return type.slice(1, type.indexOf("'", 1));
  if (type in PLAIN) return PLAIN[type];
  if (type === 'Machine')
    return { ...(sample('X64Machine', shapes) as object), architecture: 'x64' };
  const shape = String(shapes[type]);
  if (shape.startsWith('=')) return sample(shape.slice(1), shapes);
  return Object.fromEntries(
    members(shape)
      .filter(({ optional }) => !optional)
      .map(({ name, type: own }) => [name, sample(own, shapes)]),
  );
}

const PLAIN: Readonly<Record<string, unknown>> = {
  ...{ any: 1, number: 1, string: 'text', boolean: true, bigint: 1n, object: {}, list: [] },
  ...{ function: () => undefined, bytes: new Uint8Array(1), buffer: new ArrayBuffer(8) },
};

function put(values: readonly unknown[], at: number, value: unknown): unknown[] {
  return values.map((other, i) => (i === at ? value : other));
}

interface Member {
  readonly name: string;
  readonly optional: boolean;
  readonly type: string;
}

function members(line: string): Member[] {
  const words = line
    .replace(/^[^;]*;/, '')
    .replace(/^!/, '')
    .split(' ');
  return words
    .filter((word) => word !== '')
    .map((word) => {
      const [, name, optional, type] = /^(\w+)(\?)?:(.+)$/.exec(word)!;
      return { name: name!, optional: optional !== undefined, type: type! };
    });
}

for (const specifier of SPECIFIERS) {
  test(`${specifier}: each parameter, and each member of it, is told by name`, async () => {
    const exported = await load(specifier);
    const own = signatures(specifier);
    // Each function, and each class that takes anything, stands at the door
    const open = callables(exported).filter(
      ([name, { length }]) => length > 0 && !own.some(([other]) => other === name),
    );
    assert.equal(open, []);

    const lost: string[] = [];
    for (const [name, signature, shapes] of own) {
      const parameters = members(signature);
      const good = parameters.map(({ type }) => sample(type, shapes));
      const expectText = (values: readonly unknown[], path: string): void => {
        let text = '';
        try {
          called(exported[name] as Callable, values);
        } catch (error) {
          text = (error as Error).message;
        }
        const begin = `${name}: ${path} is `;
        if (!text.startsWith(begin)) lost.push(`${begin}... was expected, and not: ${text}`);
      };
      for (const [i, { name: parameter, optional, type }] of parameters.entries()) {
        if (type === 'any') continue;
        expectText(put(good, i, Symbol('wrong')), parameter);
        if (optional) expectText(put(good, i, null), parameter);
        else expectText(good.slice(0, i), parameter);
        const shape = shapes[type];
        if (typeof shape !== 'string' || shape.startsWith('=')) continue;
        for (const member of members(shape).filter((one) => one.type !== 'any')) {
          const object = { ...(good[i] as object), [member.name]: null };
          expectText(put(good, i, object), `${parameter}.${member.name}`);
        }
        if (!/^(?:[^;]*;)?!/.test(shape)) continue;
        expectText(put(good, i, { ...(good[i] as object), other: 1 }), `${parameter}.other`);
      }
    }
    assert.equal(lost, []);
  });
}

test('of a machine it is told what its architecture needs, as an error with a name', async () => {
  const x64 = sample('X64Machine', OS_SHAPES) as object;
  const cases: [machine: unknown, text: string][] = [
    [{}, 'machine.architecture is undefined, and not a text'],
    [null, 'machine is null, and not an object'],
    [
      { ...x64, architecture: 'x64', rdmsr: undefined },
      'machine.rdmsr is undefined, and not a function',
    ],
    [{ ...x64, architecture: 'arm64' }, 'machine.hvc is undefined, and not a function'],
    [
      { ...x64, architecture: 'x64', memoryMap: [{ address: '0' }] },
      'machine.memoryMap[0].address is "0", and not a number',
    ],
  ];
  for (const specifier of SPECIFIERS.filter((name) => name !== 'hypxe/simulator')) {
    const { boot } = (await load(specifier)) as { boot: Callable };
    for (const [machine, text] of cases) {
      assert.throws(
        () => boot(machine),
        (error: Error) => error.name === 'BadMachine' && error.message === `boot: ${text}`,
      );
    }
    assert.throws(
      () => boot({ ...x64, architecture: 'x64' }, { preset: 'ipex' }),
      (error: Error) =>
        error.name === 'BadArgument' &&
        error.message === 'boot: options.preset is "ipex", and not default or ipxe',
    );
  }
});

test('what is as it should be passes, and classes stay classes', async () => {
  const os = (await load('hypxe/os')) as unknown as typeof Os;
  const library = (await load('hypxe/simulator')) as unknown as typeof Library;
  const network = new library.Network({ files: library.memoryFiles({}), bootFile: 'none' });
  const { bootSeam: machine, partition } = new library.SimulatedMachine({
    memory: new ArrayBuffer(16 << 20),
    profile: library.profileNamed('server2022')!,
    links: [network.link(0)],
    seed: 1,
  });
  const memory = new os.GuestMemory(machine.memory);
  const allocator = new os.MapAllocator(machine.memoryMap, machine.pageSize);
  const log = new os.Log(undefined);
  const pages = new os.SharedMemory(memory, allocator, log);
  const hv = new os.HyperV(os.anyPlatform(machine), pages, log);
  new os.ReferenceTsc(hv);
  new os.SyntheticTimers(hv);
  const driver = new os.NetvscDriver(os.OS_NETVSC, log, os.osNetvsc(os.OS_NETVSC));
  const store = new os.FileStore(memory, allocator, log, 1 << 20);
  const drivers = [driver, ...os.serviceDrivers([new os.FileCopyService(store)])];
  const { contactAsOs: contact } = os;
  const bus = new os.VmbusBus(hv, { ...os.OS_BUS, contact, drivers, random: () => 1 });
  hv.probe();
  bus.probe();
  assert.is(driver.devices.length, 1);
  assert.is(os.dispatchEvents(bus), os.dispatchEvents(bus));
  assert.ok(new library.MemoryPattern(partition.ram, machine.memoryMap, partition.grants));

  // A class can be extended, and tells its own
  class Mine extends os.HypervDriver {}
  const mine = new Mine(os.anyPlatform(machine), machine, {});
  assert.ok(mine instanceof Mine && mine instanceof os.HypervDriver);
  assert.ok(os.createDriver(machine) instanceof os.HypervDriver);
});

test.run();
