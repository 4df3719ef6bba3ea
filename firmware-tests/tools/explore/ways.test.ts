// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * That a run is fast costs nothing: it says the same as one that searches all of memory for what
 * the host has written, and the same whatever has run before it in the same worker.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Exploration } from '../../../tools/explore/exploration.ts';
import { parsePlan, planText } from '../../../tools/explore/plan.ts';
import { Random } from '../../../tools/simulator/base/random.ts';
import { MUTANTS } from '../../mutants/mutants.ts';
import { mutatedFirmware } from '../../mutants/bundle.ts';
import { newRunner } from '../../rigs/explore-rig.ts';

/** Every nth run of the exploration. */
const EVERY = 2503;

/** Of the order that is drawn; SEED=N tries others. */
const SEED = Number(process.env['SEED'] ?? 1);

/** A finding of the late-write trial. */
const LATE = 'usable memory written by the host after the handoff';

const test = suite('explore: ways to run');

function sample(walks: number): string[] {
  const exploration = new Exploration(newRunner(), { seed: 17, walks });
  const { total } = exploration;
  const numbers = Array.from({ length: Math.ceil(total / EVERY) }, (_, i) => i * EVERY);
  return numbers.map((run) => planText(exploration.plan(run)));
}

for (const architecture of ['x64', 'arm64'] as const) {
  test(`searching all of memory finds the same (${architecture})`, () => {
    const fast = newRunner(undefined, architecture);
    const plain = newRunner(undefined, architecture);
    plain.searchesAll = true;
    for (const text of sample(0)) {
      const plan = parsePlan(text);
      assert.equal(fast.run(plan), plain.run(plan), text);
    }
  });
}

test('each mutant is found both ways, with the same words', async () => {
  let late = 0;
  for (const mutant of MUTANTS) {
    const firmware = await mutatedFirmware([mutant]);
    const fast = newRunner(firmware);
    const plain = newRunner(firmware);
    plain.searchesAll = true;
    for (const text of mutant.found.slice(0, 1)) {
      const plan = parsePlan(text);
      const outcome = plain.run(plan);
      assert.equal(fast.run(plan), outcome, `${mutant.name}: ${text}`);
      if (outcome.findings.some(({ cause }) => cause === LATE)) late++;
    }
  }
  assert.ok(late > 0, 'the trial has something to find');
});

test('the order of the runs makes no difference', () => {
  const random = new Random(SEED);
  const texts = sample(EVERY * 4);
  const runner = newRunner();
  const inOrder = new Map(texts.map((text) => [text, runner.run(parsePlan(text))]));
  for (let i = texts.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [texts[i], texts[j]] = [texts[j]!, texts[i]!];
  }
  const other = newRunner();
  for (const text of texts)
    assert.equal(other.run(parsePlan(text)), inOrder.get(text), `${text}, SEED=${SEED}`);
});

test.run();
