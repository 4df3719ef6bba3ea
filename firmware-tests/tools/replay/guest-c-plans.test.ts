// SPDX-License-Identifier: GPL-2.0-or-later

/** A fresh recording of the example in C replays without a difference, whatever the plan. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compileExample } from '../../../tools/bench/example-guest.ts';
import { ROOT } from '../../../tools/build/build.mjs';
import { WasmProgram } from '../../../tools/guests/wasm-guest.ts';
import { missingCompiler } from '../../rigs/guests/compiled-guest.ts';
import { assertReplays, wasmGuest, type FreshGuest } from '../../rigs/lab/random-plans.ts';

/** Plans that are drawn, the first from this seed on; SEED=N and PLANS=N try others. */
const SEED = Number(process.env['SEED'] ?? 1);
const PLANS = Number(process.env['PLANS'] ?? 12);

const plans = suite('recordings of random plans: the example in C');

let guest: FreshGuest | undefined;

plans.before(() => {
  if (missingCompiler('c')) return;
  const example = compileExample(ROOT);
  assert.ok('bytes' in example);
  guest = wasmGuest(new WasmProgram('guest.wasm', example.bytes));
});

plans('drawn', () => {
  if (guest === undefined) return;
  for (let i = 0; i < PLANS; i++) assertReplays(guest, SEED + i);
});

/** What once was not the same, by the seed that has it. */
const ONCE: readonly (readonly [what: string, seed: number])[] = [
  ['a guest signals until its time is up, and is refused each time', 328],
  ['a device is given up because of it, and messages are refused, too', 392],
  ['both devices are taken away while a guest waits: the second message has waited', 671],
  ['a message waits behind another in a slot', 998],
  ['what the ring has held before comes out again at once', 464],
  ['a rescind comes while a guest reads that its time is up', 476],
  ['a rescind comes in the second read of the time', 6123],
];

for (const [what, seed] of ONCE)
  plans(what, () => {
    if (guest !== undefined) assertReplays(guest, seed);
  });

plans.run();
