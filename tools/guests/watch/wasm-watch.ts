// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A module of WebAssembly that tells of its loads and stores: each instruction that touches memory
 * gets a call in front of it, and a store one behind it, too. It also exports all its variables, so
 * that an instance can be copied between two calls. Nothing else of the module changes but the
 * numbers of its functions. (WebAssembly core specification 2.0, chapter 5.)
 *
 * Modules with instructions that no guest of a compiler without atomics and vectors has are not
 * rewritten: they run as they are, and are not watched.
 */

import { WasmFormatError, WasmReader, unsignedBytes } from '../wasm-reader.ts';
import { readModule } from '../wasm-module.ts';
import { QUIET_PAGE } from './access-listener.ts';
import { hiddenState, hiddenVariable } from './wasm-hidden.ts';
import { NotKnown, skip, table, valueType } from './wasm-skip.ts';

/** Where the calls are imported from. Each takes an address, an offset and a length. */
export const WATCH_MODULE = 'hypxe_watch';
export const WATCH_CALLS = ['load', 'storing', 'stored'] as const;
/**
 * Globals that it exports: a page whose loads nobody has to be told of, and one whose stores. -1 as
 * long as there is none. What touches no other page makes no call.
 */
export const QUIET_GLOBALS = ['hypxe_watch.load', 'hypxe_watch.store'] as const;
/** What all begin with that is exported besides. */
export const ADDED = 'hypxe_watch.';

/** A module that tells. */
export interface WatchedModule {
  readonly bytes: Uint8Array;
  /** What an instance has besides memory and the globals that it exports; undefined: nothing. */
  readonly hidden: string | undefined;
}

const Section = { CUSTOM: 0, TYPE: 1, IMPORT: 2, FUNCTION: 3, EXPORT: 7, START: 8 } as const;
const [TABLE, GLOBAL, ELEMENT, CODE] = [4, 6, 9, 10];

const QUIET_SHIFT = Math.log2(QUIET_PAGE);

const I32 = 0x7f;
const END = 0x0b;
const REF_FUNC = 0xd2;
/** Locals that each function gets: three of 32 bits, and one of each type that a store may have. */
const LOCALS = [I32, I32, I32, I32, 0x7e, 0x7d, 0x7c] as const;
const VALUE_LOCAL: Readonly<Record<number, number>> = { 0x7f: 3, 0x7e: 4, 0x7d: 5, 0x7c: 6 };

/** Loads by opcode: bytes that they read. Stores: bytes, and the type of the value. */
const LOADS: Readonly<Record<number, number>> = {
  ...{ 0x28: 4, 0x29: 8, 0x2a: 4, 0x2b: 8, 0x2c: 1, 0x2d: 1, 0x2e: 2, 0x2f: 2 },
  ...{ 0x30: 1, 0x31: 1, 0x32: 2, 0x33: 2, 0x34: 4, 0x35: 4 },
};
const STORES: Readonly<Record<number, readonly [bytes: number, type: number]>> = {
  ...{ 0x36: [4, I32], 0x37: [8, 0x7e], 0x38: [4, 0x7d], 0x39: [8, 0x7c] },
  ...{ 0x3a: [1, I32], 0x3b: [2, I32], 0x3c: [1, 0x7e], 0x3d: [2, 0x7e], 0x3e: [4, 0x7e] },
};

/** The module that tells; undefined if it cannot be rewritten. */
export function watchedModule(bytes: Uint8Array): WatchedModule | undefined {
  try {
    return new Rewriter(bytes).module();
  } catch (error) {
    // Of what the engine has compiled: something newer than what is read here
    if (error instanceof NotKnown || error instanceof WasmFormatError) return undefined;
    throw error;
  }
}

class Rewriter {
  readonly #bytes: Uint8Array;
  readonly #sections: ReturnType<typeof readModule>['sections'];
  /** Functions that it imports, and types that it has. */
  readonly #imports: number;
  /** Globals in front of those that are added. */
  #globals: number;
  #types = 0;
  /** Parameters of each type, and the type of each function of its own. */
  #parameters: number[] = [];
  #functions: number[] = [];
  /** Variables, by their numbers. */
  readonly #variables: number[] = [];
  #hidden: string | undefined;

