// SPDX-License-Identifier: GPL-2.0-or-later

/** Hostile modules of WebAssembly: what they import, export, start, throw, catch and return. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runBootFlow, type Firmware, type FlowReport } from '../../../tools/flow/boot-flow.ts';
import { machineFor } from '../../../tools/guests/guest-machine.ts';
import { BadGuest, type GuestInstance } from '../../../tools/guests/guest-program.ts';
import { WasmProgram } from '../../../tools/guests/wasm-guest.ts';
import { Network } from '../../../tools/simulator/network/index.ts';
import { memoryFiles } from '../../../tools/simulator/network/index.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { hypxe, lastLine, write } from '../../rigs/cli-rig.ts';
import { assertHeld } from '../../rigs/guests/hostile-rig.ts';
import {
  Op,
  abiImport,
  buildModule,
  call,
  firmware,
  i32,
  i64,
  withStart,
  type BuiltModule,
} from '../../rigs/guests/wasm-builder.ts';

const modules = suite('hostile guests: modules');

const RAM = 8 << 20;

type Index = (name: string) => number;

/** Instructions that leave a page mapped. */
const dirty = (index: Index): number[] => [
  ...[...i32(0x40000083), ...i64(0x200001n), ...call(index('wrmsr'))],
];
/** A register that is not there. */
const fault = (index: Index): number[] => [...i32(0x12345), ...call(index('rdmsr')), Op.DROP];
const forEver = (body: readonly number[]): number[] => [
  ...[Op.LOOP, Op.VOID, ...body, Op.BRANCH, 0, Op.END],
];
/** `try { body } catch {}`. */
const caught = (body: readonly number[]): number[] => [
  ...[Op.TRY, Op.VOID, ...body, Op.CATCH_ALL, Op.END],
];

function boot(module: Uint8Array): FlowReport {
  const instance = new WasmProgram('x.wasm', module).instantiate(RAM) as GuestInstance;
  const network = new Network({ files: memoryFiles({}), bootFile: 'x' });
  const profile = profileNamed('server2022')!;
  const machine = machineFor(instance, { profile, links: [network.link(0)], seed: 1 });
  return runBootFlow({ machine, firmware: instance as Firmware, os: false, secondBoot: false });
}

/** A module that starts by itself. */
const starts = (body: (index: Index) => readonly number[]): Uint8Array =>
  withStart(
    firmware(['wrmsr'], () => i32(0), { functions: [{ name: 'start', hidden: true, body }] }),
    3,
  );

const ZEROS: BuiltModule['functions'] = [
  { name: 'hypxe_abi', results: ['i32'], body: () => i32(1) },
  { name: 'hypxe_probe', results: ['i32'], body: () => i32(1) },
  { name: 'hypxe_mac', parameters: ['i32', 'i32'], body: () => [] },
  { name: 'hypxe_link', parameters: ['i32'], results: ['i32'], body: () => i32(1) },
  { name: 'hypxe_open', parameters: ['i32'], results: ['i32'], body: () => i32(0) },
  { name: 'hypxe_close', parameters: ['i32'], body: () => [] },
  { name: 'hypxe_buffer', results: ['i32'], body: () => i32(4096) },
  {
    ...{ name: 'hypxe_transmit', parameters: ['i32', 'i32', 'i32'], results: ['i32'] },
    body: () => i32(0),
  },
  { name: 'hypxe_poll', parameters: ['i32'], body: () => [] },
  { name: 'hypxe_remove', body: () => [] },
];

/** A driver of which one function does something else. */
function driver(name: string, body: (index: Index) => readonly number[]): Uint8Array {
  return buildModule({
    ...{ heapBase: 8192, imports: ['received', 'transmitted'].map((each) => abiImport(each)) },
    functions: ZEROS.map((each) => (each.name === `hypxe_${name}` ? { ...each, body } : each)),
  });
}

