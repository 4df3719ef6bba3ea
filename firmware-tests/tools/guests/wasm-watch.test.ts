// SPDX-License-Identifier: GPL-2.0-or-later

/** The rewriting of modules, piece by piece: what no compiler writes today, and is a module. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { wasmEngine } from '../../../tools/guests/engine.ts';
import { readModule } from '../../../tools/guests/wasm-module.ts';
import { globalsOf } from '../../../tools/guests/watch/watch-imports.ts';
import {
  QUIET_GLOBALS,
  WATCH_CALLS,
  WATCH_MODULE,
  watchedModule,
} from '../../../tools/guests/watch/wasm-watch.ts';

const watch = suite('modules that tell of their accesses');

interface Parts {
  /** Function types, with their count. */
  readonly types?: readonly number[];
  readonly tables?: readonly number[];
  readonly globals?: readonly number[];
  /** Locals and instructions of the second of two functions, without the end. */
  readonly body?: readonly number[];
  /** One more export. */
  readonly exported?: readonly number[];
}

const EMPTY = [0, 0x41, 7];

/** A module with two functions, the second of which is `f`, and a global `g` if it has one. */
function moduleOf({
  types = [1, 0x60, 0, 1, 0x7f],
  tables,
  globals,
  body = EMPTY,
  exported,
}: Parts) {
  const section = (id: number, contents: readonly number[] | undefined): readonly number[] =>
    contents === undefined ? [] : [id, contents.length, ...contents];
  const all = [
    [1, 102, 0, 1],
    ...(globals ? [[1, 103, 3, 0]] : []),
    ...(exported ? [exported] : []),
  ];
  const code = [EMPTY, body].flatMap((each) => [each.length + 1, ...each, 0x0b]);
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...[section(1, types), section(2, [1, 1, 101, 1, 109, 2, 0, 1])].flat(),
    ...[section(3, [2, 0, 0]), section(4, tables), section(6, globals)].flat(),
    ...[section(7, [all.length, ...all.flat()]), section(10, [2, ...code])].flat(),
  ]);
}

function exportsOf(
  bytes: Uint8Array,
  told: (call: string) => void = () => undefined,
): Record<string, unknown> {
  const { Instance, Memory, Module } = wasmEngine();
  const m = new Memory({ initial: 1, maximum: 1 });
  const calls = Object.fromEntries(WATCH_CALLS.map((name) => [name, () => told(name)]));
  return new Instance(new Module(bytes), { e: { m }, [WATCH_MODULE]: calls }).exports;
}

watch('a function that a global holds is the same one', () => {
  // funcref, constant: ref.func 1
  const module = moduleOf({ globals: [1, 0x70, 0, 0xd2, 1, 0x0b] });
  for (const bytes of [module, watchedModule(module)!.bytes]) {
    const { f, g } = exportsOf(bytes) as { f: () => number; g: { readonly value: unknown } };
    assert.is(g.value, f);
    assert.is(f(), 7);
  }
});

watch('other globals, and counts that are longer than they have to be, stay right', () => {
  // i64.const of two bytes
  const globals = [1, 0x7e, 0, 0x42, 0x80, 1, 0x0b];
  const types = [0x81, 0x80, 0, 0x60, 0, 1, 0x7f];
  const { f, g } = exportsOf(watchedModule(moduleOf({ globals, types }))!.bytes);
  assert.is((f as () => number)(), 7);
  assert.is((g as { readonly value: unknown }).value, 128n);
});

watch('a number of a memory is none of an offset', () => {
  // i32.const 0; i32.load of memory 0, alignment 2, offset 300
  const access = [0x28, 0x42, 0, 0xac, 2];
  const watched = watchedModule(moduleOf({ body: [0, 0x41, 0, ...access] }))!.bytes;
  // i32.const 300, i32.const 4, call 0, end, local.get 0, and the access
  const told = [0x41, 0xac, 2, 0x41, 4, 0x10, 0, 0x0b, 0x20, 0, ...access, 0x0b];
  assert.match([...watched].join(), told.join());
});

// --- quiet pages ---

/** i32.const of an address below 8192 */
const at = (address: number): number[] => [0x41, (address & 0x7f) | 0x80, address >> 7];
const LOAD = { u8: [0x2d, 0, 0], i32: [0x28, 2, 0], i64: [0x29, 3, 0] };

