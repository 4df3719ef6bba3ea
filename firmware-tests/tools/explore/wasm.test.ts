// SPDX-License-Identifier: GPL-2.0-or-later

/** Guests in WebAssembly under exploration: cut where they are, and registers left alone. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { exploreReport } from '../../../tools/command/explore/explore-report.ts';
import type { ExploreRequest } from '../../../tools/command/explore/explore-options.ts';
import { Exploration } from '../../../tools/explore/exploration.ts';
import { MEMORY } from '../../../tools/explore/explored-guest.ts';
import type { Part } from '../../../tools/explore/part.ts';
import { parsePlan, type Plan } from '../../../tools/explore/plan.ts';
import { record } from '../../../tools/explore/recording.ts';
import { Tally } from '../../../tools/explore/tally.ts';
import { Runner } from '../../../tools/explore/run.ts';
import type { GuestInstance } from '../../../tools/guests/guest-program.ts';
import { WasmProgram } from '../../../tools/guests/wasm-guest.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { Op, call, firmware, i32, i64 } from '../../rigs/guests/wasm-builder.ts';

const explore = suite('exploration of guests in WebAssembly');

const isRaces = ({ faults }: Plan): boolean => faults.every(({ place }) => place === 'race');

const GUEST_OS_ID = 0x4000_0000;

function runner(module: Uint8Array): Runner {
  const boot = new WasmProgram('x.wasm', module).instantiate(MEMORY) as GuestInstance;
  return new Runner({ boot }, profileNamed('server2022')!);
}

/** Takes an identity, waits three turns, gives it back; asks or does not ask whether to go on. */
function patient(asks: boolean): Uint8Array {
  return firmware(asks ? ['wrmsr', 'pause', 'cancelled'] : ['wrmsr', 'pause'], (index) => {
    const identity = (value: bigint): number[] => [
      ...[...i32(GUEST_OS_ID), ...i64(value), ...call(index('wrmsr'))],
    ];
    const turn = call(index('pause'));
    // if (!cancelled()) pause(), three times
    const wait = asks
      ? [...call(index('cancelled')), Op.I32_EQZ, Op.IF, Op.VOID, ...turn, Op.END]
      : turn;
    return [...identity(0x8100n << 48n), ...wait, ...wait, ...wait, ...identity(0n), ...i32(0)];
  });
}

explore('its steps are recorded; its register writes are not refused: it could not survive', () => {
  const { places, outcome } = record(runner(patient(true)), 'boot');
  assert.is(outcome.status, 'booted');
  assert.equal(outcome.findings, []);
  assert.is(places.step.length, 5);
  assert.is(places.register.length, 0);
});

explore('one that asks is cut where it asks, and judged', () => {
  const { findings, status } = runner(patient(true)).run(parsePlan('step.1/handoff'));
  assert.equal(findings, []);
  assert.is(status, 'booted');
});

explore('one that never asks is cut off in the middle, which is no finding', () => {
  const { findings, status } = runner(patient(false)).run(parsePlan('step.1/handoff'));
  assert.equal(findings, []);
  assert.is(status, 'ended');
});

explore('one that leaves something is found', () => {
  const left = firmware(['wrmsr'], (index) => [
    ...[...i32(GUEST_OS_ID), ...i64(0x8100n << 48n), ...call(index('wrmsr')), ...i32(0)],
  ]);
  const { findings } = runner(left).run({ flow: 'boot', faults: [] });
  assert.match(findings.map(({ text }) => text).join(), /handoff: hypercall: GUEST_OS_ID/);
});

explore('of one that ends in a call of the machine it is told which function called', () => {
  // A hypercall through a page that is none
  const crashes = firmware(['hypercall'], (index) => [
    ...[...i32(0), ...i64(0n), ...i64(0n), ...i64(0n), ...call(index('hypercall')), Op.DROP],
    ...i32(0),
  ]);
  const { findings } = runner(crashes).run({ flow: 'boot', faults: [] });
  assert.match(findings[0]!.text, /^#UD on VP 0: .* at [0-9a-f]+:wasm-function\[\d+\]/);
});

explore(
  'of one whose accesses nobody sees neither reads nor races are in the list, and it says so',
  () => {
    // Vectors: i8x16.splat, drop
    const vectors = firmware([], () => [...i32(1), 0xfd, 15, Op.DROP, ...i32(0)]);
    const plain = firmware([], () => i32(0));
    for (const [module, seen] of [
      [vectors, false],
      [plain, true],
    ] as const) {
      const guest = runner(module);
      const list = new Exploration(guest, { seed: 1, walks: 0 });
      const { total, singles, places, fingerprint } = list;
      const races = Array.from({ length: total }, (_, run) => list.plan(run)).filter(isRaces);
      assert.is(races.length > 0, seen);
      assert.is(guest.run(parsePlan('race.0/strong')).fired, seen ? 1 : 0);
      const part = {
        ...{ format: 1, host: 'server2022', options: '', firmware: 'x.wasm', fingerprint },
        ...{ total, singles, places, shard: { index: 1, count: 1 }, complete: true, seconds: 1 },
        tally: new Tally().data,
      } as unknown as Part;
      const lines = exploreReport({ who: '' } as ExploreRequest, part);
      assert.is(lines.filter((line) => line.startsWith('unwatched ')).length, seen ? 0 : 1);
    }
  },
);

explore.run();
