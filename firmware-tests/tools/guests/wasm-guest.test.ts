// SPDX-License-Identifier: GPL-2.0-or-later

/** Whole firmware in WebAssembly on the simulated machine: what it can do, and how it ends. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runBootFlow, type Firmware, type FlowReport } from '../../../tools/flow/boot-flow.ts';
import { countMachine } from '../../../tools/flow/counts.ts';
import { machineFor } from '../../../tools/guests/guest-machine.ts';
import type { GuestInstance } from '../../../tools/guests/guest-program.ts';
import { WasmProgram } from '../../../tools/guests/wasm-guest.ts';
import type { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import {
  Op,
  call,
  firmware,
  i32,
  i64,
  load32,
  store32,
  type BuiltModule,
} from '../../rigs/guests/wasm-builder.ts';

const guests = suite('guests in WebAssembly');

const RAM = 8 << 20;
const GUEST_OS_ID = 0x4000_0000;
const SIMP = 0x4000_0083;
const STIMER0_CONFIG = 0x4000_00b0;
const STIMER0_COUNT = 0x4000_00b1;

/** Texts of the guests, by where they lie. */
const TEXT = 256;
const purpose: BuiltModule['data'] = [[TEXT, 'a thing']];
const PURPOSE = [...i32(TEXT), ...i32(7)];

interface Run {
  readonly report: FlowReport;
  readonly machine: SimulatedMachine;
  readonly bytes: Uint8Array;
}

function boot(module: Uint8Array, architecture: 'x64' | 'arm64' = 'x64'): Run {
  const instance = new WasmProgram('x.wasm', module).instantiate(RAM) as GuestInstance;
  const profile = profileNamed('server2022')!;
  const machine = machineFor(instance, { profile, links: [], seed: 1, architecture });
  const report = runBootFlow({ machine, firmware: instance as Firmware, os: false });
  return { report, machine, bytes: new Uint8Array(instance.memory) };
}

const ended = ({ report }: Run): string => `${report.ended?.kind}: ${report.ended?.text}`;

guests('who loads nothing is judged by its handoff alone', () => {
  const { report } = boot(firmware([], () => i32(0)));
  assert.is(report.verdict, 'clean');
  assert.is(report.boot?.status, 'booted');
  assert.is(report.boot?.image, undefined);
  assert.is(report.secondBoot?.status, 'booted');
  assert.equal(report.boot?.memoryMap, [
    { address: 0x1000, length: 0x9e000, type: 'usable' },
    { address: 0x100000, length: RAM - 0x100000, type: 'usable' },
  ]);
});

guests('and one that leaves something is found', () => {
  const left = firmware(['wrmsr'], (index) => [
    ...[...i32(GUEST_OS_ID), ...i64(0x8100n << 48n)],
    ...[...call(index('wrmsr')), ...i32(0)],
  ]);
  const { report } = boot(left);
  assert.is(report.verdict, 'findings');
  const [finding] = report.findings;
  assert.is(finding?.check, 'hypercall');
});

guests('one that logs for ever is ended by a bound', () => {
  const LOOP = [0x03, Op.VOID];
  const BRANCH = [0x0c, 0];
  const talks = firmware(['log'], (index) => [
    ...[...LOOP, ...i32(2), ...i32(TEXT), ...i32(1), ...call(index('log')), ...BRANCH, Op.END],
    ...i32(0),
  ]);
  assert.match(ended(boot(talks)), /log: 10000 lines without a call of the machine/);
});

guests('a status is an error with a name', () => {
  const { report } = boot(firmware([], () => i32(-19)));
  assert.is(report.verdict, 'refused');
  assert.is(report.boot?.error?.name, 'GuestNoDevice');
  assert.is(report.boot?.error?.message, 'hypxe_boot returned -19 (ENODEV)');
  assert.is(boot(firmware([], () => i32(-1234))).report.boot?.error?.name, 'GuestFailed');
});

