// SPDX-License-Identifier: GPL-2.0-or-later

/** The whole boot on every host, with the firmware from its sources and from both bundles. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PROFILES } from '../../../tools/simulator/profiles/profiles.ts';
import { VmbusVersion } from '../../../src/vmbus/protocol.ts';
import { FIRMWARES, complaints, runBoot, sameBytes } from '../../rigs/boot-rig.ts';

const KNOWS_3_0 = PROFILES.filter(({ vmbusVersions }) => vmbusVersions.includes(VmbusVersion.V3_0));
const TOO_OLD = PROFILES.filter((profile) => !KNOWS_3_0.includes(profile));

const clean = suite('boot: hosts');

for (const { name: host } of KNOWS_3_0) {
  for (const form of ['sources', 'bundle', 'x64 minified'] as const) {
    clean(`${host} boots the ${form} cleanly, twice, and an OS between`, () => {
      const { report, inRam, image } = runBoot({ host, firmware: FIRMWARES[form] });
      assert.equal(complaints(report), []);
      assert.is(report.verdict, 'clean');
      assert.ok(sameBytes(inRam, image), 'the image in RAM is what was served');
      assert.equal(report.vmbusVersions, [VmbusVersion.V3_0, VmbusVersion.V0_13]);
      assert.is(report.os?.error, undefined);
      assert.ok(report.os!.vmbusVersion >= VmbusVersion.V3_0);
      assert.is(report.secondBoot?.status, 'booted');
      assert.equal(report.notRun, []);
    });
  }
}

for (const { name: host } of KNOWS_3_0.filter(({ name }) => name !== 'openvmm')) {
  clean(`${host} boots the ipxe preset cleanly`, () => {
    const { report, inRam, image } = runBoot({ host, flow: { bootOptions: { preset: 'ipxe' } } });
    assert.equal(complaints(report), []);
    assert.is(report.verdict, 'clean');
    assert.ok(sameBytes(inRam, image));
  });
}

clean("openvmm ends the channel at iPXE's empty completions: nothing boots, and it is told", () => {
  const { report } = runBoot({ host: 'openvmm', flow: { bootOptions: { preset: 'ipxe' } } });
  assert.is(report.verdict, 'findings');
  assert.is(report.boot?.error?.name, 'NoAnswer');
  assert.equal(complaints(report), [
    'omissions warning: RNDIS HALT was left out for NIC 0, whose channel died of ' +
      'what the guest did (empty completion): the end of the channel stopped it',
    'omissions warning: REVOKE_RECEIVE_BUFFER was left out for NIC 0, whose channel died of ' +
      'what the guest did (empty completion): the end of the channel took it back',
  ]);
});

for (const [form, firmware] of Object.entries(FIRMWARES))
  clean(`the firmware boots: ${form}`, () => {
    const { report, inRam, image } = runBoot({ firmware });
    assert.is(report.verdict, 'clean');
    assert.ok(sameBytes(inRam, image));
  });

clean.run();

const refused = suite('boot: hosts that are refused');

for (const { name: host } of TOO_OLD) {
  for (const form of ['sources', 'bundle'] as const) {
    refused(`${host} is refused by the ${form}, and nothing is left`, () => {
      const { report, machine } = runBoot({ host, firmware: FIRMWARES[form], flow: { os: false } });
      assert.is(report.verdict, 'refused');
      assert.is(report.boot?.status, 'failed');
      assert.is(report.boot?.error?.name, 'VersionRefused');
      assert.equal(report.vmbusVersions, []);
      assert.equal(machine.partition.grants.live(), []);
      assert.equal(report.boot?.memoryMap, machine.bootProcessor.memoryMap);
      assert.equal(complaints(report), []);
    });
  }
}

refused('an OS that knows 2.4 runs on a host that the firmware refused', () => {
  const { report } = runBoot({ host: 'server2012' });
  assert.is(report.verdict, 'refused');
  assert.is(report.os?.vmbusVersion, VmbusVersion.V2_4);
  assert.is(report.os?.nics[0]?.error, undefined);
});

refused('no hypervisor: refused before any register is written', () => {
  const written: number[] = [];
  const { report } = runBoot({
    machine: { cpuidOverride: { 1: { ecx: 0 } } },
    prepare: ({ events }) =>
      void events.listen((event) => event.kind === 'wrmsr' && written.push(event.msr)),
    flow: { os: false },
  });
  assert.is(report.verdict, 'refused');
  assert.is(report.boot?.error?.name, 'NoHypervisor');
  assert.equal(written, []);
});

refused.run();

const knobs = suite('boot: habits of hosts');

for (const [name, value] of [
  ['maskedSint', 'keep'],
  ['overlay', 'overwrite'],
  ['osIdZero', 'independent'],
  ['slotScan', 'exit'],
  ['offerPacing', 'one-by-one'],
  ['echoVersion', false],
  ['unloadAnswer', 50_000_000],
  ['throttleMessages', 3],
  ['backPressure', 'unbounded'],
  ['torndownWhileOpen', 'immediate'],
  ['revoke', 'silent'],
  ['rangesPerPacket', 1],
  ['rxMessageLength', 'sub-allocation'],
  ['vfAssociation', true],
  ['messageLatencyTicks', 0],
  ['ringLatencyTicks', 50_000],
  ['hypercallChecks', 'vmm'],
  ['behindUnload', 'dropped'],
  ['unloadRefused', 'answered'],
  ['lostMessage', 'resets-bus'],
  ['contactPages', 'any'],
  ['targetVps', 'any'],
  ['modifyMonitored', 'refused'],
  ['secondRequest', 'all-offers'],
  ['noMonitor', 0],
  ['channelNumbers', 'at-creation'],
  ['relidReleased', 'ignored'],
  ['oldInterrupts', 'page'],
  ['gpadlChecks', 'shape'],
  ['emptyGpadls', 'created'],
  ['deviceStatus', 'failure-status'],
  ['emptyRings', 'opened'],
  ['refusedPort', 'kept'],
  ['ringFaults', 'waits'],
  ['readSignals', 'unless-asked'],
  ['linkAnnouncement', 'never'],
  ['rxDataPadding', 1],
  ['rxDataPadding', 63],
] as const) {
  knobs(`${name}=${value} boots cleanly`, () => {
    const { report, inRam, image } = runBoot({ knobs: { [name]: value } });
    assert.equal(complaints(report), []);
    assert.is(report.verdict, 'clean');
    assert.ok(sameBytes(inRam, image));
  });
}

knobs('a host that never answers UNLOAD: nothing boots, and what it holds is reserved', () => {
  const { report } = runBoot({ knobs: { unloadAnswer: 'never' } });
  assert.is(report.verdict, 'findings');
  assert.is(report.boot?.error?.name, 'NoResponse');
  const held = report.findings.filter(({ check }) => check === 'shared-pages');
  assert.ok(held.length > 0);
  for (const { severity, pages } of held) {
    assert.is(severity, 'warning');
    assert.is(pages?.reserved, true);
  }
  assert.is(
    report.findings.some(({ check }) => check === 'late-writes'),
    false,
  );
});

knobs.run();
