// SPDX-License-Identifier: GPL-2.0-or-later

/** Modules of WebAssembly, put together from bytes: guests for tests that have no compiler. */

import { ABI_IMPORTS, wasmType } from '../../../tools/guests/abi/abi.ts';

const TYPES = { i32: 0x7f, i64: 0x7e } as const;
export type ValueType = keyof typeof TYPES;

/** A function: its body gets the index of any other by name, imports included. */
export interface BuiltFunction {
  readonly name: string;
  readonly parameters?: readonly ValueType[];
  readonly results?: readonly ValueType[];
  readonly body: (index: (name: string) => number) => readonly number[];
  /** Not exported. */
  readonly hidden?: true;
  /** Locals of 32 bits. */
  readonly locals?: number;
}

export interface BuiltImport {
  readonly module: string;
  readonly name: string;
  readonly parameters?: readonly ValueType[];
  readonly results?: readonly ValueType[];
  /** A global, instead of a function. */
  readonly global?: true;
}

export interface BuiltModule {
  readonly imports?: readonly BuiltImport[];
  readonly functions: readonly BuiltFunction[];
  /** Pages of memory; imported under a name, or exported as `memory`. Default 1, exported. */
  readonly pages?: number;
  readonly memory?: 'exported' | 'imported' | 'none' | 'twice' | readonly [string, string];
  readonly memory64?: boolean;
  readonly heapBase?: number;
  readonly data?: readonly (readonly [offset: number, contents: string | readonly number[]])[];
  /** Variables that nobody sees, behind the constant that the base of the heap is: 0 at first. */
  readonly variables?: readonly ValueType[];
  /** Custom sections by name. */
  readonly custom?: readonly string[];
}

// --- opcodes of the specification ---

export const Op = {
  UNREACHABLE: 0x00,
  LOOP: 0x03,
  IF: 0x04,
  TRY: 0x06,
  END: 0x0b,
  BRANCH: 0x0c,
  CATCH_ALL: 0x19,
  CALL: 0x10,
  DROP: 0x1a,
  BRANCH_IF: 0x0d,
  LOCAL_GET: 0x20,
  LOCAL_SET: 0x21,
  GLOBAL_GET: 0x23,
  GLOBAL_SET: 0x24,
  GROW: [0x40, 0x00],
  I32_EQZ: 0x45,
  I32_EQ: 0x46,
  I32_LT_SIGNED: 0x48,
  I32_LT: 0x49,
  I32_ADD: 0x6a,
  I32_SUB: 0x6b,
  I32_AND: 0x71,
  I64_ADD: 0x7c,
  I32_WRAP: 0xa7,
  VOID: 0x40,
  RETURN: 0x0f,
} as const;

export const i32 = (value: number): number[] => [0x41, ...signed(BigInt(value))];
export const i64 = (value: bigint): number[] => [0x42, ...signed(BigInt.asIntN(64, value))];
export const load32 = (at: number): number[] => [...i32(at), 0x28, 2, 0];
export const load8 = (at: number): number[] => [...i32(at), 0x2d, 0, 0];
export const store32 = (at: number, value: readonly number[]): number[] => [
  ...[...i32(at), ...value],
  ...[0x36, 2, 0],
];
export const call = (index: number): number[] => [Op.CALL, ...unsigned(index)];

/** An import of the interface with its own signature. */
export function abiImport(name: string, memory64 = false): BuiltImport {
  const found = ABI_IMPORTS.find((each) => each.name === name)!;
  return {
    ...{ module: 'hypxe', name },
    parameters: found.parameters.map(({ type }) => wasmType(type, memory64)),
    results: found.result === undefined ? [] : [wasmType(found.result, memory64)],
  };
}

/** A whole firmware: `boot` gives its status. */
export function firmware(
  imports: readonly string[],
  boot: (index: (name: string) => number) => readonly number[],
  more: Partial<BuiltModule> = {},
): Uint8Array {
  const wide = more.memory64 === true;
  return buildModule({
    ...{ heapBase: 4096, ...more },
    imports: [...imports.map((name) => abiImport(name, wide)), ...(more.imports ?? [])],
    functions: [
      { name: 'hypxe_abi', results: ['i32'], body: () => i32(1) },
      { name: 'hypxe_boot', parameters: [wide ? 'i64' : 'i32'], results: ['i32'], body: boot },
      ...(more.functions ?? []),
    ],
  });
}

