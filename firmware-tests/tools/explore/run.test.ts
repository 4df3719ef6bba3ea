// SPDX-License-Identifier: GPL-2.0-or-later

/** Runs of the exploration: deterministic, clean, and the bugs that it has found stay fixed. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Exploration } from '../../../tools/explore/exploration.ts';
import { parsePlan, planText, type Plan } from '../../../tools/explore/plan.ts';
import * as firmware from '../../../src/os.ts';
import { trustedGuests } from '../../../tools/explore/explored-guest.ts';
import { Runner } from '../../../tools/explore/run.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { FLOWS, allFlows, kindOf, newRunner, scattered } from '../../rigs/explore-rig.ts';

const runner = newRunner();
const exploration = new Exploration(runner, { seed: 3, walks: 40 });
const plans = Array.from({ length: exploration.total }, (_, run) => exploration.plan(run));

/** Runs of each kind in the sample: the loader's are longer. */
const SAMPLE = { boot: 2, loader: 1, push: 1 };

const test = suite('explore: runs');

test('all flows work without faults', () => {
  for (const flow of FLOWS) {
    const outcome = runner.run({ flow, faults: [] });
    assert.is(outcome.status, 'booted', flow);
    assert.equal(outcome.findings, [], flow);
  }
});

test('an arm64 guest is explored as well: cuts and faults of each flow', () => {
  const arm64 = new Runner(
    trustedGuests(allFlows(firmware)),
    profileNamed('server2022')!,
    undefined,
    'arm64',
  );
  for (const flow of FLOWS) {
    assert.equal(arm64.run({ flow, faults: [] }).findings, [], flow);
  }
  for (const text of ['step.70/handoff', 'message.3/drop', 'call.5/status:6', 'alloc.2/fail']) {
    const outcome = arm64.run(parsePlan(text));
    assert.equal(outcome.findings, [], text);
    assert.ok(outcome.fired > 0 || text.startsWith('step'), text);
  }
});

test('the same plan gives the same run, whatever ran before', () => {
  const plan = parsePlan('message.5/late:500000+step.90/rescind');
  const first = runner.run(plan);
  runner.run(parsePlan('packet.12/index:prod=4294967295'));
  assert.equal(runner.run(plan), first);
  assert.equal(newRunner().run(plan), first);
});

test('a cut ends the boot with the error that says so', () => {
  const outcome = runner.run(parsePlan('step.60/handoff'));
  assert.is(outcome.status, 'failed');
  assert.is(outcome.error, 'Cancelled');
});

test('a fault that the run never comes to is not carried out', () => {
  assert.is(runner.run(parsePlan('message.9999/drop')).fired, 0);
  assert.is(runner.run(parsePlan('message.1/drop')).fired, 1);
});

test('what the host writes between check and use is seen by the firmware', () => {
  // Not every change matters, but one of the first reads of a ring index must end the channel
  const reads = plans.filter((plan) => kindOf(plan) === 'boot read/value');
  const ended = reads.filter((_, i) => i % 24 === 0).map((plan) => runner.run(plan).error);
  assert.ok(ended.some((error) => error !== undefined));
});

test('a sample of every kind of fault, in all flows, and of the walks is clean', () => {
  const byKind = new Map<string, Plan[]>();
  for (const plan of plans) {
    const kind = plan.faults.length === 1 ? kindOf(plan) : 'walk';
    byKind.set(kind, [...(byKind.get(kind) ?? []), plan]);
  }
  assert.ok(byKind.size > 60);
  for (const [kind, all] of byKind) {
    const sample = SAMPLE[all[0]!.flow];
    for (const plan of scattered(all, Math.ceil(all.length / sample)).slice(0, sample)) {
      const { findings, fired } = runner.run(plan);
      assert.equal(findings, [], planText(plan));
      assert.ok(fired > 0 || kind === 'walk', `${planText(plan)} is never reached`);
    }
  }
});

test('bugs that were found stay fixed', () => {
  // A cut while the machine is taken back; a NIC that has gone by then; a removal while quiesced
  const steps = Array.from({ length: exploration.places.loader.step! }, (_, step) => step);
  const resets = steps.filter((step) => step >= 136 && step < 172 && step % 3 === 0);
  for (const step of resets) {
    for (const kind of ['give-up', 'rescind']) {
      const text = `loader:step.${step}/${kind}`;
      assert.equal(runner.run(parsePlan(text)).findings, [], text);
    }
  }
});

test('what the host has spoilt is not the guest’s: misread packets, races beside faults', () => {
  // An index that is out of range at the moment of the look: the channel is given up at once
  const texts = Array.from({ length: 60 }, (_, i) => `loader:read.${70 + i}/value:inc`);
  assert.ok(texts.some((text) => runner.run(parsePlan(text)).error === 'ChannelBroken'));
  for (const text of texts) assert.equal(runner.run(parsePlan(text)).findings, [], text);

  const arm64 = newRunner(firmware, 'arm64');
  for (const text of [
    ...['packet.3/inject:1+race.4/weak', 'packet.28/cut:0+race.11/weak'],
    ...['read.57/value:big', 'read.229/value:big', 'loader:read.150/value:big'],
  ])
    assert.equal(arm64.run(parsePlan(text)).findings, [], text);
});

test.run();
