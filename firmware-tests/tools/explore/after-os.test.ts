// SPDX-License-Identifier: GPL-2.0-or-later

/** Runs after a real OS: Linux has left sub-channels, send buffer and services open. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as firmware from '../../../src/os.ts';
import { runOsBefore } from '../../../tools/explore/after-os.ts';
import { parsePlan } from '../../../tools/explore/plan.ts';
import { trustedGuests } from '../../../tools/explore/explored-guest.ts';
import { Runner } from '../../../tools/explore/run.ts';
import { makeMachine } from '../../../tools/scenarios/rig.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { FLOWS, allFlows } from '../../rigs/explore-rig.ts';

const after = suite('explore: after a real OS');

/** A fault of each place, and cuts before, at and after the contact. */
const FAULTS = [
  ...['step.2/handoff', 'step.30/handoff', 'step.130/rescind', 'call.0/status:19'],
  ...['call.6/lost', 'message.0/drop', 'message.4/twice', 'packet.2/drop', 'rndis.1/drop'],
  ...['transmit.1/withhold', 'alloc.3/fail', 'loader:step.200/give-up'],
];

for (const architecture of ['x64', 'arm64'] as const) {
  after(`${architecture}: what Linux leaves is there`, () => {
    const memory = new ArrayBuffer(3 << 20);
    const machine = makeMachine({ processors: 8 }, { memory, architecture });
    assert.ok(runOsBefore(machine, 'linux-6.1'));
    const { channels, gpadls, phase, history } = machine.vmbus.inspect();
    assert.is(history.length, 1);
    assert.is(phase, 'connected');
    const open = channels.filter(({ state }) => state === 'open');
    assert.is(open.filter(({ subchannelIndex }) => subchannelIndex > 0).length, 7);
    assert.ok(gpadls.some(({ purpose }) => purpose.startsWith('send buffer')));
  });

  after(`${architecture}: flows and faults are clean`, () => {
    const host = profileNamed('server2022')!;
    const runner = new Runner(
      trustedGuests(allFlows(firmware)),
      host,
      undefined,
      architecture,
      'linux-6.1',
    );
    for (const flow of FLOWS) {
      const outcome = runner.run({ flow, faults: [] });
      assert.equal(outcome.findings, [], flow);
      assert.is(outcome.status, 'booted', flow);
    }
    for (const text of FAULTS) assert.equal(runner.run(parsePlan(text)).findings, [], text);
  });
}

after('other hosts, and kernels', () => {
  for (const [name, linux] of [
    ['server2012r2', 'linux-6.1'],
    ['qemu', 'linux-6.1'],
    ['openvmm', 'linux-6.19'],
  ] as const) {
    const runner = new Runner(
      trustedGuests(allFlows(firmware)),
      profileNamed(name)!,
      undefined,
      'x64',
      linux,
    );
    const outcome = runner.run({ flow: 'boot', faults: [] });
    assert.equal(outcome.findings, [], name);
    assert.is(outcome.status, 'booted', name);
  }
});

after.run();
