// SPDX-License-Identifier: GPL-2.0-or-later

/** Finding Hyper-V: what is refused, in which order, and what is written to which register. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorEntry } from '../../../src/catalogue.ts';
import { createDriver, type Machine } from '../../../src/index.ts';
import { HvFeature, HvPrivilege, Msr } from '../../../src/hyperv/protocol.ts';
import type { SimulatedProcessor } from '../../../tools/simulator/hypervisor/simulated-processor.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { Rig, fails, type RigOptions } from '../../rigs/driver-rig.ts';

/** CPUID 0x40000003 of the recorded host. */
const FEATURES = 0x2e7f;
const PRIVILEGES = 0x3b8030;

/** A machine whose CPUID 0x40000003 lacks something. */
function lacking(features: number, privileges = 0): RigOptions {
  const leaf = { eax: FEATURES & ~features, ebx: PRIVILEGES & ~privileges };
  return { cpuidOverride: { 0x40000003: leaf } };
}

/** Set registers before the firmware starts, as an earlier owner would have. */
function owned(registers: Readonly<Record<number, bigint>>): RigOptions {
  return {
    wrap(processor) {
      for (const [msr, value] of Object.entries(registers)) processor.wrmsr(Number(msr), value);
      return processor;
    },
  };
}

/** The machine with some of its instructions replaced. */
function instead(
  processor: SimulatedProcessor,
  own: Partial<Pick<SimulatedProcessor, 'rdmsr' | 'wrmsr' | 'pause'>>,
): Machine {
  return {
    architecture: 'x64',
    memory: processor.memory,
    memoryMap: processor.memoryMap,
    cpuid: (leaf, subleaf) => processor.cpuid(leaf, subleaf),
    rdmsr: own.rdmsr ?? ((msr) => processor.rdmsr(msr)),
    wrmsr: own.wrmsr ?? ((msr, value) => processor.wrmsr(msr, value)),
    pause: own.pause ?? (() => processor.pause()),
    callHypercallPage: (page, control, input, output) =>
      processor.callHypercallPage(page, control, input, output),
  };
}

const refusal = suite('refusals of the hypervisor layer');

const REFUSALS: readonly (readonly [name: string, errno: string, options: RigOptions])[] = [
  ['NoHypervisor', 'ENODEV', { cpuidOverride: { 1: { ecx: 0x76fa3203 } } }],
  ['NotHyperV', 'ENODEV', { cpuidOverride: { 0x40000001: { eax: 0x4b4d564b } } }],
  ['NoHypercallRegister', 'ENODEV', lacking(HvFeature.HYPERCALL)],
  ['NoSynic', 'ENODEV', lacking(HvFeature.SYNIC)],
  ['NoPostMessages', 'EACCES', lacking(0, HvPrivilege.POST_MESSAGES)],
  ['NoSignalEvents', 'EACCES', lacking(0, HvPrivilege.SIGNAL_EVENTS)],
  ['NoReferenceTime', 'ENODEV', lacking(HvFeature.TIME_REF_COUNT)],
  ['OwnedByUefi', 'ENOTSUP', owned({ [Msr.GUEST_OS_ID]: 1n << 40n })],
  [
    'HypercallPageLocked',
    'ENOTSUP',
    owned({ [Msr.GUEST_OS_ID]: 1n << 63n, [Msr.HYPERCALL]: 0x100003n }),
  ],
];

for (const [name, errno, options] of REFUSALS)
  refusal(`${name}: no register is written, nothing is shared, nothing allocated`, () => {
    const rig = new Rig(options);
    rig.mark();
    const error = fails(name, () => rig.driver.probe());
    assert.is(errorEntry(error.name)![0], errno);
    assert.ok(errorEntry(error.name)![1].length > 20, 'it says what to do next');
    assert.equal(rig.writes(), []);
    assert.equal(rig.seen('hypercall'), []);
    assert.equal(rig.outstanding(), []);
    assert.equal(rig.driver.memoryMap(), rig.machine.bootProcessor.memoryMap);
    assert.equal(rig.driver.devices, []);
  });

