// SPDX-License-Identifier: GPL-2.0-or-later

/** The sentence of a run of a PC: it claims nothing that nobody has looked at. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { pcSummary, type PcOutcome } from '../../../tools/library/pc-outcome.ts';

const outcomes = suite('outcome of a PC');

type Stage = PcOutcome['stages'][number];

const stage = (name: string, end: Stage['end']): Stage => ({
  ...{ name, end, endedAt: 0, findings: [] },
});

/** A clean run with these owners. */
function clean(end: PcOutcome['end'], ...stages: Stage[]): string {
  const outcome = { verdict: 'clean', text: '', untouched: false, findings: [], end, stages };
  return pcSummary(outcome as unknown as PcOutcome);
}

outcomes('who still has the PC was not audited', () => {
  const text = 'the script is at its end, and iPXE still has the PC: nothing was audited';
  assert.is(clean('script', stage('iPXE', 'running')), text);
});

outcomes('of several owners those that have gone', () => {
  const text = 'the host has nothing of those that have gone any more, and Linux still has the PC';
  assert.is(clean('script', stage('iPXE', 'handoff'), stage('Linux', 'running')), text);
});

outcomes('all have gone', () => {
  const text = 'the host has nothing of this guest any more';
  assert.is(clean('booted', stage('iPXE', 'handoff')), text);
});

outcomes.run();
