// SPDX-License-Identifier: GPL-2.0-or-later

/** The synthetic registers and CPUID of the simulated partition, as a guest meets them. */

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Msr } from '../../../../src/hyperv/protocol.ts';
import { GuestCrash } from '../../../../tools/simulator/hypervisor/guest-end.ts';
import {
  crashes,
  create,
  ofKind,
  OS_ID,
  Page,
  profile,
  setUp,
} from '../../../rigs/partition-fixture.ts';

const trace = JSON.parse(
  readFileSync(new URL('../../../golden/ipxe-traces/01-boot.json', import.meta.url), 'utf8'),
) as { events: { op: string; leaf: string; out: string[] }[] };

const cpuid = suite('CPUID');

/**
 * Bits of leaf 0x40000003 that the host of the session has and this machine does not: VTLs and fast
 * output (EBX); debugging, XMM input, NUMA distances, machine checks, fast output (EDX).
 */
const NOT_HERE = [0, (1 << 16) | (1 << 19), 0, 0x8292];

cpuid('shows what the recorded session saw, but for what is not there', () => {
  const { cpu } = create();
  let compared = 0;
  for (const { op, leaf, out } of trace.events) {
    if (op !== 'cpuid') continue;
    const { eax, ebx, ecx, edx } = cpu.cpuid(Number(leaf), 0);
    const missing = Number(leaf) === 0x40000003 ? NOT_HERE : [0, 0, 0, 0];
    const expected = out.map((word, i) => Number(word) - missing[i]!);
    assert.equal([eax, ebx, ecx, edx], expected, `leaf ${leaf}`);
    compared++;
  }
  assert.is(compared, 8);
});

cpuid('takes overrides, and the registers follow them', () => {
  const none = create({}, { cpuidOverride: { 1: { ecx: 0x76fa3203 } } });
  assert.is(none.cpu.cpuid(1, 0).ecx >>> 31, 0);
  crashes(() => none.cpu.rdmsr(Msr.GUEST_OS_ID), '#GP', /GUEST_OS_ID: there is no such hypervisor/);
  const kvm = create({}, { cpuidOverride: { 0x40000001: { eax: 0x4b4d564b } } });
  assert.is(kvm.cpu.cpuid(0x40000001, 0).eax, 0x4b4d564b);
  crashes(() => kvm.cpu.wrmsr(Msr.SCONTROL, 1n), '#GP', /no such hypervisor/);
  const poor = create({}, { cpuidOverride: { 0x40000003: { eax: 0x2e7f & ~4 } } });
  assert.is(poor.cpu.rdmsr(Msr.GUEST_OS_ID), 0n);
  crashes(() => poor.cpu.rdmsr(Msr.SIMP), '#GP', /SIMP: CPUID does not grant it/);
});

cpuid('has an APIC ID for each processor', () => {
  const { partition } = create({}, { processors: 3 });
  assert.equal(
    partition.processors.map((cpu) => cpu.cpuid(1, 0).ebx),
    [0x00010800, 0x01010800, 0x02010800],
  );
});

cpuid.run();

const registers = suite('registers');

registers('have their reset values', () => {
  const { cpu } = create();
  for (const [name, msr] of Object.entries(Msr)) {
    const value = cpu.rdmsr(msr);
    if (name === 'SINT0') assert.is(value, 0x10000n);
    else if (name === 'SVERSION' || name === 'SCONTROL') assert.is(value, 1n);
    else if (name === 'TSC_FREQUENCY') assert.is(value, 2_560_000_000n);
    else if (name === 'APIC_FREQUENCY') assert.is(value, 200_000_000n);
    else if (name === 'CRASH_CTL') assert.is(value, 0xc000000000000000n);
    else if (name === 'TIME_REF_COUNT') assert.ok(value > 0n);
    else assert.is(value, 0n, name);
  }
  for (let sint = 0; sint < 16; sint++) assert.is(cpu.rdmsr(Msr.SINT0 + sint), 0x10000n);
  assert.is(create({ scontrolReset: 0 }).cpu.rdmsr(Msr.SCONTROL), 0n);
});

registers('keep what is written, bits of 64 cut off', () => {
  const { cpu } = create();
  for (const [msr, value] of [
    [Msr.GUEST_OS_ID, OS_ID],
    [Msr.SINT0 + 15, 0x200f3n],
    [Msr.VP_ASSIST_PAGE, 0x105001n],
    [Msr.CRASH_P4, 0xffffffffffffffffn],
    [Msr.STIMER0_COUNT + 6, 77n],
  ] as const) {
    cpu.wrmsr(msr, value);
    assert.is(cpu.rdmsr(msr), value);
  }
  cpu.wrmsr(Msr.CRASH_P0, -1n);
  assert.is(cpu.rdmsr(Msr.CRASH_P0), 0xffffffffffffffffn);
  cpu.wrmsr(Msr.EOM, 5n);
  assert.is(cpu.rdmsr(Msr.EOM), 0n);
});

