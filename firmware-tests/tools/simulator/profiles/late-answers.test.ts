// SPDX-License-Identifier: GPL-2.0-or-later

/** A host under load: each kind of answer comes late, by as much as it was told. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LATE_ANSWERS } from '../../../../tools/simulator/profiles/late-answers.ts';
import { runBoot } from '../../../rigs/boot-rig.ts';

const MS = 10_000;

/** Ticks that a boot needs up to the handoff. */
function duration(lateAnswer: (typeof LATE_ANSWERS)[number], ms: number): number {
  const knobs = { lateAnswer, lateTicks: ms * MS };
  const { report } = runBoot({ knobs, flow: { os: false, secondBoot: false } });
  assert.is(report.verdict, 'clean', `${lateAnswer}, ${ms} ms`);
  return report.handoffAt;
}

const late = suite('late answers');
const prompt = duration('none', 300);

for (const answer of LATE_ANSWERS.filter((name) => name !== 'none')) {
  late(`knob lateAnswer: ${answer}`, () => {
    assert.ok(duration(answer, 300) >= prompt + 290 * MS);
  });
}

late('knob lateTicks: later by as much as it says', () => {
  const short = duration('version', 100);
  const long = duration('version', 400);
  assert.ok(long - short >= 290 * MS);
});

late.run();
