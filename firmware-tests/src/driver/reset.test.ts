// SPDX-License-Identifier: GPL-2.0-or-later

/** Quiesce and unquiesce: silence in between, then a new connection with the same devices. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { GuestOsId, HvCall, Msr } from '../../../src/hyperv/protocol.ts';
import { DeviceClass, MessageType, PacketType, RingControl } from '../../../src/vmbus/protocol.ts';
import { auditHandoff } from '../../../tools/simulator/audit/audit.ts';
import { inertDevice } from '../../../tools/simulator/vmbus-server/inert-device.ts';
import { Rig, fails, frame, hex } from '../../rigs/driver-rig.ts';

/** Open devices, the first of which has exchanged a frame, quiesced. */
function quiesced(cards = 1): Rig {
  const rig = new Rig({ cards });
  rig.open();
  for (const device of rig.driver.devices) device.open();
  rig.device.transmit(frame(60), 60);
  rig.link.host.deliver(frame(61));
  rig.poll();
  rig.driver.quiesce();
  rig.received.length = rig.transmitted.length = rig.link.frames.length = 0;
  rig.mark();
  return rig;
}

/** Frames go out and come in. */
function assertWorks(rig: Rig): void {
  rig.received.length = rig.link.frames.length = 0;
  assert.is(rig.device.transmit(frame(70), 70), 'sent');
  rig.link.host.deliver(frame(71));
  rig.poll();
  assert.equal(rig.received, [hex(frame(71))]);
  assert.equal(rig.link.frames.map(hex), [hex(frame(70))]);
}

const quiet = suite('between quiesce and unquiesce');

quiet('quiesced-device-is-silent: no call, no packet, no crash; frames are dropped', () => {
  const rig = quiesced();
  const control = rig.ring('out') + RingControl.at.prod;
  const prod = rig.view.getUint32(control, true);
  rig.link.host.deliver(frame(60));
  rig.machine.run(20_000);
  assert.is(rig.device.transmit(frame(60), 60), 'dropped');
  for (let i = 0; i < 200; i++) rig.device.poll();
  rig.driver.poll();
  assert.is(rig.view.getUint32(control, true), prod, 'nothing was written into the ring');
  assert.equal([rig.seen('hypercall'), rig.writes()], [[], []]);
  assert.is(rig.device.statistics.txBad, 1);
  rig.driver.unquiesce();
  assertWorks(rig);
  rig.driver.remove();
  rig.assertClean();
});

quiet('quiesced-device-is-silent: a close says nothing, and an open fails by name', () => {
  const rig = quiesced();
  const control = rig.ring('out') + RingControl.at.prod;
  const prod = rig.view.getUint32(control, true);
  const closing = rig.elapsed(() => rig.device.close());
  assert.ok(closing < 10, `${closing} ms for a close that cannot say anything`);
  assert.not(rig.device.isOpen);
  fails('Quiesced', () => rig.device.open());
  assert.equal([rig.seen('hypercall'), rig.writes()], [[], []]);
  assert.is(rig.view.getUint32(control, true), prod, 'nothing was written into the ring');

  // The end: the machine is taken back, so that the host lets go of all
  rig.driver.remove();
  rig.assertClean();
});

quiet('a remove keeps the memory if the machine is somebody else’s meanwhile', () => {
  const rig = quiesced();
  rig.machine.bootProcessor.wrmsr(Msr.SIMP, 0x200001n);
  rig.mark();
  rig.driver.remove();
  assert.equal([rig.seen('hypercall'), rig.writes()], [[], []]);
  assert.equal(rig.outstanding().sort(), [
    'interrupt-page',
    'monitor-in',
    'monitor-out',
    'ring',
    'rx-buffer',
  ]);
  rig.machine.bootProcessor.wrmsr(Msr.SIMP, 0n);
  rig.assertContained();
  // Whoever connects next disconnects that: so do we
  rig.assertRecovers();
  rig.assertContained();
});

