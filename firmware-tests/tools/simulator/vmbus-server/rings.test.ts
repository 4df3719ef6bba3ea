// SPDX-License-Identifier: GPL-2.0-or-later

/** The simulated VMBus server: the host's ends of the rings, at the bytes, and all signals. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VP_INDEX_DISABLE_INTERRUPT, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import { Random } from '../../../../tools/simulator/base/random.ts';
import type { HostKnobs } from '../../../../tools/simulator/profiles/profile.ts';
import {
  INTERRUPT_PAGE,
  MONITOR_OUT,
  RING_LATENCY,
  Rig,
  RigDevice,
  hex,
  inband,
  unhex,
  words,
} from '../../../rigs/vmbus-server-rig.ts';
import type { RigRings } from '../../../rigs/vmbus-server-rig.ts';

const NONE = new Uint8Array(0);

interface Open {
  readonly rig: Rig;
  readonly device: RigDevice;
  readonly rings: RigRings;
}

function openRig(version: number = VmbusVersion.V3_0, knobs: Partial<HostKnobs> = {}): Open {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device], knobs });
  rig.boot(version);
  rig.open(1);
  rig.raised();
  return { rig, device, rings: rig.rings(1) };
}

/** Send `payload` in-band from the device. */
function send(device: RigDevice, payload: Uint8Array, transaction = 0, flags = 0): boolean {
  return device.channel!.send(6, flags, transaction, 0, NONE, 0, payload, payload.length);
}

/** Signal and let the device read. */
function deliver({ rig }: Open): void {
  assert.is(rig.signal(0x2001), 0);
  rig.run(RING_LATENCY);
}

const rings = suite('vmbus-server: rings');

rings('start of day: mask open, feature bit, no pending send size; indices untouched', () => {
  const open = openRig();
  const { rings } = open;
  assert.is(rings.control(rings.out, 'interruptMask'), 0, 'the host waits');
  assert.is(rings.control(rings.in, 'featureBits'), 1);
  assert.is(rings.control(rings.in, 'pendingSendSize'), 0);
  assert.is(rings.control(rings.out, 'featureBits'), 0, "the guest's own");
});

rings('indices that the guest left are where the host goes on', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot();
  device.openStatus = 1;
  rig.open(1);
  device.openStatus = 0;
  const ring = rig.rings(1);
  for (const side of [ring.out, ring.in]) {
    ring.setControl(side, 'prod', 4088);
    ring.setControl(side, 'cons', 4088);
  }
  rig.post(words(5, 0, 1, 0, 0x101, 0, 2) + '00'.repeat(120));
  ring.write(inband('0102', 4088));
  rig.signal(0x2001);
  rig.partition.ram.bytes[INTERRUPT_PAGE + 2048] = 2;
  rig.signal(2);
  rig.run(RING_LATENCY);
  assert.is(device.packets.length, 1);
  send(device, Uint8Array.of(3));
  assert.is(ring.read(32), inband('03', 4088));
});

rings('test_ring: host to guest, byte by byte', () => {
  const { device, rings } = openRig();
  assert.ok(send(device, Uint8Array.of(1, 2, 3), 0x11223344, 1));
  assert.is(rings.read(32), inband('010203', 0, 0x11223344, 1));
  // A type-specific header counts into data_offset8; the footer says where the packet began
  const extra = unhex('adbe0000 01000000 36000000 00000000');
  device.channel!.send(7, 1, 5, 0x80000000, extra, 16, Uint8Array.of(0x6b), 1);
  assert.is(
    rings.read(48),
    words(7 | (4 << 16), 5 | (1 << 16), 5, 0x80000000) + hex(extra) + words(0x6b, 0, 0, 32),
  );
  // Odd header lengths are padded too
  device.channel!.send(7, 0, 0, 0, extra, 12, NONE, 0);
  assert.is(rings.read(40), words(7 | (4 << 16), 4, 0, 0) + hex(extra) + words(0, 80));
});

rings('test_ring: guest to host, with everything that the device is told', () => {
  const open = openRig();
  const { device, rings } = open;
  let seen: unknown[] = [];
  device.onSignal = (channel) => {
    const packet = channel.receive()!;
    const { type, flags, transactionIdLow, transactionIdHigh, payloadOffset, length } = packet;
    seen = [type, flags, transactionIdLow, transactionIdHigh, payloadOffset, length];
  };
  const range = words(0, 1, 0x36, 0x10, 0x1234, 0);
  rings.write(words(9 | (5 << 16), 6 | (1 << 16), 7, 0xfedcba98) + range + words(1, 0, 0, 0));
  deliver(open);
  assert.equal(seen, [9, 1, 7, 0xfedcba98, 40, 48]);
  assert.is(rings.control(rings.out, 'cons'), 56);
});

