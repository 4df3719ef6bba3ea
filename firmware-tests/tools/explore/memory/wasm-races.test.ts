// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Guests in WebAssembly under races: their modules are rewritten to tell of each access. What the
 * rewriting does, with modules made here.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MEMORY } from '../../../../tools/explore/explored-guest.ts';
import { parsePlan } from '../../../../tools/explore/plan.ts';
import { Runner } from '../../../../tools/explore/run.ts';
import { machineFor } from '../../../../tools/guests/guest-machine.ts';
import type { GuestInstance } from '../../../../tools/guests/guest-program.ts';
import { WasmProgram } from '../../../../tools/guests/wasm-guest.ts';
import { profileNamed } from '../../../../tools/simulator/profiles/profiles.ts';
import {
  Op,
  call,
  firmware,
  i32,
  i64,
  load8,
  load32,
  store32,
  withSection,
} from '../../../rigs/guests/wasm-builder.ts';

const races = suite('explore: races of guests in WebAssembly');

const profile = profileNamed('server2022')!;

/** Run a module, watched, and again as it is. Returns what was told. */
function told(module: Uint8Array, all: string[] = []): string[] {
  const guest = new WasmProgram('x.wasm', module).instantiate(MEMORY) as GuestInstance;
  const machine = machineFor(guest, { profile, links: [], seed: 1 });
  const say = (what: string) => (at: number, length: number) =>
    void all.push(`${what} ${at.toString(16)}+${length}`);
  const watch = guest.watch!({
    load: say('load'),
    stores: {
      ...{ storing: say('storing'), stored: say('stored') },
      ordered: () => void all.push('ordered'),
      acquired: () => void all.push('acquired'),
      fenced: (what) => void all.push(`fenced ${what}`),
    },
  });
  guest.boot!(machine.bootSeam, {});
  watch.release();
  guest.boot!(machine.bootSeam, {});
  return all;
}

races('each load and store is told, with its place and length, and each barrier', () => {
  const module = firmware(
    ['barrier'],
    (index) => [
      ...store32(0x8000, i32(7)),
      ...[...i32(0), ...call(index('barrier'))],
      ...[...load8(0x8001), Op.DROP],
      ...[...i32(1), ...call(index('barrier'))],
      ...[...i32(2), ...call(index('barrier'))],
      // Of a function behind it: its number is another one now
      ...[...call(index('other')), Op.DROP],
      // memory.fill, memory.copy
      ...[...i32(0x9000), ...i32(1), ...i32(300), 0xfc, 11, 0],
      ...[...i32(0xa000), ...i32(0x9000), ...i32(200), 0xfc, 10, 0, 0],
      ...load32(0x8004),
    ],
    { functions: [{ name: 'other', results: ['i32'], body: () => load32(0x8000) }] },
  );
  assert.equal(told(module), [
    ...['storing 8000+4', 'stored 8000+4', 'fenced loads', 'load 8001+1'],
    ...['fenced stores', 'ordered', 'load 8000+4'],
    ...['storing 9000+300', 'stored 9000+300'],
    ...['load 9000+200', 'storing a000+200', 'stored a000+200', 'load 8004+4'],
  ]);
});

races('a module with instructions that are not known runs as it is', () => {
  // Vectors: i8x16.splat, drop
  const vectors = firmware([], () => [...i32(1), 0xfd, 15, Op.DROP, ...load32(0x8000)]);
  assert.equal(told(vectors), []);
});

/** Reads a word, and boots. */
const reading = firmware([], () => load32(0x8000));

races('nothing is told of no bytes, wherever they are', () => {
  const module = firmware([], () => [
    // memory.fill, memory.copy
    ...[...i32(0xa0000), ...i32(1), ...i32(0), 0xfc, 11, 0],
    ...[...i32(0xa0000), ...i32(0xa0000), ...i32(0), 0xfc, 10, 0, 0],
    ...load32(0x8000),
  ]);
  assert.equal(told(module), ['load 8000+4']);
});

races('nothing is told of what traps, however long it is', () => {
  const traps = [
    [...i32(0x9000), ...i32(1), ...i32(-1), 0xfc, 11, 0],
    [...i32(0x9000), ...i32(0x8000), ...i32(-1), 0xfc, 10, 0, 0],
    [...load32(MEMORY - 3), Op.DROP],
    store32(-4, i32(1)),
  ];
  for (const each of traps) {
    const all: string[] = [];
    const module = firmware([], () => [...load32(MEMORY - 4), Op.DROP, ...each, ...i32(0)]);
    assert.throws(() => told(module, all), /out of bounds/);
    assert.equal(all, [`load ${(MEMORY - 4).toString(16)}+4`]);
  }
});

races('names that cannot be read are left out, as the engine does', () => {
  const name = [4, ...new TextEncoder().encode('name')];
  // A length beyond the end; a number without an end; more names than bytes
  for (const bytes of [
    [1, 100, 1],
    [1, 0x80],
    [1, 2, 200, 1],
    [1, 4, 1, 0, 90, 65],
  ]) {
    assert.equal(told(withSection(reading, 0, [...name, ...bytes])), ['load 8000+4']);
  }
});

races('a module that only just compiles runs as it is', () => {
  // The most locals that engines take
  const functions = [{ name: 'full', locals: 50_000, body: () => [] }];
  const full = firmware([], (index) => [...call(index('full')), ...load32(0x8000)], { functions });
  assert.equal(told(full), []);
});

const findings = (module: Uint8Array, plan: string): readonly string[] => {
  const boot = new WasmProgram('x.wasm', module).instantiate(MEMORY) as GuestInstance;
  return new Runner({ boot }, profile).run(parsePlan(plan)).findings.map(({ text }) => text);
};

races('what it writes or reads beyond its map is found', () => {
  const stray = firmware([], () => [...store32(0xa0000, i32(1)), ...i32(0)]);
  assert.match(
    findings(stray, 'race.0/strong').join(),
    /4 bytes written to memory that it was not given, at [0-9a-f]+:wasm-function/,
  );
  const outside = firmware([], () => [...load32(0xa0000), Op.DROP, ...i32(0)]);
  const read = /4 bytes read outside of any allocation, at [0-9a-f]+:wasm-function/;
  assert.match(findings(outside, 'race.0/strong').join(), read);
  // Its own image, and what its map says is usable
  const own = firmware([], () => [
    ...[...store32(0x400, i32(1)), ...store32(0x180000, i32(1)), ...load32(0x180000)],
    ...[Op.DROP, ...i32(0)],
  ]);
  assert.equal(findings(own, 'race.0/strong'), []);
});

races('what it reads twice of a shared page is another thing the second time', () => {
  const [SIMP, page] = [0x40000083, 0x8000];
  const i32Ne = 0x47;
  const reads = firmware(['wrmsr'], (index) => [
    ...[...i32(SIMP), ...i64(BigInt(page | 1)), ...call(index('wrmsr'))],
    ...[...load32(page), ...load32(page), i32Ne, Op.IF, 0x40, Op.UNREACHABLE, Op.END],
    // Off again
    ...[...i32(SIMP), ...i64(0n), ...call(index('wrmsr')), ...i32(0)],
  ]);
  const crashes = (plan: string): boolean => /unreachable/.test(findings(reads, plan).join());
  assert.is(crashes('none'), false);
  assert.is(crashes('read.0/value:max'), true);
  // There is no other such place
  assert.is(crashes('read.1/value:max'), false);
});

races.run();
