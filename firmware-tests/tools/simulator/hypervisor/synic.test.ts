// SPDX-License-Identifier: GPL-2.0-or-later

/** The SynIC of the simulated partition: message slots, queues and event flags, at the bytes. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Msr, StimerConfig } from '../../../../src/hyperv/protocol.ts';
import { SINT_QUEUE_LIMIT } from '../../../../tools/simulator/hypervisor/synic.ts';
import {
  create,
  hexBytes,
  ofKind,
  Page,
  setUp,
  setUpSynic,
} from '../../../rigs/partition-fixture.ts';
import type { Fixture } from '../../../rigs/partition-fixture.ts';

const SLOT = Page.SIMP + 2 * 256;

function message(...bytes: number[]): Uint8Array {
  return Uint8Array.from(bytes);
}

/** The first byte of the message in SINT2's slot, and its pending flag; type 0 is undefined. */
function slot({ view, bytes }: Fixture): [number, boolean] | undefined {
  if (view.getUint32(SLOT, true) === 0) return undefined;
  return [bytes[SLOT + 16]!, bytes[SLOT + 5] === 1];
}

/** The guest takes the message as it must: read, store type 0, EOM if one is pending. */
function take(fixture: Fixture): number {
  const [first] = slot(fixture)!;
  fixture.view.setUint32(SLOT, 0, true);
  if (fixture.bytes[SLOT + 5] === 1) fixture.cpu.wrmsr(Msr.EOM, 0n);
  return first;
}

const slots = suite('message slots');

slots('are filled as TLFS lays them out, with the rest left stale', () => {
  const fixture = create();
  setUp(fixture.cpu);
  fixture.bytes.fill(0xaa, SLOT + 4, SLOT + 256);
  fixture.partition.postMessage(0, 2, 0x11223344, message(1, 2, 3, 4, 5));
  assert.is(
    hexBytes(fixture.bytes.subarray(SLOT, SLOT + 24)),
    '44332211' + '05' + '00' + '0000' + '0000000000000000' + '0102030405aaaaaa',
  );
  assert.is(fixture.view.getUint32(SLOT + 256, true), 0);
  fixture.partition.postMessage(0, 15, 1, new Uint8Array(240).fill(9));
  assert.is(fixture.partition.queuedMessages(0, 15), 0);
  assert.throws(() => fixture.partition.postMessage(0, 2, 1, new Uint8Array(241)), /241 bytes/);
  assert.throws(() => fixture.partition.postMessage(0, 16, 1, message()), RangeError);
  assert.throws(() => fixture.partition.postMessage(1, 2, 1, message()), RangeError);
});

slots('are one deep: what follows waits in order, and sets the pending flag', () => {
  const fixture = create();
  const { partition, cpu } = fixture;
  setUp(cpu);
  partition.postMessage(0, 2, 1, message(1));
  assert.equal(slot(fixture), [1, false]);
  for (const n of [2, 3, 4]) partition.postMessage(0, 2, 1, message(n));
  assert.equal(slot(fixture), [1, true]);
  assert.is(partition.queuedMessages(0, 2), 3);
  const taken: number[] = [];
  while (slot(fixture) !== undefined) {
    taken.push(take(fixture));
    // The pending flag is set as long as others wait
    if (taken.length < 3) assert.equal(slot(fixture), [taken.length + 1, true]);
    else if (taken.length === 3) assert.equal(slot(fixture), [4, false]);
  }
  assert.equal(taken, [1, 2, 3, 4]);
  assert.is(partition.queuedMessages(0, 2), 0);
});

slots('that are emptied without EOM stay so, unless the host looks on exits', () => {
  for (const [slotScan, arrives] of [
    ['eom', false],
    ['exit', true],
  ] as const) {
    const fixture = create({ slotScan });
    setUp(fixture.cpu);
    fixture.partition.postMessage(0, 2, 1, message(1));
    fixture.partition.postMessage(0, 2, 1, message(2));
    fixture.view.setUint32(SLOT, 0, true);
    for (let i = 0; i < 5; i++) fixture.cpu.pause();
    assert.is(slot(fixture) !== undefined, arrives, slotScan);
    fixture.cpu.wrmsr(Msr.EOM, 0n);
    assert.equal(slot(fixture), [2, false]);
  }
});

