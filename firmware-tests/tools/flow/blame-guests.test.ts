// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The same as blame.test.ts, of a guest that is not ours: the example in C. Whatever the host does
 * of its own accord, in flows of one to six steps, it is not blamed; and a kernel that finds
 * nothing is never without an error. `SEED` and `FLOWS` choose others.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compileExample } from '../../../tools/bench/example-guest.ts';
import { ROOT } from '../../../tools/build/build.mjs';
import { runBootFlow, type Firmware } from '../../../tools/flow/boot-flow.ts';
import type { GuestInstance } from '../../../tools/guests/guest-program.ts';
import { WasmProgram } from '../../../tools/guests/wasm-guest.ts';
import { makeMachine } from '../../../tools/scenarios/rig.ts';
import { MEMORY, blamed, deadWithoutError, randomFlow } from '../../rigs/blame-rig.ts';
import { missingCompiler } from '../../rigs/guests/compiled-guest.ts';

const FIRST = Number(process.env['SEED'] ?? 1);
const FLOWS = Number(process.env['FLOWS'] ?? 12);

const blame = suite('flows: whom the audit blames, of a guest in C');

blame('flows in which nobody forgets anything', () => {
  if (missingCompiler('c')) return;
  const compiled = compileExample(ROOT);
  assert.ok('bytes' in compiled);
  const program = new WasmProgram('guest.wasm', compiled.bytes);
  let booted = 0;
  for (let seed = FIRST; seed < FIRST + FLOWS; seed++) {
    const guest = program.instantiate(MEMORY) as GuestInstance;
    const { text, report } = randomFlow(seed, { guest, x64: true });
    assert.equal(blamed(report.stages), [], text);
    assert.equal(deadWithoutError(report.stages), [], text);
    assert.is(report.ended, undefined, `${text}: ${report.ended?.text}`);
    if (report.boot?.status === 'booted') booted++;
  }
  assert.ok(booted > FLOWS / 3, `${booted} of ${FLOWS}`);
});

blame('a host that completes nothing: there is no room for the steps of the clean-up', () => {
  if (missingCompiler('c')) return;
  const compiled = compileExample(ROOT);
  assert.ok('bytes' in compiled);
  const program = new WasmProgram('guest.wasm', compiled.bytes);
  for (const first of [0, 1, 5]) {
    const guest = program.instantiate(MEMORY) as GuestInstance;
    const machine = makeMachine({ host: 'server2022' }, {}, guest);
    let count = 0;
    machine.nics[0]!.faults.withhold = () => count++ >= first;
    const firmware = guest as Firmware;
    const report = runBootFlow({ machine, firmware, strict: true, secondBoot: false });
    const laid = report.findings.filter(({ severity }) => severity !== 'info');
    assert.equal(laid, [], `from packet ${first} on`);
  }
});

blame.run();
