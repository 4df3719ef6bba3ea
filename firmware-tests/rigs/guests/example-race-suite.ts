// SPDX-License-Identifier: GPL-2.0-or-later

/** Races of the examples, on one architecture: as they are, and with a mistake. */

import type { Test } from 'uvu';
import * as assert from 'uvu/assert';
import { RACES, modelsOf } from '../../../tools/explore/memory/race-policy.ts';
import type { Architecture } from '../../../tools/explore/run.ts';
import { C_EQUIVALENT, C_MISSED, C_RACE_MUTANTS } from '../../mutants/c-race-mutants.ts';
import { missingCompiler } from './compiled-guest.ts';
import { example, found } from './raced-example.ts';

/** An example that is right stands all races. */
export function standsAll(races: Test, language: 'c' | 'rust', architecture: Architecture): void {
  races(`the example in ${language} stands every race of ${architecture}`, () => {
    if (missingCompiler(language)) return;
    const runner = example(`${language} on ${architecture}`, [], language, architecture);
    for (let i = 0; i < RACES; i++)
      for (const model of modelsOf(architecture))
        assert.equal(found(runner, `race.${i}/${model}`), []);
  });
}

/** Mistakes of the example in C: those that are found, each in its race, and those that are not. */
export function mistakesInC(races: Test, architecture: Architecture): void {
  const mutants = C_RACE_MUTANTS.filter((one) => (one.architecture ?? 'x64') === architecture);
  for (const { name, edits, race } of mutants) {
    races(`found: ${name}`, () => {
      if (missingCompiler('c')) return;
      assert.ok(found(example(name, edits, 'c', architecture), race).length > 0, race);
    });
  }
  for (const { name, edits, reason } of [...C_EQUIVALENT, ...C_MISSED]) {
    races(`not found: ${name} (${reason})`, () => {
      if (missingCompiler('c')) return;
      const runner = example(name, edits, 'c', architecture);
      for (const race of new Set(mutants.map((mutant) => mutant.race)))
        assert.equal(found(runner, race), []);
    });
  }
}