guests('what it has loaded is reserved under its name', () => {
  const image = firmware(
    ['page_alloc'],
    (index) => [
      // image = page_alloc(8192, "a thing"); length 5000; name "a thing"
      ...[Op.LOCAL_GET, 0, ...i32(8192), ...PURPOSE, ...call(index('page_alloc')), 0x36, 2, 0],
      ...[Op.LOCAL_GET, 0, ...i32(5000), 0x36, 2, 8],
      ...[Op.LOCAL_GET, 0, ...i32(TEXT), 0x36, 2, 16],
      ...[Op.LOCAL_GET, 0, ...i32(7), 0x36, 2, 20, ...i32(0)],
    ],
    { data: purpose },
  );
  const { report } = boot(image);
  assert.is(report.verdict, 'clean');
  assert.is(report.boot?.image?.name, 'a thing');
  assert.is(report.boot?.image?.length, 5000);
  const reserved = report.boot!.memoryMap.filter(({ type }) => type === 'reserved');
  assert.equal(
    reserved.map(({ length, purpose: why }) => [length, why]),
    [[8192, 'boot image a thing']],
  );

  const outside = firmware([], () => [
    ...[Op.LOCAL_GET, 0, ...i32(RAM), 0x36, 2, 0, Op.LOCAL_GET, 0, ...i32(1), 0x36, 2, 8],
    ...i32(0),
  ]);
  assert.match(ended(boot(outside)), /^thrown: GuestFault: hypxe_boot: .* not in RAM/);
});

guests('memory does not grow, exported or imported', () => {
  for (const memory of ['exported', 'imported', ['hypxe', 'memory']] as const) {
    const grows = firmware([], () => [...i32(1), ...Op.GROW, ...i32(1), Op.I32_ADD], { memory });
    assert.is(boot(grows).report.verdict, 'clean', String(memory));
  }
});

guests('pages that are not given back are reserved, with their purpose', () => {
  const kept = firmware(
    ['page_alloc', 'reserve'],
    (index) => [
      ...[...i32(5000), ...PURPOSE, ...call(index('page_alloc')), Op.DROP],
      ...[...i32(0x300100), ...i32(16), ...PURPOSE, ...call(index('reserve')), ...i32(0)],
    ],
    { data: purpose },
  );
  const { report } = boot(kept);
  const reserved = report.boot!.memoryMap.filter(({ type }) => type === 'reserved');
  assert.equal(
    reserved.map(({ length, purpose: why }) => [length, why]),
    [
      [4096, 'a thing'],
      [8192, 'a thing'],
    ],
  );
  assert.is(reserved[0]!.address, 0x300000);
});

guests('pages come zeroed, and never from the guest itself', () => {
  const all = firmware(
    ['page_alloc'],
    // 7 MiB and a page more than there are above 1 MiB
    (index) => [...i32(0x700000), ...PURPOSE, ...call(index('page_alloc'))],
    { data: purpose },
  );
  // The last page is where the result is, so that there is no room
  assert.is(boot(all).report.boot?.status, 'booted');
});

guests('what is freed while the host has it is found there and then', () => {
  const early = firmware(
    ['page_alloc', 'page_free', 'wrmsr'],
    (index) => [
      ...store32(0, [...i32(4096), ...PURPOSE, ...call(index('page_alloc'))]),
      ...[...i32(SIMP), ...load32(0), 0xad, ...i64(1n), 0x84, ...call(index('wrmsr'))],
      ...[...load32(0), ...i32(4096), ...call(index('page_free'))],
      ...[...i32(SIMP), ...i64(0n), ...call(index('wrmsr')), ...i32(0)],
    ],
    { data: purpose },
  );
  const { report } = boot(early);
  assert.is(report.verdict, 'findings');
  assert.ok(
    report.findings.some(({ check: which, text }) => which === 'freed' && /a thing/.test(text)),
    JSON.stringify(report.findings),
  );
});

guests('breaking the interface ends a guest, in a sentence', () => {
  const free = firmware(['page_free'], (index) => [
    ...[...i32(0x200000), ...i32(4096), ...call(index('page_free')), ...i32(0)],
  ]);
  assert.is(
    ended(boot(free)),
    'thrown: GuestFault: page_free of 4096 bytes at 0x200000: not allocated',
  );
  const out = firmware(['cpuid'], (index) => [
    ...[...i32(1), ...i32(0), ...i32(RAM - 8), ...call(index('cpuid')), ...i32(0)],
  ]);
  assert.match(ended(boot(out)), /cpuid: 16 bytes at 0x7ffff8 are not in RAM/);
  const other = firmware(['rdtsc'], (index) => [...call(index('rdtsc')), Op.DROP, ...i32(0)]);
  const arm = ended(boot(other, 'arm64'));
  assert.match(arm, /rdtsc is of x64, and this machine is arm64/);
  const driver = firmware(['received'], (index) => [
    ...[...i32(0), ...i32(0), ...i32(0), ...call(index('received')), ...i32(0)],
  ]);
  assert.match(ended(boot(driver)), /for drivers, and this is a whole firmware/);
});