quiet('the handoff of a quiesced guest has what such a guest keeps, and no more', () => {
  const rig = quiesced();
  const findings = auditHandoff(rig.machine, rig.driver.memoryMap(), { kind: 'quiesce' });
  assert.equal(
    findings.filter(({ severity }) => severity === 'error').map(({ text }) => text),
    [],
  );
  assert.ok(rig.outstanding().includes('rx-buffer'));
});

quiet.run();

const reset = suite('unquiesce');

reset('old-channel-not-closed: a new connection, and nothing about the old channel', () => {
  const rig = new Rig();
  rig.open();
  rig.nic.faults.withhold = () => true;
  for (let i = 0; i < 40; i++) rig.device.transmit(frame(60, i), 60);
  rig.poll();
  rig.driver.quiesce();
  rig.nic.faults.withhold = undefined;
  rig.mark();
  rig.transmitted.length = 0;
  rig.driver.unquiesce();
  assert.equal(
    rig.posted().map((message) => message.getUint32(0, true)),
    [14, 16, 14, 3, 8, 9, 9, 8, 9, 5],
  );
  assert.equal(rig.packets(PacketType.CANCELLATION), []);
  assert.equal(rig.violations(), []);
  // Whatever was in flight is given up, once; GPADL IDs count on
  assert.equal(
    rig.transmitted.sort(),
    Array.from({ length: 40 }, (_, i) => `${i} TransmitCancelled`).sort(),
  );
  assert.is(rig.posted(MessageType.GPADL_HEADER)[0]!.getUint32(12, true), 0x18ae0005);
  assert.ok(rig.device.isOpen);
  assertWorks(rig);
  rig.driver.remove();
  rig.assertClean();
});

reset('a device that is closed stays closed, and can be opened', () => {
  const rig = new Rig();
  rig.probe();
  rig.driver.quiesce();
  rig.driver.unquiesce();
  assert.not(rig.device.isOpen);
  rig.device.open();
  rig.watch();
  assertWorks(rig);
  rig.driver.remove();
  rig.assertClean();
});

reset('somebody else has had the connection meanwhile', () => {
  // Another guest contacts the host, and goes away without a word
  const rig = quiesced();
  const other = rig.machine.bootProcessor;
  other.wrmsr(Msr.GUEST_OS_ID, 0x8100060c00000000n);
  other.wrmsr(Msr.HYPERCALL, 0x200001n);
  rig.view.setUint32(0x201000, 1, true);
  rig.view.setUint32(0x201008, 1, true);
  rig.view.setUint32(0x20100c, 40, true);
  rig.view.setUint32(0x201010, MessageType.INITIATE_CONTACT, true);
  rig.view.setUint32(0x201018, 0x40000, true);
  assert.is(other.callHypercallPage(0x200000, BigInt(HvCall.POST_MESSAGE), 0x201000n, 0n), 0n);
  rig.machine.run(50_000);
  other.wrmsr(Msr.HYPERCALL, 0n);
  other.wrmsr(Msr.GUEST_OS_ID, 0n);
  assert.equal(rig.machine.vmbus.inspect().gpadls, []);
  rig.driver.unquiesce();
  assertWorks(rig);
  rig.driver.remove();
  rig.assertClean();
});

/** What an owner in between may leave, at pages that are nobody's. */
const LEFT: readonly (readonly [string, number, bigint])[] = [
  ['GUEST_OS_ID', Msr.GUEST_OS_ID, 0x8100060c00000000n],
  ['HYPERCALL', Msr.HYPERCALL, 0x200001n],
  ['SIEFP', Msr.SIEFP, 0x201001n],
  ['VP_ASSIST_PAGE', Msr.VP_ASSIST_PAGE, 0x202001n],
  ['REFERENCE_TSC', Msr.REFERENCE_TSC, 0x203001n],
  ['SINT4', Msr.SINT0 + 4, 0x60n],
  ['SINT2', Msr.SINT0 + 2, 0x40060n],
  // Periodic, with messages to SINT 4; it starts with its count
  ['STIMER0_CONFIG', Msr.STIMER0_CONFIG, 0x40003n],
  ['STIMER0_COUNT', Msr.STIMER0_CONFIG + 1, 1000n],
];

