// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A module as far as a guest's tools look into it: what it imports and exports, with signatures,
 * and its memory. The engine tells names only, and compiles what is wrong here without a word.
 */

import { WasmReader } from './wasm-reader.ts';

/** Types of values by their bytes; those that no guest uses have their names for messages. */
const VALUE_TYPES: Readonly<Record<number, string>> = {
  0x7f: 'i32',
  0x7e: 'i64',
  0x7d: 'f32',
  0x7c: 'f64',
  0x7b: 'v128',
  0x70: 'funcref',
  0x6f: 'externref',
};

export const Section = {
  CUSTOM: 0,
  TYPE: 1,
  IMPORT: 2,
  FUNCTION: 3,
  MEMORY: 5,
  GLOBAL: 6,
  EXPORT: 7,
} as const;

const KINDS = ['function', 'table', 'memory', 'global', 'tag'] as const;
export type ExternalKind = (typeof KINDS)[number];

export interface FunctionType {
  readonly parameters: readonly string[];
  readonly results: readonly string[];
}

export interface WasmLimits {
  readonly minimum: number;
  readonly maximum: number | undefined;
  readonly shared: boolean;
  readonly memory64: boolean;
}

export interface WasmImport {
  readonly module: string;
  readonly name: string;
  readonly kind: ExternalKind;
  /** Of a function. */
  readonly type: FunctionType | undefined;
  /** Of a memory. */
  readonly limits: WasmLimits | undefined;
}

export interface WasmExport {
  readonly name: string;
  readonly kind: ExternalKind;
  readonly type: FunctionType | undefined;
  /** Of a global that is a constant. */
  readonly value: bigint | undefined;
}

export interface WasmSection {
  readonly id: number;
  /** Where it begins, its number included, where its contents begin, and its end. */
  readonly begin: number;
  readonly body: number;
  readonly end: number;
  /** Of a custom section. */
  readonly name: string | undefined;
}

export interface WasmModule {
  readonly bytes: Uint8Array;
  readonly sections: readonly WasmSection[];
  readonly imports: readonly WasmImport[];
  readonly exports: readonly WasmExport[];
  /** Memories of its own. */
  readonly memories: readonly WasmLimits[];
}

/** The first eight bytes: `\0asm`, version 1. */
export const WASM_MAGIC = [0, 0x61, 0x73, 0x6d];
const WASM_HEADER = [...WASM_MAGIC, 1, 0, 0, 0];

/** Whether bytes begin as a module does. */
export function isWasm(bytes: Uint8Array): boolean {
  return WASM_MAGIC.every((byte, i) => bytes[i] === byte);
}

/** Read a module. @throws WasmFormatError */
export function readModule(bytes: Uint8Array): WasmModule {
  const reader = new WasmReader(bytes);
  const header = reader.take(WASM_HEADER.length);
  if (!WASM_HEADER.every((byte, i) => header[i] === byte))
    reader.fail('has another version than 1');
  const sections: WasmSection[] = [];
  while (!reader.atEnd) {
    const begin = reader.position;
    const id = reader.byte();
    const length = reader.unsigned();
    const body = reader.position;
    const contents = reader.take(length);
    const name = id === Section.CUSTOM ? new WasmReader(contents).text() : undefined;
    sections.push({ id, begin, body, end: reader.position, name });
  }
  const open = (wanted: number): WasmReader | undefined => {
    const found = sections.find(({ id }) => id === wanted);
    return found && new WasmReader(bytes, found.body, found.end);
  };
  const types = readTypes(open(Section.TYPE));
  const imports = readImports(open(Section.IMPORT), types);
  const own = open(Section.FUNCTION);
  const functions = [
    ...imports.filter(({ kind }) => kind === 'function').map(({ type }) => type),
    ...(own?.vector(() => types[own.unsigned()]) ?? []),
  ];
  const memory = open(Section.MEMORY);
  const globals = [
    ...imports.filter(({ kind }) => kind === 'global').map(() => undefined),
    ...readGlobals(open(Section.GLOBAL)),
  ];
  return {
    ...{ bytes, sections, imports },
    memories: memory?.vector(() => readLimits(memory)) ?? [],
    exports: readExports(open(Section.EXPORT), functions, globals),
  };
}

function readTypes(reader: WasmReader | undefined): (FunctionType | undefined)[] {
  if (reader === undefined) return [];
  const values = (): string[] => reader.vector(() => valueType(reader));
  // What is no function type (of later versions) ends the reading: the engine judges it
  let known = true;
  return reader.vector(() => {
    if (!known || reader.byte() !== 0x60) {
      known = false;
      return undefined;
    }
    return { parameters: values(), results: values() };
  });
}

function valueType(reader: WasmReader): string {
  const byte = reader.byte();
  // References of later versions: what they refer to follows
  if (byte === 0x63 || byte === 0x64) reader.signed();
  return VALUE_TYPES[byte] ?? `type 0x${byte.toString(16)}`;
}

function readLimits(reader: WasmReader): WasmLimits {
  const flags = reader.byte();
  const minimum = reader.unsigned();
  const maximum = (flags & 1) === 0 ? undefined : reader.unsigned();
  return { minimum, maximum, shared: (flags & 2) !== 0, memory64: (flags & 4) !== 0 };
}

function readImports(
  reader: WasmReader | undefined,
  types: readonly (FunctionType | undefined)[],
): WasmImport[] {
  return (
    reader?.vector(() => {
      const [module, name] = [reader.text(), reader.text()];
      const kind = readKind(reader);
      const type = kind === 'function' ? types[reader.unsigned()] : undefined;
      const limits = kind === 'memory' ? readLimits(reader) : undefined;
      if (kind === 'table') {
        reader.byte();
        readLimits(reader);
      }
      if (kind === 'global') reader.take(2);
      if (kind === 'tag') {
        reader.byte();
        reader.unsigned();
      }
      return { module, name, kind, type, limits };
    }) ?? []
  );
}

function readKind(reader: WasmReader): ExternalKind {
  return KINDS[reader.byte()] ?? reader.fail('has an entry of an unknown kind');
}

const I32_CONST = 0x41;
const I64_CONST = 0x42;
const END = 0x0b;

/** Values of the globals, as far as they are constants and simple. */
function readGlobals(reader: WasmReader | undefined): (bigint | undefined)[] {
  if (reader === undefined) return [];
  let known = true;
  return reader.vector(() => {
    if (!known) return undefined;
    valueType(reader);
    const mutable = reader.byte() === 1;
    const opcode = reader.byte();
    known = opcode === I32_CONST || opcode === I64_CONST;
    if (!known) return undefined;
    const value = reader.signed();
    known = reader.byte() === END;
    if (mutable) return undefined;
    return opcode === I32_CONST ? BigInt.asUintN(32, value) : BigInt.asUintN(64, value);
  });
}

function readExports(
  reader: WasmReader | undefined,
  functions: readonly (FunctionType | undefined)[],
  globals: readonly (bigint | undefined)[],
): WasmExport[] {
  return (
    reader?.vector(() => {
      const name = reader.text();
      const kind = readKind(reader);
      const index = reader.unsigned();
      const type = kind === 'function' ? functions[index] : undefined;
      return { name, kind, type, value: kind === 'global' ? globals[index] : undefined };
    }) ?? []
  );
}