slots('P-Q1 hypxe on QEMU: without EOM nothing moves, whatever is written or comes', () => {
  const fixture = create();
  const { cpu, partition, view } = fixture;
  setUp(cpu);
  for (const n of [1, 2]) partition.postMessage(0, 2, 1, message(n));

  // Another owner takes over: it clears the page, and the pending flag with it
  view.setUint32(SLOT, 0, true);
  view.setUint32(SLOT + 4, 0, true);
  for (const value of [0n, 1n]) cpu.wrmsr(Msr.SCONTROL, value);
  for (const enable of [0n, 1n]) cpu.wrmsr(Msr.SIMP, BigInt(Page.SIMP) | enable);
  cpu.wrmsr(Msr.SINT0 + 2, 0x20076n);
  partition.postMessage(0, 2, 1, message(3));
  for (let i = 0; i < 1000; i++) cpu.pause();
  assert.is(slot(fixture), undefined);
  cpu.wrmsr(Msr.EOM, 0n);
  assert.equal(slot(fixture), [2, true]);
});

slots('H3 Linux: EOM lets through what waits for another VP, but not on KVM', () => {
  for (const [eomScope, arrives] of [
    ['partition', true],
    ['vp', false],
  ] as const) {
    const fixture = create({ eomScope }, { processors: 2 });
    const { partition, view } = fixture;
    setUp(fixture.cpu);
    for (const n of [1, 2]) partition.postMessage(0, 2, 1, message(n));
    partition.processors[1]!.wrmsr(Msr.EOM, 0n);
    assert.equal(slot(fixture), [1, true], 'it is not taken yet');
    view.setUint32(SLOT, 0, true);
    partition.processors[1]!.wrmsr(Msr.EOM, 0n);
    assert.is(slot(fixture) !== undefined, arrives, eomScope);
  }
});

slots('H-H4 openvmm#2276: a message while SIMP is off is lost, or comes when it is on', () => {
  for (const [messageWithoutPage, arrives] of [
    ['drop', false],
    ['keep', true],
  ] as const) {
    const fixture = create({ messageWithoutPage, slotScan: 'exit' });
    const { partition, cpu } = fixture;
    setUp(cpu);
    cpu.wrmsr(Msr.SIMP, 0n);
    partition.postMessage(0, 2, 1, message(1));
    cpu.wrmsr(Msr.SIMP, BigInt(Page.SIMP) | 1n);
    for (let i = 0; i < 100; i++) cpu.pause();
    assert.is(slot(fixture) !== undefined, arrives, messageWithoutPage);
    const [first] = ofKind(fixture.events, 'host-message');
    assert.equal([first!.change, first!.reason], [arrives ? 'queue' : 'drop', 'page disabled']);
  }
});

slots('are rescanned when another message comes, on a host that does so', () => {
  const fixture = create({ scanOnPost: true });
  setUp(fixture.cpu);
  for (const n of [1, 2]) fixture.partition.postMessage(0, 2, 1, message(n));
  fixture.view.setUint32(SLOT, 0, true);
  fixture.partition.postMessage(0, 2, 1, message(3));
  assert.equal(slot(fixture), [2, true]);
  assert.is(fixture.partition.queuedMessages(0, 2), 1);
});

slots('of different SINTs are independent', () => {
  const fixture = create();
  setUp(fixture.cpu);
  fixture.cpu.wrmsr(Msr.SINT0 + 5, 0x55n);
  fixture.partition.postMessage(0, 2, 1, message(1));
  fixture.partition.postMessage(0, 5, 1, message(2));
  assert.equal(slot(fixture), [1, false]);
  assert.is(fixture.bytes[Page.SIMP + 5 * 256 + 16], 2);
  assert.is(fixture.partition.inspection.interrupts(0, 2), 1);
  assert.is(fixture.partition.inspection.interrupts(0, 5), 1);
});

slots('tell the host when they are emptied', () => {
  const fixture = create();
  const { partition, cpu, view } = fixture;
  setUp(cpu);
  // A server that sends one at a time, as QEMU's does
  const rest = [2, 3];
  partition.onSlotEmptied = () => {
    const next = rest.shift();
    if (next !== undefined) partition.postMessage(0, 2, 1, message(next));
  };
  partition.postMessage(0, 2, 1, message(1));
  for (const n of [1, 2, 3]) {
    assert.equal(slot(fixture), [n, false]);
    view.setUint32(SLOT, 0, true);
    cpu.pause();
  }
  assert.is(slot(fixture), undefined);
  assert.is(ofKind(fixture.events, 'message-taken').length, 3);
});

slots('keep their messages in order when the host answers an emptied slot', () => {
  const fixture = create();
  const { partition, cpu, view } = fixture;
  setUp(cpu);
  partition.postMessage(0, 2, 1, message(1));
  view.setUint32(SLOT, 0, true);
  partition.onSlotEmptied = () => {
    partition.onSlotEmptied = undefined;
    partition.postMessage(0, 2, 1, message(3));
  };
  // The post itself notices that the slot is empty
  partition.postMessage(0, 2, 1, message(2));
  assert.equal([take(fixture), take(fixture)], [2, 3]);
});