const received = (index: Index, device: number, at: number, length: number): number[] => [
  ...[...i32(device), ...i32(at), ...i32(length), ...call(index('received'))],
];

for (const [what, module, told] of [
  [
    'that catches the fault of a register, and returns',
    firmware(['rdmsr'], (index) => [...caught(fault(index)), ...i32(0)]),
    /^crash: #GP on VP 0: rdmsr 0x12345/,
  ],
  [
    'that catches it, and goes on with the machine',
    firmware(['rdmsr', 'wrmsr'], (index) => [
      ...[...caught(fault(index)), ...caught(dirty(index)), ...i32(0)],
    ]),
    /^crash: #GP on VP 0: rdmsr 0x12345/,
  ],
  [
    'whose start function traps',
    starts(() => [Op.UNREACHABLE]),
    /^thrown: RuntimeError: unreachable/,
  ],
  [
    'whose data lies beyond its memory',
    firmware([], () => i32(0), { data: [[-4, 'xxxxxxxx']] }),
    /^thrown: RuntimeError: .*data segment is out of bounds/,
  ],
  [
    'that calls itself out of an import',
    firmware(['pause'], (index) => [
      ...[...call(index('pause')), Op.LOCAL_GET, 0, ...call(index('hypxe_boot'))],
    ]),
    /^(?:thrown: RangeError: Maximum call stack|crash: #DF)/,
  ],
  [
    'that logs four gigabytes',
    firmware(['log'], (index) => [
      ...[...i32(0), ...i32(0), ...i32(-1), ...call(index('log')), ...i32(0)],
    ]),
    /^thrown: GuestFault: log: 4294967295 bytes at 0x0 are not in RAM/,
  ],
  [
    'that frees the pages of others',
    firmware(['page_free'], (index) => [
      ...[...i32(0x200000), ...i32(-4096), ...call(index('page_free')), ...i32(0)],
    ]),
    /^thrown: GuestFault: page_free of 4294963200 bytes at 0x200000: not allocated/,
  ],
  [
    'that reserves without end',
    firmware(['reserve', 'pause'], (index) => [
      ...forEver([
        ...[...i32(0x200000), ...i32(4096), ...i32(0), ...i32(4), ...call(index('reserve'))],
        ...call(index('pause')),
      ]),
      ...i32(0),
    ]),
    /^thrown: GuestFault: too many calls of reserve/,
  ],
  [
    'that waits in steps of an hour',
    firmware(['delay'], (index) => [...forEver([...i32(-1), ...call(index('delay'))]), ...i32(0)]),
    /^hang: too much virtual time/,
  ],
  [
    'that calls a page at the end of memory',
    firmware(['hypercall'], (index) => [
      ...[...i32(-1), ...i64(-1n), ...i64(-1n), ...i64(-1n), ...call(index('hypercall'))],
      ...[Op.DROP, ...i32(0)],
    ]),
    /^crash: #UD on VP 0: call to 0xffffffff/,
  ],
  [
    'with another version, which it tells after it has begun',
    buildModule({
      ...{ heapBase: 4096, imports: [abiImport('wrmsr')] },
      functions: [
        { name: 'hypxe_abi', results: ['i32'], body: (index) => [...dirty(index), ...i32(7)] },
        { name: 'hypxe_boot', parameters: ['i32'], results: ['i32'], body: () => i32(0) },
      ],
    }),
    /^thrown: BadGuest: hypxe_abi returns 7/,
  ],
  [
    'that has two thousand million NICs',
    driver('probe', () => i32(0x7fffffff)),
    /^thrown: GuestFault: hypxe_probe: 2147483647 NICs/,
  ],
  [
    'whose buffer is not in RAM',
    driver('buffer', () => i32(-16)),
    /^thrown: GuestFault: hypxe_buffer: 2048 bytes at 4294967280 are not in RAM/,
  ],
  [
    'that has got a frame on a NIC that is none',
    driver('poll', (index) => received(index, -1, 0, 60)),
    /^thrown: GuestFault: there is no device 4294967295/,
  ],
  [
    'that has sent more than it was given',
    driver('poll', (index) =>
      forEver([...i32(0), ...i32(-5), ...call(index('transmitted'))]).concat(),
    ),
    /^thrown: GuestFault: transmitted\(0\): no frame is out/,
  ],
  [
    'that traps while it cleans up',
    driver('remove', () => [Op.UNREACHABLE]),
    /^thrown: RuntimeError: unreachable/,
  ],
] as [string, Uint8Array, RegExp][]) {
  modules(`a guest ${what}`, () => {
    const { verdict, ended } = boot(module);
    assert.match(`${ended?.kind}: ${ended?.text}`, told);
    assert.is.not(verdict, 'clean');
  });
}

for (const [what, module] of [
  ['writes from its start function', starts(dirty)],
  ['catches nothing, and leaves a page', firmware(['wrmsr'], (i) => [...dirty(i), ...i32(0)])],
  [
    'grows its memory first',
    firmware(['wrmsr'], (i) => [...i32(100), ...Op.GROW, Op.DROP, ...dirty(i), ...i32(0)]),
  ],
  ['lies in no memory', firmware(['wrmsr'], (i) => [...dirty(i), ...i32(0)], { heapBase: 0 })],
] as [string, Uint8Array][]) {
  modules(`what a guest has left that ${what} is told`, () => {
    const { verdict, findings } = boot(module);
    assert.is(verdict, 'findings');
    assert.match(findings.map(({ text }) => text).join(), /SIMP of VP 0 is enabled/);
  });
}

for (const [what, module] of [
  ['a file of the system', { imports: [{ module: 'wasi_snapshot_preview1', name: 'fd_write' }] }],
  ['__proto__', { imports: [{ module: 'hypxe', name: '__proto__' }] }],
  ['of __proto__', { imports: [{ module: '__proto__', name: 'constructor' }] }],
  ['a global', { imports: [{ module: 'hypxe', name: 'wrmsr', global: true }] }],
  ['memory without end', { pages: 65_536 }],
  ['more memory than there can be', { pages: 2 ** 40, memory64: true }],
  ['an image below zero', { heapBase: -1 }],
] as [string, Partial<BuiltModule>][]) {
  modules(`a guest that wants ${what} is refused`, () => {
    assert.throws(
      () => boot(firmware([], () => i32(0), module)),
      (error: unknown) => error instanceof BadGuest,
    );
  });
}

for (const [what, module] of [
  ['in its start function', starts(() => forEver([]))],
  ['while it cleans up', driver('remove', () => forEver([]))],
  ['with frames that it has got', driver('poll', (index) => forEver(received(index, 0, 0, 60)))],
] as [string, Uint8Array][]) {
  modules(`a guest that never ends ${what} is ended`, async () => {
    const name = write(`endless-${what.replaceAll(' ', '-')}.wasm`, module);
    const short = ['--size', '1', '--no-os', '--no-second-boot', '--watchdog', '1'];
    const run = await hypxe('boot', '--firmware', name, ...short);
    assertHeld(run);
    assert.is(run.code, 3);
    assert.match(lastLine(run), /^verdict: hang: the firmware hangs: no sign of life for 1 s/);
  });
}

modules('a name of its functions steers nothing where a trap is told', async () => {
  const evil = '\x1b[31mx\nverdict: clean';
  const functions = [{ name: evil, body: () => [Op.UNREACHABLE] }];
  const module = firmware([], (index) => [...call(index(evil)), ...i32(0)], { functions });
  const args = ['--size', '1', '--no-os', '--no-second-boot'];
  const run = await hypxe('boot', '--firmware', write('evil.wasm', module), ...args);
  assertHeld(run);
  assert.is(run.code, 3);
});

modules.run();