refusal('with several things missing the first of the order of iPXE is named', () => {
  const missing = [
    HvFeature.HYPERCALL | HvFeature.SYNIC | HvFeature.TIME_REF_COUNT,
    HvFeature.SYNIC | HvFeature.TIME_REF_COUNT,
    HvFeature.TIME_REF_COUNT,
    HvFeature.TIME_REF_COUNT,
    HvFeature.TIME_REF_COUNT,
  ];
  const privileges = [
    HvPrivilege.POST_MESSAGES | HvPrivilege.SIGNAL_EVENTS,
    HvPrivilege.POST_MESSAGES | HvPrivilege.SIGNAL_EVENTS,
    HvPrivilege.POST_MESSAGES | HvPrivilege.SIGNAL_EVENTS,
    HvPrivilege.SIGNAL_EVENTS,
    0,
  ];
  const named = [
    'NoHypercallRegister',
    'NoSynic',
    'NoPostMessages',
    'NoSignalEvents',
    'NoReferenceTime',
  ];
  named.forEach((name, i) => {
    const rig = new Rig(lacking(missing[i]!, privileges[i]!));
    fails(name, () => rig.driver.probe());
  });
  // Neither a hypervisor nor its interface: the leaves beyond are not even asked
  const rig = new Rig({ cpuidOverride: { 1: { ecx: 0 }, 0x40000001: { eax: 0 } } });
  fails('NoHypervisor', () => rig.driver.probe());
  assert.equal(
    rig.seen('cpuid').map(({ leaf }) => leaf),
    [1],
  );
});

refusal('an architecture without a platform is refused before anything is touched', () => {
  const machine = { architecture: 'mips', memory: new ArrayBuffer(4096), memoryMap: [] };
  const error = fails('ArchitectureUnsupported', () => {
    createDriver(machine as unknown as Machine);
  });
  assert.ok(error.message.includes('mips'));
});

refusal('a hypercall page that does not read back is taken back, and named', () => {
  // A host that ignores the write, one that moves the page, one that does not enable it
  const answers = [() => 0n, () => 0x123001n, (value: bigint) => value & ~1n];
  for (const answer of answers) {
    let written = 0n;
    const rig = new Rig({
      wrap: (processor) =>
        instead(processor, {
          wrmsr(msr, value) {
            if (msr === Msr.HYPERCALL) written = value;
            processor.wrmsr(msr, value);
          },
          rdmsr: (msr) => {
            const value = processor.rdmsr(msr);
            return msr === Msr.HYPERCALL && (written & 1n) === 1n ? answer(written) : value;
          },
        }),
    });
    fails('HypercallPageRefused', () => rig.driver.probe());
    assert.is(rig.writes().at(-1), 'GUEST_OS_ID=0x0');
    assert.ok(!rig.writes().some((text) => text.startsWith('SIMP')), 'goes no further');
    written = 0n;
    rig.assertClean();
  }
});

refusal('foreign-identity-overwritten: only the identity of the UEFI firmware is respected', () => {
  // Another loader's, Linux's, and UEFI's with one more bit
  for (const identity of [0x98ae000000000000n, 0x8100060c00000000n, (1n << 40n) | 1n]) {
    const rig = new Rig(owned({ [Msr.GUEST_OS_ID]: identity }));
    rig.mark();
    rig.probe();
    assert.is(rig.writes()[0], 'GUEST_OS_ID=0x98ae000000000000');
    rig.driver.remove();
    assert.is(rig.writes().at(-1), 'GUEST_OS_ID=0x0');
    rig.assertClean();
  }
});

refusal.run();

const registers = suite('registers of the hypervisor layer');

/** Guest physical addresses that were handed out. */
const PAGE = /(HYPERCALL|SIMP|SIEFP)=0x([0-9a-f]+)/;

/** Register writes without those of EOM, with pages by their order. */
function sequence(rig: Rig): string[] {
  const pages: string[] = [];
  return rig
    .writes()
    .filter((text) => !text.startsWith('EOM'))
    .map((text) => {
      const [, name, value] = PAGE.exec(text) ?? [];
      if (name === undefined || value === undefined || value.length < 4) return text;
      const page = value.slice(0, -3);
      if (!pages.includes(page)) pages.push(page);
      return `${name}=page${pages.indexOf(page)}+${value.slice(-3)}`;
    });
}

