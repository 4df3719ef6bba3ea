// SPDX-License-Identifier: GPL-2.0-or-later

/** Ethernet, ARP, IPv4, UDP and ICMP at the bytes. */

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
  ipFrame,
  readUdp,
  SERVER_MAC,
  slowChecksum,
  thrown,
  u16,
  udpFrame,
} from './net-peer.ts';
import { checksum, parseIpv4, quoted, sum16 } from '../src/net/bytes.ts';
import type { DropReason } from '../src/net/drops.ts';
import { isNetmask } from '../src/net/ipv4.ts';
import { NetworkInterface } from '../src/net/network-interface.ts';
import type { NetworkInterfaceOptions } from '../src/net/network-interface.ts';
import { Log } from '../src/events.ts';

interface Bench {
  readonly clock: FakeClock;
  readonly device: FakeDevice;
  readonly net: NetworkInterface;
  readonly got: { payload: number[]; source: number; port: number }[];
  readonly unreachable: number[];
}

function bench(options: NetworkInterfaceOptions = {}, configured = true): Bench {
  const clock = new FakeClock();
  const device = new FakeDevice(clock);
  const net = new NetworkInterface(device, clock, new Log(undefined), options);
  if (configured) {
    net.address = parseIpv4('10.0.0.50')!;
    net.netmask = parseIpv4('255.255.255.0')!;
    net.gateway = parseIpv4('10.0.0.254')!;
  }
  const got: Bench['got'] = [];
  const unreachable: number[] = [];
  net.bind(1000, {
    datagram: (buffer, offset, length, source, port) =>
      got.push({ payload: Array.from(buffer.slice(offset, offset + length)), source, port }),
    unreachable: (_, port) => unreachable.push(port),
  });
  return { clock, device, net, got, unreachable };
}

const bytes = suite('net bytes');

bytes('checksum over even and odd lengths agrees with the slow way', () => {
  const data = Array.from({ length: 301 }, (_, i) => (i * 151 + 7) & 255);
  for (const length of [0, 1, 2, 3, 20, 255, 300, 301])
    for (const from of [0, 1].filter((start) => start + length <= 301)) {
      const part = data.slice(from, from + length);
      const own = checksum(sum16(Uint8Array.from(data), from, length, 0));
      assert.is(own, slowChecksum(part), `${length} bytes from ${from}`);
    }
  assert.is(checksum(sum16(new Uint8Array(65535).fill(255), 0, 65535, 0)), 0x00ff);
});

bytes('dotted quads', () => {
  assert.is(parseIpv4('192.168.1.2'), 0xc0a80102 | 0);
  assert.is(parseIpv4('255.255.255.255'), -1);
  for (const bad of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    'a.b.c.d',
    '1.2.3.',
    '1.2.3.4 ',
    '-1.2.3.4',
  ])
    assert.is(parseIpv4(bad), undefined, bad);
});

bytes('netmasks', () => {
  for (const good of ['128.0.0.0', '255.255.255.0', '255.255.255.254', '255.255.255.255'])
    assert.ok(isNetmask(parseIpv4(good)!), good);
  for (const bad of ['0.0.0.0', '255.0.255.0', '0.255.255.255', '255.255.255.1'])
    assert.not.ok(isNetmask(parseIpv4(bad)!), bad);
});

bytes('text of the network cannot spoil a log line', () => {
  assert.is(quoted('a"\n\x1b[0m\\é'), '"a\\x22\\x0a\\x1b[0m\\x5c\\xe9"');
});

bytes.run();

const receive = suite('net receive');

const good = { sourcePort: 69, port: 1000, payload: [1, 2, 3, 4, 5] };

/** Deliver frames in one turn and return the drop counters that are not 0. */
function dropped(b: Bench, ...frames: readonly number[][]): Partial<Record<DropReason, number>> {
  for (const frame of frames) b.device.deliver(frame);
  b.net.turn();
  return Object.fromEntries(Object.entries(b.net.drops).filter(([, count]) => count > 0));
}

