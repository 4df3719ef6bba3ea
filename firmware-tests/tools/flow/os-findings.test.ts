// SPDX-License-Identifier: GPL-2.0-or-later

/** Check 12: each thing that is said of what an OS reports, and of one that has nothing to tell. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VmbusVersion } from '../../../src/vmbus/protocol.ts';
import { makeMachine } from '../../../tools/scenarios/rig.ts';
import { Guest } from '../../rigs/audit-guest.ts';
import { auditOs, osStart } from '../../../tools/flow/os-findings.ts';
import type { OsReport } from '../../../tools/os/loaded-os.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import type { HostKnobs } from '../../../tools/simulator/profiles/profile.ts';
import { runBoot, type Boot } from '../../rigs/boot-rig.ts';

const finds = suite('check 12: what an OS reports');

/** A boot after which an OS has come and gone. */
function boot(knobs: Partial<HostKnobs> = {}): Boot {
  return runBoot({ nics: 2, knobs, flow: { secondBoot: false } });
}

/** What is said of its report with something changed in it. */
function told(
  { report, machine }: Boot,
  changed: Partial<OsReport> = {},
  cramped = false,
  happens = (): void => undefined,
): string[] {
  const start = osStart(machine);
  happens();
  return auditOs({ ...report.os!, ...changed }, machine, start, cramped).map(
    ({ check, severity, text }) => `${check} ${severity}: ${text}`,
  );
}

const usual = boot();

/** One NIC of the report with something changed in it. */
function nics(changed: Partial<OsReport['nics'][number]>): Partial<OsReport> {
  const [first, ...others] = usual.report.os!.nics;
  return { nics: [{ ...first!, ...changed }, ...others] };
}

finds('nothing, of one that has all it should', () => {
  assert.equal(told(usual), []);
  assert.equal(told(usual, {}, true), []);
});

finds('it could not come up: an error, but where it has no room and that is its own affair', () => {
  const text = 'the OS could not come up: OutOfMemory: 5 pages';
  const error = 'OutOfMemory: 5 pages';
  assert.equal(told(usual, { error }), [`next-os error: ${text}`]);
  const room = ' (it has no room for all that it wants)';
  assert.equal(told(usual, { error }, true), [`next-os info: ${text}${room}`]);
  const other = 'NoResponse: no answer';
  const up = `next-os error: the OS could not come up: ${other}`;
  assert.equal(told(usual, { error: other }, true), [up]);
});

finds('a host that ignores its contact: of who has left the connection it is an error', () => {
  const machine = makeMachine({ host: 'server2008r2' });
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V0_13));
  const ownedSince = machine.clock.now;
  const start = osStart(machine);
  const report = { ...usual.report.os!, nics: [], error: 'NoResponse: no answer' };
  const found = (since: number): string[] =>
    auditOs(report, machine, start, false, since)
      .filter(({ text }) => text.startsWith('the OS could not come up'))
      .map(({ severity, text }) => `${severity}: ${text}`);
  const text = 'the OS could not come up: NoResponse: no answer';
  assert.equal(found(ownedSince), [`error: ${text}`], 'it has not been asked');
  assert.throws(() => guest.connect(VmbusVersion.V0_13), /no message came/);
  assert.equal(found(ownedSince), [`info: ${text} (the host keeps an earlier connection)`]);
  assert.equal(found(-1), [`error: ${text}`]);
});

finds('the host knows none of its versions: information, unless it was connected', () => {
  const refused = { refused: true, error: 'VersionRefused: none' };
  assert.equal(told(usual, refused), [
    'next-os info: the OS does not run on this host: VersionRefused: none',
  ]);
  const { report, machine } = usual;
  const start = { ...osStart(machine), at: -1 };
  const [found] = auditOs({ ...report.os!, ...refused }, machine, start);
  assert.equal(
    [found!.severity, found!.text],
    ['error', 'the OS could not come up: VersionRefused: none'],
  );
});

finds('a NIC without a network, and one on which nothing came', () => {
  const error = 'NvspFailed: status 2';
  assert.equal(told(usual, nics({ error })), [
    `next-os error: the OS has no network on net0: ${error}`,
  ]);
  assert.equal(told(usual, nics({ received: 0 })), [
    'next-os error: the OS received nothing on net0',
  ]);
  const room = { error: 'OutOfMemory: rings' };
  const text = 'the OS has no network on net0: OutOfMemory: rings';
  assert.equal(told(usual, nics(room), true), [`next-os info: ${text}`]);
  assert.equal(told(usual, nics(room)), [`next-os error: ${text}`]);
});

finds('fewer NICs than the host has: an error, unless a message was lost', () => {
  const { machine } = usual;
  const one = { nics: usual.report.os!.nics.slice(1) };
  const text = 'the OS found 1 of 2 NICs';
  assert.equal(told(usual, one), [`next-os error: ${text}`]);
  assert.equal(told(usual, one, true), [
    `next-os info: ${text} (it has no room for all that it wants)`,
  ]);
  machine.run(1);
  assert.equal(
    told(usual, one, false, () => lose(usual)),
    [],
  );
});

/** The host loses a message now. */
function lose({ machine }: Boot): void {
  machine.run(1);
  machine.partition.omissions.host.lost(1);
}

finds('events of the one before it', () => {
  const text = 'a message of the one before it reached the OS before it had contacted the host';
  assert.equal(told(usual, { staleEvents: ['a message'] }), [`leftovers warning: ${text}`]);
});

for (const [unloadAnswer, why] of [
  [0, undefined],
  [100_000 * TICKS_PER_MS, undefined],
  [100_000 * TICKS_PER_MS + 1, 'this host answers UNLOAD later than any kernel waits'],
  ['never', 'this host does not answer UNLOAD'],
] as const)
  finds(`memory that it could not get back, UNLOAD answered ${unloadAnswer}`, () => {
    const host = boot({ unloadAnswer });
    // Of the host's own doing is what the report has to say
    const { machine } = host;
    const report = { ...usual.report.os!, outstanding: 3 };
    const found = auditOs(report, machine, osStart(machine));
    const text = 'the OS could not get back 3 of its own shared regions';
    assert.equal(
      found.filter((each) => /could not get back/.test(each.text)),
      [
        why === undefined
          ? { check: 'next-os', severity: 'error', text }
          : { check: 'next-os', severity: 'info', text: `${text}: ${why}` },
      ],
    );
  });

finds('memory that it could not get back from a host that has lost messages', () => {
  const text = 'the OS could not get back 1 of its own shared regions';
  const lost = told(usual, { outstanding: 1 }, false, () => lose(usual));
  assert.equal(lost, [`next-os info: ${text}: this host has lost messages`]);
  usual.machine.run(1);
  assert.equal(told(usual, { outstanding: 1 }), [`next-os error: ${text}`]);
});

finds.run();
