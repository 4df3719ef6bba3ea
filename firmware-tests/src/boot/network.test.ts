// SPDX-License-Identifier: GPL-2.0-or-later

/** The whole boot over bad networks and over several NICs, of which some are bad. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errnoOf } from '../../../src/catalogue.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { Network, memoryFiles } from '../../../tools/simulator/network/index.ts';
import type { DhcpStyle, NetworkFaults } from '../../../tools/simulator/network/index.ts';
import {
  FIRMWARES,
  complaints,
  runBoot,
  sameBytes,
  type Boot,
  type Setting,
} from '../../rigs/boot-rig.ts';

function assertClean({ report, inRam, image }: Boot, hint = ''): void {
  assert.equal(complaints(report), [], hint);
  assert.is(report.verdict, 'clean', hint);
  assert.ok(sameBytes(inRam, image), `${hint}: the image in RAM is what was served`);
}

const faulty = suite('boot: network faults');

const ALL: NetworkFaults = {
  loss: 0.05,
  duplication: 0.05,
  reordering: 0.05,
  corruption: 0.05,
  delayTicks: TICKS_PER_MS,
  jitterTicks: TICKS_PER_MS,
};

for (const [name, faults] of Object.entries({
  loss: { loss: 0.1 },
  'loss on the way to the guest': { toGuest: { loss: 0.2 } },
  duplication: { duplication: 0.3 },
  reordering: { reordering: 0.3 },
  corruption: { corruption: 0.1 },
  delay: { delayTicks: 20 * TICKS_PER_MS },
  'all of them': ALL,
})) {
  for (const seed of [1, 2, 3]) {
    faulty(`${name}, seed ${seed}`, () => {
      const flow = { secondBoot: false };
      const boot = runBoot({ size: 50_001, seed, network: { faults }, flow });
      assertClean(boot, `seed ${seed}`);
      // The fault did happen
      const { toGuest, fromGuest } = boot.network.statistics;
      const count = [toGuest, fromGuest].flatMap(({ frames: _, ...faults }) =>
        Object.values(faults),
      );
      const delayed = boot.report.handoffAt > 100 * TICKS_PER_MS;
      assert.ok(count.some((n) => n > 0) || delayed, `seed ${seed}: no fault happened`);
    });
  }
}

faulty('the bundle boots over the worst of them', () => {
  const network = { faults: ALL };
  const firmware = FIRMWARES.bundle;
  assertClean(runBoot({ size: 20_000, seed: 4, network, firmware, flow: { secondBoot: false } }));
});

faulty('a network that loses everything: nothing boots, nothing is left', () => {
  const { report } = runBoot({ network: { faults: { loss: 1 } }, flow: { os: false } });
  assert.is(report.verdict, 'findings');
  assert.is(errnoOf(report.boot?.error?.name), 'ETIMEDOUT');
  assert.equal(complaints(report), []);
});

faulty.run();

const dhcp = suite('boot: DHCP');

for (const style of ['header', 'options', 'both', 'dnsmasq'] satisfies DhcpStyle[]) {
  for (const trailingNul of [false, true]) {
    dhcp(`boot file and server by ${style}${trailingNul ? ', with NULs' : ''}`, () => {
      const flow = { os: false, secondBoot: false };
      assertClean(runBoot({ network: { dhcp: { style, trailingNul } }, flow }));
    });
  }
}

dhcp('a second server that offers no boot file is passed over', () => {
  const dhcp = { offerDelayTicks: 50 * TICKS_PER_MS, foreignServer: { offerDelayTicks: 0 } };
  assertClean(runBoot({ network: { dhcp } }));
});

dhcp('a server that refuses the first requests', () => {
  assertClean(runBoot({ network: { dhcp: { refusals: 2 } } }));
});

for (const [mode, error] of [
  ['silent', 'NoDhcpAnswer'],
  ['nak', 'DhcpRefused'],
  ['offer-only', 'DhcpServerSilent'],
] as const) {
  dhcp(`a server that is ${mode}: nothing boots, nothing is left`, () => {
    const { report } = runBoot({ network: { dhcp: { mode } }, flow: { os: false } });
    assert.is(report.verdict, 'findings');
    assert.is(report.boot?.error?.name, error);
    assert.equal(complaints(report), []);
  });
}

dhcp('a boot file that the server does not have', () => {
  const { report } = runBoot({ network: { bootFile: 'missing' }, flow: { os: false } });
  // A refusal by a server on the network is no refusal of the host
  assert.is(report.verdict, 'findings');
  assert.is(errnoOf(report.boot?.error?.name), 'ENOENT');
  assert.match(report.boot!.error!.message, /missing/);
});

dhcp('a file that the server may not give out', () => {
  const errors = { 'hypxe.img': { code: 2, text: 'not for you' } };
  const network = { tftp: { misbehaviour: { errors } } };
  const { report } = runBoot({ network, flow: { os: false } });
  assert.is(report.verdict, 'findings');
  assert.is(errnoOf(report.boot?.error?.name), 'EACCES');
  assert.match(report.boot!.error!.message, /not for you/);
});

dhcp.run();

const nics = suite('boot: several NICs');

for (const count of [1, 2, 3, 4]) {
  nics(`${count} NICs: the first boots, all are closed, the OS has all`, () => {
    const boot = runBoot({ nics: count });
    assertClean(boot);
    assert.is(boot.report.boot?.image?.device, 'net0');
    assert.is(boot.report.os?.nics.length, count);
    for (const nic of boot.report.os!.nics) assert.ok(nic.received > 0, nic.name);
    const names = boot.events.flatMap((event) =>
      event.kind === 'netdev' && event.change === 'register' ? [event.name] : [],
    );
    assert.equal(
      names,
      Array.from({ length: count }, (_, i) => `net${i}`),
    );
  });
}

/** Boot with a first NIC that is bad; the second one works. */
function secondBoots(setting: Setting, failure: string | undefined, device = 'net1'): Boot {
  const flow = { os: false, secondBoot: false };
  const boot = runBoot({ nics: 2, flow, ...setting });
  assert.is(boot.report.verdict, 'clean');
  assert.ok(sameBytes(boot.inRam, boot.image));
  assert.is(boot.report.boot?.image?.device, device);
  const attempts = boot.report.boot?.attempts.map(({ error }) => error.name);
  assert.equal(attempts, failure === undefined ? [] : [failure]);
  return boot;
}

