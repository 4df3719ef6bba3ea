// SPDX-License-Identifier: GPL-2.0-or-later

/** Frames of the guest: GPA-direct, send buffer, bad packets, completions. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PacketType } from '../../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import { Random } from '../../../../tools/simulator/base/random.ts';
import {
  NetRig,
  PAGES_ADDRESS,
  TX_ADDRESS,
  TX_GPADL,
  dataMessage,
  gpaRange,
  hex,
  pattern,
  rndis,
  unhex,
  words,
  type HostPacket,
} from '../../../rigs/netvsp-rig.ts';

const SUCCESS = words(108, 1, 0, 0, 0, 0, 0);
const FAILURE = words(108, 2, 0, 0, 0, 0, 0);

function started(): NetRig {
  const rig = new NetRig();
  rig.negotiate();
  rig.inband(words(104, TX_GPADL, 1));
  rig.control('020000001800000010e110e1010000000000000000080000');
  rig.set(0x0001010e, words(0x2f));
  return rig;
}

/** The one packet, a completion: its payload. */
function completion(packets: readonly HostPacket[]): string {
  assert.is(packets.length, 1);
  assert.is(packets[0]?.type, PacketType.COMPLETION);
  return packets[0]!.payload;
}

const good = suite('transmit');

good('a frame in one range goes out and is completed', () => {
  const rig = started();
  for (const length of [1, 14, 42, 60, 590, 1514, 1518]) {
    const frame = pattern(length, length);
    assert.is(completion(rig.gpaDirect([dataMessage(frame)])), SUCCESS);
    assert.is(rig.frames.pop(), hex(frame));
  }
  assert.is(rig.device.statistics.framesFromGuest, 7);
  assert.equal(rig.inFlight, []);
});

good('ranges may split the frame anywhere behind the headers, and cross pages', () => {
  const rig = started();
  const frame = pattern(1514);
  const message = dataMessage(frame);
  for (const cut of [44, 45, 100, 1000, 1557]) {
    const pieces = [message.slice(0, cut * 2), message.slice(cut * 2)];
    assert.is(completion(rig.gpaDirect(pieces)), SUCCESS, `${cut}`);
    assert.is(rig.frames.pop(), hex(frame));
  }
  const address = PAGES_ADDRESS + 0xfe0;
  rig.ram.bytes.set(unhex(message), address);
  rig.put(9, 1, 1, words(0, 1) + gpaRange(address, 1558), rndis(0));
  assert.is(completion(rig.signal()), SUCCESS);
  assert.is(rig.frames.pop(), hex(frame));
});

good('pages need not be contiguous', () => {
  const rig = started();
  const frame = pattern(1514);
  const bytes = unhex(dataMessage(frame));
  rig.ram.bytes.set(bytes.subarray(0, 0x100), 0x90f00);
  rig.ram.bytes.set(bytes.subarray(0x100), 0x85000);
  rig.put(9, 1, 1, words(0, 1, 1558, 0xf00, 0x90, 0, 0x85, 0), rndis(0));
  assert.is(completion(rig.signal()), SUCCESS);
  assert.is(rig.frames.pop(), hex(frame));
});

good('a section of the send buffer, alone or in front of ranges', () => {
  const rig = started();
  const frame = pattern(600, 3);
  const bytes = unhex(dataMessage(frame));
  rig.ram.bytes.set(bytes, TX_ADDRESS + 6144);
  assert.is(completion(rig.inband(rndis(0, 1, bytes.length))), SUCCESS);
  assert.is(rig.frames.pop(), hex(frame));

  rig.ram.bytes.set(bytes.subarray(200), PAGES_ADDRESS);
  rig.put(9, 1, 1, words(0, 1) + gpaRange(PAGES_ADDRESS, bytes.length - 200), rndis(0, 1, 200));
  assert.is(completion(rig.signal()), SUCCESS);
  assert.is(rig.frames.pop(), hex(frame));
});

