// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What runs, boots and captures are, byte for byte, as digests that are kept: whoever makes the
 * simulator faster changes none of them. Whoever changes a guest or the host keeps new ones.
 */

import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import { Exploration } from '../../../tools/explore/exploration.ts';
import { planText, type Plan } from '../../../tools/explore/plan.ts';
import type { Runner } from '../../../tools/explore/run.ts';
import { runBoot, type Setting } from '../../rigs/boot-rig.ts';
import { captureBoot } from '../../rigs/capture-rig.ts';
import { assertKept } from '../../rigs/cli-rig.ts';
import { newRunner } from '../../rigs/explore-rig.ts';

/** Single faults between two runs of the sample: no multiple of anything. */
const STRIDE = 467;

const WALKS = 10;

const test = suite('explore: digests');

const lines: string[] = [];

function keep(name: string, ...parts: readonly (string | Uint8Array)[]): void {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  lines.push(`${name}: ${hash.digest('hex').slice(0, 32)}`);
}

/** Outcome of a run, how long it took, and all places that it came to. */
function runText(runner: Runner, plan: Plan): string {
  const places: string[] = [];
  let ticks = 0;
  const outcome = runner.run(
    plan,
    (place, index, { what, bytes, value }) => {
      // Who reads is told by lines of the sources
      const which = what.replace(/, at .*/, '');
      places.push(`${place}.${index} ${which} ${bytes?.join() ?? ''} ${value ?? ''}`);
    },
    (now) => (ticks = now),
  );
  const unobserved = runner.run(plan);
  return JSON.stringify([planText(plan), ticks, outcome, unobserved, places]);
}

for (const architecture of ['x64', 'arm64'] as const) {
  test(`runs of an exploration on ${architecture}`, () => {
    const runner = newRunner(undefined, architecture);
    const exploration = new Exploration(runner, { seed: 1, walks: WALKS });
    keep(`${architecture} list of runs`, exploration.fingerprint, String(exploration.total));
    const texts: string[] = [];
    const stride = architecture === 'x64' ? STRIDE : 3 * STRIDE;
    for (let run = 0; run < exploration.singles; run += stride)
      texts.push(runText(runner, exploration.plan(run)));
    for (let run = exploration.singles; run < exploration.total; run++)
      texts.push(runText(runner, exploration.plan(run)));
    keep(`${architecture} ${texts.length} runs`, ...texts);
  });
}

const SETTINGS: Readonly<Record<string, Setting>> = {
  'seed 1': {},
  'seed 2, loss': { seed: 2, network: { faults: { loss: 0.1 } } },
  'seed 3, all steps': { seed: 3, flow: { steps: ['chainload', 'san', 'kexec', 'crash'] } },
  'seed 4, openvmm, 2 NICs': { seed: 4, host: 'openvmm', nics: 2, size: 70_000 },
  'seed 5, server2012r2': { seed: 5, host: 'server2012r2' },
  'seed 6, arm64': { seed: 6, machine: { architecture: 'arm64' } },
};

for (const [name, setting] of Object.entries(SETTINGS)) {
  test(`boot with ${name}`, () => {
    const { report, trace } = runBoot({ trace: true, ...setting });
    const text = JSON.stringify(report, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    keep(`boot ${name}: report`, text);
    keep(`boot ${name}: trace`, trace.join('\n'));
  });
}

test('captures', () => {
  for (const host of ['server2022', 'server2016'])
    keep(`capture on ${host}`, captureBoot(host, 2).file);
});

test('all of them are as they were', () => assertKept('digests.txt', `${lines.join('\n')}\n`));

test.run();