registers('are of the partition or of the processor', () => {
  const { partition } = create({}, { processors: 2 });
  const [first, second] = partition.processors;
  setUp(first!);
  assert.is(second!.rdmsr(Msr.GUEST_OS_ID), OS_ID);
  assert.is(second!.rdmsr(Msr.HYPERCALL), 0x100001n);
  assert.is(second!.rdmsr(Msr.SIMP), 0n);
  assert.is(second!.rdmsr(Msr.SINT0 + 2), 0x10000n);
  assert.is(first!.rdmsr(Msr.VP_INDEX), 0n);
  assert.is(second!.rdmsr(Msr.VP_INDEX), 1n);
});

registers('fault for what is missing, read-only or reserved', () => {
  const faults: [number, bigint | undefined, RegExp][] = [
    [0x400000f1, undefined, /rdmsr 0x400000f1: no such register/],
    [0x1b, 0n, /wrmsr 0x1b: no such register/],
    [Msr.VP_INDEX, 0n, /VP_INDEX: read-only/],
    [Msr.TIME_REF_COUNT, 0n, /read-only/],
    [Msr.TSC_FREQUENCY, 0n, /read-only/],
    [Msr.SVERSION, 1n, /SVERSION: read-only/],
    [Msr.HYPERCALL, 0x100005n, /HYPERCALL: reserved bits set in 0x100005/],
    [Msr.HYPERCALL, 0x100801n, /reserved bits/],
    [Msr.REFERENCE_TSC, 0x100003n, /REFERENCE_TSC: reserved bits/],
    [Msr.STIMER0_CONFIG, 1n << 20n, /reserved bits/],
    [Msr.SINT0 + 3, 0x0fn, /SINT3: vector 0xf is below 16/],
    [Msr.SINT0 + 3, 0x40000n, /vector 0x0 is below 16/],
  ];
  for (const [msr, value, reason] of faults) {
    const { cpu, partition } = create();
    cpu.wrmsr(Msr.GUEST_OS_ID, OS_ID);
    const before = partition.inspection.msr(0, msr);
    const access = (): unknown => (value === undefined ? cpu.rdmsr(msr) : cpu.wrmsr(msr, value));
    crashes(access, '#GP', reason);
    if (msr !== Msr.TIME_REF_COUNT) assert.is(partition.inspection.msr(0, msr), before);
  }
  const { cpu } = create();
  cpu.wrmsr(Msr.SINT0 + 3, 0x1000fn);
  cpu.wrmsr(Msr.SINT0 + 3, 0x10n);
  assert.is(cpu.rdmsr(Msr.SINT0 + 3), 0x10n);
});

registers('log reserved bits that should be preserved', () => {
  const { cpu, events } = create();
  cpu.wrmsr(Msr.SIMP, BigInt(Page.SIMP) | 3n);
  assert.is(cpu.rdmsr(Msr.SIMP), BigInt(Page.SIMP) | 3n);
  assert.match(ofKind(events, 'violation')[0]!.text, /SIMP: reserved bits changed/);
});

registers('exist as the generation has them', () => {
  const old = create({}, { profile: profile('server2008') });
  assert.is(old.cpu.rdmsr(Msr.VP_INDEX), 0n);
  crashes(() => old.cpu.rdmsr(Msr.REFERENCE_TSC), '#GP', /does not grant/);
  const other = create({}, { profile: profile('server2008') });
  crashes(() => other.cpu.rdmsr(Msr.CRASH_CTL), '#GP', /does not grant/);
  const direct = create({}, { profile: profile('server2016') });
  crashes(() => direct.cpu.wrmsr(Msr.STIMER0_CONFIG, 0x1ed1n), '#GP', /no direct synthetic timers/);
});

registers('of the hypercall page lock, and follow the guest identity', () => {
  // Ignored while there is no identity
  const { cpu, partition, events } = create();
  cpu.wrmsr(Msr.HYPERCALL, 0x100001n);
  assert.is(cpu.rdmsr(Msr.HYPERCALL), 0n);
  assert.match(ofKind(events, 'violation')[0]!.text, /ignored while GUEST_OS_ID is 0/);

  // Disabled with the identity
  cpu.wrmsr(Msr.GUEST_OS_ID, OS_ID);
  cpu.wrmsr(Msr.HYPERCALL, 0x100001n);
  cpu.wrmsr(Msr.GUEST_OS_ID, 0n);
  assert.is(cpu.rdmsr(Msr.HYPERCALL), 0x100000n);
  assert.is(partition.grants.live().length, 0);
  assert.is(partition.grants.history()[0]!.revokedBy, 'wrmsr GUEST_OS_ID = 0 on VP 0');

  // Locked
  cpu.wrmsr(Msr.GUEST_OS_ID, OS_ID);
  cpu.wrmsr(Msr.HYPERCALL, 0x100003n);
  crashes(() => cpu.wrmsr(Msr.HYPERCALL, 0x100002n), '#GP', /HYPERCALL: the register is locked/);

  // The other knobs, and a page that is not there
  const openvmm = create({ hypercallPageWithoutOsId: 'accepted', osIdZero: 'independent' });
  openvmm.cpu.wrmsr(Msr.HYPERCALL, 0x100001n);
  openvmm.cpu.wrmsr(Msr.GUEST_OS_ID, 0n);
  assert.is(openvmm.cpu.rdmsr(Msr.HYPERCALL), 0x100001n);
  const outside = (): void => openvmm.cpu.wrmsr(Msr.HYPERCALL, 0xfffff000001n);
  crashes(outside, '#GP', /0xfffff000000 is not guest memory/);
});