good('data may lie anywhere in the message; per-packet information may precede it', () => {
  const rig = started();
  const frame = hex(pattern(60));
  const info = words(16, 0, 12, 0x3f, 28, 9, 12, 1, 2, 3, 4);
  const message =
    words(1, 44 + 44 + 4 + 60 + 8, 36 + 44 + 4, 60, 0, 0, 0, 36, 44, 0, 0) +
    info +
    '00'.repeat(4) +
    frame +
    '00'.repeat(8);
  assert.is(completion(rig.gpaDirect([message])), SUCCESS);
  assert.is(rig.frames.pop(), frame);
});

good('rndis_send_multiple_packet_message: one completion for all', () => {
  const rig = started();
  const frames = [pattern(60, 1), pattern(1514, 2), pattern(99, 3)];
  assert.is(completion(rig.gpaDirect([frames.map(dataMessage).join('')])), SUCCESS);
  assert.equal(rig.frames, frames.map(hex));
});

good('each transaction is completed with its own ID, all 64 bits, in order', () => {
  const rig = started();
  const bytes = unhex(dataMessage(pattern(60)));
  rig.ram.bytes.set(bytes, TX_ADDRESS);
  for (let i = 0; i < 100; i++)
    rig.put(6, 1, 0xfffffff0 + (i % 16), '', rndis(0, 0, bytes.length), 0xabcd0000 + i);
  const packets = rig.signal();
  assert.is(packets.length, 100);
  packets.forEach((packet, i) => {
    assert.is(packet.low, 0xfffffff0 + (i % 16));
    assert.is(packet.high, 0xabcd0000 + i);
  });
});

good.run();

const bad = suite('bad transmits');

/** A data message with one word changed. */
function changed(at: number, value: number): string {
  const message = dataMessage(pattern(60));
  return message.slice(0, at * 2) + words(value) + message.slice(at * 2 + 8);
}

bad('★ rndis_handle_packet_errors: completed as failed, the channel goes on', () => {
  const rig = started();
  const cases: readonly (readonly [string, string])[] = [
    ['data offset beyond the message', changed(8, 105)],
    ['data offset beyond 32 bits', changed(8, 0xffffffff)],
    ['no data', changed(12, 0)],
    ['more data than message', changed(12, 61)],
    ['out-of-band offset', changed(16, 1)],
    ['out-of-band length', changed(20, 1)],
    ['out-of-band count', changed(24, 1)],
    ['virtual connection', changed(36, 1)],
    ['length below the header', changed(4, 43)],
    ['length beyond the ranges', changed(4, 105)],
    ['information outside', changed(32, 69)],
    ['information cut off', changed(32, 4)],
    ['information of size 0', changed(32, 12)],
    ['half a header', dataMessage(pattern(60)).slice(0, 80)],
    ['less than a header', '0100'],
    ['a frame beyond the MTU', dataMessage(pattern(1519))],
  ];
  for (const [name, message] of cases)
    for (let twice = 0; twice < 2; twice++)
      assert.is(completion(rig.gpaDirect([message])), FAILURE, name);
  assert.equal(rig.frames, []);
  assert.is(completion(rig.gpaDirect([dataMessage(pattern(60))])), SUCCESS);
  assert.not(rig.channel.dead);
  assert.is(rig.violations.length, cases.length * 2);
});

bad('headers split between ranges are refused, as by OpenVMM', () => {
  const rig = started();
  const message = dataMessage(pattern(60));
  for (const cut of [4, 8, 43])
    assert.is(
      completion(rig.gpaDirect([message.slice(0, cut * 2), message.slice(cut * 2)])),
      FAILURE,
    );
});

bad('rndis_send_multiple_packet_message: one bad message, and none goes out', () => {
  const rig = started();
  const first = dataMessage(pattern(60));
  for (const second of [changed(4, 105), words(8, 12, 1), '00'.repeat(4)])
    assert.is(completion(rig.gpaDirect([first + second])), FAILURE, second);
  assert.equal(rig.frames, []);
});

bad('pages outside of RAM: failed, and nothing stays in the ledger', () => {
  const rig = started();
  for (const range of [
    words(100, 0, 0x200, 0),
    words(100, 0, 0xffffffff, 0xffffffff),
    words(100, 0, 0, 1),
    words(100, 0xfff, 0x1ff, 0, 0x200, 0),
  ]) {
    rig.put(9, 1, 1, words(0, 2) + gpaRange(PAGES_ADDRESS, 44) + range, rndis(0));
    assert.is(completion(rig.signal()), FAILURE, range);
  }
  assert.equal(rig.inFlight, []);
  assert.not(rig.channel.dead);
});

