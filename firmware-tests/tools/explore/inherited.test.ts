// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A boot that ends before the host has heard of it, after an earlier owner: what that one has
 * shared stays as it was, and is laid to nobody; what the firmware itself did is undone.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as firmware from '../../../src/index.ts';
import { parsePlan } from '../../../tools/explore/plan.ts';
import { MUTANTS } from '../../mutants/mutants.ts';
import { mutatedFirmware } from '../../mutants/bundle.ts';
import { newRunner } from '../../rigs/explore-rig.ts';

const ENDS = [
  ...['alloc.0/fail', 'alloc.3/fail', 'alloc.3/fail-ever', 'alloc.4/fail', 'alloc.6/fail'],
  ...['step.3/handoff', 'step.12/handoff', 'call.0/status-ever:5'],
];

const inherited = suite('explore: what an earlier owner leaves to a boot that ends early');

for (const architecture of ['x64', 'arm64'] as const)
  inherited(`${architecture}: nothing is laid to the firmware`, () => {
    const runner = newRunner(firmware, architecture);
    for (const left of ['all', 'identity', 'contact', 'gpadls', 'channels'])
      for (const end of ENDS) {
        const plan = `owner.0/left:${left}+${end}`;
        assert.equal(runner.run(parsePlan(plan)).findings, [], plan);
      }
  });

inherited(
  'a firmware that leaves a connection of its own is found behind an earlier owner',
  async () => {
    const { search, file, replace } = MUTANTS.find(({ name }) => name === 'no UNLOAD at the end')!;
    const runner = newRunner(await mutatedFirmware([{ file, search, replace }]));
    const { findings } = runner.run(parsePlan('owner.0/left:all'));
    const unload = /^handoff: unload: no UNLOAD was sent/;
    assert.ok(
      findings.some(({ cause }) => unload.test(cause)),
      JSON.stringify(findings),
    );
  },
);

inherited.run();
