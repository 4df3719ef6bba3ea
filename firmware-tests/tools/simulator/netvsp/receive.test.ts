// SPDX-License-Identifier: GPL-2.0-or-later

/** Frames for the guest: sections, transfer-page packets, completions, faults. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PacketType } from '../../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import {
  INITIALISE,
  NetRig,
  RX_ADDRESS,
  RX_LENGTH,
  dataMessage,
  hex,
  pattern,
  rndis,
  unhex,
  words,
  type HostPacket,
  type RigOptions,
} from '../../../rigs/netvsp-rig.ts';

function started(options: RigOptions = {}): NetRig {
  const rig = new NetRig(options);
  rig.start();
  return rig;
}

/** Deliver frames at one moment, and return what the guest gets. */
function deliver(rig: NetRig, ...frames: Uint8Array[]): HostPacket[] {
  for (const frame of frames) rig.host.deliver(frame);
  return rig.run();
}

/** The frame in a message, found as guests must: by data offset and length alone. */
function frameOf(message: string): string {
  const view = new DataView(unhex(message).buffer);
  const at = 8 + view.getUint32(8, true);
  return message.slice(at * 2, (at + view.getUint32(12, true)) * 2);
}

const layout = suite('received messages');

layout('exact: as recorded, header, frame, nothing else', () => {
  const rig = started();
  const frame = pattern(60);
  const [packet] = deliver(rig, frame);
  assert.is(packet?.type, PacketType.DATA_XFER_PAGES);
  assert.is(packet?.flags, 1);
  assert.is(packet?.set, 0xcafe);
  assert.is(packet?.payload, words(107, 0, 0xffffffff, 0, 0, 0, 0));
  assert.equal(packet?.messages, [dataMessage(frame)]);
  assert.is(packet?.low, packet!.ranges[0]!.offset / 1728, 'transaction: the first section');
});

layout('per-packet information in front of every nth frame', () => {
  const rig = started({ knobs: { ppiEvery: 3 } });
  const frame = pattern(100);
  const messages = Array.from({ length: 6 }, () => deliver(rig, frame)[0]!.messages[0]!);
  messages.forEach((message, i) => {
    if (i % 3 === 2)
      assert.is(
        message,
        words(1, 160, 52, 100, 0, 0, 0, 36, 16, 0, 0, 16, 0, 12, 0) + hex(frame),
        `${i}`,
      );
    else assert.is(message, dataMessage(frame), `${i}`);
  });
});

layout('rndis_rx: OpenVMM claims whole sections, with the data at 256', () => {
  const rig = started({ knobs: { rxMessageLength: 'sub-allocation', ppiEvery: 1 } });
  const frame = pattern(1514);
  const [packet] = deliver(rig, frame);
  const message = packet!.messages[0]!;
  assert.is(packet!.ranges[0]!.length, 1806);
  assert.is(message.slice(0, 32), words(1, 1806, 248, 1514));
  assert.is(message.slice(512, 512 + 3028), hex(frame));
  assert.is(frameOf(message), hex(frame));
});

layout('the device writes into the receive buffer alone', () => {
  const rig = started({ knobs: { rangesPerPacket: 4 } });
  rig.ram.bytes.fill(0xdd);
  for (let i = 0; i < 30; i++) deliver(rig, pattern(1514, i));
  const outside = (at: number) => at < RX_ADDRESS || at >= RX_ADDRESS + RX_LENGTH;
  const changed = rig.ram.bytes.findIndex((byte, at) => byte !== 0xdd && outside(at));
  assert.is(changed, -1);
});

layout('a frame longer than the MTU is dropped and counted', () => {
  const rig = started();
  assert.equal(deliver(rig, pattern(1515)), []);
  assert.equal(rig.drops, ['frame longer than the MTU']);
  assert.is(deliver(rig, pattern(1514)).length, 1);
});

layout.run();

const bursts = suite('ranges');

bursts('frames of one moment share packets of as many ranges as the profile says', () => {
  const rig = started({ knobs: { rangesPerPacket: 4 } });
  const frames = Array.from({ length: 10 }, (_, i) => pattern(60 + i, i));
  const packets = deliver(rig, ...frames);
  assert.equal(
    packets.map(({ ranges }) => ranges.length),
    [4, 4, 2],
  );
  assert.equal(
    packets.flatMap(({ messages }) => messages.map(frameOf)),
    frames.map(hex),
  );
  const offsets = packets.flatMap(({ ranges }) => ranges.map(({ offset }) => offset));
  assert.is(new Set(offsets).size, 10, 'each in its own section');
});

bursts('frames of different moments do not wait for each other', () => {
  const rig = started({ knobs: { rangesPerPacket: 4 } });
  assert.is(deliver(rig, pattern(60)).length, 1);
  assert.is(deliver(rig, pattern(60)).length, 1);
});