nics('a first NIC whose device never answers is left out', () => {
  // The first that works is net0, whatever stands before it
  secondBoots(
    { prepare: (machine) => void (machine.nics[0]!.faults.packet = () => 'drop') },
    undefined,
    'net0',
  );
});

nics('a first NIC without a link is not waited for', () => {
  const { report } = secondBoots(
    { prepare: (machine) => machine.nics[0]!.setLinkState(false) },
    undefined,
  );
  assert.ok(report.handoffAt < 1000 * TICKS_PER_MS, `${report.handoffAt}`);
});

nics('NICs without a link are waited for together, and the first that gets one boots', () => {
  const { report } = secondBoots(
    {
      nics: 4,
      memoryMiB: 16,
      prepare: ({ nics, clock }) => {
        for (const nic of nics) nic.setLinkState(false);
        clock.schedule(14_000 * TICKS_PER_MS, () => nics[1]!.setLinkState(true));
      },
    },
    undefined,
  );
  const ms = report.handoffAt / TICKS_PER_MS;
  assert.ok(ms > 14_000 && ms < 15_000, `${ms}`);
});

nics('no NIC gets a link: one wait for all, and each is named', () => {
  const { report } = runBoot({
    nics: 5,
    memoryMiB: 16,
    prepare: (machine) => machine.nics.forEach((nic) => nic.setLinkState(false)),
    flow: { os: false, secondBoot: false },
  });
  const attempts = report.boot?.attempts.map(({ device, error }) => `${device} ${error.name}`);
  assert.equal(
    attempts,
    [0, 1, 2, 3, 4].map((nic) => `net${nic} LinkDown`),
  );
  assert.is(report.boot?.error?.message, 'no link for 15 s');
  const ms = report.handoffAt / TICKS_PER_MS;
  assert.ok(ms > 15_000 && ms < 16_000, `${ms}`);
  assert.equal(complaints(report), []);
});

nics('the next NIC is tried when the first boots nothing, and the one without a link last', () => {
  const { report } = runBoot({
    nics: 3,
    memoryMiB: 16,
    prepare: (machine) => machine.nics[1]!.setLinkState(false),
    network: { bootFile: 'missing.img' },
    flow: { os: false, secondBoot: false },
  });
  const attempts = report.boot?.attempts.map(({ device, error }) => `${device} ${error.name}`);
  assert.equal(attempts, ['net0 TftpFileNotFound', 'net2 TftpFileNotFound', 'net1 LinkDown']);
});

nics('a first NIC in a network without DHCP', () => {
  const dead = new Network({ files: memoryFiles({}), bootFile: '', dhcp: { mode: 'silent' } });
  const live = new Network({
    files: memoryFiles({ 'hypxe.img': runBoot().image }),
    bootFile: 'hypxe.img',
  });
  secondBoots({ machine: { links: [dead.link(0), live.link(1)] } }, 'NoDhcpAnswer');
});

nics('a first NIC that the host takes away during the download', () => {
  const { machine, report } = secondBoots(
    {
      size: 50_000,
      prepare: (machine) => {
        let frames = 0;
        machine.events.listen((event) => {
          if (event.kind !== 'frame' || event.nic !== 0 || ++frames !== 20) return;
          machine.clock.schedule(1, () => machine.vmbus.rescind(machine.nics[0]!));
        });
      },
    },
    'DeviceClosed',
  );
  assert.equal(machine.partition.grants.live(), []);
  assert.is(
    report.findings.some(({ severity }) => severity === 'error'),
    false,
  );
});

nics('no NIC at all', () => {
  const { report } = runBoot({ nics: 0, flow: { os: false } });
  // The host is one that the firmware runs on: this is no refusal
  assert.is(report.verdict, 'findings');
  assert.is(report.boot?.error?.name, 'NoNetworkDevice');
  assert.equal(complaints(report), []);
});

nics.run();
