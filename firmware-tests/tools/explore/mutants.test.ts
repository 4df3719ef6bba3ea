// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * That the exploration finds bugs: every mutant of the firmware must be found. Quick by default;
 * with `MUTANTS=full` in the environment each mutant is explored until it is found, without a hint.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { singleFaults } from '../../../tools/explore/enumeration.ts';
import { parsePlan, planText, type Plan } from '../../../tools/explore/plan.ts';
import { record } from '../../../tools/explore/recording.ts';
import type { Runner } from '../../../tools/explore/run.ts';
import { FLOWS, kindOf, newRunner, scattered } from '../../rigs/explore-rig.ts';
import { mutatedFirmware } from '../../mutants/bundle.ts';
import { MUTANTS, type Mutant } from '../../mutants/mutants.ts';

const full = process.env['MUTANTS'] === 'full';

/** Regions of the list that a search visits in turn. */
const SCATTER = 101;

/** Runs after which a quick search gives up. */
const SEARCH_MAX = 400;

const test = suite('explore: mutants');

/** The runs that are made to find a mutant, in order. */
function* candidates(mutant: Mutant, sound: Runner): Generator<Plan> {
  if (!full) for (const text of mutant.found) yield parsePlan(text);
  const plans = FLOWS.flatMap((flow) => singleFaults(record(sound, flow)));
  if (full) {
    for (const flow of FLOWS) yield { flow, faults: [] };
    yield* scattered(plans, SCATTER);
    for (const text of mutant.found) yield parsePlan(text);
    return;
  }
  // The flow has changed since: others of the same kinds
  const kinds = mutant.found.map((text) => kindOf(parsePlan(text)));
  yield* scattered(plans, SCATTER)
    .filter((plan) => kinds.includes(kindOf(plan)))
    .slice(0, SEARCH_MAX);
}

const sound = newRunner(await mutatedFirmware([]));

test('there are at least 25, each of its own', () => {
  assert.ok(MUTANTS.length >= 25);
  assert.is(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length);
  assert.ok(MUTANTS.every(({ search, replace }) => search !== replace));
});

test('the firmware without a mutation shows nothing in the runs that find the mutants', () => {
  for (const text of new Set(MUTANTS.flatMap(({ found }) => found))) {
    assert.equal(sound.run(parsePlan(text)).findings, [], text);
  }
});

for (const mutant of MUTANTS) {
  test(`found: ${mutant.name}`, async () => {
    const runner = newRunner(await mutatedFirmware([mutant]));
    let runs = 0;
    for (const plan of candidates(mutant, sound)) {
      runs++;
      const [finding] = runner.run(plan).findings;
      if (finding === undefined) continue;
      if (full) console.log(`  ${mutant.name}: ${planText(plan)} after ${runs} runs`);
      return;
    }
    assert.unreachable(`${mutant.name}: not found in ${runs} runs`);
  });
}

test.run();