for (const [what, globals] of [
  ['a module with globals', [1, 0x7e, 0, 0x42, 0x80, 1, 0x0b]],
  ['a module without', undefined],
] as const)
  for (const [address, load, quiet, told] of [
    [100, 'u8', -1, 1],
    [100, 'u8', 0, 0],
    [100, 'u8', 1, 1],
    [4095, 'u8', 0, 0],
    [4096, 'u8', 0, 1],
    [4092, 'i32', 0, 0],
    [4093, 'i32', 0, 1],
    [4093, 'i32', 1, 1],
    [4088, 'i64', 0, 0],
    [4089, 'i64', 0, 1],
    [5000, 'i32', 1, 0],
  ] as const) {
    watch(`${what}: ${load} at ${address}, page ${quiet} is quiet: told ${told}`, () => {
      const drop = load === 'i64' ? [0xa7] : []; // i32.wrap_i64
      const store = [...at(address), ...at(7), 0x36, 2, 0];
      const body = [0, ...store, ...at(address), ...LOAD[load], ...drop];
      const calls: string[] = [];
      const bytes = watchedModule(moduleOf({ body, ...(globals && { globals }) }))!.bytes;
      const module = exportsOf(bytes, (call) => calls.push(call));
      const {
        f,
        [QUIET_GLOBALS[0]]: loads,
        [QUIET_GLOBALS[1]]: stores,
      } = module as {
        [name: string]: { value: number } & (() => number);
      };
      loads!.value = quiet;
      f!();
      assert.equal(calls, ['storing', 'stored', 'load'].slice(0, 2 + told));
      calls.length = 0;
      loads!.value = -1;
      stores!.value = 4096 <= address || address + 4 > 4096 ? 1 : 0;
      f!();
      const crosses = address < 4096 && address + 4 > 4096;
      assert.equal(calls, [...(crosses ? ['storing', 'stored'] : []), 'load']);
    });
  }

watch('a module that has such a name is not rewritten', () => {
  const [name] = QUIET_GLOBALS;
  const exported = [name.length, ...new TextEncoder().encode(name), 0, 1];
  assert.is(watchedModule(moduleOf({ exported })), undefined);
});

const NOT_KNOWN: Readonly<Record<string, Parts>> = {
  'types of references as parameters': { types: [1, 0x60, 1, 0x64, 0x70, 1, 0x7f] },
  'types of references as results': { types: [1, 0x60, 0, 1, 0x63, 0x70] },
  'locals that are references': { body: [1, 1, 0x63, 0x70, 0x41, 7] },
  'blocks of references': { body: [0, 0x02, 0x63, 0x70, 0xd0, 0x70, 0x0b, 0x1a, 0x41, 7] },
  'globals that are references': { globals: [1, 0x64, 0x70, 0, 0xd2, 1, 0x0b] },
  'tables that begin with a function': { tables: [1, 0x40, 0, 0x70, 0, 1, 0xd2, 1, 0x0b] },
  'a choice between references': { body: [0, 0x1c, 1, 0x63, 0x70, 0x1a, 0x41, 7] },
  'instructions that do not exist': { body: [0, 0xff, 0x41, 7] },
};

for (const [what, parts] of Object.entries(NOT_KNOWN)) {
  watch(`not rewritten, and not refused: ${what}`, () => {
    const module = moduleOf(parts);
    assert.is(readModule(module).exports[0]!.name, 'f');
    assert.is(watchedModule(module), undefined);
  });
}

watch('its variables are exported, whoever else sees them', () => {
  // i32 and i64, variables; i32, constant
  const globals = [3, 0x7f, 1, 0x41, 5, 0x0b, 0x7e, 1, 0x42, 6, 0x0b, 0x7f, 0, 0x41, 7, 0x0b];
  const { bytes, hidden } = watchedModule(moduleOf({ globals }))!;
  assert.is(hidden, undefined);
  const variables = globalsOf(exportsOf(bytes));
  assert.equal(variables.map(({ value }) => value).sort(), [-1, -1, 5, 6n]);
});

/** What nobody can copy, with what is said of it. */
const HIDDEN: readonly (readonly [what: string, parts: Parts, says: RegExp])[] = [
  ['a float', { globals: [1, 0x7c, 1, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b] }, /no integer/],
  ['a reference', { globals: [1, 0x70, 1, 0xd0, 0x70, 0x0b] }, /no integer/],
  ['table.set', { body: [0, 0x41, 0, 0xd0, 0x70, 0x26, 0, 0x41, 7] }, /table/],
  ['table.grow', { body: [0, 0xd0, 0x70, 0x41, 1, 0xfc, 15, 0] }, /table/],
  ['data.drop', { body: [0, 0xfc, 9, 0, 0x41, 7] }, /segments/],
  ['elem.drop', { body: [0, 0xfc, 13, 0, 0x41, 7] }, /segments/],
];

for (const [what, parts, says] of HIDDEN) {
  watch(`an instance that has more than memory and integers is not to be copied: ${what}`, () => {
    assert.match(watchedModule(moduleOf(parts))!.hidden ?? 'nothing', says);
  });
}

watch('tables that are only looked at, and fills of memory, hide nothing', () => {
  for (const body of [
    [0, 0x41, 0, 0x25, 0, 0x1a, 0x41, 7],
    [0, 0xfc, 16, 0],
    [0, 0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 11, 0, 0x41, 7],
  ])
    assert.is(watchedModule(moduleOf({ body }))!.hidden, undefined);
});

watch.run();