receive('a datagram arrives: options skipped, padding ignored, odd length', () => {
  const b = bench();
  const frames = [
    udpFrame(good),
    udpFrame({ ...good, options: [1, 1, 1, 0], padding: 13 }),
    udpFrame({ ...good, noChecksum: true }),
    udpFrame({ ...good, toMac: BROADCAST, to: '10.0.0.255' }),
    udpFrame({ ...good, toMac: BROADCAST, to: '255.255.255.255' }),
    udpFrame({ ...good, fragment: 0x4000 }),
  ];
  assert.equal(dropped(b, ...frames), {});
  assert.is(b.got.length, 6);
  for (const one of b.got) {
    assert.equal(one.payload, [1, 2, 3, 4, 5]);
    assert.is(one.source, parseIpv4('10.0.0.1'));
    assert.is(one.port, 69);
  }
});

receive('a payload shorter than IP says ends where UDP says', () => {
  const b = bench();
  const frame = udpFrame({ ...good, noChecksum: true, udpLength: 10 });
  assert.equal(dropped(b, frame), {});
  assert.equal(b.got[0]!.payload, [1, 2]);
});

receive('each kind of bad frame is dropped for its own reason', () => {
  const spoil = (frame: number[], at: number, value: number): number[] => {
    frame[at] = value;
    return frame;
  };
  /** Set header bytes and make the header checksum right again. */
  const header = (changes: Record<number, number>, options: number[] = []): number[] => {
    const frame = udpFrame({ ...good, options });
    for (const [at, value] of Object.entries(changes)) frame[14 + Number(at)] = value;
    const end = 34 + options.length;
    frame[24] = frame[25] = 0;
    [frame[24], frame[25]] = u16(slowChecksum(frame.slice(14, end))) as [number, number];
    return frame;
  };
  const cases: [DropReason, number[]][] = [
    ['frameShort', []],
    ['frameShort', udpFrame(good).slice(0, 13)],
    ['frameForeign', udpFrame({ ...good, toMac: SERVER_MAC })],
    ['frameForeign', udpFrame({ ...good, toMac: [1, 0, 0x5e, 0, 0, 1] })],
    ['frameType', spoil(udpFrame(good), 12, 0x86)],
    ['arpMalformed', arpFrame(1, '10.0.0.1', SERVER_MAC, '10.0.0.50').slice(0, 41)],
    ['arpMalformed', spoil(arpFrame(1, '10.0.0.1', SERVER_MAC, '10.0.0.50'), 18, 8)],
    ['arpMalformed', arpFrame(1, '10.0.0.1', BROADCAST, '10.0.0.50')],
    ['ipShort', udpFrame(good).slice(0, 33)],
    ['ipVersion', udpFrame({ ...good, version: 6 })],
    ['ipHeaderLength', header({ 0: 0x44 })],
    ['ipHeaderLength', spoil(udpFrame(good), 14, 0x4f)],
    ['ipTotalLength', header({ 2: 0, 3: 19 })],
    ['ipTotalLength', header({ 2: 0, 3: 34 })],
    ['ipChecksum', spoil(udpFrame(good), 22, 63)],
    ['ipFragment', udpFrame({ ...good, fragment: 0x2000 })],
    ['ipFragment', udpFrame({ ...good, fragment: 0x0001 })],
    ['ipFragment', udpFrame({ ...good, fragment: 0x1fff })],
    ['ipSource', udpFrame({ ...good, from: '255.255.255.255' })],
    ['ipSource', udpFrame({ ...good, from: '224.0.0.1' })],
    ['ipSource', udpFrame({ ...good, from: '10.0.0.255' })],
    ['ipSource', udpFrame({ ...good, from: '10.0.0.50' })],
    ['ipForeign', udpFrame({ ...good, to: '10.0.0.51' })],
    ['ipProtocol', ipFrame({ payload: [1, 2, 3, 4], protocol: 6 })],
    ['icmpMalformed', ipFrame({ payload: [3, 3, 0, 0, 0, 0, 0, 0], protocol: 1 })],
    ['udpLength', ipFrame({ payload: [0, 69, 3, 0xe8, 0, 8, 0] })],
    ['udpLength', udpFrame({ ...good, udpLength: 7 })],
    ['udpLength', udpFrame({ ...good, udpLength: 14 })],
    ['udpChecksum', spoil(udpFrame(good), 46, 6)],
    ['udpPort', udpFrame({ ...good, port: 1001 })],
  ];
  for (const [reason, frame] of cases) {
    const b = bench();
    assert.equal(dropped(b, frame), { [reason]: 1 }, `${reason} ${frame.length}`);
    assert.is(b.got.length, 0, reason);
  }
});

