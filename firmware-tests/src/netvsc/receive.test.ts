// SPDX-License-Identifier: GPL-2.0-or-later

/** RNDIS messages of the host: frames in their order, and whatever else comes in between. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RndisType } from '../../../src/rndis/protocol.ts';
import { receiving } from '../../rigs/driver-faults.ts';
import { Rig, frame, hex, viewOf } from '../../rigs/driver-rig.ts';

/** An RNDIS message of words, with its length where it belongs. */
function message(type: number, ...words: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from([type, 8 + 4 * words.length, ...words]).buffer);
}

/** RNDIS_PACKET_MSG with a frame. Offsets count from byte 8. */
function packet(data: Uint8Array, offset = 36, length = data.length): Uint8Array {
  const head = message(1, offset, length, 0, 0, 0, 0, 0, 0, 0);
  return Uint8Array.from([...head, ...data]);
}

const frames = suite('received frames');

frames('ranges-in-order: the ranges of one packet are handed up first to last', () => {
  const rig = receiving();
  for (let i = 0; i < 4; i++) rig.link.host.deliver(frame(60 + i, i));
  rig.poll();
  assert.is(rig.sent(7).length, 1, 'one packet');
  assert.equal(
    rig.received,
    Array.from({ length: 4 }, (_, i) => hex(frame(60 + i, i))),
  );
  assert.is(rig.device.statistics.rxGood, 5);
});

frames('polls-are-bounded: 4096 packets, and the rest in the next poll', () => {
  const rig = receiving();
  const channel = rig.driver.bus.devices.find((device) => device.instance)!.channel!;
  // A host that has always one more, up to where a guest without a bound would be seen
  let polls = 0;
  channel.poll = () => ++polls < 20_000;
  rig.device.poll();
  assert.is(polls, 4096);
  rig.device.poll();
  assert.is(polls, 8192);
});

frames('of all lengths, with per-packet information and whole sections as well', () => {
  for (const host of ['server2019', 'server2012r2', 'qemu', 'openvmm']) {
    const rig = new Rig({ host });
    rig.open();
    const lengths = [14, 42, 60, 61, 62, 63, 590, 1513, 1514];
    for (const length of lengths) {
      rig.link.host.deliver(frame(length));
      rig.poll();
    }
    assert.equal(
      rig.received,
      lengths.map((length) => hex(frame(length))),
    );
    assert.equal(rig.errors, []);
    rig.driver.remove();
    assert.equal(rig.violations(), [], host);
    rig.assertClean();
  }
});

frames('ranges-bound-messages: the length in a header decides nothing', () => {
  const rig = receiving();
  for (const length of [0, 8, 44, 0x7fffffff, 0xffffffff]) {
    const lying = packet(frame(60, length & 0xff));
    viewOf(lying).setUint32(4, length, true);
    // A second message in the same range is nobody's
    rig.nic.injectRndis(lying, Uint8Array.from([...lying, ...packet(frame(99))]));
    rig.poll();
    assert.equal(rig.received, Array<string>(2).fill(hex(frame(60, length & 0xff))));
    rig.received.length = 0;
  }
  assert.equal(rig.errors, []);
});

frames('short-frames-rejected: less than an Ethernet header is an error, not a frame', () => {
  const rig = receiving();
  rig.nic.injectRndis(packet(frame(0)), packet(frame(1)), packet(frame(13)), packet(frame(14)));
  rig.poll();
  assert.equal(rig.received, [hex(frame(14))]);
  assert.equal(rig.errors, Array<string>(3).fill('FrameTooShort'));
  assert.equal({ ...rig.device.statistics }, { txGood: 0, txBad: 0, rxGood: 2, rxBad: 3 });
});

/** RNDIS_PACKET_MSG with per-packet information behind the header, in front of the frame. */
function packetWith(
  info: readonly number[],
  data: Uint8Array,
  length = 4 * info.length,
): Uint8Array {
  const at = 44 + 4 * info.length;
  const head = message(1, at - 8, data.length, 0, 0, 0, info.length > 0 ? 36 : 0, length, 0, 0);
  const words = new Uint8Array(Uint32Array.from(info).buffer);
  return Uint8Array.from([...head, ...words, ...data]);
}

/** One piece of information: its size, type, where its data begin, and they. */
const info = (type: number, ...data: number[]): number[] => [
  12 + 4 * data.length,
  type,
  12,
  ...data,
];

/** VLAN information as Linux has it: priority, drop bit, VLAN. */
const vlanInfo = (vlan: number, priority = 0): number[] => info(6, priority | (vlan << 4));