rings('all packets of a burst come with one signal, in order', () => {
  const open = openRig();
  for (let i = 0; i < 50; i++) open.rings.write(inband(`0${i % 10}`, 32 * i, i));
  deliver(open);
  assert.is(open.device.packets.length, 50);
  assert.ok(open.device.packets.every((packet, i) => packet.slice(16, 24) === words(i)));
  assert.is(open.device.calls.filter((call) => call === 'signalled').length, 1);
});

rings('both rings wrap at any multiple of 8, headers included', () => {
  const seed = 20240611;
  const random = new Random(seed);
  const open = openRig();
  const { device, rings } = open;
  let outAt = 0;
  let inAt = 0;
  for (let i = 0; i < 400; i++) {
    const length = random.below(i % 10 === 9 ? 3000 : 600);
    const payload = Uint8Array.from({ length }, () => random.below(256));
    const packet = inband(hex(payload), outAt, i);
    rings.write(packet);
    deliver(open);
    assert.is(device.packets.at(-1), packet.slice(0, -16), `seed ${seed}, packet ${i}`);
    outAt = (outAt + packet.length / 2) % 4096;
    assert.is(rings.control(rings.out, 'cons'), outAt);
    const answer = inband(hex(payload), inAt, i);
    assert.ok(send(device, payload, i));
    assert.is(rings.read(answer.length / 2), answer, `seed ${seed}, answer ${i}`);
    inAt = (inAt + answer.length / 2) % 4096;
  }
});

rings('test_ring_full: full but for 8 bytes, then the host waits', () => {
  const open = openRig();
  const { rig, device, rings } = open;
  // 63 × 64 = 4032 of 4088; 56 are left
  const payload = new Uint8Array(40);
  for (let i = 0; i < 63; i++) assert.ok(send(device, payload));
  assert.is(device.channel!.writable, 56);
  assert.not(send(device, payload));
  assert.is(rings.control(rings.in, 'prod'), 4032, 'nothing was written');
  assert.is(rings.control(rings.in, 'pendingSendSize'), 1024, 'a quarter of the ring');
  // What fits still goes, and withdraws the wish
  assert.ok(send(device, new Uint8Array(32)));
  assert.is(device.channel!.writable, 0);
  assert.is(rings.control(rings.in, 'pendingSendSize'), 0);
  assert.not(send(device, NONE));
  // The guest makes room and signals: the device is called
  const before = device.calls.length;
  rings.read(1016);
  rig.signal(0x2001);
  rig.run(RING_LATENCY);
  assert.equal(device.calls.slice(before), ['signalled']);
  assert.ok(send(device, payload));
});

rings('P-Q2: room without a signal is never noticed, but by a host that looks (knob)', () => {
  const { rig, device, rings } = openRig();
  while (send(device, new Uint8Array(40)));
  const before = device.calls.length;
  rings.read(2048);
  rig.run(10_000 * TICKS_PER_MS);
  assert.is(device.calls.length, before);
  rig.signal(0x2001);
  rig.run(RING_LATENCY);
  assert.equal(device.calls.slice(before), ['signalled']);
});

rings('P-Q2: a packet behind others that were not signalled is read with the next signal', () => {
  const { rig, device, rings } = openRig();
  rings.write(inband('01', 0));
  rig.run(10_000 * TICKS_PER_MS);
  assert.equal(device.packets, []);
  rings.write(inband('02', 0));
  rig.signal(0x2001);
  rig.run(RING_LATENCY);
  assert.is(device.packets.length, 2);
});

rings('a guest that makes room and does not signal is noticed by a host that polls', () => {
  const open = openRig(undefined, { ringPollTicks: TICKS_PER_MS });
  const { rig, device, rings } = open;
  while (send(device, new Uint8Array(40)));
  const before = device.calls.length;
  rig.run(5 * TICKS_PER_MS);
  assert.is(device.calls.length, before, 'no room, no call');
  rings.read(512);
  rig.run(TICKS_PER_MS);
  assert.is(device.calls.length, before, 'not as much as was asked for');
  rings.read(512);
  rig.run(TICKS_PER_MS);
  assert.equal(device.calls.slice(before), ['signalled']);
});

