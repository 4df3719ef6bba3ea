// SPDX-License-Identifier: GPL-2.0-or-later

/** Host profiles against the tables of versions, and the options of a partition. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Partition } from '../../../../tools/simulator/hypervisor/partition.ts';
import {
  DEFAULT_PROFILE,
  PROFILES,
  profileNamed,
  withKnobs,
} from '../../../../tools/simulator/profiles/profiles.ts';
import { create, MEMORY_SIZE, profile } from '../../../rigs/partition-fixture.ts';

const profiles = suite('host profiles');

/** VMBus versions by the host that introduced them (Linux `include/linux/hyperv.h`, mu_msvm). */
const INTRODUCED: [string, number[]][] = [
  ['server2008', [0x0000000d]],
  ['server2008r2', [0x00010001]],
  ['server2012', [0x00020004]],
  ['server2012r2', [0x00030000]],
  ['server2016', [0x00040000]],
  ['server2019', [0x00040001, 0x00050000, 0x00050001, 0x00050002]],
  ['server2022', [0x00050003]],
  ['copper', [0x00060000]],
];

profiles('know the versions of their generation and all before', () => {
  const versions: number[] = [];
  for (const [name, introduced] of INTRODUCED) {
    versions.push(...introduced);
    const host = profileNamed(name)!;
    assert.equal(host.vmbusVersions, versions, name);
    assert.is(host.multiClientPort, versions.includes(0x00050000), name);
    const unload = versions.includes(0x00030000);
    assert.is(host.knobs.unloadAnswer, unload ? 0 : 'never', name);
    assert.is(host.knobs.reinitiate, unload ? 'disconnect' : 'ignore', name);
    assert.is(host.vmbusFeatures !== 0, versions.includes(0x00060000), name);
  }
  assert.equal(profileNamed('openvmm')!.vmbusVersions, versions);
  assert.is(profileNamed('copper')!.vmbusFeatures, 0x7);
});

profiles('have names, sources, and NVSP versions in order', () => {
  assert.is(new Set(PROFILES.map(({ name }) => name)).size, PROFILES.length);
  assert.is(PROFILES.length, 10);
  const known = [0x00000002, 0x00030002, 0x00040000, 0x00050000, 0x00060000, 0x00060001];
  for (const host of PROFILES) {
    assert.ok(host.description.length > 0 && host.source.length > 0);
    assert.equal(host.nvspVersions, known.slice(0, host.nvspVersions.length), host.name);
    assert.is(host.privileges & 0x30, 0x30);
    assert.is(host.features & 0x26, 0x26);
  }
});

profiles('differ where the tables say', () => {
  const { knobs: openvmm } = profileNamed('openvmm')!;
  assert.equal(
    [
      openvmm.overlay,
      openvmm.osIdZero,
      openvmm.scontrolReset,
      openvmm.emptyCompletion,
      openvmm.revoke,
      openvmm.cancelPacket,
      openvmm.rndisReset,
      openvmm.rxMessageLength,
      openvmm.backPressure,
    ],
    [
      'overwrite',
      'independent',
      1,
      'fatal',
      'silent',
      'fatal',
      'fatal',
      'sub-allocation',
      'unbounded',
    ],
  );
  const { knobs: qemu, multiClientPort } = profileNamed('qemu')!;
  assert.equal([qemu.offerPacing, qemu.echoVersion, multiClientPort], ['one-by-one', false, false]);
  const { recommendations } = profileNamed('server2022')!;
  assert.is(recommendations & 0x200, 0x200);
  assert.is(profileNamed('server2019')!.recommendations & 0x200, 0);
});

profiles(
  'L16 Linux: the malformed status is of Windows from 2012 R2 to before 2022 ("pre-Fe")',
  () => {
    const hosts = PROFILES.filter(({ knobs }) => knobs.malformedStatus).map(({ name }) => name);
    assert.equal(hosts, ['server2012r2', 'server2016', 'server2019']);
  },
);

profiles('are found by name, and turned without being changed', () => {
  assert.is(profileNamed(DEFAULT_PROFILE)!.name, 'server2022');
  assert.is(profileNamed('server2025'), undefined);
  const original = profile('server2022');
  const turned = withKnobs(original, { echoVersion: false });
  assert.is(turned.knobs.echoVersion, false);
  assert.is(original.knobs.echoVersion, true);
  assert.is(turned.knobs.maskedSint, original.knobs.maskedSint);
});

profiles('show in CPUID', () => {
  for (const host of PROFILES) {
    const { cpu } = create({}, { profile: host });
    assert.is(cpu.cpuid(0x40000002, 0).eax, host.hypervisorBuild);
    assert.is(cpu.cpuid(0x40000002, 0).ebx, host.hypervisorVersion);
    assert.is(cpu.cpuid(0x40000003, 0).eax, host.features);
    // Nested virtualisation (bit 14) is recommended where it is there: not here
    assert.is(cpu.cpuid(0x40000004, 0).eax, host.recommendations & ~0x4000);
  }
});

profiles.run();

const options = suite('partition options');

options('have defaults', () => {
  const { partition, cpu } = create();
  assert.is(partition.processors.length, 1);
  assert.equal(
    cpu.memoryMap.map(({ address, length, type }) => [address, address + length, type]),
    [
      [0x1000, 0x9f000, 'usable'],
      [0x100000, MEMORY_SIZE, 'usable'],
    ],
  );
  assert.is(partition.services.profile.name, 'server2019');
});

options('are checked', () => {
  const host = profile();
  const memory = new ArrayBuffer(MEMORY_SIZE);
  const usable = 'usable' as const;
  const make = (more: object): (() => unknown) => {
    return () => new Partition({ memory, profile: host, seed: 1, ...more });
  };
  assert.throws(make({ memory: new ArrayBuffer(0x1ff000) }), /2093056 bytes of memory/);
  assert.throws(make({ memory: new ArrayBuffer(0x200001) }), RangeError);
  assert.throws(make({ processors: 0 }), /0 virtual processors/);
  assert.throws(make({ processors: 241 }), RangeError);
  const beyond = [{ address: 0, length: MEMORY_SIZE + 1, type: usable }];
  assert.throws(make({ memoryMap: beyond }), /usable beyond the end of RAM/);
  const overlap = [
    { address: 0, length: 0x2000, type: usable },
    { address: 0x1000, length: 0x1000, type: usable },
  ];
  assert.throws(make({ memoryMap: overlap }), /0x1000 overlaps/);
});

options('of one seed give one sequence of random numbers', () => {
  const draw = (seed: number): number => create({}, { seed }).partition.random.u32();
  assert.is(draw(7), draw(7));
  assert.is.not(draw(7), draw(8));
});

options.run();
