// SPDX-License-Identifier: GPL-2.0-or-later

/** The change of v86's module, on the version that is installed, and on modules that are others. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BadEmulator, patchEmulator } from '../../../../tools/guests/pc/wasm-patch.ts';
import { WASM } from '../../../rigs/pc/pc-rig.ts';

interface Engine {
  readonly Module: {
    new (bytes: Uint8Array): object;
    imports(module: object): { module: string; name: string; kind: string }[];
    exports(module: object): { name: string; kind: string }[];
  };
  readonly Instance: new (
    module: object,
    imports: object,
  ) => { readonly exports: Record<string, () => void> };
}
const { Module, Instance } = (globalThis as unknown as { WebAssembly: Engine }).WebAssembly;

const patching = suite('the change of the emulator');

patching('three bodies begin with a call, and nothing else is another', () => {
  const patched = patchEmulator(WASM);
  // A call of a port (6 bytes) and a branch (4); the lengths have as many bytes as before
  assert.is(patched.length - WASM.length, 30);
  const [before, after] = [new Module(WASM), new Module(patched)];
  assert.equal(Module.imports(after), Module.imports(before));
  assert.equal(Module.exports(after), Module.exports(before));
});

// --- a module of a few functions ---

const text = (value: string): number[] => [value.length, ...Buffer.from(value)];
const part = (id: number, contents: readonly number[]): number[] => [
  ...[id, contents.length],
  ...contents,
];

interface Small {
  readonly imported?: string;
  /** Name that the second function is exported under. */
  readonly second?: string;
  /** Type of the first function: 0 takes and returns i32, 1 nothing. */
  readonly type?: number;
}

/** Functions that each write a number to port 7, with a variable, and a memory in the imports. */
function small({
  imported = 'io_port_read32',
  second = 'instr_0F32',
  type = 1,
}: Small): Uint8Array {
  const names = ['instr_0FA2', second, 'instr_0F30'];
  const body = (value: number): number[] => {
    const code = [1, 1, 0x7f, 0x41, value, 0x10, 1, 0x1a, ...(type === 0 ? [0x41, 0] : []), 0x0b];
    return [code.length, ...code];
  };
  const types = [0x60, 1, 0x7f, 1, 0x7f, 0x60, 0, 0];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...part(1, [2, ...types]),
    ...part(2, [
      ...[3, ...text('env'), ...text('memory'), 2, 1, 1, 2],
      ...[...text('env'), ...text(imported), 0, 0],
      ...[...text('env'), ...text('say'), 0, 0],
    ]),
    ...part(3, [3, type, 1, 1]),
    ...part(7, [3, ...names.flatMap((name, i) => [...text(name), 0, i + 2])]),
    ...part(10, [3, ...[11, 12, 13].flatMap(body)]),
  ]);
}

patching('what the hook answers decides whether the body runs', () => {
  for (const answer of [0, 1]) {
    const said: number[] = [];
    const asked: number[] = [];
    const { Memory } = (
      globalThis as unknown as { WebAssembly: { Memory: new (d: object) => object } }
    ).WebAssembly;
    const env = {
      memory: new Memory({ initial: 1, maximum: 2 }),
      io_port_read32: (port: number) => (asked.push(port), answer),
      say: (value: number) => (said.push(value), 0),
    };
    const { exports } = new Instance(new Module(patchEmulator(small({}))), { env });
    for (const name of ['instr_0FA2', 'instr_0F32', 'instr_0F30']) exports[name]!();
    assert.equal(asked, [0x10000, 0x10001, 0x10002]);
    assert.equal(said, answer === 0 ? [11, 12, 13] : []);
  }
});

patching('a module in which what is to be changed is not found is refused by name', () => {
  const cases: [Uint8Array, RegExp][] = [
    [new TextEncoder().encode('no module, but long enough'), /no WebAssembly module/],
    [new Uint8Array(3), /no WebAssembly module/],
    [WASM.subarray(0, 8), /has no section 1/],
    [small({ imported: 'io_port_read16' }), /imports no function io_port_read32/],
    [small({ second: 'instr_0F33' }), /exports no function instr_0F32/],
    [small({ type: 0 }), /function instr_0FA2 has another type/],
  ];
  for (const [module, why] of cases) {
    const refused = (error: unknown): boolean =>
      error instanceof BadEmulator && why.test(error.message);
    assert.throws(() => patchEmulator(module), refused, String(why));
  }
});

patching('a module that is cut short anywhere is refused', () => {
  const whole = small({});
  for (let length = 0; length < whole.length; length++) {
    assert.throws(
      () => patchEmulator(whole.subarray(0, length)),
      (error: unknown) => error instanceof BadEmulator,
      `${length} bytes`,
    );
  }
});

patching.run();