receive('frames cut at any length are dropped and read nothing else', () => {
  const whole = udpFrame({ ...good, options: [1, 1, 1, 0] });
  for (let length = 0; length < whole.length; length++) {
    const b = bench();
    dropped(b, whole.slice(0, length));
    assert.is(b.got.length, 0, `${length}`);
  }
});

receive('before there is an address, what comes to our hardware address is ours', () => {
  const b = bench({}, false);
  assert.equal(dropped(b, udpFrame({ ...good, to: '10.0.0.77' })), {});
  assert.is(b.got.length, 1);
});

receive('port unreachable reaches the port that sent', () => {
  const quote = udpFrame({
    sourcePort: 1000,
    port: 69,
    payload: [0, 1],
    from: '10.0.0.50',
    to: '10.0.0.1',
  });
  const icmp = (code: number, inner: number[]): number[] => {
    const message = [3, code, 0, 0, 0, 0, 0, 0, ...inner];
    [message[2], message[3]] = u16(slowChecksum(message)) as [number, number];
    return ipFrame({ payload: message, protocol: 1 });
  };
  const b = bench();
  assert.equal(dropped(b, icmp(3, quote.slice(14, 42))), {});
  assert.equal(b.unreachable, [69]);
  // Another code, another sender, a quote cut off
  const foreign = udpFrame({
    sourcePort: 1000,
    port: 69,
    payload: [],
    from: '10.0.0.9',
    to: '10.0.0.1',
  });
  const drops = dropped(
    b,
    icmp(1, quote.slice(14, 42)),
    icmp(3, foreign.slice(14, 42)),
    icmp(3, quote.slice(14, 41)),
  );
  assert.equal(drops, { ipProtocol: 2, icmpMalformed: 1 });
  assert.equal(b.unreachable, [69]);
});

receive.run();

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
    assert.is(error.kind.name, 'NoNeighbour');
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
  assert.is(thrown(() => b.net.resolve(parseIpv4('192.168.7.8')!)).kind.name, 'NoRoute');
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
  assert.is(thrown(() => b.net.resolve(parseIpv4('10.0.0.1')!)).kind.name, 'NoNeighbour');
  assert.is(b.clock.ms, 11750);
  assert.is(b.net.drops.frameForeign, 3 * 11750);
});

bounds('a flood with a slow clock ends by the number of frames', () => {
  const b = bench({ floodFrames: 1000 });
  b.clock.step = 1;
  b.device.onPoll = () => {
    for (let i = 0; i < 10; i++) b.device.deliver(udpFrame({ ...good, port: 7 }));
  };
  assert.is(thrown(() => b.net.resolve(parseIpv4('10.0.0.1')!)).kind.name, 'Flooded');
  assert.is(b.clock.pauses, 101);
});

bounds('a clock that stands still ends a wait', () => {
  const b = bench({ stillTurns: 500 });
  b.clock.step = 0;
  assert.is(thrown(() => b.net.resolve(parseIpv4('10.0.0.1')!)).kind.name, 'ClockStopped');
  assert.is(b.clock.pauses, 502);
});

bounds('a device that closes ends a wait', () => {
  const b = bench();
  b.device.onPoll = () => {
    if (b.clock.ms >= 100) b.device.close();
  };
  assert.is(thrown(() => b.net.resolve(parseIpv4('10.0.0.1')!)).kind.name, 'DeviceClosed');
  assert.is(b.clock.ms, 100);
});

bounds('a device with too small an MTU is refused, and one with a large one clamped', () => {
  const clock = new FakeClock();
  const device = new FakeDevice(clock);
  device.maxFrame = 589;
  const make = (): NetworkInterface => new NetworkInterface(device, clock, new Log(undefined));
  assert.is(thrown(make).kind.name, 'DeviceUnfit');
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
