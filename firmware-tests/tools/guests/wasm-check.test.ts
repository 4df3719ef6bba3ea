// SPDX-License-Identifier: GPL-2.0-or-later

/** What is no guest is refused before anything of it runs, each thing by its name. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ABI_EXPORTS } from '../../../tools/guests/abi/abi.ts';
import { BadGuest } from '../../../tools/guests/guest-program.ts';
import { WasmProgram } from '../../../tools/guests/wasm-guest.ts';
import {
  abiImport,
  buildModule,
  firmware,
  i32,
  type BuiltFunction,
} from '../../rigs/guests/wasm-builder.ts';

const check = suite('guest modules');

/** What is said of bytes that are no guest. */
function refusal(bytes: Uint8Array): { text: string; advice: string } {
  try {
    void new WasmProgram('x.wasm', bytes);
  } catch (error) {
    if (!(error instanceof BadGuest)) throw error;
    assert.ok(error.message.startsWith('x.wasm: '), error.message);
    return { text: error.message.slice('x.wasm: '.length), advice: error.advice };
  }
  throw new Error('it was taken');
}

const good = firmware(['pause'], (index) => [0x10, index('pause'), ...i32(0)]);

check('a module that is one is taken', () => {
  const program = new WasmProgram('x.wasm', good);
  assert.is(program.kind, 'wasm');
  assert.is(program.boots, true);
  assert.is(program.drives, false);
  assert.is(program.cut, 'anywhere');
  const asks = firmware(['cancelled'], () => i32(0));
  assert.is(new WasmProgram('x.wasm', asks).cut, 'asked');
});

check('a module that is cut off anywhere is refused, not run', () => {
  for (let length = 0; length < good.length; length++) {
    const { text } = refusal(good.subarray(0, length));
    if (length >= 8)
      assert.match(text, /cut off|damaged|memory|exports|without|compile|as /, `${length}`);
  }
});

check('programs of other kinds are named', () => {
  const elf = (machine: number): Uint8Array => {
    const bytes = new Uint8Array(64);
    bytes.set([0x7f, 0x45, 0x4c, 0x46]);
    bytes[18] = machine;
    return bytes;
  };
  assert.is(refusal(elf(62)).text, 'it is an ELF file for x86-64, not a WebAssembly module');
  assert.is(refusal(elf(183)).text, 'it is an ELF file for arm64, not a WebAssembly module');
  assert.match(refusal(Uint8Array.from([0x4d, 0x5a, 0x90, 0])).text, /a PE file/);
  assert.match(refusal(new TextEncoder().encode('export function boot')).text, /no WebAssembly/);
  const component = Uint8Array.from([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]);
  assert.match(refusal(component).text, /a component/);
  const object = buildModule({ functions: [], custom: ['linking'] });
  const { text, advice } = refusal(object);
  assert.match(text, /object file that was not linked/);
  assert.match(advice, /wasm-ld/);
});

check('an import that is not there is named, with the one that was meant', () => {
  const misspelt = firmware([], () => i32(0), {
    imports: [{ module: 'hypxe', name: 'pauze' }],
  });
  assert.equal(refusal(misspelt), {
    text: 'it imports the function hypxe.pauze, which is not there',
    advice: 'Did you mean pause?',
  });
  const libc = firmware([], () => i32(0), { imports: [{ module: 'env', name: 'memcpy' }] });
  assert.match(refusal(libc).advice, /^Define memcpy in the guest/);
  const wasi = { module: 'wasi_snapshot_preview1', name: 'fd_write' };
  assert.match(refusal(firmware([], () => i32(0), { imports: [wasi] })).advice, /without WASI/);
  const global = { module: 'hypxe', name: 'pause', global: true } as const;
  assert.match(refusal(firmware([], () => i32(0), { imports: [global] })).text, /as a global/);
});

check('a wrong signature is told beside the right one', () => {
  const rdmsr = { ...abiImport('rdmsr'), parameters: ['i64'] } as const;
  const { text } = refusal(firmware([], () => i32(0), { imports: [rdmsr] }));
  assert.is(text, 'it imports hypxe.rdmsr as (i64) -> (i64), but it is (i32) -> (i64)');
  const functions: BuiltFunction[] = [
    { name: 'hypxe_abi', results: ['i32'], body: () => i32(1) },
    { name: 'hypxe_boot', results: ['i32'], body: () => i32(0) },
  ];
  assert.is(
    refusal(buildModule({ functions })).text,
    'it exports hypxe_boot as () -> (i32), but it is (i32) -> (i32)',
  );
});

check('exports that are missing are named, with a hint at the header', () => {
  const neither = refusal(buildModule({ functions: [] }));
  assert.is(neither.text, 'it exports neither hypxe_boot nor hypxe_probe');
  assert.match(neither.advice, /hypxe guest header c/);
  const probe: BuiltFunction = { name: 'hypxe_probe', results: ['i32'], body: () => i32(0) };
  const needed = ABI_EXPORTS.filter(({ of, optional }) => of !== 'firmware' && optional !== true);
  const names = needed.map(({ name }) => name).filter((name) => name !== 'hypxe_probe');
  const { text } = refusal(buildModule({ functions: [probe] }));
  assert.is(text, `it is a driver without ${names.join(', ')}`);
});

check('memory is one, under a name that is known', () => {
  assert.match(refusal(firmware([], () => i32(0), { memory: 'none' })).text, /has no memory/);
  assert.match(refusal(firmware([], () => i32(0), { memory: 'twice' })).text, /has 2 memories/);
  const other = firmware([], () => i32(0), { memory: ['env', 'ram'] });
  assert.is(refusal(other).text, 'it imports its memory as env.ram');
  for (const memory of ['imported', ['hypxe', 'memory']] as const) {
    void new WasmProgram(
      'x.wasm',
      firmware([], () => i32(0), { memory }),
    );
  }
});

check('a module that needs more memory than there is says so', () => {
  const program = new WasmProgram(
    'x.wasm',
    firmware([], () => i32(0), { pages: 100 }),
  );
  assert.throws(
    () => program.instantiate(4 << 20),
    /needs 6553600 bytes of memory, and has 4194304/,
  );
});

check.run();
