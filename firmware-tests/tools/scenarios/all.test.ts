// SPDX-License-Identifier: GPL-2.0-or-later

/** Every scenario: the bug is caught by what it must be caught by, and its absence passes. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SCENARIOS } from '../../../tools/scenarios/index.ts';
import { runScenario } from '../../../tools/scenarios/scenario.ts';
import { complaints, errorChecks } from '../../rigs/flow-rig.ts';

const scenarios = suite('scenarios');

for (const scenario of SCENARIOS) {
  scenarios(`${scenario.name}: ${scenario.text}`, () => {
    const { broken, fixed, passed } = runScenario(scenario);
    assert.ok(broken.caught, `not caught: ${complaints(broken.findings).join('; ')}`);
    assert.is(fixed.caught, undefined);
    assert.is(fixed.ended, undefined);
    assert.equal(errorChecks(fixed.findings), []);
    assert.is(passed, true);
  });
}

scenarios('have names, texts and references of their own', () => {
  const names = SCENARIOS.map(({ name }) => name);
  assert.is(new Set(names).size, names.length);
  assert.ok(SCENARIOS.length >= 20);
  for (const { name, text, references } of SCENARIOS) {
    assert.match(name, /^[a-z0-9]+(-[a-z0-9]+)+$/);
    assert.ok(text.length > 20 && text.length < 100, name);
    assert.ok(references.length > 0, name);
  }
});

scenarios('fail if the bug is not there, or is there in both halves', () => {
  const [one] = SCENARIOS;
  assert.is(runScenario({ ...one!, run: () => one!.run('fixed') }).passed, false);
  assert.is(runScenario({ ...one!, run: () => one!.run('broken') }).passed, false);
});

scenarios.run();