reset('earlier-owner-switched-off: what an owner in between has left is switched off', () => {
  for (const some of [...LEFT.map((one) => [one]), LEFT.slice(-2), LEFT]) {
    const rig = quiesced();
    const what = some.map(([name]) => name).join();
    // Registers that need an identity of the guest have one while they are written
    const other = rig.machine.bootProcessor;
    other.wrmsr(Msr.GUEST_OS_ID, LEFT[0]![2]);
    for (const [, register, value] of some) other.wrmsr(register, value);
    if (some[0]![0] !== 'GUEST_OS_ID' && some[0]![0] !== 'HYPERCALL')
      other.wrmsr(Msr.GUEST_OS_ID, 0n);
    rig.machine.run(5000);
    rig.driver.unquiesce();
    assertWorks(rig);

    // While we have the machine, and when we have let it go
    const { inspection } = rig.machine.partition;
    const off = ['VP_ASSIST_PAGE', 'REFERENCE_TSC', 'STIMER0_CONFIG', 'STIMER0_COUNT'];
    for (const name of off) assert.is(inspection.register(0, name), 0n, `${what}: ${name}`);
    assert.is(inspection.register(0, 'SINT4'), 0x10000n, what);
    assert.is(inspection.register(0, 'SIEFP')! & 1n, 1n, what);
    assert.is.not(inspection.register(0, 'SIEFP')! & ~0xfffn, 0x201000n, what);
    rig.driver.remove();
    for (const name of ['SIMP', 'SIEFP', 'HYPERCALL', 'GUEST_OS_ID', ...off])
      assert.is(inspection.register(0, name), 0n, `${what}: ${name} at the end`);
    rig.assertClean();
  }
});

reset('an owner in between that cannot be moved: refused by name, and later taken back', () => {
  const rig = quiesced();
  const other = rig.machine.bootProcessor;
  other.wrmsr(Msr.GUEST_OS_ID, GuestOsId.UEFI);
  rig.mark();
  fails('OwnedByUefi', () => rig.driver.unquiesce());
  assert.equal(rig.writes(), []);
  other.wrmsr(Msr.GUEST_OS_ID, 0n);
  rig.driver.unquiesce();
  assertWorks(rig);
  rig.driver.remove();
  rig.assertClean();
});

reset('offers-matched-after-reset: the device is found on another channel', () => {
  const rig = quiesced();
  // A device that sorts before the network card: its channel is another one from now on
  rig.machine.vmbus.hotAdd(
    inertDevice(DeviceClass.TIME_SYNC, '2dd1ce17-079e-403c-b352-a1921ee207ee'),
  );
  rig.driver.unquiesce();
  const opened = rig.posted(MessageType.OPEN_CHANNEL).map((message) => message.getUint32(8, true));
  assert.equal(opened, [4]);
  assert.ok(rig.logged().includes('moved to channel 4'));
  assertWorks(rig);
  rig.driver.remove();
  assert.equal(rig.violations(), []);
  rig.assertClean();
});

reset('offers-matched-after-reset: a device that is not offered any more is let go of', () => {
  const rig = quiesced(2);
  const [gone, stays] = rig.driver.devices;
  rig.machine.vmbus.rescind(rig.machine.nics[0]!);
  rig.mark();
  rig.driver.unquiesce();
  assert.equal(rig.driver.devices, [stays]);
  assert.not(gone!.isOpen);
  assert.is(gone!.transmit(frame(60), 60), 'dropped');
  assert.ok(rig.events.some((event) => event.kind === 'netdev' && event.change === 'unregister'));
  // Nothing is said to a channel that is nobody's, neither by packet nor by signal
  assert.equal(rig.violations(), []);
  rig.driver.remove();
  rig.assertClean();
});

