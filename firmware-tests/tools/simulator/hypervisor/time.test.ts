// SPDX-License-Identifier: GPL-2.0-or-later

/** Time on the simulated partition: pauses, limits, the reference TSC page and synthetic timers. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Msr } from '../../../../src/hyperv/protocol.ts';
import { GuestHang } from '../../../../tools/simulator/hypervisor/guest-end.ts';
import { create, hexBytes, ofKind, Page, setUp } from '../../../rigs/partition-fixture.ts';
import type { Fixture } from '../../../rigs/partition-fixture.ts';

const time = suite('time');

time('moves by a tick with each call, by a millisecond with a pause', () => {
  const { cpu, partition } = create();
  assert.is(cpu.rdmsr(Msr.TIME_REF_COUNT), 1n);
  assert.is(cpu.rdmsr(Msr.TIME_REF_COUNT), 2n);
  cpu.pause();
  assert.is(partition.clock.now, 10_002);
  cpu.cpuid(0, 0);
  cpu.wrmsr(Msr.CRASH_P0, 0n);
  assert.is(cpu.rdmsr(Msr.TIME_REF_COUNT), 10_005n);
});

time('stops at an alarm, but never stands still', () => {
  const { cpu, partition } = create();
  const { clock } = partition;
  const fired: number[] = [];
  clock.schedule(3, () => fired.push(clock.now));
  clock.schedule(25_000, () => fired.push(clock.now));
  const seen = [1, 2, 3, 4].map(() => {
    cpu.pause();
    return clock.now;
  });
  assert.equal(seen, [3, 10_003, 20_003, 25_000]);
  assert.equal(fired, [3, 25_000]);
  // An alarm that is due already does not hold time up
  clock.schedule(0, () => fired.push(clock.now));
  cpu.pause();
  assert.is(clock.now, 25_001);
  assert.is(fired.length, 3);
});

time('is the same for all processors', () => {
  const { partition } = create({}, { processors: 2 });
  partition.processors[0]!.pause();
  assert.is(partition.processors[1]!.rdmsr(Msr.TIME_REF_COUNT), 10_001n);
});

time.run();

const limits = suite('limits');

/** Run `action` until the guest is ended, at most `bound` times. */
function untilEnd(action: () => void, bound: number): [GuestHang, number] {
  for (let i = 0; i < bound; i++) {
    try {
      action();
    } catch (error) {
      assert.instance(error, GuestHang);
      return [error as GuestHang, i];
    }
  }
  throw new Error('the guest did not end');
}

limits('end a guest that uses them up, and say what it did last', () => {
  const calls = create({}, { limits: { seamCalls: 10 } });
  const [call, made] = untilEnd(() => calls.cpu.rdmsr(Msr.VP_INDEX), 20);
  assert.is(made, 10);
  assert.is(call.limit, 'seamCalls');
  assert.match(call.message, /too many calls \(10 ticks, 11 calls, 0 pauses\)/);
  assert.match(call.message, /last activity: rdmsr 0x40000002 on VP 0 at tick 9/);

  const pauses = create({}, { limits: { pauses: 3 } });
  assert.is(untilEnd(() => pauses.cpu.pause(), 20)[1], 3);
  assert.match(pauses.partition.ended!.message, /too many pauses.*none but pauses/);

  const ticks = create({}, { limits: { virtualTicks: 50_000 } });
  assert.equal([untilEnd(() => ticks.cpu.pause(), 20)[1], ticks.partition.clock.now], [6, 60_000]);
  assert.is((ticks.partition.ended as GuestHang).limit, 'virtualTicks');
});

limits('stay exceeded for every processor until the partition is recovered', () => {
  const { partition, events } = create({}, { limits: { pauses: 1 }, processors: 2 });
  const [first, second] = partition.processors;
  const [hang] = untilEnd(() => first!.pause(), 5);
  assert.throws(
    () => second!.cpuid(0, 0),
    (error: unknown) => error === hang,
  );
  assert.throws(
    () => first!.pause(),
    (error: unknown) => error === hang,
  );
  assert.is(ofKind(events, 'hang').length, 1);
  partition.recover({ pauses: 2 });
  assert.is(untilEnd(() => first!.pause(), 5)[1], 2);
  partition.recover();
  for (let i = 0; i < 50; i++) first!.pause();
});

