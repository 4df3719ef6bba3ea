// SPDX-License-Identifier: GPL-2.0-or-later

/** What networks in the field are like, as places of an exploration: alone, together, and found. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as firmware from '../../../src/os.ts';
import { faultsAt } from '../../../tools/explore/enumeration.ts';
import { PlanError, parsePlan, planText, type Plan } from '../../../tools/explore/plan.ts';
import type { ExploredFirmware } from '../../../tools/explore/explored-guest.ts';
import { Random } from '../../../tools/simulator/base/random.ts';
import { combined, NETWORK_CONDITION_NAMES } from '../../../tools/simulator/network/index.ts';
import { newRunner } from '../../rigs/explore-rig.ts';

const network = faultsAt('network', 0, { what: 'network' });
const nic = faultsAt('nic', 0, { what: 'NIC' });
const plan = (...faults: Plan['faults'][number][]): Plan => ({ flow: 'boot', faults });

const field = suite('explore: networks and NICs of the field');

for (const architecture of ['x64', 'arm64'] as const)
  field(`${architecture}: each alone boots, or has the error that the manual names`, () => {
    const runner = newRunner(firmware, architecture);
    assert.is(network.length, NETWORK_CONDITION_NAMES.length);
    for (const fault of [...network, ...nic]) {
      const outcome = runner.run(plan(fault));
      const hint = planText(plan(fault));
      assert.equal(outcome.findings, [], hint);
      assert.is(outcome.fired, 1, hint);
      // A NIC that comes after 20 s is not waited for
      const never = fault.argument === '20000';
      assert.is(outcome.error, never ? 'NoNetworkDevice' : undefined, hint);
    }
  });

field('together, with a fault of the host and an earlier owner besides', () => {
  const runner = newRunner();
  const random = new Random(14);
  const pick = <T>(from: readonly T[]): T => from[random.below(from.length)]!;
  const hosts = [
    'message.6/late:15000000',
    'owner.0/left:all',
    'packet.9/twice',
    'transmit.3/withhold',
  ];
  for (let run = 0; run < 40; run++) {
    const some = [pick(network), pick(network), pick(nic)].map((fault) => planText(plan(fault)));
    const text = [...new Set([...some, pick(hosts)])].join('+');
    const outcome = runner.run(parsePlan(text));
    assert.equal(outcome.findings, [], text);
  }
});

field('a firmware that waits for nobody is found', () => {
  const deaf = { dhcp: { preferBootFile: false } };
  const hasty: ExploredFirmware = {
    ...firmware,
    boot: (machine, options) => firmware.boot(machine, { ...options, net: deaf }),
  };
  const runner = newRunner(hasty);
  const found = network.filter((fault) => runner.run(plan(fault)).findings.length > 0);
  const names = found.map(({ argument }) => argument);
  assert.ok(names.includes('proxy-dhcp-4011') && names.includes('proxy-dhcp-menu'), names.join());
  assert.not(names.includes('dhcp-relay'));
});

field('plans are parsed by their grammar', () => {
  for (const text of ['network.0/is:bootp', 'nic.0/arrives:500', 'nic.0/unplugged:3'])
    assert.is(planText(parsePlan(text)), text);
  for (const text of [
    'network.0/is',
    'network.0/is:__proto__',
    'nic.0/arrives:soon',
    'nic.0/leaves',
  ])
    assert.throws(
      () => parsePlan(text),
      (error: Error) => error instanceof PlanError,
      text,
    );
  const both = combined([
    { tftp: { habits: ['slow'] } },
    { tftp: { habits: ['timeout'] }, vlan: 0 },
  ]);
  assert.equal(both, { tftp: { habits: ['slow', 'timeout'] }, vlan: 0 });
});

field.run();
