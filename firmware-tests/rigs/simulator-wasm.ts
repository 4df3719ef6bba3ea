// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A guest as a WebAssembly module, assembled by hand: detects nothing, sets up identity, hypercall
 * page, message page, SINT2 and SynIC, posts INITIATE_CONTACT 5.3 and waits for the answer.
 */

/** Memory of a module: what `WebAssembly.Memory` is. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

/** What the module imports: the seam, with 64-bit values as bigint, as WebAssembly has them. */
export interface WasmSeam {
  rdmsr(msr: number): bigint;
  wrmsr(msr: number, value: bigint): void;
  hypercall(page: number, control: bigint, input: bigint): bigint;
  pause(): void;
}

/** WebAssembly, as far as it is used here: the types of Node have it not. */
interface WebAssemblyApi {
  readonly Memory: new (options: { initial: number; maximum: number }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: Record<string, object>,
  ) => { readonly exports: { readonly run: (result: number) => number } };
}

const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };

const WASM_PAGE = 0x10000;

// --- opcodes and types of the specification ---

const I32 = 0x7f;
const I64 = 0x7e;
const BLOCK_VOID = 0x40;
const UNREACHABLE = 0x00;
const LOOP = 0x03;
const IF = 0x04;
const END = 0x0b;
const BR = 0x0c;
const CALL = 0x10;
const LOCAL_GET = 0x20;
const I32_LOAD = 0x28;
const I32_STORE = 0x36;
const I32_CONST = 0x41;
const I64_CONST = 0x42;
const I32_EQZ = 0x45;
const I64_NE = 0x52;

/** Signed LEB128; for what is not negative and below 2^6 also the unsigned form. */
function leb(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (;;) {
    const byte = Number(rest & 0x7fn);
    rest >>= 7n;
    const done = (rest === 0n && byte < 0x40) || (rest === -1n && byte >= 0x40);
    bytes.push(done ? byte : byte | 0x80);
    if (done) return bytes;
  }
}

/** Unsigned LEB128. */
function uleb(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    bytes.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80);
    if (rest < 0x80) return bytes;
  }
}

const text = (name: string): number[] => [...uleb(name.length), ...Buffer.from(name)];
const vector = (items: readonly number[][]): number[] => [...uleb(items.length), ...items.flat()];
const section = (id: number, bytes: number[]): number[] => [id, ...uleb(bytes.length), ...bytes];

const i32 = (value: number): number[] => [I32_CONST, ...leb(value)];
const i64 = (value: bigint): number[] => [I64_CONST, ...leb(BigInt.asIntN(64, value))];
const load = [I32_LOAD, 2, 0];
const store = (address: number, value: number): number[] => [
  ...i32(address),
  ...i32(value),
  ...[I32_STORE, 2, 0],
];

/** Functions by number: the imports in order, then the module's own. */
const RDMSR = 0;
const WRMSR = 1;
const HYPERCALL = 2;
const PAUSE = 3;
const RUN = 4;

const HYPERCALL_PAGE = 0x200000;
const MESSAGE_PAGE = 0x201000;
const INPUT = 0x202000;
const SLOT = MESSAGE_PAGE + 2 * 256;

const wrmsr = (msr: number, value: bigint): number[] => [
  ...i32(msr),
  ...i64(value),
  ...[CALL, WRMSR],
];

/** `run(result)`: returns the word at `result` once the answer is there. */
const BODY: number[] = [
  ...wrmsr(0x40000000, 0x8100_0000_0000_0000n),
  ...wrmsr(0x40000001, BigInt(HYPERCALL_PAGE | 1)),
  ...wrmsr(0x40000083, BigInt(MESSAGE_PAGE | 1)),
  ...wrmsr(0x40000092, 0x75n),
  ...wrmsr(0x40000080, 1n),

  // The hypercall page must be there
  ...[...i32(0x40000001), CALL, RDMSR, ...i64(BigInt(HYPERCALL_PAGE | 1)), I64_NE],
  ...[IF, BLOCK_VOID, UNREACHABLE, END],

  // HvPostMessage: connection 4, type 1, 40 bytes of INITIATE_CONTACT
  ...[4, 0, 1, 40, 14, 0, 0x00050003, 0, 2, 0, 0, 0, 0, 0].flatMap((word, i) =>
    store(INPUT + 4 * i, word),
  ),
  ...[...i32(HYPERCALL_PAGE), ...i64(0x5cn), ...i64(BigInt(INPUT)), CALL, HYPERCALL],
  ...[...i64(0n), I64_NE, IF, BLOCK_VOID, UNREACHABLE, END],

  // Wait
  ...[LOOP, BLOCK_VOID, ...i32(SLOT), ...load, I32_EQZ],
  ...[IF, BLOCK_VOID, CALL, PAUSE, BR, 1, END, END],
  ...[LOCAL_GET, 0, ...load, END],
];

const type = (parameters: number[], results: number[]): number[] => [
  0x60,
  ...vector(parameters.map((p) => [p])),
  ...vector(results.map((r) => [r])),
];
const imported = (name: string, index: number): number[] => [
  ...[...text('seam'), ...text(name)],
  ...[0x00, index],
];

/** The module for a memory of `pages` WebAssembly pages. */
function moduleBytes(pages: number): Uint8Array {
  const types = [
    type([I32], [I64]),
    type([I32, I64], []),
    type([I32, I64, I64], [I64]),
    type([], []),
    type([I32], [I32]),
  ];
  const memory = [...text('seam'), ...text('memory'), 0x02, 0x01, ...uleb(pages), ...uleb(pages)];
  const imports = [
    imported('rdmsr', 0),
    imported('wrmsr', 1),
    imported('hypercall', 2),
    imported('pause', 3),
    memory,
  ];
  const code = [0, ...BODY];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vector(types)),
    ...section(2, vector(imports)),
    ...section(3, vector([[4]])),
    ...section(7, vector([[...text('run'), 0x00, RUN]])),
    ...section(10, vector([[...uleb(code.length), ...code]])),
  ]);
}

/** Assemble the guest. Its memory is there before it is instantiated: a machine is made of it. */
export function assemble(bytes: number): {
  readonly memory: WasmMemory;
  readonly instantiate: (seam: WasmSeam) => (result: number) => number;
} {
  const pages = bytes / WASM_PAGE;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const module = new WebAssembly.Module(moduleBytes(pages));
  return {
    memory,
    instantiate: (seam) =>
      new WebAssembly.Instance(module, { seam: { ...seam, memory } }).exports.run,
  };
}
