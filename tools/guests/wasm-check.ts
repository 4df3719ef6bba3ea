// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Whether a module is a guest: each thing that is wrong is said by its name, with what it should
 * be, before anything of it runs.
 */

import { didYouMean } from '../simulator/base/nearest.ts';
import { ABI_EXPORTS, ABI_IMPORTS, ABI_MODULE, wasmType, type AbiFunction } from './abi/abi.ts';
import { BadGuest } from './guest-program.ts';
import { memoryLimits } from './wasm-memory.ts';
import {
  isWasm,
  readModule,
  type FunctionType,
  type WasmImport,
  type WasmModule,
} from './wasm-module.ts';
import { WasmFormatError } from './wasm-reader.ts';

export type ModuleKind = 'firmware' | 'driver';

/** A module that is a guest. */
export interface CheckedModule {
  readonly module: WasmModule;
  readonly kind: ModuleKind;
  readonly memory64: boolean;
  /** Bytes of memory from 0 on that are the guest's code, data and stack. */
  readonly imageEnd: number;
  /** Least memory that it says it needs, in bytes. */
  readonly least: number;
}

const HEADER_ADVICE = 'See the header: hypxe guest header c, or hypxe guest header rust.';
const TARGET_ADVICE =
  'Compile for WebAssembly: clang --target=wasm32 and wasm-ld, or rustc with its target ' +
  'wasm32-unknown-unknown.';

/** Machines of ELF files, by number. */
const ELF_MACHINES: Readonly<Record<number, string>> = {
  3: 'i386',
  40: 'arm',
  62: 'x86-64',
  183: 'arm64',
  243: 'RISC-V',
  247: 'BPF',
};

/**
 * Check a file.
 *
 * @throws BadGuest
 */
export function checkModule(bytes: Uint8Array): CheckedModule {
  if (!isWasm(bytes)) throw new BadGuest(`it is ${otherKind(bytes)}`, TARGET_ADVICE);
  if (bytes[4] === 0x0d) {
    const text = 'it is a component of WebAssembly, not a module';
    throw new BadGuest(text, 'Give the core module, before it is made a component.');
  }
  let module: WasmModule;
  try {
    module = readModule(bytes);
  } catch (error) {
    if (!(error instanceof WasmFormatError)) throw error;
    throw new BadGuest(`${error.message}: it is cut off or damaged`, 'Build the module again.');
  }
  if (module.sections.some(({ name }) => name === 'linking')) {
    const advice = 'Link it: wasm-ld --no-entry --export=__heap_base FILE.o -o FILE.wasm.';
    throw new BadGuest('it is an object file that was not linked', advice);
  }
  const limits = checkMemory(module);
  const { memory64 } = limits;
  for (const each of module.imports) checkImport(each, memory64);
  const kind = checkExports(module, memory64);
  const least = limits.minimum * 65536;
  return { module, kind, memory64, least, imageEnd: heapBase(module) ?? least };
}

/** What a file is that is no module. */
function otherKind(bytes: Uint8Array): string {
  const begins = (...wanted: number[]): boolean => wanted.every((byte, i) => bytes[i] === byte);
  if (bytes.length === 0) return 'empty';
  if (begins(0x7f, 0x45, 0x4c, 0x46)) {
    const machine = (bytes[18] ?? 0) | ((bytes[19] ?? 0) << 8);
    const name = ELF_MACHINES[machine] ?? `machine ${machine}`;
    return `an ELF file for ${name}, not a WebAssembly module`;
  }
  if (begins(0x4d, 0x5a)) return 'a PE file (Windows, UEFI), not a WebAssembly module';
  if (begins(0xcf, 0xfa, 0xed, 0xfe)) return 'a Mach-O file, not a WebAssembly module';
  if (begins(0x21, 0x3c, 0x61, 0x72)) return 'an archive of object files, not a WebAssembly module';
  if (begins(0x42, 0x43, 0xc0, 0xde)) return 'LLVM bitcode, not a WebAssembly module';
  return 'no WebAssembly module';
}