limits.run();

const tsc = suite('reference TSC page');

/** Reference time as a guest computes it from the page. */
function pageTime({ cpu, view }: Fixture, page: number): bigint | undefined {
  if (view.getUint32(page, true) === 0) return undefined;
  const product = cpu.rdmsr(0x10) * view.getBigUint64(page + 8, true);
  return (product >> 64n) + view.getBigInt64(page + 16, true);
}

tsc('gives the reference time', () => {
  const fixture = create();
  const { cpu, partition, view } = fixture;
  cpu.wrmsr(Msr.REFERENCE_TSC, 0x200001n);
  for (let i = 0; i < 5; i++) {
    assert.is(pageTime(fixture, 0x200000), BigInt(partition.clock.now));
    cpu.pause();
  }
  assert.ok(view.getBigInt64(0x200010, true) !== 0n);
});

tsc('counts its sequence up, and comes off', () => {
  const fixture = create();
  const { cpu, view, bytes } = fixture;
  bytes.fill(0x77, 0x200000, 0x202000);
  cpu.wrmsr(Msr.REFERENCE_TSC, 0x200001n);
  assert.is(view.getUint32(0x200000, true), 1);
  cpu.wrmsr(Msr.REFERENCE_TSC, 0x201001n);
  assert.is(view.getUint32(0x201000, true), 2);
  assert.is(view.getUint32(0x200000, true), 0x77777777);
  cpu.wrmsr(Msr.REFERENCE_TSC, 0n);
  assert.ok(bytes.subarray(0x200000, 0x202000).every((byte) => byte === 0x77));
  assert.is(fixture.partition.grants.live().length, 0);
});

tsc.run();

const timers = suite('synthetic timers');

const ENABLED = 1n;
const PERIODIC = 2n;
const AUTO_ENABLE = 8n;
const SINT2 = 2n << 16n;
const SLOT = Page.SIMP + 2 * 256;

/** Pause until `condition`, at most 100 times. */
function pauseUntil({ cpu }: Fixture, condition: () => boolean): void {
  for (let i = 0; i < 100 && !condition(); i++) cpu.pause();
  assert.ok(condition());
}

timers('send one message at their time, and disable themselves', () => {
  const fixture = create();
  const { cpu, view, bytes, partition } = fixture;
  setUp(cpu);
  cpu.wrmsr(Msr.STIMER0_CONFIG + 2, AUTO_ENABLE | SINT2);
  cpu.wrmsr(Msr.STIMER0_COUNT + 2, 34_567n);
  assert.is(cpu.rdmsr(Msr.STIMER0_CONFIG + 2), ENABLED | AUTO_ENABLE | SINT2);
  assert.is(partition.inspection.timers(0)[1]!.expiresAt, 34_567);
  pauseUntil(fixture, () => view.getUint32(SLOT, true) !== 0);
  assert.is(partition.clock.now, 34_567);
  // Type 0x80000010; index, 0, expiration, delivery
  assert.is(
    hexBytes(bytes.subarray(SLOT, SLOT + 40)),
    '10000080' +
      '18000000' +
      '0000000000000000' +
      '0100000000000000' +
      '0787000000000000'.repeat(2),
  );
  assert.is(cpu.rdmsr(Msr.STIMER0_CONFIG + 2), AUTO_ENABLE | SINT2);
  assert.is(partition.inspection.timers(0)[1]!.enabled, false);
});

timers('stay due while the slot is busy, and say how late they are', () => {
  const fixture = create();
  const { cpu, view, bytes, partition } = fixture;
  setUp(cpu);
  partition.postMessage(0, 2, 1, new Uint8Array([1]));
  cpu.wrmsr(Msr.STIMER0_COUNT, 5_000n);
  cpu.wrmsr(Msr.STIMER0_CONFIG, ENABLED | SINT2);
  for (let i = 0; i < 3; i++) cpu.pause();
  const [state] = partition.inspection.timers(0);
  assert.equal([state!.due, state!.expiresAt], [true, 5_000]);
  assert.is(bytes[SLOT + 5], 1);
  view.setUint32(SLOT, 0, true);
  cpu.wrmsr(Msr.EOM, 0n);
  assert.is(view.getUint32(SLOT, true), 0x80000010);
  assert.is(view.getBigUint64(SLOT + 24, true), 5_000n);
  assert.ok(view.getBigUint64(SLOT + 32, true) > 20_000n);
  assert.is(partition.inspection.timers(0)[0]!.due, false);
});

