// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Changes the WebAssembly module of v86 so that the simulated host can answer CPUID, RDMSR and
 * WRMSR. The module's interpreter calls its own functions for them, out of reach of JavaScript; so
 * the body of each gets a prefix: it calls an import that is there already, `io_port_read32`, with
 * the number of a port that no PC has, and returns if the answer is not 0. No function, import or
 * type is added, and every index stays as it was. (WebAssembly core specification 1.0, chapter 5.)
 */

/** The functions, and what their prefix calls the port. */
export const HOOK_PORTS = { cpuid: 0x10000, rdmsr: 0x10001, wrmsr: 0x10002 } as const;

/** The instructions by the names of their functions: two bytes of opcode each. */
const FUNCTIONS: Readonly<Record<string, number>> = {
  instr_0FA2: HOOK_PORTS.cpuid,
  instr_0F32: HOOK_PORTS.rdmsr,
  instr_0F30: HOOK_PORTS.wrmsr,
};

const IMPORT = 'io_port_read32';

const Section = { TYPE: 1, IMPORT: 2, FUNCTION: 3, EXPORT: 7, CODE: 10 } as const;
const Kind = { FUNCTION: 0, TABLE: 1, MEMORY: 2, GLOBAL: 3 } as const;
const I32 = 0x7f;
const Op = { IF: 0x04, END: 0x0b, RETURN: 0x0f, CALL: 0x10, I32_CONST: 0x41, VOID: 0x40 } as const;

/** The module is none in which this can be done: says what was not found. */
export class BadEmulator extends Error {}

/**
 * The changed module.
 *
 * @throws BadEmulator if it is no module, or has not what is to be changed
 */
export function patchEmulator(module: Uint8Array): Uint8Array<ArrayBuffer> {
  const view = new DataView(module.buffer, module.byteOffset, module.byteLength);
  if (module.length < 8 || view.getUint32(0) !== 0x0061736d || view.getUint32(4, true) !== 1) {
    throw new BadEmulator('it is no WebAssembly module of version 1');
  }
  const sections = readSections(module);
  const types = readTypes(section(sections, Section.TYPE));
  const imports = readImports(section(sections, Section.IMPORT));
  const own = section(sections, Section.FUNCTION).vector((reader) => reader.u32());
  const call = imports.findIndex(({ name }) => name === IMPORT);
  if (call < 0) throw new BadEmulator(`it imports no function ${IMPORT}`);
  requireType(IMPORT, types[imports[call]!.type], [I32], [I32]);

  // Which bodies, by their place in the code section
  section(sections, Section.CODE);
  const targets = new Map<number, number>();
  const exported = readExports(section(sections, Section.EXPORT));
  for (const [name, port] of Object.entries(FUNCTIONS)) {
    const index = exported.get(name);
    if (index === undefined) throw new BadEmulator(`it exports no function ${name}`);
    requireType(name, types[own[index - imports.length] ?? -1], [], []);
    targets.set(index - imports.length, port);
  }

  const parts: Uint8Array[] = [module.subarray(0, 8)];
  for (const { id, bytes, whole } of sections) {
    if (id !== Section.CODE) parts.push(whole);
    else parts.push(...sectionOf(id, withPrefixes(bytes, targets, call)));
  }
  return concatenated(parts);
}

/** The code section with a prefix in some bodies: behind the declarations of their variables. */
function withPrefixes(code: Uint8Array, targets: Map<number, number>, call: number): Uint8Array {
  const reader = new Reader(code);
  const count = reader.u32();
  const parts: Uint8Array[] = [Uint8Array.from(unsigned(count))];
  for (let i = 0; i < count; i++) {
    const body = reader.take(reader.u32());
    const port = targets.get(i);
    if (port === undefined) {
      parts.push(Uint8Array.from(unsigned(body.length)), body);
      continue;
    }
    const inside = new Reader(body);
    inside.vector((locals) => [locals.u32(), locals.byte()]);
    const prefix = Uint8Array.from([
      ...[Op.I32_CONST, ...signed(port), Op.CALL, ...unsigned(call)],
      ...[Op.IF, Op.VOID, Op.RETURN, Op.END],
    ]);
    parts.push(Uint8Array.from(unsigned(body.length + prefix.length)));
    parts.push(body.subarray(0, inside.at), prefix, body.subarray(inside.at));
  }
  return concatenated(parts);
}