frames(
  'openvmm#3552: the VLAN beside a frame is told to the receiver, among other information',
  () => {
    const cases: [string, number[], number][] = [
      ['none', [], 0],
      ['VLAN 100', vlanInfo(100), 100],
      ['priority 3', vlanInfo(0, 3), 0],
      ['priority and drop bit', vlanInfo(0, 15), 0],
      ['VLAN 4095 with reserved bits', info(6, 0xffffffff), 4095],
      ['behind a checksum and a hash', [...info(0, 0x18), ...info(8, 1, 2), ...vlanInfo(7)], 7],
      ['before an internal one', [...vlanInfo(9), ...info(0x80000001, 5)], 9],
      ['an internal one of the same number', info(0x80000006, 0xffffffff), 0],
      ['a gap before the data', [20, 6, 16, 0xdead, 5 << 4], 5],
      ['one without data', [...info(3), ...vlanInfo(2)], 2],
    ];
    for (const [name, words, vlan] of cases) {
      const rig = receiving();
      const seen: [string, number][] = [];
      rig.device.receiver = {
        receive: (bytes, offset, length, tag) =>
          seen.push([hex(bytes.subarray(offset, offset + length)), tag ?? -1]),
      };
      rig.nic.injectRndis(packetWith(words, frame(60)));
      rig.poll();
      assert.equal(seen, [[hex(frame(60)), vlan]], name);
      assert.equal(rig.errors, []);
    }
  },
);

frames('information behind the end of a message is not that of the message', () => {
  const rig = receiving();
  const tags: (number | undefined)[] = [];
  rig.device.receiver = { receive: (_, __, ___, tag) => void tags.push(tag) };
  // Where the next message ends, this one has what looks like information
  const lure = new Uint8Array(Uint32Array.from(vlanInfo(7)).buffer);
  rig.nic.injectRndis(packet(Uint8Array.from([...frame(60), ...lure, ...lure])));
  rig.poll();
  for (const [offset, length] of [
    [96, 16],
    [88, 16],
    [96, 32],
    [0xfffffff8, 16],
  ] as const) {
    const short = packet(frame(60));
    viewOf(short).setUint32(28, offset, true);
    viewOf(short).setUint32(32, length, true);
    rig.nic.injectRndis(short);
    rig.poll();
  }
  assert.equal(tags, [0]);
  assert.equal(rig.errors, Array<string>(4).fill('BadRndisMessage'));
});

/** Messages that are no good, and the error. */
const BAD_MESSAGES: readonly (readonly [string, Uint8Array, string])[] = [
  ['no bytes', new Uint8Array(0), 'BadRndisMessage'],
  ['seven bytes', new Uint8Array(7), 'BadRndisMessage'],
  ['a packet that is cut', packet(frame(60)).slice(0, 43), 'BadRndisMessage'],
  ['data that begin outside', packet(frame(60), 97, 0), 'BadRndisMessage'],
  ['data that end outside', packet(frame(60), 36, 61), 'BadRndisMessage'],
  ['data whose end wraps around', packet(frame(60), 0xfffffff0, 0x20), 'BadRndisMessage'],
  ['information that begins outside', packetWith([], frame(60), 12), 'BadRndisMessage'],
  ['information that ends outside', packetWith(vlanInfo(0), frame(60), 200), 'BadRndisMessage'],
  ['information of 4 GiB', packetWith(vlanInfo(0), frame(60), 0xfffffff0), 'BadRndisMessage'],
  ['information that is cut', packetWith(vlanInfo(0), frame(60), 8), 'BadRndisMessage'],
  ['information and a rest', packetWith([...vlanInfo(0), 0], frame(60)), 'BadRndisMessage'],
  ['information of size 0', packetWith([0, 6, 12, 0], frame(60)), 'BadRndisMessage'],
  ['information of no size at all', packetWith([0, 0, 0, 0], frame(60)), 'BadRndisMessage'],
  ['information of size 8', packetWith([8, 6, 8, 0], frame(60)), 'BadRndisMessage'],
  ['information longer than all', packetWith([20, 6, 12, 0], frame(60)), 'BadRndisMessage'],
  ['information of a wrapping size', packetWith([-4, 0, 12, 0], frame(60)), 'BadRndisMessage'],
  ['data of it that begin outside', packetWith([16, 0, 17, 0], frame(60)), 'BadRndisMessage'],
  ['a VLAN without data', packetWith([16, 6, 16, 0], frame(60)), 'BadRndisMessage'],
  ['a VLAN of two bytes', packetWith([16, 6, 14, 0], frame(60)), 'BadRndisMessage'],
  ['a status that is cut', message(7, 0x4001000b, 0), 'BadRndisMessage'],
  ['a status that nobody knows', message(7, 0x12345678, 0, 0), 'UnknownStatus'],
  ['a keep-alive that is cut', message(8), 'BadRndisMessage'],
  ['RESET_CMPLT', message(0x80000006, 0, 0), 'UnknownMessage'],
  ['type 0', message(0, 0), 'UnknownMessage'],
];