function checkMemory(module: WasmModule) {
  const count = module.memories.length + module.imports.filter((i) => i.kind === 'memory').length;
  const limits = memoryLimits(module);
  if (limits === undefined) {
    throw new BadGuest('it has no memory: that is guest RAM', HEADER_ADVICE);
  }
  if (count > 1) throw new BadGuest(`it has ${count} memories: guest RAM is one`, HEADER_ADVICE);
  return limits;
}

function checkImport({ module, name, kind, type }: WasmImport, memory64: boolean): void {
  const full = `${module}.${name}`;
  if (kind === 'memory') {
    if (name === 'memory' && (module === ABI_MODULE || module === 'env')) return;
    throw new BadGuest(
      `it imports its memory as ${full}`,
      `Import it as ${ABI_MODULE}.memory or env.memory, or export it as memory.`,
    );
  }
  const known = module === ABI_MODULE ? ABI_IMPORTS.find((each) => each.name === name) : undefined;
  if (known === undefined) throw unknownImport(module, name, kind);
  if (kind !== 'function') {
    throw new BadGuest(`it imports ${full} as a ${kind}, but it is a function`, HEADER_ADVICE);
  }
  checkSignature(`it imports ${full} as`, known, type, memory64);
}

function unknownImport(module: string, name: string, kind: string): BadGuest {
  const what = `it imports the ${kind} ${module}.${name}, which is not there`;
  if (module === ABI_MODULE) {
    const names = ABI_IMPORTS.map((each) => each.name);
    return new BadGuest(what, didYouMean(name, names, HEADER_ADVICE));
  }
  if (module.startsWith('wasi')) {
    return new BadGuest(what, 'Compile without WASI and without libc: -nostdlib, no_std.');
  }
  const advice =
    `Define ${name} in the guest: there is no library behind it, and wasm-ld takes what is ` +
    'undefined for an import.';
  return new BadGuest(what, advice);
}

function checkExports(module: WasmModule, memory64: boolean): ModuleKind {
  const has = (name: string): boolean => module.exports.some((each) => each.name === name);
  if (!has('hypxe_boot') && !has('hypxe_probe')) {
    throw new BadGuest('it exports neither hypxe_boot nor hypxe_probe', HEADER_ADVICE);
  }
  const kind = has('hypxe_boot') ? 'firmware' : 'driver';
  const missing: string[] = [];
  for (const wanted of ABI_EXPORTS) {
    const { name, of, optional } = wanted;
    const found = module.exports.find((each) => each.name === name);
    if (found === undefined) {
      if (optional !== true && (of === 'all' || of === kind)) missing.push(name);
    } else if (found.kind !== 'function') {
      throw new BadGuest(`it exports ${name} as a ${found.kind}, not a function`, HEADER_ADVICE);
    } else checkSignature(`it exports ${name} as`, wanted, found.type, memory64);
  }
  if (missing.length > 0) {
    const what = kind === 'driver' ? 'a driver' : 'a whole firmware';
    throw new BadGuest(`it is ${what} without ${missing.join(', ')}`, HEADER_ADVICE);
  }
  return kind;
}

function checkSignature(
  what: string,
  wanted: AbiFunction,
  found: FunctionType | undefined,
  memory64: boolean,
): void {
  const right: FunctionType = {
    parameters: wanted.parameters.map(({ type }) => wasmType(type, memory64)),
    results: wanted.result === undefined ? [] : [wasmType(wanted.result, memory64)],
  };
  if (found !== undefined && signature(found) === signature(right)) return;
  const is = found === undefined ? 'something else' : signature(found);
  throw new BadGuest(`${what} ${is}, but it is ${signature(right)}`, HEADER_ADVICE);
}

const signature = ({ parameters, results }: FunctionType): string =>
  `(${parameters.join(', ')}) -> (${results.join(', ')})`;

/** Where the guest's code, data and stack end, as wasm-ld says. */
function heapBase(module: WasmModule): number | undefined {
  const value = module.exports.find(({ name }) => name === '__heap_base')?.value;
  return value === undefined ? undefined : Number(value);
}
