// SPDX-License-Identifier: GPL-2.0-or-later

/** NICs that come late, go, and come back, at any moment of a boot (K5: lis-test#1125). */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { NicTimes } from '../../../tools/flow/nic-schedule.ts';
import { runBoot } from '../../rigs/boot-rig.ts';

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

nics('offered 1, 20, 500 or 3000 ms after the enumeration: waited for, and used', () => {
  for (const arrives of [1, 20, 500, 3000]) {
    const ms = boot({ arrives });
    assert.ok(ms > arrives && ms < arrives + 1000, `${arrives}: ${ms} ms`);
  }
});

nics('gone and back with the same instance, at any moment of a boot', () => {
  for (const leaves of [0, 0.3, 1, 2, 2.5, 3, 4]) {
    for (const returns of [0, 5, 500]) boot({ leaves, returns });
  }
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