const SET_UP = [
  'GUEST_OS_ID=0x98ae000000000000',
  'HYPERCALL=page0+001',
  'SIMP=page1+001',
  'SIEFP=page2+001',
  'SCONTROL=0x1',
  'SINT2=0x20075',
];

registers('identity, hypercall page, message page, event page, SynIC, SINT2; and back', () => {
  const rig = new Rig();
  rig.driver.probe();
  assert.equal(sequence(rig), SET_UP);
  rig.mark();
  rig.driver.remove();
  assert.equal(sequence(rig), [
    'SINT2=0x10000',
    'SIEFP=0x0',
    'SIMP=0x0',
    'HYPERCALL=0x0',
    'GUEST_OS_ID=0x0',
  ]);
  rig.assertClean();
});

registers('event-page-cleared: L11 iPXE: no event flag is left set', () => {
  const rig = new Rig();
  rig.probe();
  const { partition } = rig.machine;
  partition.signalEvent(0, 2, 0);
  partition.signalEvent(0, 2, 77);
  assert.equal(partition.inspection.eventFlags(0), [
    { sint: 2, flag: 0 },
    { sint: 2, flag: 77 },
  ]);
  rig.driver.remove();
  assert.equal(partition.inspection.eventFlags(0), []);
});

registers('sints-as-at-reset: reserved bits stay, those of an earlier owner go', () => {
  // Polling (bit 18), proxy (bit 20) and a vector of somebody else; a reserved bit
  for (const left of [0x50033n, 0x110033n, 0x250033n]) {
    const rig = new Rig(owned({ [Msr.SINT0 + 2]: left }));
    rig.probe();
    const reserved = left & 0x200000n;
    assert.ok(rig.writes().includes(`SINT2=0x${(reserved | 0x20075n).toString(16)}`));
    rig.driver.remove();
    assert.is(rig.machine.partition.inspection.register(0, 'SINT2'), reserved | 0x10000n);
    rig.assertClean();
  }
});

registers('scontrol-as-found: on where it was on, off where it was off', () => {
  for (const host of ['openvmm', 'server2022', 'qemu', 'kvm']) {
    const profile = profileNamed(host);
    if (profile === undefined) continue;
    for (const unclean of [undefined, 0n, 1n]) {
      const found = unclean ?? BigInt(profile.knobs.scontrolReset);
      const rig = new Rig({
        host,
        ...(unclean === undefined ? {} : owned({ [Msr.SCONTROL]: unclean })),
      });
      rig.mark();
      rig.probe();
      const { inspection } = rig.machine.partition;
      assert.is(inspection.register(0, 'SCONTROL'), 1n, 'it must be on while we run');
      rig.driver.remove();
      assert.is(inspection.register(0, 'SCONTROL'), found, `${host} ${unclean}`);
      const writes = rig.writes().filter((text) => text.startsWith('SCONTROL'));
      assert.equal(writes, ['SCONTROL=0x1', ...(found === 1n ? [] : ['SCONTROL=0x0'])]);
      rig.assertClean();
      rig.assertRecovers();
    }
  }
});

registers('quiesce masks and unmaps, but keeps SCONTROL; unquiesce sets up anew', () => {
  const rig = new Rig();
  rig.open();
  rig.mark();
  rig.driver.quiesce();
  assert.equal(sequence(rig), [
    'SINT2=0x10000',
    'SIEFP=0x0',
    'SIMP=0x0',
    'HYPERCALL=0x0',
    'GUEST_OS_ID=0x0',
  ]);
  assert.is(rig.machine.partition.inspection.register(0, 'SCONTROL'), 1n);
  // A second quiesce finds nothing to do
  rig.mark();
  rig.driver.quiesce();
  assert.equal(rig.writes(), []);
  rig.driver.unquiesce();
  assert.equal(sequence(rig), SET_UP);
  assert.ok(rig.device.isOpen);
  rig.driver.remove();
  rig.assertClean();
});