bursts('an answer to a request does not overtake the frames before it', () => {
  const rig = started({ knobs: { rangesPerPacket: 4 } });
  rig.host.deliver(pattern(60));
  const types = rig.control(words(8, 12, 1)).packets.map(({ payload }) => payload.slice(8, 16));
  assert.equal(types, [words(0), words(1)]);
});

bursts('the malformed status rides in front of frames, too', () => {
  const rig = new NetRig({ knobs: { malformedStatus: true, rangesPerPacket: 4 } });
  rig.negotiate();
  rig.control(INITIALISE);
  // Setting the filter takes the status away; so set it by a message that has no answer
  const { packets } = rig.control(words(5, 32, 1, 0x0001010e, 4, 20, 0, 1));
  assert.is(packets[0]?.ranges.length, 2);
  assert.is(packets[0]?.messages[0]?.slice(0, 8), words(7));
});

bursts.run();

const filter = suite('packet filter');

filter('★ send_rndis_set_packet_filter: nothing at 0, everything after it is set', () => {
  const rig = new NetRig();
  rig.negotiate();
  assert.equal(deliver(rig, pattern(60)), []);
  rig.control(INITIALISE);
  assert.equal(deliver(rig, pattern(60)), []);
  rig.set(0x0001010e, words(1));
  assert.is(deliver(rig, pattern(60)).length, 1);
  rig.set(0x0001010e, words(0));
  assert.equal(deliver(rig, pattern(60)), []);
  assert.is(rig.set(0x0001010e, words(0x2f)), 0);
  assert.is(deliver(rig, pattern(60)).length, 1);
  assert.equal(rig.drops, ['device not initialised', 'packet filter is 0', 'packet filter is 0']);
  assert.is(rig.device.state.sectionsInUse, 2, 'no section was lost meanwhile');
});

filter.run();

const sections = suite('sections');

sections('a guest that completes nothing starves itself of frames, not of answers', () => {
  const rig = started();
  const packets = Array.from({ length: 25 }, (_, i) => deliver(rig, pattern(60, i))).flat();
  assert.is(packets.length, 21, '37 sections, 16 of them for control messages');
  assert.is(rig.device.statistics.framesDropped, 4);
  assert.equal(new Set(rig.drops), new Set(['no free section in the receive buffer']));
  assert.is(rig.control(words(8, 12, 1)).answers.length, 1);
  assert.is(rig.device.state.outstanding, 21);
  rig.complete(packets[3]!);
  assert.is(deliver(rig, pattern(60)).length, 1);
  assert.is(deliver(rig, pattern(60)).length, 0);
});

sections('one completion frees all ranges of its packet', () => {
  const rig = started({ knobs: { rangesPerPacket: 32 } });
  const frames = Array.from({ length: 21 }, () => pattern(60));
  for (let round = 0; round < 10; round++) {
    const packets = deliver(rig, ...frames);
    assert.is(packets.length, 1, `${round}`);
    assert.is(packets[0]!.ranges.length, 21);
    rig.complete(packets[0]!);
    assert.is(rig.device.state.sectionsInUse, 0);
  }
  assert.is(rig.device.statistics.framesToGuest, 210);
  assert.is(rig.device.statistics.framesDropped, 0);
});

sections('rx_bufs: completing twice or something unknown ends the channel', () => {
  const cases: readonly (readonly [string, (rig: NetRig, packet: HostPacket) => void])[] = [
    ['twice', (rig, packet) => (rig.complete(packet), rig.complete(packet))],
    ['unknown', (rig, packet) => rig.complete({ ...packet, low: packet.low + 1 })],
    ['beyond all sections', (rig, packet) => rig.complete({ ...packet, low: 0xffffffff })],
    ['high half lost', (rig, packet) => rig.complete({ ...packet, high: packet.high + 1 })],
  ];
  for (const [name, act] of cases) {
    const rig = started();
    const [packet] = deliver(rig, pattern(60));
    act(rig, packet!);
    assert.ok(rig.channel.dead, name);
    assert.is(rig.violations.length, 1, name);
    assert.equal(deliver(rig, pattern(60)), [], name);
  }
});

sections('a second completion does not free the next packet in the same section', () => {
  const rig = started({ rxLength: 0x8000 });
  assert.is(rig.device.state.sections, 18);
  const [first] = deliver(rig, pattern(60));
  const [second] = deliver(rig, pattern(60));
  rig.complete(first!);
  const [third] = deliver(rig, pattern(60));
  assert.is(third?.low, first?.low);
  assert.is.not(third?.high, first?.high);
  rig.complete(second!);
  assert.not(rig.channel.dead);
  rig.complete(first!);
  assert.ok(rig.channel.dead);
});

