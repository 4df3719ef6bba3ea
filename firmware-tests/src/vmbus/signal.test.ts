// SPDX-License-Identifier: GPL-2.0-or-later

/** Signals: when the host is told of something in a ring, how, and what if it is not listening. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { contactAsOs } from '../../../src/os.ts';
import { HvCall, HvStatus } from '../../../src/hyperv/protocol.ts';
import { RingControl } from '../../../src/vmbus/protocol.ts';
import { Rig, frame, hex, type RigOptions } from '../../rigs/driver-rig.ts';

/** The network card's: channel 3, and the second monitor behind that of the disk controller. */
const CHANNEL = 3;
const MONITOR = 1;

/** Where the bits of guest to host interrupts begin, and the triggers of the monitor page. */
const OUTBOUND_BITS = 2048;
const TRIGGERS = 8;

/** HvSignalEvent of connection 2, flag 0. */
const SHARED_EVENT = '0200000000000000';

function interruptByte(rig: Rig): number {
  const page = rig.machine.vmbus.inspect().interruptPage!;
  return rig.view.getUint8(page + OUTBOUND_BITS + (CHANNEL >> 3));
}

/** An open device, with nothing under way. */
function quiet(options: RigOptions = {}): Rig {
  const rig = new Rig(options);
  rig.open();
  rig.poll();
  rig.mark();
  return rig;
}

function send(rig: Rig, count = 1): void {
  for (let i = 0; i < count; i++) assert.is(rig.device.transmit(frame(60, i), 60), 'sent');
}

const signal = suite('signals to the host');

signal('signalling-rule: only into an empty ring that is not masked, bit first', () => {
  const rig = quiet();
  const bits: number[] = [];
  rig.machine.partition.faults.hypercall = (code) => {
    if (code === HvCall.SIGNAL_EVENT) bits.push(interruptByte(rig));
    return undefined;
  };
  // Three packets before the host looks: one signal, and its bit was there when the host was called
  assert.is(interruptByte(rig), 0);
  send(rig, 3);
  assert.equal(rig.signalled(), [SHARED_EVENT]);
  assert.equal(bits, [1 << (CHANNEL & 7)]);
  rig.poll();
  assert.is(rig.link.frames.length, 3);

  // The ring is empty again: one more signal
  rig.mark();
  send(rig);
  assert.equal(rig.signalled(), [SHARED_EVENT]);
  rig.poll();

  // Masked by the host: neither call nor bit
  rig.mark();
  rig.view.setUint32(rig.ring('out') + RingControl.at.interruptMask, 1, true);
  send(rig, 2);
  assert.equal([rig.signalled(), interruptByte(rig)], [[], 0]);
  assert.is(
    rig.machine.vmbus.inspect().channels.reduce((n, c) => n + c.unnecessarySignals, 0),
    0,
  );
});

signal('with a monitor: a bit of the monitor page, and no hypercall at all', () => {
  const rig = quiet({ knobs: { monitors: 'nic-and-scsi' } });
  const { monitorOut } = rig.machine.vmbus.inspect();
  send(rig, 2);
  assert.is(rig.view.getUint32(monitorOut! + TRIGGERS, true), 1 << MONITOR);
  assert.is(interruptByte(rig), 1 << (CHANNEL & 7));
  rig.poll();
  assert.is(rig.link.frames.length, 2);
  assert.equal(
    rig.seen('signal').map(({ via, channel }) => `${via} ${channel}`),
    [`monitor ${CHANNEL}`],
  );
  rig.driver.remove();
  assert.equal(rig.signalled(), []);
  assert.equal(rig.violations(), []);
  rig.assertClean();
});

signal('from 2.4 on: the event connection of the offer, and no bit of the interrupt page', () => {
  const rig = quiet({ driver: { contact: contactAsOs } });
  send(rig);
  const [input] = rig.signalled();
  assert.ok(input !== SHARED_EVENT && input!.slice(8) === '00000000', input);
  rig.poll();
  assert.is(rig.link.frames.length, 1);
  assert.is(rig.machine.vmbus.inspect().interruptPage, undefined);
});