registers('report a crash of the guest in its words', () => {
  const { cpu, bytes, events } = create();
  bytes.set([0x4f, 0x6f, 0x70, 0x73, 0x0a], 0x110000);
  cpu.wrmsr(Msr.CRASH_P0, 7n);
  cpu.wrmsr(Msr.CRASH_P3, 0x110000n);
  cpu.wrmsr(Msr.CRASH_P4, 5n);
  cpu.wrmsr(Msr.CRASH_CTL, 3n << 62n);
  assert.is(
    ofKind(events, 'crash')[0]!.text,
    'guest reported a crash on VP 0: P0=0x7 P1=0x0 P2=0x0 P3=0x110000 P4=0x5 Oops.',
  );
  assert.is(cpu.rdmsr(Msr.CRASH_CTL), 3n << 62n);
});

registers.run();

const crash = suite('crash');

crash('stays until it is recovered, and the state can be read', () => {
  const { cpu, partition, events } = create();
  setUp(cpu);
  const first = crashes(() => cpu.rdmsr(0xdead), '#GP', /rdmsr 0xdead/);
  const again: (() => unknown)[] = [
    () => cpu.pause(),
    () => cpu.cpuid(0, 0),
    () => cpu.rdmsr(Msr.TIME_REF_COUNT),
    () => cpu.wrmsr(Msr.EOM, 0n),
    () => cpu.callHypercallPage(Page.HYPERCALL, 0x1005dn, 2n, 0n),
  ];
  const { now } = partition.clock;
  for (const action of again) assert.throws(action, (error: unknown) => error === first);
  assert.is(partition.clock.now, now);
  assert.is(partition.ended, first);
  assert.is(ofKind(events, 'crash').length, 1);
  assert.is(partition.inspection.msr(0, Msr.SIMP), BigInt(Page.SIMP) | 1n);
  assert.is(partition.inspection.msrs(0).get(Msr.SINT0 + 2), 0x20075n);
  assert.is(partition.inspection.msr(0, 0xdead), undefined);

  partition.recover();
  assert.is(partition.ended, undefined);
  assert.is(cpu.rdmsr(Msr.SIMP), BigInt(Page.SIMP) | 1n);
});

crash('is of one processor', () => {
  const { partition } = create({}, { processors: 2 });
  const [first, second] = partition.processors;
  const crashed = crashes(() => second!.rdmsr(0), '#GP', /on VP 1/);
  assert.is(crashed.vp, 1);
  first!.pause();
  assert.throws(
    () => second!.pause(),
    (error: unknown) => error instanceof GuestCrash,
  );
});

crash('is forgotten by a reset, with all registers', () => {
  const { cpu, partition, view } = create();
  view.setUint32(Page.SIMP, 0x12345678, true);
  setUp(cpu);
  partition.postMessage(0, 2, 1, new Uint8Array(8));
  partition.postMessage(0, 2, 1, new Uint8Array(8));
  partition.signalEvent(0, 2, 9);
  cpu.wrmsr(Msr.STIMER0_CONFIG, 0x20009n);
  cpu.wrmsr(Msr.STIMER0_COUNT, 1000000n);
  crashes(() => cpu.rdmsr(0), '#GP', /rdmsr 0x0/);
  partition.reset();
  const fresh = create();
  const { inspection } = partition;
  for (const [msr, value] of fresh.partition.inspection.msrs(0)) {
    if (msr !== Msr.TIME_REF_COUNT && msr !== 0x10) assert.is(inspection.msr(0, msr), value);
  }
  assert.is(view.getUint32(Page.SIMP, true), 0x12345678);
  assert.is(partition.grants.live().length, 0);
  assert.is(inspection.slots(0)[2]!.type, 0);
  assert.is(inspection.slots(0)[2]!.queued, 0);
  assert.equal(inspection.eventFlags(0), []);
  assert.is(inspection.timers(0)[0]!.expiresAt, undefined);
  setUp(cpu);
  assert.is(view.getUint32(Page.SIMP + 2 * 256, true), 0);
});

crash.run();