sections('knob emptyCompletion', () => {
  const windows = started();
  windows.complete(deliver(windows, pattern(60))[0]!, '');
  assert.not(windows.channel.dead);
  assert.is(windows.device.state.sectionsInUse, 0);
  assert.is(windows.device.statistics.guestCompletions, 3);
  const openvmm = new NetRig({ knobs: { emptyCompletion: 'fatal' } });
  openvmm.start();
  openvmm.complete(deliver(openvmm, pattern(60))[0]!, '');
  assert.ok(openvmm.channel.dead);
});

sections('a completion with another NVSP type, or too short, ends the channel', () => {
  for (const payload of [words(107, 1), words(0)]) {
    const rig = started();
    rig.complete(deliver(rig, pattern(60))[0]!, payload);
    assert.ok(rig.channel.dead, payload);
  }
});

sections('ring full: frames are dropped and their sections free again', () => {
  const rig = started({ knobs: { rangesPerPacket: 4 } });
  rig.channel.room = 20;
  assert.equal(deliver(rig, pattern(60), pattern(61), pattern(62)), []);
  assert.equal(rig.drops, ['ring full', 'ring full', 'ring full']);
  assert.is(rig.device.state.sectionsInUse, 0);
  rig.channel.room = Infinity;
  assert.is(deliver(rig, pattern(60)).length, 1);
});

sections('frames that wait for their moment are gone with the channel', () => {
  const rig = started({ knobs: { rangesPerPacket: 4 } });
  rig.host.deliver(pattern(60));
  rig.device.close();
  assert.equal(rig.run(TICKS_PER_MS), []);
  rig.open();
  rig.start();
  assert.is(deliver(rig, pattern(60)).length, 1);
});

sections.run();

const faults = suite('faults and injection');

faults('RNDIS messages dropped, doubled, delayed, changed', () => {
  const rig = started();
  rig.device.faults.message = () => 'drop';
  assert.equal(deliver(rig, pattern(60)), []);
  assert.equal(rig.control(words(8, 12, 1)).answers, []);
  rig.device.faults.message = () => 'twice';
  assert.is(deliver(rig, pattern(60))[0]?.ranges.length, 2);
  assert.is(rig.control(words(8, 12, 1)).answers.length, 2);
  rig.device.faults.message = () => 7000;
  assert.equal(deliver(rig, pattern(60)), []);
  assert.equal(rig.control(words(8, 12, 1)).answers, []);
  assert.is(rig.run(7000).length, 2);
  rig.device.faults.message = (message) => {
    message.length = 20;
    message.bytes[0] = 9;
    return 'send';
  };
  assert.is(deliver(rig, pattern(60))[0]?.messages[0], words(9, 104, 36, 60, 0));
  rig.device.faults.message = undefined;
  assert.is(deliver(rig, pattern(60))[0]?.messages[0], dataMessage(pattern(60)));
});

faults('transfer pages twice: the guest owes two completions', () => {
  const rig = started();
  rig.device.faults.packet = () => 'twice';
  const [packet, again] = deliver(rig, pattern(60));
  rig.device.faults.packet = undefined;
  assert.equal(packet, again);
  rig.complete(packet!);
  assert.is(rig.device.state.sectionsInUse, 1);
  rig.complete(packet!);
  assert.is(rig.device.state.sectionsInUse, 0);
  assert.not(rig.channel.dead);
});

faults('transfer pages dropped: the sections are free', () => {
  const rig = started();
  rig.device.faults.packet = () => 'drop';
  assert.equal(deliver(rig, pattern(60)), []);
  assert.is(rig.device.state.sectionsInUse, 0);
});

faults('any packet and any RNDIS message can be injected', () => {
  const rig = started();
  const extra = unhex(words(0xcafe, 1, 100, 0xfffffff0));
  assert.ok(rig.device.injectPacket(7, 1, 0x123456789n, extra, unhex(rndis(0))));
  const [packet] = rig.taken();
  assert.equal([packet?.low, packet?.high, packet?.extra], [0x23456789, 1, hex(extra)]);
  assert.ok(rig.device.injectRndis(unhex('0102'), unhex(dataMessage(pattern(60)))));
  const [ranges] = rig.taken();
  assert.equal(ranges?.messages, ['0102', dataMessage(pattern(60))]);
  assert.is(ranges?.payload.slice(0, 16), words(107, 0));
  assert.ok(rig.device.injectRndis(unhex(words(7, 20, 0x4001000c, 0, 0))));
  assert.is(rig.taken()[0]?.payload.slice(0, 16), words(107, 1));
  assert.throws(() => rig.device.injectRndis(pattern(1729)), RangeError);
  rig.device.close();
  assert.not(rig.device.injectPacket(6, 0, 0n, new Uint8Array(0), new Uint8Array(8)));
  assert.not(rig.device.injectRndis(unhex('0102')));
});

faults.run();