  constructor(bytes: Uint8Array) {
    const { sections, imports } = readModule(bytes);
    this.#bytes = bytes;
    this.#sections = sections;
    const count = (what: string): number => imports.filter(({ kind }) => kind === what).length;
    this.#imports = count('function');
    this.#globals = count('global');
  }

  module(): WatchedModule {
    const out: number[] = [...this.#bytes.subarray(0, 8)];
    const globals = this.#sections.some(({ id }) => id === GLOBAL);
    for (const { id, begin, body, end, name } of this.#sections) {
      // A module without globals gets the section, where it has to stand
      if (id === Section.EXPORT && !globals) {
        const section = this.#globalSection(new WasmReader(Uint8Array.of(0)));
        push(out, [GLOBAL, ...unsignedBytes(section.length)], section);
      }
      const reader = new WasmReader(this.#bytes, body, end);
      const written =
        id === Section.CUSTOM ? this.#custom(reader, name) : this.#section(id, reader);
      if (written === undefined) push(out, this.#bytes.subarray(begin, end));
      else push(out, [id, ...unsignedBytes(written.length)], written);
    }
    return { bytes: Uint8Array.from(out), hidden: this.#hidden };
  }

  /** A section as it is to be; undefined if it stays. */
  #section(id: number, reader: WasmReader): number[] | undefined {
    switch (id) {
      case Section.TYPE:
        return this.#typeSection(reader);
      case Section.IMPORT:
        return this.#importSection(reader);
      case Section.FUNCTION:
        this.#functions = reader.vector(() => reader.unsigned());
        return undefined;
      case TABLE:
        reader.vector(() => table(reader));
        return undefined;
      case GLOBAL:
        return this.#globalSection(reader);
      case Section.EXPORT:
        return this.#exportSection(reader);
      case Section.START:
        return this.#call(reader.unsigned());
      case ELEMENT:
        return list(reader, () => this.#element(reader));
      case CODE: {
        let nth = 0;
        return list(reader, () => this.#body(reader, this.#functions[nth++]!));
      }
      default:
        return undefined;
    }
  }

  #typeSection(reader: WasmReader): number[] {
    const at = reader.position;
    this.#parameters = reader.vector(() => {
      if (reader.byte() !== 0x60) throw new NotKnown();
      const count = reader.vector(() => valueType(reader)).length;
      reader.vector(() => valueType(reader));
      return count;
    });
    this.#types = this.#parameters.length;
    const entries = this.#bytes.subarray(at, reader.position);
    // The count may be written longer than it has to be
    const count = entries.findIndex((byte) => byte < 0x80) + 1;
    // Of the calls: three numbers, no result
    return [
      ...unsignedBytes(this.#types + 1),
      ...entries.subarray(count),
      0x60,
      3,
      I32,
      I32,
      I32,
      0,
    ];
  }

  #importSection(reader: WasmReader): number[] {
    const count = reader.unsigned();
    const added = WATCH_CALLS.flatMap((name) => [
      ...[...named(WATCH_MODULE), ...named(name), 0, ...unsignedBytes(this.#types)],
    ]);
    const rest = this.#bytes.subarray(reader.position, reader.end);
    return [...unsignedBytes(count + WATCH_CALLS.length), ...rest, ...added];
  }

  /** Two more: i32, of variables, and -1 at first. */
  #globalSection(reader: WasmReader): number[] {
    const globals = reader.vector(() => this.#global(reader, this.#globals++));
    return vector([...globals, ...QUIET_GLOBALS.map(() => [I32, 1, 0x41, 0x7f, END])]);
  }

  #exportSection(reader: WasmReader): number[] {
    const exports = reader.vector(() => this.#export(reader));
    const added = QUIET_GLOBALS.map((name, i) => [...named(name), 3, ...this.#quiet(i)]);
    const variables = this.#variables.map((index) => [
      ...[...named(`${ADDED}global.${index}`), 3, ...unsignedBytes(index)],
    ]);
    return vector([...exports, ...added, ...variables]);
  }

  /** The number of an added global. */
  #quiet(nth: number): number[] {
    return unsignedBytes(this.#globals + nth);
  }

  #export(reader: WasmReader): number[] {
    const begin = reader.position;
    if (reader.text().startsWith(ADDED)) throw new NotKnown();
    const kind = reader.byte();
    const name = this.#bytes.subarray(begin, reader.position);
    const index = reader.unsigned();
    return [...name, ...(kind === 0 ? this.#call(index) : unsignedBytes(index))];
  }

  /** The number of a function, now that there are more imports. */
  #call(index: number): number[] {
    return unsignedBytes(index < this.#imports ? index : index + WATCH_CALLS.length);
  }

  /** A global: what it is at first may be a function. */
  #global(reader: WasmReader, index: number): number[] {
    const begin = reader.position;
    valueType(reader);
    if (reader.byte() === 1) {
      this.#variables.push(index);
      this.#hidden ??= hiddenVariable(this.#bytes[begin]!);
    }
    const out = [...this.#bytes.subarray(begin, reader.position)];
    for (;;) {
      const at = reader.position;
      const opcode = reader.byte();
      if (opcode === REF_FUNC) push(out, [REF_FUNC, ...this.#call(reader.unsigned())]);
      else {
        skip(reader, opcode);
        push(out, this.#bytes.subarray(at, reader.position));
      }
      if (opcode === END) return out;
    }
  }

  /** Functions of a table: in the one form that compilers write. */
  #element(reader: WasmReader): number[] {
    if (reader.byte() !== 0 || reader.byte() !== 0x41) throw new NotKnown();
    const begin = reader.position;
    reader.signed();
    const offset = this.#bytes.subarray(begin, reader.position);
    if (reader.byte() !== 0x0b) throw new NotKnown();
    return [0, 0x41, ...offset, 0x0b, ...list(reader, () => this.#call(reader.unsigned()))];
  }

  /** As it is to be, without names that cannot be read: an engine does without them, too. */
  #custom(reader: WasmReader, name: string | undefined): number[] | undefined {
    if (name !== 'name') return undefined;
    try {
      return this.#names(reader);
    } catch (error) {
      if (!(error instanceof WasmFormatError)) throw error;
      return [4, ...new TextEncoder().encode('name')];
    }
  }

  /** The names of functions; of names everything else is left out. */
  #names(reader: WasmReader): number[] {
    const begin = reader.position;
    reader.text();
    const out = [...this.#bytes.subarray(begin, reader.position)];
    while (!reader.atEnd) {
      const id = reader.byte();
      const end = reader.unsigned() + reader.position;
      if (id === 1) {
        const names = list(reader, () => {
          const index = this.#call(reader.unsigned());
          const begin = reader.position;
          reader.text();
          return [...index, ...this.#bytes.subarray(begin, reader.position)];
        });
        push(out, [1, ...unsignedBytes(names.length)], names);
      }
      reader.position = end;
    }
    return out;
  }

  // --- code ---

  #body(reader: WasmReader, type: number): number[] {
    const end = reader.unsigned() + reader.position;
    let locals = this.#parameters[type]!;
    const declared = list(reader, () => {
      const begin = reader.position;
      locals += reader.unsigned();
      valueType(reader);
      return [...this.#bytes.subarray(begin, reader.position)];
    });
    const groups = new WasmReader(Uint8Array.from(declared)).unsigned();
    const entries = declared.slice(unsignedBytes(groups).length);
    const out = [
      ...[...unsignedBytes(groups + LOCALS.length), ...entries],
      ...LOCALS.flatMap((each) => [1, each]),
    ];
    while (reader.position < end) this.#instruction(reader, out, locals);
    return [...unsignedBytes(out.length), ...out];
  }

  #instruction(reader: WasmReader, out: number[], locals: number): void {
    const begin = reader.position;
    const opcode = reader.byte();
    const asItIs = (): void => push(out, this.#bytes.subarray(begin, reader.position));
    if (opcode in LOADS || opcode in STORES) {
      // The alignment; with bit 6 the number of the memory follows, of which there is one
      if ((reader.unsigned() & 0x40) !== 0) reader.unsigned();
      const offset = reader.unsigned();
      return this.#access(out, opcode, offset, locals, asItIs);
    }
    if (opcode === 0x10 || opcode === 0x12 || opcode === REF_FUNC) {
      return push(out, [opcode, ...this.#call(reader.unsigned())]);
    }
    if (opcode === 0xfc) return this.#bulk(reader, out, locals, asItIs);
    this.#hidden ??= hiddenState(opcode);
    skip(reader, opcode);
    asItIs();
  }

  #access(out: number[], opcode: number, offset: number, first: number, asItIs: () => void): void {
    const load = LOADS[opcode];
    const [bytes, type] = load === undefined ? STORES[opcode]! : [load, 0];
    const at = get(first);
    const told = (name: (typeof WATCH_CALLS)[number]): number[] => [
      ...this.#ifHeard(first, offset, bytes, name === 'load' ? 0 : 1),
      ...[...at, ...constant(offset), ...constant(bytes), 0x10, ...this.#hook(name), END],
    ];
    if (load !== undefined) {
      push(out, [...set(first), ...told('load'), ...at]);
      return asItIs();
    }
    const value = first + VALUE_LOCAL[type]!;
    push(out, [...set(value), ...set(first), ...told('storing'), ...at, ...get(value)]);
    asItIs();
    push(out, told('stored'));
  }

  /** `if` what is touched is not all in the quiet page. What is beyond 4 GiB traps anyway. */
  #ifHeard(first: number, offset: number, bytes: number, which: number): number[] {
    const begin = first + 1;
    const other = [...constant(QUIET_SHIFT), 0x76, 0x23, ...this.#quiet(which), 0x47];
    const end = [...get(begin), ...constant(bytes - 1), 0x6a, ...other, 0x72];
    const tee = [...get(first), ...constant(offset), 0x6a, 0x22, ...unsignedBytes(begin)];
    return [...tee, ...other, ...(bytes > 1 ? end : []), 0x04, 0x40];
  }

  /** Copies and fills: three numbers, the last of which is a length. */
  #bulk(reader: WasmReader, out: number[], first: number, asItIs: () => void): void {
    const operation = reader.unsigned();
    // memory.init, data.drop, memory.copy, memory.fill; table.*: two numbers, or one
    const numbers = [2, 1, 2, 1, 2, 1, 2, 1, 1, 1][operation - 8] ?? (operation < 8 ? 0 : NaN);
    if (Number.isNaN(numbers)) throw new NotKnown();
    for (let i = 0; i < numbers; i++) reader.unsigned();
    this.#hidden ??= hiddenState(0xfc, operation);
    if (operation !== 8 && operation !== 10 && operation !== 11) return asItIs();
    const [to, from, length] = [first, first + 1, first + 2];
    const told = (at: number, what: (typeof WATCH_CALLS)[number]): number[] => [
      ...[...get(at), ...constant(0), ...get(length), 0x10, ...this.#hook(what)],
    ];
    push(out, [...set(length), ...set(from), ...set(to)]);
    if (operation === 10) push(out, told(from, 'load'));
    push(out, [...told(to, 'storing'), ...get(to), ...get(from), ...get(length)]);
    asItIs();
    push(out, told(to, 'stored'));
  }

  #hook(name: (typeof WATCH_CALLS)[number]): number[] {
    return unsignedBytes(this.#imports + WATCH_CALLS.indexOf(name));
  }
}

/** A name with its length. */
const named = (name: string): number[] => [name.length, ...new TextEncoder().encode(name)];

const get = (local: number): number[] => [0x20, ...unsignedBytes(local)];
const set = (local: number): number[] => [0x21, ...unsignedBytes(local)];

/** i32.const of an unsigned number. */
function constant(value: number): number[] {
  const bytes = [0x41];
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

/** A vector whose entries are written anew. */
function list(reader: WasmReader, entry: () => readonly number[]): number[] {
  return vector(reader.vector(entry));
}

function vector(entries: readonly (readonly number[])[]): number[] {
  const out: number[] = [];
  push(out, ...entries);
  return [...unsignedBytes(entries.length), ...out];
}

function push(out: number[], ...parts: readonly ArrayLike<number>[]): void {
  for (const part of parts) for (let i = 0; i < part.length; i++) out.push(part[i]!);
}