rings('a packet that can never fit is the end of the channel', () => {
  const { rig, device } = openRig();
  assert.ok(send(device, new Uint8Array(4096 - 16 - 24)));
  const other = openRig();
  assert.not(send(other.device, new Uint8Array(4096 - 8 - 24)));
  assert.ok(other.device.channel!.dead);
  assert.is(rig.violations.length, 0);
});

rings('test_malformed_*: a bad packet is silence until the channel is opened anew', () => {
  const good = inband('0102030405060708', 0);
  const cases: [string, string][] = [
    ['data_offset8 of 1', words(6 | (1 << 16), 3, 0, 0) + good.slice(32)],
    ['length8 below data_offset8', words(6 | (4 << 16), 3, 0, 0) + good.slice(32)],
    ['longer than what is there', words(6 | (2 << 16), 4, 0, 0) + good.slice(32)],
    ['reserved flags', words(6 | (2 << 16), 3 | (2 << 16), 0, 0) + good.slice(32)],
    ['type 0', words(0 | (2 << 16), 3, 0, 0) + good.slice(32)],
    ['type 1', words(1 | (2 << 16), 3, 0, 0) + good.slice(32)],
    ['type 8', words(8 | (2 << 16), 3, 0, 0) + good.slice(32)],
    ['type 12', words(12 | (2 << 16), 3, 0, 0) + good.slice(32)],
    ['GPA-direct without range header', words(9 | (2 << 16), 3, 0, 0) + good.slice(32)],
    ['GPA-direct without ranges', words(9 | (3 << 16), 3, 0, 0, 0, 0, 0, 0)],
    ['transfer pages without range header', words(7 | (2 << 16), 3, 0, 0) + good.slice(32)],
    ['no room for a descriptor', words(6 | (2 << 16), 2)],
    ['no footer', words(6 | (2 << 16), 2, 0, 0)],
  ];
  for (const [what, bytes] of cases) {
    const open = openRig();
    const { rig, device, rings } = open;
    rings.write(bytes);
    deliver(open);
    assert.equal(device.packets, [], what);
    assert.ok(device.channel!.dead, what);
    assert.is(rig.violations.length, 1, what);
    assert.is(rings.control(rings.out, 'cons'), 0, what);
    // Silence: no more reading, no more writing, signals succeed
    rings.setControl(rings.out, 'prod', 0);
    rings.write(good);
    deliver(open);
    assert.equal(device.packets, [], what);
    assert.not(send(device, NONE), what);
    assert.is(rings.control(rings.in, 'prod'), 0, what);
    assert.ok(rig.server.inspect().channels[0]!.deathReason !== '');
    // Opened anew it lives
    rig.post(words(7, 0, 1));
    rig.post(words(11, 0, 1, 0x101));
    rig.open(1);
    rings.write(good);
    deliver(open);
    assert.is(device.packets.length, 1, what);
  }
});

rings('a cancellation is for the device to judge', () => {
  const open = openRig();
  open.rings.write(words(10 | (2 << 16), 2, 7, 0, 0, 0));
  deliver(open);
  assert.is(open.device.packets.length, 1);
});

rings('bad indices of the guest end the channel', () => {
  for (const value of [4096, 4, 0xfffffff8]) {
    const open = openRig();
    open.rings.setControl(open.rings.out, 'prod', value);
    deliver(open);
    assert.ok(open.device.channel!.dead);
    const other = openRig();
    other.rings.setControl(other.rings.in, 'cons', value);
    assert.not(send(other.device, NONE));
    assert.ok(other.device.channel!.dead);
    assert.is(other.rings.control(other.rings.in, 'prod'), 0);
  }
});

rings('a write index that the guest moves backwards reads what it says, within the ring', () => {
  const open = openRig();
  const { device, rings } = open;
  rings.write(inband('01', 0));
  deliver(open);
  // 24 before the read index is 4072 bytes "available": the old bytes there are no packet
  rings.setControl(rings.out, 'prod', 8);
  deliver(open);
  assert.is(device.packets.length, 1);
  assert.ok(device.channel!.dead);
});