slots('of a disabled SynIC or page queue, and deliver when enabled, on a host that looks', () => {
  const fixture = create({ scontrolReset: 0, scanOnEnable: true, messageWithoutPage: 'keep' });
  const { partition, cpu } = fixture;
  cpu.wrmsr(Msr.SINT0 + 2, 0x20075n);
  partition.postMessage(0, 2, 1, message(1));
  assert.is(partition.queuedMessages(0, 2), 1);
  assert.is(ofKind(fixture.events, 'host-message')[0]!.reason, 'SynIC disabled');
  cpu.wrmsr(Msr.SCONTROL, 1n);
  partition.postMessage(0, 2, 1, message(2));
  assert.is(ofKind(fixture.events, 'host-message')[1]!.reason, 'page disabled');
  cpu.wrmsr(Msr.SIMP, BigInt(Page.SIMP) | 1n);
  assert.equal(slot(fixture), [1, true]);
  assert.is(take(fixture), 1);
  assert.is(take(fixture), 2);
  assert.is(partition.inspection.interrupts(0, 2), 2);
});

slots('of a masked SINT lose the message, or only the interrupt', () => {
  const drop = create({ maskedSint: 'drop' });
  setUp(drop.cpu, 0x10075n);
  drop.partition.postMessage(0, 2, 1, message(1));
  assert.is(slot(drop), undefined);
  const [lost] = ofKind(drop.events, 'host-message');
  assert.equal([lost!.change, lost!.reason], ['drop', 'SINT masked']);
  drop.cpu.wrmsr(Msr.SINT0 + 2, 0x20075n);
  assert.is(slot(drop), undefined);

  const keep = create({ maskedSint: 'keep' });
  setUp(keep.cpu, 0x10075n);
  keep.partition.postMessage(0, 2, 1, message(1));
  assert.equal(slot(keep), [1, false]);
  assert.is(keep.partition.inspection.interrupts(0, 2), 0);
});

slots('deliver what waited before a mask when the SINT is unmasked, on a host that looks', () => {
  const fixture = create({ scanOnEnable: true });
  const { partition, cpu, view } = fixture;
  setUp(cpu);
  for (const n of [1, 2]) partition.postMessage(0, 2, 1, message(n));
  cpu.wrmsr(Msr.SINT0 + 2, 0x10075n);
  view.setUint32(SLOT, 0, true);
  cpu.wrmsr(Msr.EOM, 0n);
  assert.is(slot(fixture), undefined);
  cpu.wrmsr(Msr.SINT0 + 2, 0x20075n);
  assert.equal(slot(fixture), [2, false]);
});

slots('knob synicOff: SCONTROL 0 keeps messages and timers back, or has no part in them', () => {
  for (const [synicOff, arrives, interrupts] of [
    ['waits', false, 0],
    ['delivers', true, 0],
    ['ignored', true, 1],
  ] as const) {
    const fixture = create({ synicOff });
    const { partition, cpu } = fixture;
    setUp(cpu);
    cpu.wrmsr(Msr.SCONTROL, 0n);
    partition.postMessage(0, 2, 1, message(7));
    assert.equal(slot(fixture), arrives ? [7, false] : undefined, synicOff);
    assert.is(partition.inspection.interrupts(0, 2), interrupts, synicOff);

    // A timer's message never comes before its way is free
    cpu.wrmsr(Msr.SINT0 + 5, 0x76n);
    cpu.wrmsr(Msr.STIMER0_CONFIG, StimerConfig.AUTO_ENABLE | (5n << StimerConfig.SINT_SHIFT));
    cpu.wrmsr(Msr.STIMER0_CONFIG + 1, 1n);
    for (let i = 0; i < 5; i++) cpu.pause();
    const [timer] = partition.inspection.timers(0);
    assert.is(timer!.due, synicOff !== 'ignored', synicOff);
  }
});

slots('of a polling SINT get the message without an interrupt', () => {
  const fixture = create();
  setUp(fixture.cpu, 0x40075n);
  fixture.partition.postMessage(0, 2, 1, message(1));
  fixture.partition.signalEvent(0, 2, 3);
  assert.equal(slot(fixture), [1, false]);
  assert.equal(fixture.partition.inspection.eventFlags(0), [{ sint: 2, flag: 3 }]);
  assert.is(fixture.partition.inspection.interrupts(0, 2), 0);
});

