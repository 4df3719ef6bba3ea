// SPDX-License-Identifier: GPL-2.0-or-later

/** ARP at the bytes, and the bounds of each wait. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  arpFrame,
  arpTarget,
  at16,
  BROADCAST,
  CLIENT_MAC,
  FakeClock,
  FakeDevice,
  ip,
  readUdp,
  SERVER_MAC,
  thrown,
  udpFrame,
} from '../../rigs/net-peer.ts';
import { parseIpv4 } from '../../../src/net/bytes.ts';
import { ReferenceClock } from '../../../src/hyperv/clock.ts';
import { NetworkInterface } from '../../../src/net/network-interface.ts';
import { Log } from '../../../src/events.ts';
import { bench, good, dropped } from '../../rigs/bench/net-interface.ts';

const arp = suite('net ARP');

arp('a request for our address is answered, at the bytes, and not from within receive', () => {
  const b = bench();
  dropped(b, arpFrame(1, '10.0.0.7', [2, 0, 0, 0, 0, 7], '10.0.0.50', BROADCAST));
  assert.is(b.device.sent.length, 1);
  assert.equal(Array.from(b.device.sent[0]!.bytes), [
    ...[2, 0, 0, 0, 0, 7],
    ...CLIENT_MAC,
    ...[8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
    ...CLIENT_MAC,
    ...ip('10.0.0.50'),
    ...[2, 0, 0, 0, 0, 7],
    ...ip('10.0.0.7'),
  ]);
});

arp('requests for others, and all while we have no address, are not answered', () => {
  const b = bench();
  assert.equal(dropped(b, arpFrame(1, '10.0.0.7', SERVER_MAC, '10.0.0.51', BROADCAST)), {
    arpForeign: 1,
  });
  const none = bench({}, false);
  dropped(none, arpFrame(1, '10.0.0.7', SERVER_MAC, '0.0.0.0', BROADCAST));
  assert.is(b.device.sent.length + none.device.sent.length, 0);
});

arp('another station with our address is told, once, and nothing else becomes of it', () => {
  const clock = new FakeClock();
  const device = new FakeDevice(clock);
  const lines: string[] = [];
  const log = new Log((event) => {
    if (event.kind === 'log' && event.level === 'warning') lines.push(event.text);
  });
  const net = new NetworkInterface(device, clock, log);
  net.address = parseIpv4('10.0.0.50')!;
  net.netmask = parseIpv4('255.255.255.0')!;
  const other = [2, 0, 0, 0, 0, 9];
  for (const operation of [1, 2, 1] as const) {
    device.deliver(arpFrame(operation, '10.0.0.50', other, '10.0.0.50', BROADCAST));
    net.turn();
  }
  assert.equal(lines, ['10.0.0.50 is in use by another station']);
  assert.is(net.address, parseIpv4('10.0.0.50'));
});

arp('a flood of requests is answered in part only', () => {
  const b = bench();
  const frames = Array.from({ length: 10 }, () => arpFrame(1, '10.0.0.7', SERVER_MAC, '10.0.0.50'));
  assert.equal(dropped(b, ...frames), { arpFlood: 6 });
  assert.is(b.device.sent.length, 4);
});

arp(
  'a request is broadcast, back-off is seen on the clock, and the error says who is silent',
  () => {
    const b = bench();
    const error = thrown(() => b.net.resolve(parseIpv4('10.0.0.1')!));
    assert.is(error.name, 'NoNeighbour');
    assert.match(error.message, /6 ARP requests for 10\.0\.0\.1$/);
    assert.equal(
      b.device.sent.map((sent) => sent.ms),
      [0, 250, 750, 1750, 3750, 7750],
    );
    assert.is(b.clock.ms, 11750);
    assert.equal(Array.from(b.device.sent[0]!.bytes), [
      ...BROADCAST,
      ...CLIENT_MAC,
      ...[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
      ...CLIENT_MAC,
      ...ip('10.0.0.50'),
      ...[0, 0, 0, 0, 0, 0],
      ...ip('10.0.0.1'),
    ]);
  },
);

arp('outside the subnet the gateway is asked for, and gets the frames', () => {
  const b = bench();
  b.device.answer = (frame) => {
    const target = arpTarget(frame);
    if (target !== undefined) b.device.deliver(arpFrame(2, target, SERVER_MAC, '10.0.0.50'));
  };
  b.net.resolve(parseIpv4('192.168.7.7')!);
  assert.is(arpTarget(b.device.sent[0]!.bytes), '10.0.0.254');
  b.net.payload[0] = 0x42;
  assert.ok(b.net.sendUdp(1000, parseIpv4('192.168.7.7')!, 69, 1));
  const datagram = readUdp(b.device.sent[1]!.bytes)!;
  assert.equal(datagram.toMac, SERVER_MAC);
  assert.is(datagram.to, '192.168.7.7');
  assert.equal(Array.from(datagram.payload), [0x42]);
  b.net.gateway = 0;
  assert.is(thrown(() => b.net.resolve(parseIpv4('192.168.7.8')!)).name, 'NoRoute');
});

arp('unsolicited replies do not get into the table, nor replace what is known', () => {
  const b = bench();
  const server = parseIpv4('10.0.0.1')!;
  const evil = [6, 6, 6, 6, 6, 6];
  assert.equal(dropped(b, arpFrame(2, '10.0.0.1', evil, '10.0.0.50')), { arpForeign: 1 });
  // Not known, so asked for; the first answer counts
  assert.not.ok(b.net.sendUdp(1000, server, 69, 0));
  assert.is(arpTarget(b.device.sent[0]!.bytes), '10.0.0.1');
  dropped(
    b,
    arpFrame(2, '10.0.0.9', evil, '10.0.0.50'),
    arpFrame(2, '10.0.0.1', SERVER_MAC, '10.0.0.50'),
  );
  dropped(
    b,
    arpFrame(2, '10.0.0.1', evil, '10.0.0.50'),
    arpFrame(1, '10.0.0.1', evil, '10.0.0.50'),
  );
  b.net.sendUdp(1000, server, 69, 0);
  assert.equal(readUdp(b.device.sent.at(-1)!.bytes)!.toMac, SERVER_MAC);
  // Asked for again, the neighbour may have moved; the old address serves meanwhile
  b.net.refresh(server);
  b.net.sendUdp(1000, server, 69, 0);
  assert.equal(readUdp(b.device.sent.at(-1)!.bytes)!.toMac, SERVER_MAC);
  dropped(b, arpFrame(2, '10.0.0.1', [2, 2, 2, 2, 2, 2], '10.0.0.50'));
  b.net.sendUdp(1000, server, 69, 0);
  assert.equal(readUdp(b.device.sent.at(-1)!.bytes)!.toMac, [2, 2, 2, 2, 2, 2]);
});

arp('the table is bounded: the oldest neighbour makes place', () => {
  const b = bench();
  b.device.answer = (frame) => {
    const target = arpTarget(frame);
    if (target !== undefined) b.device.deliver(arpFrame(2, target, SERVER_MAC, '10.0.0.50'));
  };
  for (let i = 1; i <= 9; i++) b.net.resolve(parseIpv4(`10.0.0.${i}`)!);
  assert.is(b.device.sent.length, 9);
  for (let i = 2; i <= 9; i++) b.net.resolve(parseIpv4(`10.0.0.${i}`)!);
  assert.is(b.device.sent.length, 9);
  b.net.resolve(parseIpv4('10.0.0.1')!);
  assert.is(b.device.sent.length, 10);
});

arp.run();

const bounds = suite('net bounds');

bounds('a flood does not stop the timers', () => {
  const b = bench();
  const foreign = udpFrame({ ...good, toMac: SERVER_MAC });
  b.device.onPoll = () => {
    for (let i = 0; i < 3; i++) b.device.deliver(foreign);
  };
  assert.is(thrown(() => b.net.resolve(parseIpv4('10.0.0.1')!)).name, 'NoNeighbour');
  assert.is(b.clock.ms, 11750);
  assert.is(b.net.drops.frameForeign, 3 * 11750);
});

bounds('a flood with a slow clock ends by the number of frames', () => {
  const b = bench({ floodFrames: 1000 });
  b.clock.step = 1;
  b.device.onPoll = () => {
    for (let i = 0; i < 10; i++) b.device.deliver(udpFrame({ ...good, port: 7 }));
  };
  assert.is(thrown(() => b.net.resolve(parseIpv4('10.0.0.1')!)).name, 'Flooded');
  assert.is(b.clock.pauses, 101);
});

bounds('a clock that stands still ends a wait', () => {
  // The drivers' own clock, on a counter that does not move
  let pauses = 0;
  const counter = { read: () => 77n, machine: { pause: () => pauses++ } };
  const clock = new ReferenceClock(counter as never);
  const net = new NetworkInterface(new FakeDevice(new FakeClock()), clock, new Log(undefined));
  Object.assign(net, { address: parseIpv4('10.0.0.50'), netmask: parseIpv4('255.0.0.0') });
  assert.is(thrown(() => net.resolve(parseIpv4('10.0.0.1')!)).name, 'ClockStopped');
  assert.ok(pauses > 100_000 && pauses < 3_000_000, `${pauses} pauses`);
});

bounds('a device that closes ends a wait', () => {
  const b = bench();
  b.device.onPoll = () => {
    if (b.clock.ms >= 100) b.device.close();
  };
  assert.is(thrown(() => b.net.resolve(parseIpv4('10.0.0.1')!)).name, 'DeviceClosed');
  assert.is(b.clock.ms, 100);
});

bounds('a device with too small an MTU is refused, and one with a large one clamped', () => {
  const clock = new FakeClock();
  const device = new FakeDevice(clock);
  device.maxFrame = 589;
  const make = (): NetworkInterface => new NetworkInterface(device, clock, new Log(undefined));
  assert.is(thrown(make).name, 'DeviceUnfit');
  assert.is(device.receiver, undefined);
  device.maxFrame = 9014;
  assert.is(make().mtu, 1500);
});

bounds('a datagram longer than the MTU is a mistake of the caller; one of the MTU goes out', () => {
  const b = bench();
  const all = parseIpv4('10.0.0.255')!;
  assert.throws(() => b.net.sendUdp(1000, all, 69, 1473), /1501 bytes/);
  assert.ok(b.net.sendUdp(1000, all, 69, 1472));
  const frame = b.device.sent[0]!.bytes;
  assert.is(frame.length, 1514);
  assert.is(at16(frame, 20) & 0x3fff, 0);
  assert.is(readUdp(frame)!.payload.length, 1472);
});

bounds.run();