rings('every receive fills the same packet', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot(VmbusVersion.V3_0);
  rig.open(1);
  let packet: unknown;
  let same = true;
  device.onSignal = (channel) => {
    for (let next; (next = channel.receive()) !== undefined; packet = next)
      if (packet !== undefined && packet !== next) same = false;
  };
  const ring = rig.rings(1);
  for (let i = 0; i < 20; i++) ring.write(inband('01', 32 * i));
  rig.signal(0x2001);
  rig.run(RING_LATENCY);
  assert.ok(packet !== undefined && same, 'the same object each time');
});

rings('faults: packets changed and lost, indices written raw, signals lost', () => {
  const { rig, device, rings } = openRig();
  rig.server.faults = { ringPacket: () => 'drop' };
  assert.ok(send(device, NONE), 'the device believes it');
  assert.is(rings.control(rings.in, 'prod'), 0);
  rig.server.faults = { ringPacket: (_, bytes) => bytes.fill(0xee) };
  send(device, NONE);
  assert.is(rings.read(24), 'ee'.repeat(24));
  rig.raised();
  rig.server.faults = { loseSignal: () => true };
  send(device, NONE);
  assert.equal(rig.raised(), []);
  rings.read(24);
  rig.server.faults = { published: (_, poke) => poke('host-to-guest', 0, 12345) };
  send(device, NONE);
  assert.is(rings.control(rings.in, 'prod'), 12345);
  assert.is(rig.log.filter((event) => event.kind === 'fault').length, 4);
});

rings('faults: a packet may be cut down to nothing', () => {
  const [{ rig, device }, cuts] = [openRig(), [0, 8, 16]];
  rig.server.faults = { ringPacket: (_, bytes) => bytes.slice(0, cuts.shift()) };
  while (cuts.length > 0) send(device, NONE);
  assert.is(rig.log.filter(({ kind }) => kind === 'ring-packet').length, 1);
});

rings('events: what was read and written, without the footer', () => {
  const open = openRig();
  open.rings.write(inband('01', 0, 7, 1));
  deliver(open);
  send(open.device, Uint8Array.of(2), 8);
  const seen = open.rig.log.flatMap((event) =>
    event.kind === 'ring-packet'
      ? [[event.from, event.channel, event.offset, event.transactionId, hex(event.bytes)]]
      : [],
  );
  assert.equal(seen, [
    ['guest', 1, 0, 7n, inband('01', 0, 7, 1).slice(0, -16)],
    ['host', 1, 0, 8n, inband('02', 0, 8).slice(0, -16)],
  ]);
});

for (const ringLatencyTicks of [0, 7, 50_000])
  rings(`knob ringLatencyTicks: a packet is read ${ringLatencyTicks} ticks later`, () => {
    const { rig, device, rings: view } = openRig(VmbusVersion.V3_0, { ringLatencyTicks });
    view.write(inband('0102030405060708', 0));
    rig.signal(0x2001);
    if (ringLatencyTicks > 0) rig.run(ringLatencyTicks - 1);
    assert.is(device.packets.length, 0);
    rig.run(1);
    assert.is(device.packets.length, 1);
  });

rings.run();

const signals = suite('vmbus-server: signals');

signals('the device reads a latency after the signal, once for several', () => {
  const { rig, device, rings } = openRig();
  rings.write(inband('01', 0));
  rig.signal(0x2001);
  rig.signal(0x2001);
  rig.run(RING_LATENCY - 1);
  assert.not(device.calls.includes('signalled'));
  rig.run(1);
  assert.is(device.calls.filter((call) => call === 'signalled').length, 1);
});

signals('test_interrupt_mask: signalled on empty to non-empty only, and not when masked', () => {
  const { rig, device, rings } = openRig();
  send(device, NONE);
  assert.equal(rig.raised(), [{ vp: 0, sint: 2, flag: 1 }]);
  send(device, NONE);
  assert.equal(rig.raised(), [], 'not empty');
  rings.read(48);
  rings.setControl(rings.in, 'interruptMask', 1);
  send(device, NONE);
  assert.equal(rig.raised(), [], 'masked');
  rings.read(24);
  rings.setControl(rings.in, 'interruptMask', 0);
  send(device, NONE);
  assert.is(rig.raised().length, 1);
});