bad('malformed ranges, sections and transactions end the channel', () => {
  const cases: readonly (readonly [string, (rig: NetRig) => void])[] = [
    ['length 0', (rig) => rig.put(9, 1, 1, words(0, 1, 0, 0, 0x80, 0), rndis(0))],
    ['offset beyond a page', (rig) => rig.put(9, 1, 1, words(0, 1, 9, 4096, 0x80, 0), rndis(0))],
    ['too few pages', (rig) => rig.put(9, 1, 1, words(0, 1, 4097, 0, 0x80, 0), rndis(0))],
    ['too many ranges', (rig) => rig.put(9, 1, 1, words(0, 9, 9, 0, 0x80, 0), rndis(0))],
    ['a length of 4 GiB', (rig) => rig.put(9, 1, 1, words(0, 1, 0xffffffff, 0, 8, 0), rndis(0))],
    ['no transaction', (rig) => rig.put(9, 0, 1, words(0, 1, 9, 0, 0x80, 0), rndis(0))],
    ['not RNDIS', (rig) => rig.put(9, 1, 1, words(0, 1, 9, 0, 0x80, 0), words(129, 0, 0, 0))],
    ['section outside', (rig) => rig.put(6, 1, 1, '', rndis(0, 2, 4097))],
    ['section far outside', (rig) => rig.put(6, 1, 1, '', rndis(0, 0xfffffffe, 0xffffffff))],
    ['transfer pages', (rig) => rig.put(7, 1, 1, words(0, 0), rndis(0))],
    ['short header', (rig) => rig.put(6, 1, 1, '', words(107, 0))],
  ];
  for (const [name, put] of cases) {
    const rig = started();
    put(rig);
    assert.equal(rig.signal(), [], name);
    assert.ok(rig.channel.dead, name);
    assert.equal(rig.inFlight, [], name);
  }
  const rig = new NetRig();
  rig.start();
  rig.inband(rndis(0, 0, 60));
  assert.ok(rig.channel.dead, 'no send buffer');
});

bad('★ random messages: each is completed once, nothing stays, nothing throws', () => {
  const seed = Math.floor(Number(process.env['SEED'] ?? 20261121));
  const random = new Random(seed);
  const rig = started();
  for (let i = 0; i < 400; i++) {
    const bytes = unhex(dataMessage(pattern(random.below(100))));
    for (let n = random.below(4); n >= 0; n--) {
      const at = random.below(11) * 4;
      const view = new DataView(bytes.buffer);
      if (at + 4 <= bytes.length)
        view.setUint32(at, random.chance(0.5) ? random.below(160) : random.u32(), true);
    }
    // A control type would be answered or end the channel: that is another test's
    bytes.set([1, 0, 0, 0]);
    const cut = 1 + random.below(bytes.length);
    const text = hex(bytes);
    const pieces =
      random.chance(0.5) && cut < bytes.length
        ? [text.slice(0, cut * 2), text.slice(cut * 2)]
        : [text];
    const packets = rig.gpaDirect(pieces);
    assert.is(packets.length, 1, `seed ${seed}, message ${i}`);
    assert.is(rig.inFlight.length, 0, `seed ${seed}, message ${i}`);
  }
  assert.not(rig.channel.dead);
});

bad.run();

const flight = suite('packets in flight');

flight('pages are in the ledger until the completion is written', () => {
  const rig = started();
  rig.device.faults.withhold = () => true;
  assert.equal(rig.gpaDirect([dataMessage(pattern(60))]), []);
  assert.is(rig.inFlight.length, 1);
  assert.equal(rig.inFlight[0]!.pfns, [PAGES_ADDRESS / 4096]);
  assert.is(rig.inFlight[0]!.access, 'read');
  assert.is(rig.device.state.inFlight, 1);
  rig.device.releaseTransmits();
  assert.is(completion(rig.taken()), SUCCESS);
  assert.equal(rig.inFlight, []);
});

