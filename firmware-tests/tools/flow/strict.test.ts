// SPDX-License-Identifier: GPL-2.0-or-later

/** Warnings are kept, and count under `strict`, whichever stage of a flow they are of. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { carve } from '../../../src/memory/shared-memory.ts';
import type { Firmware, FlowReport } from '../../../tools/flow/boot-flow.ts';
import type { FlowStep } from '../../../tools/flow/flow-steps.ts';
import { runBoot } from '../../rigs/boot-rig.ts';

const test = suite('strict: every stage');

/** A page that a boot keeps for good, though the host has nothing there. */
const KEPT = 0x180000;

/** A firmware that keeps a page in its boot `nth`, counted from 0, and in no other. */
function keeping(nth: number): Firmware {
  let boots = 0;
  return {
    boot(machine, options) {
      const result = sources.boot(machine, options);
      if (boots++ !== nth) return result;
      const map = result.memoryMap.flatMap((each) => carve(each, KEPT, KEPT + 4096, 'kept'));
      return { ...result, memoryMap: map };
    },
  };
}

function warnings({ findings }: FlowReport): string[] {
  return findings.filter(({ severity }) => severity === 'warning').map(({ text }) => text);
}

const WARNING = '1 page from 0x180000 on reserved for good, but the host has nothing there (kept)';
const STAGES: [stage: string, nth: number, steps: FlowStep[], text: string][] = [
  ['the firmware', 0, [], WARNING],
  ['firmware that is chain-loaded', 1, ['chainload'], `chainload 1: ${WARNING}`],
  ['the second boot', 1, [], `after the second boot: ${WARNING}`],
  ['the second boot after a chain', 2, ['chainload'], `after the second boot: ${WARNING}`],
];

for (const [stage, nth, steps, text] of STAGES) {
  test(`a warning of ${stage} is told, and a finding under strict`, () => {
    const verdictOf = (strict: boolean) => {
      const { report } = runBoot({ firmware: keeping(nth), flow: { steps, strict } });
      assert.equal(warnings(report), [text]);
      return report.verdict;
    };
    assert.is(verdictOf(false), 'clean');
    assert.is(verdictOf(true), 'findings');
  });
}

test('a warning of a kernel is one, too', () => {
  const flow = { steps: ['kexec'] as const, strict: true };
  const { report } = runBoot({ flow });
  assert.is(report.verdict, 'findings');
  assert.ok(warnings(report).every((text) => /^SCONTROL of VP 0 is off/.test(text)));
  assert.is(runBoot({ host: 'qemu', flow }).report.verdict, 'clean');
});

test('nothing is said of what firmware leaves as it found it', () => {
  // Linux has switched SCONTROL off before the second boot, and the first firmware found it on
  const { report } = runBoot({ flow: { strict: true } });
  assert.is(report.verdict, 'clean');
  assert.equal(warnings(report), []);
});

test.run();