guests('a trap is a crash, with the functions of its stack', () => {
  const trap = firmware([], () => [Op.UNREACHABLE]);
  const run = boot(trap);
  assert.is(run.report.verdict, 'crash');
  assert.is(ended(run), 'thrown: RuntimeError: unreachable');
  assert.match(run.report.ended?.stack ?? '', /wasm-function|hypxe_boot/);
  // A load beyond memory, and a function that calls itself for ever
  assert.match(ended(boot(firmware([], () => load32(RAM)))), /RuntimeError: memory access out/);
  const endless = firmware([], (index) => [Op.LOCAL_GET, 0, ...call(index('hypxe_boot'))]);
  assert.match(ended(boot(endless)), /RangeError: Maximum call stack/);
});

guests('a fault of the machine ends it as it ends any guest', () => {
  const fault = firmware(['rdmsr'], (index) => [
    ...[...i32(0x12345), ...call(index('rdmsr')), Op.DROP, ...i32(0)],
  ]);
  assert.match(ended(boot(fault)), /^crash: #GP on VP 0: rdmsr 0x12345: no such register/);
});

guests('a delay takes its time in one turn, and a pause one turn', () => {
  const waits = firmware(['delay'], (index) => [
    ...[...i32(2_000_000), ...call(index('delay')), ...i32(0)],
  ]);
  const { report } = boot(waits);
  assert.ok(report.handoffAt >= 20_000_000, String(report.handoffAt));
  assert.ok(report.handoffAt < 20_000_100, String(report.handoffAt));
  assert.is(report.counts.pauses, 1);
});

guests('the memory map has the guest itself as reserved', () => {
  const map = firmware(['memory_map'], (index) => [
    // The first range, and how many there are
    ...[...i32(0), ...i32(64), ...call(index('memory_map')), Op.DROP],
    ...[...i32(99), ...i32(64), ...call(index('memory_map'))],
  ]);
  const { bytes, report } = boot(map);
  assert.is(report.boot?.status, 'booted');
  const view = new DataView(bytes.buffer);
  assert.is(view.getBigUint64(64, true), 0x1000n);
  assert.is(view.getBigUint64(72, true), 0xf000n);
  assert.is(view.getUint32(80, true), 1);
});

guests(
  'an interrupt is handled at the end of the import in which it came, never within itself',
  () => {
    const DIRECT = 0x1000n | (0x50n << 4n) | 0x8n;
    const [CALLS, DEPTH, WORST, VECTOR] = [16, 20, 24, 28];
    const add = (at: number, value: number): number[] =>
      store32(at, [...load32(at), ...i32(value), Op.I32_ADD]);
    const timer = firmware(
      ['wrmsr', 'pause', 'delay'],
      (index) => [
        ...[...i32(STIMER0_CONFIG), ...i64(DIRECT | 2n), ...call(index('wrmsr'))],
        ...[...i32(STIMER0_COUNT), ...i64(1000n), ...call(index('wrmsr'))],
        ...[...i32(350), ...call(index('delay')), ...i32(350), ...call(index('delay'))],
        ...[...i32(STIMER0_COUNT), ...i64(0n), ...call(index('wrmsr'))],
        ...[...i32(STIMER0_CONFIG), ...i64(0n), ...call(index('wrmsr')), ...i32(0)],
      ],
      {
        functions: [
          {
            name: 'hypxe_interrupt',
            parameters: ['i32'],
            body: (index) => [
              ...[...add(CALLS, 1), ...add(DEPTH, 1)],
              ...store32(WORST, [...load32(WORST), ...load32(DEPTH), 0x72]),
              ...store32(VECTOR, [Op.LOCAL_GET, 0]),
              ...[...i32(150), ...call(index('delay')), ...add(DEPTH, -1)],
            ],
          },
        ],
      },
    );
    const run = boot(timer);
    assert.is(run.report.ended, undefined);
    const view = new DataView(run.bytes.buffer);
    assert.ok(view.getUint32(CALLS, true) >= 4, String(view.getUint32(CALLS, true)));
    assert.is(view.getUint32(WORST, true), 1);
    assert.is(view.getUint32(VECTOR, true), 0x50);
  },
);

guests('a guest that never asks is cut in whatever import it is, and cannot go on', () => {
  let calls = 0;
  const waits = firmware(['pause'], (index) => [
    ...Array.from({ length: 9 }, () => call(index('pause'))).flat(),
    ...i32(0),
  ]);
  const instance = new WasmProgram('x.wasm', waits).instantiate(RAM) as GuestInstance;
  const profile = profileNamed('server2022')!;
  const machine = machineFor(instance, { profile, links: [], seed: 1 });
  const cancel = (): boolean => ++calls > 4;
  assert.throws(() => instance.boot!(machine.bootSeam, { cancel }), /cut in pause/);
  assert.is(countMachine(machine).pauses, 4);
});

guests.run();