signals('below 2.4: bit in the interrupt page and flag 0 on VP 0', () => {
  for (const version of [VmbusVersion.V0_13, VmbusVersion.V1_1]) {
    const device = new RigDevice(1);
    const rig = new Rig({ devices: [device, new RigDevice(2)] });
    rig.boot(version);
    rig.open(1, { targetVp: 3 });
    send(device, NONE);
    assert.equal(rig.raised(), [{ vp: 0, sint: 2, flag: 0 }]);
    assert.is(rig.partition.ram.bytes[INTERRUPT_PAGE], 2);
  }
});

signals('from 2.4 on: event flag of the channel on the VP of the open', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot(VmbusVersion.V2_4);
  rig.open(1, { targetVp: 3 });
  send(device, NONE);
  assert.equal(rig.raised(), [{ vp: 3, sint: 2, flag: 1 }]);
  assert.is(rig.partition.ram.bytes[INTERRUPT_PAGE], 0);
});

signals('test_mnf_channel_open_with_interrupts_disabled: no interrupt and no monitor', () => {
  const device = new RigDevice(1);
  device.monitored = true;
  const rig = new Rig({ devices: [device] });
  rig.boot(VmbusVersion.V3_0);
  rig.open(1, { targetVp: VP_INDEX_DISABLE_INTERRUPT });
  send(device, NONE);
  rig.run(200 * TICKS_PER_MS);
  assert.equal(rig.raised(), []);
  rig.partition.ram.bytes[MONITOR_OUT + 8] = 1;
  rig.run(TICKS_PER_MS);
  assert.is(rig.partition.ram.bytes[MONITOR_OUT + 8], 1, 'not looked at');
});

signals('the shared connection: outbound half of the interrupt page, scanned and cleared', () => {
  const devices = [1, 2, 3].map((i) => new RigDevice(i));
  const rig = new Rig({ devices });
  rig.boot(VmbusVersion.V0_13);
  for (const id of [1, 2, 3]) rig.open(id);
  const { bytes } = rig.partition.ram;
  bytes[INTERRUPT_PAGE + 2048] = 0b1010;
  bytes[INTERRUPT_PAGE] = 0b0100;
  assert.is(rig.signal(2, 7), 0, 'the flag is not looked at');
  assert.is(bytes[INTERRUPT_PAGE + 2048], 0);
  assert.is(bytes[INTERRUPT_PAGE], 0b0100, 'the other half is not');
  rig.run(RING_LATENCY);
  assert.equal(
    devices.map((device) => device.calls.includes('signalled')),
    [true, false, true],
  );
  // Bits of nobody: cleared, a violation
  bytes[INTERRUPT_PAGE + 4095] = 0x80;
  bytes[INTERRUPT_PAGE + 2048 + 3] = 0x80;
  rig.signal(2);
  assert.is(bytes[INTERRUPT_PAGE + 4095], 0);
  assert.equal(rig.violations.length, 2);
  assert.match(rig.violations[0]!, 'channel 31');
  assert.match(rig.violations[1]!, 'channel 16383');
});

signals('from 2.4 on the interrupt page is not looked at', () => {
  const { rig, device, rings } = openRig(VmbusVersion.V2_4);
  rig.partition.ram.bytes[INTERRUPT_PAGE + 2048] = 2;
  rings.write(inband('01', 0));
  assert.is(rig.signal(2), 0);
  rig.run(RING_LATENCY);
  assert.is(rig.partition.ram.bytes[INTERRUPT_PAGE + 2048], 2);
  assert.not(device.calls.includes('signalled'));
});

signals('the monitor page: polled at 100 µs while a monitored channel is open', () => {
  const devices = [1, 2].map((i) => new RigDevice(i));
  devices.forEach((device) => (device.monitored = true));
  const rig = new Rig({ devices });
  rig.boot(VmbusVersion.V3_0);
  const { bytes } = rig.partition.ram;
  bytes[MONITOR_OUT + 8] = 2;
  rig.run(TICKS_PER_MS);
  assert.is(bytes[MONITOR_OUT + 8], 2, 'nothing is open');
  rig.open(2);
  rig.rings(2).write(inband('01', 0));
  rig.run(1000);
  assert.is(bytes[MONITOR_OUT + 8], 0);
  rig.run(RING_LATENCY);
  assert.is(devices[1]!.packets.length, 1);
  assert.ok(rig.log.some((event) => event.kind === 'signal' && event.via === 'monitor'));
  rig.post(words(7, 0, 2));
  bytes[MONITOR_OUT + 8] = 2;
  rig.run(TICKS_PER_MS);
  assert.is(bytes[MONITOR_OUT + 8], 2, 'closed again');
});