interface WasmSection {
  readonly id: number;
  readonly bytes: Uint8Array;
  /** With its identifier and length. */
  readonly whole: Uint8Array;
}

function readSections(module: Uint8Array): WasmSection[] {
  const reader = new Reader(module, 8);
  const sections: WasmSection[] = [];
  while (!reader.done) {
    const begin = reader.at;
    const id = reader.byte();
    const bytes = reader.take(reader.u32());
    sections.push({ id, bytes, whole: module.subarray(begin, reader.at) });
  }
  return sections;
}

function section(sections: readonly WasmSection[], id: number): Reader {
  const found = sections.find((each) => each.id === id);
  if (found === undefined) throw new BadEmulator(`it has no section ${id}`);
  return new Reader(found.bytes);
}

function sectionOf(id: number, bytes: Uint8Array): Uint8Array[] {
  return [Uint8Array.from([id, ...unsigned(bytes.length)]), bytes];
}

interface FunctionType {
  readonly parameters: readonly number[];
  readonly results: readonly number[];
}

function readTypes(reader: Reader): FunctionType[] {
  return reader.vector(() => {
    if (reader.byte() !== 0x60) throw new BadEmulator('a type of it is no function type');
    const value = (): number => reader.byte();
    return { parameters: reader.vector(value), results: reader.vector(value) };
  });
}

/** The imported functions: they have the first indices. */
function readImports(reader: Reader): { name: string; type: number }[] {
  const all = reader.vector(() => {
    reader.text();
    const name = reader.text();
    const kind = reader.byte();
    const type = kind === Kind.FUNCTION ? reader.u32() : undefined;
    if (kind === Kind.TABLE) reader.byte();
    if (kind === Kind.TABLE || kind === Kind.MEMORY) reader.limits();
    if (kind === Kind.GLOBAL) reader.take(2);
    return { name, type };
  });
  return all.flatMap(({ name, type }) => (type === undefined ? [] : [{ name, type }]));
}

function readExports(reader: Reader): Map<string, number> {
  const all = reader.vector(() => {
    const name = reader.text();
    const kind = reader.byte();
    return [kind === Kind.FUNCTION ? name : '', reader.u32()] as const;
  });
  return new Map(all);
}

function requireType(
  name: string,
  type: FunctionType | undefined,
  parameters: readonly number[],
  results: readonly number[],
): void {
  const same = (a: readonly number[], b: readonly number[]): boolean => a.join() === b.join();
  if (type && same(type.parameters, parameters) && same(type.results, results)) return;
  throw new BadEmulator(`its function ${name} has another type`);
}

/** Reads the binary format. */
class Reader {
  at: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  get done(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    const value = this.#bytes[this.at++];
    if (value === undefined) throw new BadEmulator('it is cut short');
    return value;
  }

  take(length: number): Uint8Array {
    const begin = this.at;
    this.at += length;
    if (this.at > this.#bytes.length) throw new BadEmulator('it is cut short');
    return this.#bytes.subarray(begin, this.at);
  }

  /** LEB128, 32 bits. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new BadEmulator('it has a number of more than 32 bits');
  }

  text(): string {
    return new TextDecoder().decode(this.take(this.u32()));
  }

  limits(): void {
    const hasMost = (this.byte() & 1) !== 0;
    this.u32();
    if (hasMost) this.u32();
  }

  vector<T>(one: (reader: Reader) => T): T[] {
    const count = this.u32();
    if (count > this.#bytes.length) throw new BadEmulator('it is cut short');
    return Array.from({ length: count }, () => one(this));
  }
}

/** LEB128 of a number that is not negative. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  return [...bytes, value];
}

/** The same as a signed number: bit 6 of the last byte is its sign. */
function signed(value: number): number[] {
  const bytes = unsigned(value);
  const last = bytes.length - 1;
  return bytes[last]! < 0x40 ? bytes : [...bytes.slice(0, last), bytes[last]! | 0x80, 0];
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