signal('signal-bit-taken-back: a channel that is closed leaves no bit behind', () => {
  const rig = quiet();
  // The host never hears of it, and never looks
  rig.machine.partition.faults.hypercall = (code) =>
    code === HvCall.SIGNAL_EVENT ? HvStatus.INSUFFICIENT_BUFFERS : undefined;
  send(rig);
  assert.is(interruptByte(rig), 1 << (CHANNEL & 7));
  rig.device.close();
  assert.is(interruptByte(rig), 0);
});

signal('signals-are-retried: one that fails is made again by the next poll', () => {
  for (const failures of [1, 7, 99]) {
    const rig = quiet();
    let left = failures;
    rig.machine.partition.faults.hypercall = (code) =>
      code === HvCall.SIGNAL_EVENT && left-- > 0 ? HvStatus.INSUFFICIENT_BUFFERS : undefined;
    send(rig, 2);
    rig.machine.run(50_000);
    assert.is(rig.link.frames.length, 0);
    // Long before the host would look of its own accord
    for (let i = 0; i < failures; i++) rig.device.poll();
    rig.poll();
    assert.is(rig.link.frames.length, 2);
    assert.equal(rig.transmitted, ['0', '1']);
    assert.is(rig.logged().filter((text) => /signalling failed/.test(text)).length, 1);
    rig.driver.remove();
    rig.assertClean();
  }
});

signal('a host that refuses every signal loses the channel, by name, and not the machine', () => {
  const rig = quiet();
  rig.machine.partition.faults.hypercall = (code) =>
    code === HvCall.SIGNAL_EVENT ? HvStatus.ACCESS_DENIED : undefined;
  send(rig);
  rig.poll(150);
  assert.ok(rig.logged().some((text) => /channel given up: signal refused/.test(text)));
  // No more calls from here on, and frames are refused
  rig.mark();
  assert.is(rig.device.transmit(frame(60), 60), 'dropped');
  rig.poll(20);
  assert.equal(rig.signalled(), []);
  rig.machine.partition.faults.hypercall = undefined;
  rig.device.close();
  assert.equal(rig.outstanding().sort(), [
    'hypercall',
    'interrupt-page',
    'monitor-in',
    'monitor-out',
    'siefp',
    'simp',
  ]);
  // A new open is a new channel
  rig.device.open();
  rig.link.frames.length = 0;
  send(rig);
  rig.poll();
  assert.is(rig.link.frames.length, 1);
  rig.driver.remove();
  rig.assertClean();
});

signal('a host that never signals the guest is heard all the same: everything is polled', () => {
  const rig = new Rig();
  rig.machine.vmbus.faults = { loseSignal: () => true };
  rig.open();
  rig.link.host.deliver(frame(99));
  rig.poll();
  assert.equal(rig.received, [hex(frame(99))]);
  rig.driver.remove();
  rig.assertClean();
});

/** Bytes of a transfer-page packet with one range on the ring. */
const PACKET = 24 + 8 + 32 + 8;

signal('host-is-told-of-room: one that waits for it is told when there is enough, once', () => {
  const rig = quiet();
  const size = 16 * 4096;
  const wait = (bytes: number): void =>
    rig.view.setUint32(rig.ring('in') + RingControl.at.pendingSendSize, bytes, true);
  /** Receive some frames, each in a packet of its own; returns the signals. */
  const receive = (wanted: number, count: number): number => {
    rig.mark();
    for (let i = 0; i < count; i++) {
      rig.link.host.deliver(frame(60, i));
      rig.machine.run(10);
    }
    wait(wanted);
    // Completions must not signal: what remains is for the room
    rig.view.setUint32(rig.ring('out') + RingControl.at.interruptMask, 1, true);
    rig.device.poll();
    assert.is(rig.sent(7).length, count);
    return rig.signalled().length;
  };
  // Crossed by the only packet, by the second of three; enough before, never enough, not asked
  assert.is(receive(size - 8, 1), 1);
  assert.is(receive(size - 2 * PACKET + 8, 3), 1);
  assert.is(receive(size - 4 * PACKET, 3), 0);
  assert.is(receive(size, 3), 0);
  assert.is(receive(0, 3), 0);
  assert.is(receive(0xffffffff, 3), 0);
});

signal.run();