for (const [name, bytes, error] of BAD_MESSAGES)
  frames(`${name}: ${error}, and the next range is received`, () => {
    const rig = receiving();
    rig.nic.injectRndis(packet(frame(70, 1)), bytes, packet(frame(71, 2)));
    rig.poll();
    assert.equal(rig.errors, [error]);
    assert.equal(rig.received, [hex(frame(70, 1)), hex(frame(71, 2))]);
    assert.is(rig.device.statistics.rxBad, 1);
    assert.is(rig.completed().length, 1);
  });

frames('without a receiver they are counted and forgotten', () => {
  const rig = receiving();
  rig.device.receiver = undefined;
  rig.link.host.deliver(frame(60));
  rig.poll();
  assert.is(rig.device.statistics.rxGood, 2);
});

frames('a range that is read is a copy: the host may write the section at once', () => {
  const rig = receiving();
  const grant = rig.machine.partition.grants.live().find((g) => /receive buffer/.test(g.purpose))!;
  let kept = '';
  rig.device.receiver = {
    receive(buffer, offset, length) {
      // The host writes to its whole buffer while the guest looks at the frame
      rig.machine.partition.ram.bytes.fill(0xee, grant.pfns[0]! * 4096, grant.pfns[1]! * 4096);
      kept = hex(buffer.subarray(offset, offset + length));
    },
  };
  rig.link.host.deliver(frame(60));
  rig.poll();
  assert.is(kept, hex(frame(60)));
});

frames.run();

const indications = suite('indications of the host');

indications('keepalive-answered: with the same request ID, and it counts as no error', () => {
  const rig = receiving();
  assert.ok(rig.nic.sendKeepalive());
  rig.poll();
  const [answer] = rig.messages();
  assert.is(hex(answer!.bytes), hex(message(0x80000008, 1, 0)));
  assert.is(rig.nic.state.keepaliveAnswers, 1);
  rig.nic.injectRndis(message(8, 0xdeadbeef));
  rig.poll();
  assert.is(hex(rig.messages()[1]!.bytes), hex(message(0x80000008, 0xdeadbeef, 0)));
  assert.equal(rig.errors, []);
  // Also while 32 frames are in flight
  rig.nic.faults.withhold = () => true;
  for (let i = 0; i < 40; i++) rig.device.transmit(frame(60), 60);
  rig.nic.sendKeepalive();
  rig.poll();
  assert.is(rig.nic.state.keepaliveAnswers, 2 + 1);
});

indications('the link goes down and up, and the malformed status of 2012 R2 is nothing', () => {
  const rig = receiving();
  const seen: boolean[] = [];
  rig.device.observer = { ...rig.device.observer!, linkChanged: (up) => void seen.push(up) };
  rig.nic.injectRndis(message(7, 0x4001000c, 0, 0));
  rig.poll();
  assert.is(rig.device.link, 'down');
  rig.nic.injectRndis(message(7, 0x40020006, 4, 12), message(7, 0x4001000b, 0, 0));
  rig.poll();
  assert.is(rig.device.link, 'up');
  assert.equal(seen, [false, true]);
  assert.equal(rig.errors, []);
});

indications('a card without a cable can be opened, and hears of the cable', () => {
  const rig = new Rig();
  rig.nic.setLinkState(false);
  const device = rig.open();
  assert.is(device.link, 'down');
  rig.nic.setLinkState(true);
  rig.poll(3000);
  assert.is(device.link, 'up');
  rig.driver.remove();
  rig.assertClean();
});

indications('answers that nobody waits for are log lines', () => {
  const rig = receiving();
  rig.nic.injectRndis(
    message(0x80000002, 0xe110e110, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    message(0x80000004, 0x10114, 0, 4, 16, 1),
    message(0x80000005, 0x1010e, 0),
    message(0x80000005),
  );
  rig.poll();
  assert.is(rig.logged().filter((text) => text.startsWith('unexpected answer')).length, 4);
  assert.is(rig.device.link, 'up');
  assert.equal(rig.errors, []);
});

indications('a frame between a request and its answer is received, and does not confuse it', () => {
  const rig = receiving();
  rig.nic.faults.message = (outgoing) => {
    const type = viewOf(outgoing.bytes).getUint32(0, true);
    if (type === RndisType.SET_CMPLT) rig.soon(() => rig.nic.injectRndis(packet(frame(60, 5))));
    return type === RndisType.SET_CMPLT ? 5000 : 'send';
  };
  rig.device.close();
  assert.equal(rig.received, [hex(frame(60, 5))]);
  assert.is(rig.logged().filter((text) => /not cleared/.test(text)).length, 0);
  rig.driver.remove();
  rig.assertClean();
});

indications.run();