flight('★ tx_inflight_packets_completed_after_endpoint_restart: completed by the close', () => {
  const rig = started();
  rig.device.faults.withhold = () => true;
  for (let i = 0; i < 5; i++) rig.gpaDirect([dataMessage(pattern(60, i))]);
  const { channel } = rig;
  rig.device.close();
  assert.is(rig.taken().length, 5);
  assert.equal(rig.inFlight, []);
  rig.run(100 * TICKS_PER_MS);
  assert.is(channel.toGuest.length, 0, 'and nothing after it');
});

flight('a cancelled packet is completed as aborted, an unknown one ignored', () => {
  const rig = started();
  rig.device.faults.withhold = () => true;
  rig.put(6, 1, 7, '', rndis(0, 0, 0));
  rig.gpaDirect([dataMessage(pattern(60))]);
  rig.put(PacketType.CANCELLATION, 0, 99, '', '');
  rig.put(PacketType.CANCELLATION, 0, 7, '', '');
  const packets = rig.signal();
  assert.is(completion(packets), FAILURE);
  assert.is(packets[0]!.low, 7);
  assert.is(rig.inFlight.length, 1, 'the other one is still here');
});

flight('knob cancelPacket fatal: the end of the channel', () => {
  const rig = new NetRig({ knobs: { cancelPacket: 'fatal' } });
  rig.start();
  rig.put(PacketType.CANCELLATION, 0, 99, '', '');
  rig.signal();
  assert.ok(rig.channel.dead);
});

flight('completions without room wait, in order, and go when there is room', () => {
  const rig = new NetRig({ knobs: { ringPollTicks: TICKS_PER_MS } });
  rig.start();
  rig.channel.room = 60;
  for (let i = 0; i < 4; i++) rig.gpaDirect([dataMessage(pattern(60, i))]);
  assert.is(rig.frames.length, 4, 'the frames are out');
  assert.is(rig.device.state.inFlight, 3);
  assert.is(rig.inFlight.length, 3);
  rig.channel.room = 56 * 2;
  const two = rig.run(TICKS_PER_MS);
  rig.channel.room = Infinity;
  const last = rig.run(TICKS_PER_MS);
  assert.equal([two.length, last.length], [2, 1]);
  assert.ok(two[0]!.low < two[1]!.low && two[1]!.low < last[0]!.low);
  assert.equal(rig.inFlight, []);
});

flight('out of transmits the device leaves the ring unread', () => {
  const rig = started();
  rig.device.faults.withhold = () => true;
  const bytes = unhex(dataMessage(pattern(60)));
  rig.ram.bytes.set(bytes, TX_ADDRESS);
  for (let i = 0; i < 1100; i++) rig.put(6, 1, i, '', rndis(0, 0, bytes.length));
  rig.signal();
  assert.is(rig.frames.length, 1024);
  assert.is(rig.channel.toHost.length, 76);
  rig.device.releaseTransmits();
  assert.is(rig.frames.length, 1100);
});

flight('faults: completions dropped, doubled, delayed, changed', () => {
  const rig = started();
  const frame = [dataMessage(pattern(60))];
  rig.device.faults.packet = () => 'drop';
  assert.equal(rig.gpaDirect(frame), []);
  assert.equal(rig.inFlight, [], 'for the host it is completed');
  rig.device.faults.packet = () => 'twice';
  assert.is(rig.gpaDirect(frame).length, 2);
  rig.device.faults.packet = () => 5000;
  assert.equal(rig.gpaDirect(frame), []);
  assert.equal(rig.run(4999), []);
  assert.is(rig.run(1).length, 1);
  rig.device.faults.packet = (packet) => {
    packet.transactionIdLow ^= 1;
    packet.payload[0] = 0xff;
    return 'send';
  };
  const [odd] = rig.gpaDirect(frame);
  assert.is(odd?.payload.slice(0, 2), 'ff');
  rig.device.faults.packet = undefined;
  assert.is(completion(rig.gpaDirect(frame)), SUCCESS);
});

flight.run();