slots('have a bound behind them', () => {
  const fixture = create();
  setUp(fixture.cpu);
  for (let i = 0; i < SINT_QUEUE_LIMIT + 3; i++) fixture.partition.postMessage(0, 2, 1, message(1));
  assert.is(fixture.partition.queuedMessages(0, 2), SINT_QUEUE_LIMIT);
  const dropped = ofKind(fixture.events, 'host-message').filter(({ change }) => change === 'drop');
  assert.equal(
    dropped.map(({ reason }) => reason),
    ['4096 messages wait', '4096 messages wait'],
  );
});

slots('are of each processor', () => {
  const { partition, bytes } = create({}, { processors: 2 });
  const [first, second] = partition.processors;
  setUp(first!);
  setUpSynic(second!, 0x20075n, 0x200000, 0x201000);
  partition.postMessage(1, 2, 1, message(7));
  partition.signalEvent(1, 2, 8);
  assert.is(bytes[SLOT], 0);
  assert.is(bytes[0x200000 + 2 * 256 + 16], 7);
  assert.is(bytes[0x201000 + 2 * 256 + 1], 1);
  assert.is(partition.inspection.slots(1)[2]!.length, 1);
});

slots.run();

const flags = suite('event flags');

flags('are set at their bit, with an interrupt on 0 to 1 only', () => {
  const { cpu, partition, bytes, events } = create();
  setUp(cpu);
  for (const flag of [0, 5, 5, 2047]) partition.signalEvent(0, 2, flag);
  const page = Page.SIEFP + 2 * 256;
  assert.equal([bytes[page], bytes[page + 255]], [0x21, 0x80]);
  assert.is(partition.inspection.interrupts(0, 2), 3);
  bytes[page] = 0;
  partition.signalEvent(0, 2, 5);
  assert.is(bytes[page], 0x20);
  assert.is(partition.inspection.interrupts(0, 2), 4);
  assert.equal(
    ofKind(events, 'event-flag').map(({ change }) => change),
    ['set', 'set', 'already-set', 'set', 'set'],
  );
  assert.throws(() => partition.signalEvent(0, 2, 2048), RangeError);
});

flags('are lost, with an event, where the SINT takes none', () => {
  const losses: [string, (fixture: Fixture) => void][] = [
    ['SINT masked', ({ cpu }) => cpu.wrmsr(Msr.SINT0 + 2, 0x10075n)],
    ['SINT proxied', ({ cpu }) => cpu.wrmsr(Msr.SINT0 + 2, 0x100075n)],
    ['SynIC disabled', ({ cpu }) => cpu.wrmsr(Msr.SCONTROL, 0n)],
    ['page disabled', ({ cpu }) => cpu.wrmsr(Msr.SIEFP, 0n)],
  ];
  for (const [reason, obstruct] of losses) {
    const fixture = create();
    setUp(fixture.cpu);
    obstruct(fixture);
    fixture.partition.signalEvent(0, 2, 5);
    assert.equal(fixture.partition.inspection.eventFlags(0), []);
    const [lost] = ofKind(fixture.events, 'event-flag');
    assert.equal([lost!.change, lost!.reason], ['lost', reason]);
  }
});

flags.run();

const faults = suite('message faults');

faults('drop, repeat, replace and delay', () => {
  const fixture = create();
  const { partition, cpu } = fixture;
  setUp(cpu);
  partition.faults.message = (_vp, _sint, _type, payload) => {
    switch (payload[0]) {
      case 1:
        return { drop: true };
      case 2:
        return { copies: 2 };
      case 3:
        return { payload: message(30), type: 9 };
      case 4:
        return { delayTicks: 25_000 };
      default:
        return undefined;
    }
  };
  for (const n of [1, 2, 3, 4, 5]) partition.postMessage(0, 2, 1, message(n));
  const taken: number[] = [];
  while (slot(fixture) !== undefined) taken.push(take(fixture));
  assert.equal(taken, [2, 2, 30, 5]);
  const start = partition.clock.now;
  while (slot(fixture) === undefined) cpu.pause();
  assert.is(take(fixture), 4);
  assert.ok(partition.clock.now - start > 24_000 && partition.clock.now - start < 26_000);
  assert.is(ofKind(fixture.events, 'fault').length, 4);
  assert.match(ofKind(fixture.events, 'fault')[0]!.text, /type 0x1 to SINT2 of VP 0: lost/);
});

faults('are forgotten by a reset', () => {
  const fixture = create();
  setUp(fixture.cpu);
  fixture.partition.faults.message = () => ({ delayTicks: 100 });
  fixture.partition.postMessage(0, 2, 1, message(1));
  fixture.partition.reset();
  setUp(fixture.cpu);
  fixture.cpu.pause();
  assert.is(slot(fixture), undefined);
});

faults.run();