/** The bytes of a module. */
export function buildModule(module: BuiltModule): Uint8Array {
  const { imports = [], functions, pages = 1, memory = 'exported', memory64 = false } = module;
  const called = imports.filter((each) => each.global !== true);
  const index = (name: string): number => {
    const all = [...called, ...functions].map((each) => each.name);
    if (!all.includes(name)) throw new Error(`no function ${name}`);
    return all.indexOf(name);
  };
  const limits = [memory64 ? 4 : 0, ...unsigned(pages)];
  const types = [...called, ...functions].map(({ parameters = [], results = [] }) => [
    ...[0x60, ...vector(parameters.map((type) => [TYPES[type]]))],
    ...vector(results.map((type) => [TYPES[type]])),
  ]);
  let type = 0;
  const entries = imports.map((each) => [
    ...[...text(each.module), ...text(each.name)],
    ...(each.global === true ? [3, TYPES.i32, 0] : [0, ...unsigned(type++)]),
  ]);
  const name = memory === 'imported' ? (['env', 'memory'] as const) : memory;
  if (typeof name === 'object') entries.push([...text(name[0]), ...text(name[1]), 2, ...limits]);
  const own = memory === 'exported' ? 1 : memory === 'twice' ? 2 : 0;
  const exported = functions.filter(({ hidden }) => hidden !== true);
  const exports = exported.map((each) => [...text(each.name), 0, ...unsigned(index(each.name))]);
  if (own > 0) exports.push([...text('memory'), 2, 0]);
  const base = module.heapBase;
  if (base !== undefined) exports.push([...text('__heap_base'), 3, 0]);
  const global = base === undefined ? [] : [[TYPES.i32, 0, ...i32(base), Op.END]];
  for (const each of module.variables ?? [])
    global.push([TYPES[each], 1, ...(each === 'i32' ? i32(0) : i64(0n)), Op.END]);
  const code = functions.map(({ body, locals = 0 }) => {
    const groups = locals === 0 ? [0] : [1, ...unsigned(locals), TYPES.i32];
    const bytes = [...groups, ...body(index), Op.END];
    return [...unsigned(bytes.length), ...bytes];
  });
  const offset = (at: number): number[] => (memory64 ? i64(BigInt(at)) : i32(at));
  const data = (module.data ?? []).map(([at, value]) => [
    ...[0, ...offset(at), Op.END],
    ...(typeof value === 'string' ? text(value) : vector(value.map((byte) => [byte]))),
  ]);
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, types),
    ...section(2, entries),
    ...section(
      3,
      functions.map(({ name: each }) => unsigned(index(each))),
    ),
    ...section(
      5,
      Array.from({ length: own }, () => limits),
    ),
    ...section(6, global),
    ...section(7, exports),
    ...section(10, code),
    ...section(11, data),
    ...(module.custom ?? []).flatMap((each) => sized(0, text(each))),
  ]);
}

/** A module with a start function: its section goes in front of the code. */
export function withStart(module: Uint8Array, index: number): Uint8Array {
  let at = 8;
  while (module[at]! < 10) {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = module[++at]!;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    at += 1 + length;
  }
  const start = sized(8, unsigned(index));
  return Uint8Array.from([...module.subarray(0, at), ...start, ...module.subarray(at)]);
}

/** A module with a section more, at its end. */
export function withSection(
  module: Uint8Array,
  id: number,
  contents: readonly number[],
): Uint8Array {
  return Uint8Array.from([...module, ...sized(id, contents)]);
}

function section(id: number, entries: readonly (readonly number[])[]): number[] {
  return entries.length === 0 ? [] : sized(id, vector(entries));
}

const sized = (id: number, body: readonly number[]): number[] => [
  ...[id, ...unsigned(body.length)],
  ...body,
];

const vector = (entries: readonly (readonly number[])[]): number[] => [
  ...unsigned(entries.length),
  ...entries.flat(),
];

function text(value: string): number[] {
  const bytes = [...new TextEncoder().encode(value)];
  return [...unsigned(bytes.length), ...bytes];
}

function unsigned(value: number): number[] {
  const low = value & 0x7f;
  return value < 128 ? [low] : [low | 0x80, ...unsigned(Math.floor(value / 128))];
}

function signed(value: bigint): number[] {
  const low = Number(value & 0x7fn);
  const rest = value >> 7n;
  const done = (rest === 0n && low < 0x40) || (rest === -1n && low >= 0x40);
  return done ? [low] : [low | 0x80, ...signed(rest)];
}
