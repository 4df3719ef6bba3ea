// SPDX-License-Identifier: GPL-2.0-or-later

/** Runs after a real OS: Linux has left sub-channels, send buffer and services open. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as firmware from '../../../../src/os.ts';
import { runOsBefore } from '../../../../tools/explore/forks/after-os.ts';
import { parsePlan } from '../../../../tools/explore/plan.ts';
import { trustedGuests } from '../../../../tools/explore/explored-guest.ts';
import { Runner } from '../../../../tools/explore/run.ts';
import { makeMachine } from '../../../../tools/scenarios/rig.ts';
import { profileNamed } from '../../../../tools/simulator/profiles/profiles.ts';
import { FLOWS, allFlows } from '../../../rigs/explore-rig.ts';

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

for (const architecture of ['x64', 'arm64'] as const) {
  after(`${architecture}: runs that go back behind the OS are what they are with the OS`, () => {
    const host = profileNamed('server2022')!;
    const guests = () => trustedGuests(allFlows(firmware));
    const runners = [false, true].map((startsAnew) => {
      const runner = new Runner(guests(), host, undefined, architecture, 'linux-6.1');
      return Object.assign(runner, { startsAnew });
    });
    // Faults that leave much behind, and what comes after them
    const plans = [
      ...FAULTS,
      'owner.0/left:all',
      'call.2/status-ever:5',
      'nic.0/arrives:0',
      'none',
    ];
    const walk = `${FAULTS[5]}+${FAULTS[7]}+${FAULTS[1]}`;
    for (const text of [...plans, 'push:step.40/handoff', walk, ...plans.slice(0, 6)]) {
      const [back, anew] = runners.map((runner) => runner.run(parsePlan(text)));
      assert.equal(back, anew, text);
    }
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