reset(
  'reset-is-retried: a host that does not connect is asked again, devices closed meanwhile',
  () => {
    for (const type of [MessageType.VERSION_RESPONSE, MessageType.UNLOAD_RESPONSE]) {
      const rig = quiesced();
      rig.machine.vmbus.faults = { message: (sent) => (sent === type ? 'drop' : undefined) };
      fails('NoResponse', () => rig.driver.unquiesce());
      // SIMP is on: iPXE would believe that all is well
      const simp = rig.machine.partition.inspection.register(0, 'SIMP');
      assert.is(simp & 1n, 1n);
      rig.mark();
      assert.is(rig.device.transmit(frame(60), 60), 'dropped');
      rig.device.poll();
      assert.equal([rig.packets(), rig.signalled(), rig.violations()], [[], [], []]);

      rig.machine.vmbus.faults = {};
      rig.machine.run(1_500_000);
      rig.driver.unquiesce();
      assertWorks(rig);
      rig.driver.remove();
      rig.assertClean();
    }
  },
);

reset('reset-is-retried: not on a machine that somebody else has taken meanwhile', () => {
  const rig = quiesced();
  rig.machine.vmbus.faults = {
    message: (sent) => (sent === MessageType.VERSION_RESPONSE ? 'drop' : undefined),
  };
  fails('NoResponse', () => rig.driver.unquiesce());
  rig.driver.quiesce();
  rig.machine.vmbus.faults = {};
  const { bootSeam } = rig.machine;
  assert.ok(bootSeam.architecture === 'x64');
  bootSeam.wrmsr(Msr.SIMP, 0x5001n);
  rig.mark();
  rig.driver.unquiesce();
  assert.equal([rig.seen('hypercall'), rig.writes()], [[], []], 'its SynIC is left alone');

  // Once it has gone there is the reset that is due
  bootSeam.wrmsr(Msr.SIMP, 0n);
  rig.driver.unquiesce();
  assertWorks(rig);
  rig.driver.remove();
  rig.assertClean();
});

reset('reset-is-retried: also when the host refuses the hypercall page', () => {
  let refusing = false;
  let written = 0n;
  const rig = new Rig({
    wrap: (processor) => ({
      architecture: 'x64',
      memory: processor.memory,
      memoryMap: processor.memoryMap,
      cpuid: (leaf, subleaf) => processor.cpuid(leaf, subleaf),
      rdmsr: (msr) => processor.rdmsr(msr),
      wrmsr(msr, value) {
        const ignored = refusing && msr === Msr.HYPERCALL && (value & 1n) === 1n;
        if (!ignored) processor.wrmsr(msr, value);
        if (ignored) written = value;
      },
      pause: () => processor.pause(),
      callHypercallPage: (page, control, input, output) =>
        processor.callHypercallPage(page, control, input, output),
    }),
  });
  rig.open();
  rig.driver.quiesce();
  refusing = true;
  fails('HypercallPageRefused', () => rig.driver.unquiesce());
  assert.ok(written !== 0n);
  assert.is(rig.machine.partition.inspection.register(0, 'GUEST_OS_ID'), 0n, 'taken back');
  refusing = false;
  rig.driver.unquiesce();
  assertWorks(rig);
  rig.driver.remove();
  rig.assertClean();
});

reset('a device that cannot be opened again is closed; the others go on', () => {
  const rig = quiesced(2);
  rig.nic.faults.packet = () => 'drop';
  rig.driver.unquiesce();
  assert.equal(
    rig.driver.devices.map(({ isOpen }) => isOpen),
    [false, true],
  );
  assert.ok(rig.logged().some((text) => /^could not be reset/.test(text)));
  rig.nic.faults.packet = undefined;
  rig.device.open();
  assertWorks(rig);
  rig.driver.remove();
  rig.assertClean();
});

reset('again and again', () => {
  const rig = quiesced();
  for (let i = 0; i < 5; i++) {
    rig.driver.unquiesce();
    assertWorks(rig);
    rig.driver.quiesce();
  }
  rig.driver.unquiesce();
  rig.driver.remove();
  assert.equal(rig.violations(), []);
  rig.assertClean();
});

reset.run();
