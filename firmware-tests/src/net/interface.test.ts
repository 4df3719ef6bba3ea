// SPDX-License-Identifier: GPL-2.0-or-later

/** Ethernet, IPv4, UDP and ICMP at the bytes. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  arpFrame,
  BROADCAST,
  ipFrame,
  SERVER_MAC,
  slowChecksum,
  u16,
  udpFrame,
} from '../../rigs/net-peer.ts';
import { checksum, parseIpv4, quoted, sum16 } from '../../../src/net/bytes.ts';
import type { DropReason } from '../../../src/net/drops.ts';
import { isNetmask } from '../../../src/net/ipv4.ts';
import { bench, good, dropped } from '../../rigs/bench/net-interface.ts';

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
    ['ipMalformed', udpFrame(good).slice(0, 33)],
    ['ipMalformed', udpFrame({ ...good, version: 6 })],
    ['ipMalformed', header({ 0: 0x44 })],
    ['ipMalformed', spoil(udpFrame(good), 14, 0x4f)],
    ['ipMalformed', header({ 2: 0, 3: 19 })],
    ['ipMalformed', header({ 2: 0, 3: 34 })],
    ['ipMalformed', spoil(udpFrame(good), 22, 63)],
    ['ipFragment', udpFrame({ ...good, fragment: 0x2000 })],
    ['ipIncomplete', udpFrame({ ...good, fragment: 0x0001 })],
    ['ipFragment', udpFrame({ ...good, fragment: 0x1fff })],
    ['ipSource', udpFrame({ ...good, from: '255.255.255.255' })],
    ['ipSource', udpFrame({ ...good, from: '224.0.0.1' })],
    ['ipSource', udpFrame({ ...good, from: '10.0.0.255' })],
    ['ipSource', udpFrame({ ...good, from: '10.0.0.50' })],
    ['ipForeign', udpFrame({ ...good, to: '10.0.0.51' })],
    ['ipProtocol', ipFrame({ payload: [1, 2, 3, 4], protocol: 6 })],
    ['icmpMalformed', ipFrame({ payload: [3, 3, 0, 0, 0, 0, 0, 0], protocol: 1 })],
    ['udpMalformed', ipFrame({ payload: [0, 69, 3, 0xe8, 0, 8, 0] })],
    ['udpMalformed', udpFrame({ ...good, udpLength: 7 })],
    ['udpMalformed', udpFrame({ ...good, udpLength: 14 })],
    ['udpMalformed', spoil(udpFrame(good), 46, 6)],
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