timers('stay due while the SINT is masked, and stop only when they are stopped', () => {
  const fixture = create({ scanOnEnable: true });
  const { cpu, view, partition } = fixture;
  setUp(cpu, 0x10075n);
  cpu.wrmsr(Msr.STIMER0_CONFIG, AUTO_ENABLE | SINT2);
  cpu.wrmsr(Msr.STIMER0_COUNT, 100n);
  cpu.wrmsr(Msr.STIMER0_CONFIG + 2, AUTO_ENABLE | SINT2);
  cpu.wrmsr(Msr.STIMER0_COUNT + 2, 200n);
  cpu.pause();
  cpu.pause();
  assert.is(view.getUint32(SLOT, true), 0);
  cpu.wrmsr(Msr.STIMER0_COUNT, 0n);
  assert.is(cpu.rdmsr(Msr.STIMER0_CONFIG) & ENABLED, 0n);
  cpu.wrmsr(Msr.SINT0 + 2, 0x20075n);
  assert.is(view.getUint32(SLOT + 16, true), 1);
  assert.is(partition.inspection.interrupts(0, 2), 1);
});

timers('repeat, without one message more than slots were emptied', () => {
  const fixture = create();
  const { cpu, view, partition } = fixture;
  setUp(cpu);
  cpu.wrmsr(Msr.STIMER0_CONFIG, AUTO_ENABLE | PERIODIC | SINT2);
  cpu.wrmsr(Msr.STIMER0_COUNT, 20_000n);
  const start = partition.clock.now;
  const expirations: number[] = [];
  while (expirations.length < 4) {
    pauseUntil(fixture, () => view.getUint32(SLOT, true) !== 0);
    expirations.push(Number(view.getBigUint64(SLOT + 24, true)) - start);
    // The third is taken late: the periods that passed meanwhile are skipped
    if (expirations.length === 2) for (let i = 0; i < 12; i++) cpu.pause();
    view.setUint32(SLOT, 0, true);
    cpu.wrmsr(Msr.EOM, 0n);
  }
  assert.equal(expirations, [20_000, 40_000, 60_000, 180_000]);
  cpu.wrmsr(Msr.STIMER0_CONFIG, 0n);
  assert.is(partition.inspection.timers(0)[0]!.expiresAt, undefined);
  view.setUint32(SLOT, 0, true);
  for (let i = 0; i < 10; i++) cpu.pause();
  assert.is(view.getUint32(SLOT, true), 0);
});

timers('in direct mode raise interrupts, at most every 100 us', () => {
  const { cpu, partition } = create();
  cpu.wrmsr(Msr.STIMER0_CONFIG + 6, 0x1ed0n | AUTO_ENABLE | PERIODIC);
  cpu.wrmsr(Msr.STIMER0_COUNT + 6, 1n);
  const start = partition.clock.now;
  while (partition.clock.now < start + 50_000) cpu.pause();
  assert.is(partition.inspection.timers(0)[3]!.interrupts, 50);
});

timers('without a SINT cannot be enabled, and those of the far future wait', () => {
  const { cpu, partition } = create();
  setUp(cpu);
  cpu.wrmsr(Msr.STIMER0_COUNT, 1n);
  cpu.wrmsr(Msr.STIMER0_CONFIG, ENABLED);
  assert.is(cpu.rdmsr(Msr.STIMER0_CONFIG), 0n);
  cpu.wrmsr(Msr.STIMER0_CONFIG, AUTO_ENABLE | SINT2);
  cpu.wrmsr(Msr.STIMER0_COUNT, 0xffffffffffffffffn);
  for (let i = 0; i < 10; i++) cpu.pause();
  const [state] = partition.inspection.timers(0);
  assert.equal([state!.enabled, state!.due], [true, false]);
});

timers.run();
