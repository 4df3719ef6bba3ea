// SPDX-License-Identifier: GPL-2.0-or-later

/** NICs that come late, go, and come back, at any moment of a boot (K5: lis-test#1125). */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RndisType } from '../../../src/rndis/protocol.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import type { NicTimes } from '../../../tools/flow/nic-schedule.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { runBoot, sameBytes } from '../../rigs/boot-rig.ts';

const { ALL_OFFERS_DELIVERED } = MessageType;
const SIZE = 200_000;

/** A boot with a NIC that comes and goes. Returns when it handed over, in ms. */
function boot(nicTimes: NicTimes, more: object = {}): number {
  const { report } = runBoot({ flow: { nicTimes, os: false, secondBoot: false }, ...more });
  const what = JSON.stringify(nicTimes);
  assert.is(report.boot?.status, 'booted', `${what}: ${report.boot?.error?.message}`);
  assert.equal(
    report.findings.filter(({ severity }) => severity === 'error').map(({ text }) => text),
    [],
    what,
  );
  return report.handoffAt / 10_000;
}

const nics = suite('NICs that come and go');

nics(
  'lis-test#1125, cloud-init#972: offered 1, 20, 500 or 3000 ms after the enumeration: used',
  () => {
    for (const arrives of [1, 20, 500, 3000]) {
      const ms = boot({ arrives });
      assert.ok(ms > arrives && ms < arrives + 1000, `${arrives}: ${ms} ms`);
    }
  },
);

nics('lis-test#1125: gone and back with the same instance, at any moment of a boot', () => {
  for (const leaves of [0, 0.3, 1, 2, 2.5, 3, 4]) {
    for (const returns of [0, 5, 500]) boot({ leaves, returns });
  }
});

/**
 * Boot over the first NIC while the second is offered, so many ms after the enumeration, and says
 * nothing at all. Returns when it handed over, in ms.
 */
function besideMute(later: number): number {
  const { report, image, inRam } = runBoot({
    ...{ nics: 2, size: SIZE, flow: { os: false, secondBoot: false } },
    prepare(machine) {
      const mute = machine.nics[1]!;
      mute.faults.packet = () => 'drop';
      machine.vmbus.rescind(mute);
      const stop = machine.events.listen((event) => {
        if (event.kind !== 'host-message' || event.payload[0] !== ALL_OFFERS_DELIVERED) return;
        stop();
        machine.clock.schedule(later * TICKS_PER_MS, () => machine.vmbus.hotAdd(mute));
      });
    },
  });
  const what = `offered after ${later} ms`;
  assert.is(report.boot?.status, 'booted', `${what}: ${report.boot?.error?.message}`);
  assert.ok(sameBytes(inRam, image), what);
  const errors = report.findings.filter(({ severity }) => severity === 'error');
  assert.equal(errors, [], what);
  return report.handoffAt / TICKS_PER_MS;
}

nics('a mute NIC that comes during a boot does not stop it, at whatever moment', () => {
  const alone = boot({}, { size: SIZE });
  for (let later = 0.5; later < alone; later += 0.5) {
    const ms = besideMute(later);
    assert.ok(ms < alone + 10, `offered after ${later} ms: ${ms} ms, alone ${alone}`);
  }
});

nics('cloud-init#972: a NIC without a link, and a good one that is offered meanwhile', () => {
  for (const arrives of [1, 500, 3000, 14_000]) {
    const { report } = runBoot({
      nics: 2,
      flow: { os: false, secondBoot: false },
      prepare(machine, network) {
        network.setLinkUp(0, false);
        const late = machine.nics[1]!;
        machine.vmbus.rescind(late);
        machine.clock.schedule(arrives * TICKS_PER_MS, () => machine.vmbus.hotAdd(late));
      },
    });
    assert.is(report.boot?.image?.device, 'net1', `${arrives}: ${report.boot?.error?.message}`);
    assert.ok(report.handoffAt / TICKS_PER_MS < arrives + 200, `${report.handoffAt}`);
  }
});

nics('a NIC that goes for good, in each phase, and another one: the boot goes on with that', () => {
  for (let leaves = 0; leaves < 12; leaves += 0.4) {
    const { report } = runBoot({
      ...{ nics: 2, size: SIZE },
      flow: { nicTimes: { leaves }, os: false, secondBoot: false },
    });
    assert.is(report.boot?.status, 'booted', `${leaves}: ${report.boot?.error?.message}`);
  }
});

nics('a NIC that came while another one failed is tried next', () => {
  // The first has no server: the second comes while DHCP waits there, and boots
  const { report } = runBoot({
    nics: 2,
    flow: { os: false, secondBoot: false },
    prepare(machine) {
      const [deaf, late] = machine.nics;
      deaf!.faults.message = ({ bytes }) => (bytes[0] === RndisType.PACKET ? 'drop' : 'send');
      machine.vmbus.rescind(late!);
      machine.clock.schedule(3000 * TICKS_PER_MS, () => machine.vmbus.hotAdd(late!));
    },
  });
  assert.is(report.boot?.status, 'booted', report.boot?.error?.message);
  assert.is(report.boot?.image?.device, 'net1');
});

nics('that never comes: a named error after the time that the option says', () => {
  for (const linkWaitMs of [0, 200, undefined]) {
    const bootOptions = linkWaitMs === undefined ? {} : { net: { linkWaitMs } };
    const nicTimes = { arrives: 100_000 };
    const { report } = runBoot({ flow: { bootOptions, nicTimes, os: false, secondBoot: false } });
    assert.is(report.boot?.error?.name, 'NoNetworkDevice');
    const ms = report.handoffAt / 10_000;
    const bound = linkWaitMs ?? 15_000;
    assert.ok(ms >= bound && ms < bound + 100, `${ms} ms`);
  }
});

nics.run();