registers('quiesce also masks the SINTs of others', () => {
  const rig = new Rig();
  rig.probe();
  rig.machine.bootProcessor.wrmsr(Msr.SINT0 + 7, 0x41n);
  rig.mark();
  rig.driver.quiesce();
  assert.equal(sequence(rig).slice(0, 2), ['SINT2=0x10000', 'SINT7=0x10000']);
});

registers(
  'unquiesce does nothing while somebody else has the SynIC, and reads one register',
  () => {
    const rig = new Rig();
    rig.probe();
    rig.driver.quiesce();
    const { bootProcessor } = rig.machine;
    bootProcessor.wrmsr(Msr.SIMP, 0x200001n);
    rig.mark();
    rig.driver.unquiesce();
    assert.equal([rig.writes(), rig.seen('rdmsr').length], [[], 1]);
    // And before the drivers were probed, or after they were removed, nothing at all
    bootProcessor.wrmsr(Msr.SIMP, 0n);
    rig.driver.unquiesce();
    rig.driver.remove();
    rig.mark();
    rig.driver.quiesce();
    rig.driver.unquiesce();
    assert.equal([rig.writes(), rig.seen('rdmsr')], [[], []]);
  },
);

registers('eom-only-when-pending: EOM is written once for each message that waited', () => {
  // Four messages at once: three offers and the end. One more would be the idle polling of iPXE
  const rig = new Rig();
  rig.driver.probe();
  const eoms = rig.writes().filter((text) => text === 'EOM=0x0').length;
  const queued = rig.seen('host-message').filter(({ change }) => change === 'queue').length;
  assert.is(queued, 3);
  assert.is(eoms, queued + 1, 'and once after the SINT was enabled');
  // And none in a second of waiting for nothing
  rig.machine.vmbus.faults = { message: (type) => (type === 6 ? 'drop' : undefined) };
  rig.mark();
  assert.ok(rig.elapsed(() => fails('NoResponse', () => rig.device.open())) > 1000);
  assert.is(rig.writes().length, 0);
});

registers.run();

const clock = suite('time');

clock('exact-clock: a second has ten million ticks, and a timeout takes as long as it says', () => {
  const rig = new Rig();
  rig.probe();
  const { now } = rig.machine.clock;
  assert.ok(Math.abs(rig.driver.clock.now() - now) < 10);
  rig.machine.run(10_000_000);
  assert.ok(Math.abs(rig.driver.clock.now() - now - 10_000_000) < 10);
  rig.machine.vmbus.faults = { message: (type) => (type === 10 ? 'drop' : undefined) };
  // Ten seconds for GPADL_CREATED, twice; the teardown is answered within a millisecond
  const ms = rig.elapsed(() => fails('NoResponse', () => rig.device.open()));
  assert.ok(ms >= 20_000 && ms < 20_003, `${ms} ms`);
});

clock('stopped-clock-is-named: one that stands still ends every wait, and all is undone', () => {
  let stopped = false;
  let pauses = 0;
  const rig = new Rig({
    wrap: (processor) =>
      instead(processor, {
        rdmsr: (msr) => (stopped && msr === Msr.TIME_REF_COUNT ? 77n : processor.rdmsr(msr)),
        pause: () => (stopped ? void pauses++ : processor.pause()),
      }),
  });
  stopped = true;
  fails('ClockStopped', () => rig.driver.probe());
  assert.ok(pauses > 100_000 && pauses < 3_000_000, `${pauses} pauses`);
  rig.assertContained();
  // It runs again: so do the drivers
  stopped = false;
  rig.machine.run(10_000_000);
  rig.assertRecovers();

  // It stops with a device open: the end of it all is reached, and nothing is said to be free
  rig.open();
  pauses = 0;
  stopped = true;
  rig.driver.remove();
  assert.ok(pauses < 3_000_000, `${pauses} pauses`);
  assert.is(rig.driver.devices.length, 0);
  rig.assertContained();
});

clock.run();