signals(
  'test_pending_send_size: the guest is signalled exactly when its room is there, once',
  () => {
    const open = openRig();
    const { rig, device, rings } = open;
    for (let i = 0; i < 120; i++) rings.write(inband('01', 32 * i));
    // 248 free by OpenVMM's count; two packets more make 312 enough
    rings.setControl(rings.out, 'pendingSendSize', 312);
    const raised: number[] = [];
    device.onSignal = (channel) => {
      for (let i = 0; i < 4; i++) {
        channel.receive();
        raised.push(rig.raised().length);
      }
    };
    deliver(open);
    assert.equal(raised, [0, 1, 0, 0]);
  },
);

signals('test_pending_send_size: the low bits are noise', () => {
  const open = openRig();
  const { rig, rings } = open;
  for (let i = 0; i < 120; i++) rings.write(inband('01', 32 * i));
  rings.setControl(rings.out, 'pendingSendSize', 4095);
  deliver(open);
  assert.is(rig.raised().length, 1, '4088 bytes are free when all is read');
});

signals('a signal on a closed channel: the port is gone', () => {
  const { rig } = openRig();
  assert.is(rig.signal(0x2001), 0);
  rig.post(words(7, 0, 1));
  assert.is(rig.signal(0x2001), 0x12);
});

signals('a guest that ignored the signal before OPEN_CHANNEL_RESULT is signalled again', () => {
  const device = new RigDevice(1);
  device.onOpen = () => send(device, NONE);
  const rig = new Rig({ devices: [device], knobs: { ringUnstickTicks: 100 * TICKS_PER_MS } });
  rig.boot(VmbusVersion.V3_0);
  rig.open(1);
  // And it wrote without a signal
  rig.rings(1).write(inband('01', 0));
  assert.is(rig.raised().length, 1);
  rig.run(99 * TICKS_PER_MS);
  assert.is(rig.raised().length, 0);
  rig.run(TICKS_PER_MS);
  assert.is(rig.raised().length, 1);
  assert.is(device.packets.length, 1);
});

signals('packets that were there before the open are read without a signal', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot(VmbusVersion.V3_0);
  device.openStatus = 1;
  rig.open(1);
  device.openStatus = 0;
  rig.rings(1).write(inband('01', 0));
  rig.post(words(5, 0, 1, 0, 0x101, 0, 2) + '00'.repeat(120));
  rig.run(RING_LATENCY);
  assert.is(device.packets.length, 1);
});

signals('excess signals are counted: empty ring, or signalled already', () => {
  const open = openRig();
  const { rig, rings } = open;
  const counts = () => {
    const { signals, unnecessarySignals } = rig.server.inspect().channels[0]!;
    return [signals, unnecessarySignals];
  };
  rings.write(inband('01', 0));
  rig.signal(0x2001);
  assert.equal(counts(), [1, 0]);
  rings.write(inband('01', 32));
  rig.signal(0x2001);
  assert.equal(counts(), [2, 1], 'the ring was not empty');
  rig.run(RING_LATENCY);
  rig.signal(0x2001);
  assert.equal(counts(), [3, 2], 'nothing to read');
  rig.run(RING_LATENCY);
  // Room that the host waits for is reason enough
  while (send(open.device, new Uint8Array(40)));
  rings.read(2048);
  rig.signal(0x2001);
  assert.equal(counts(), [4, 2]);
  rig.post(words(7, 0, 1));
  assert.equal(counts(), [4, 2], 'kept after the close');
});

signals('knob throttleSignals: the guest is suspended for two seconds', () => {
  const { rig } = openRig(VmbusVersion.V3_0, { throttleSignals: 10 });
  const start = rig.partition.clock.now;
  for (let i = 0; i < 10; i++) rig.signal(0x2001);
  assert.is(rig.partition.clock.now, start);
  rig.signal(0x2001);
  assert.is(rig.partition.clock.now, start + 2000 * TICKS_PER_MS);
  assert.is(rig.server.inspect().stalls, 1);
  // At a slower pace it is not
  for (let i = 0; i < 30; i++) {
    rig.signal(0x2001);
    rig.run(110 * TICKS_PER_MS);
  }
  assert.is(rig.server.inspect().stalls, 1);
});
signals.run();
