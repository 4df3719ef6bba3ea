// SPDX-License-Identifier: GPL-2.0-or-later

/** Checksums, VLAN tags, hashes and coalesced segments: per-packet information both ways. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NvspVersion } from '../../../../src/netvsc/protocol.ts';
import type { HostKnobs } from '../../../../tools/simulator/profiles/profile.ts';
import { PROFILES } from '../../../../tools/simulator/profiles/profiles.ts';
import {
  INITIALISE,
  NetRig,
  RX_GPADL,
  RX_SET,
  hex,
  init,
  pattern,
  unhex,
  words,
} from '../../../rigs/netvsp-rig.ts';

/** Capabilities that Linux sends: virtual function, 802.1Q, and RSC. */
const VLAN = 0x8;
const RSC = 0x80;

interface Options {
  readonly knobs?: Partial<HostKnobs>;
  readonly version?: number;
  readonly capabilities?: number;
}

/** A device of Windows that is up. */
function started({ knobs, version = NvspVersion.V6_1, capabilities = 0 }: Options = {}): NetRig {
  const windows = { offloads: 'rsc', vlanTag: 'info', hashInfo: true } as const;
  const rig = new NetRig({ knobs: { ...windows, ...knobs } });
  rig.inband(init(version));
  if (version >= NvspVersion.V2) rig.inband(words(125, 1514, 0, capabilities, 0));
  rig.inband(words(100, 6, 30));
  rig.inband(words(101, RX_GPADL, RX_SET));
  assert.is(rig.control(INITIALISE).answers.length, 1);
  assert.is(rig.set(0x0001010e, words(0x2f)), 0);
  return rig;
}

/** SET NDIS_OFFLOAD_PARAMETERS of revision 3; returns the indication that follows. */
function setOffloads(rig: NetRig, checksums: number, rsc: number): string {
  const byte = (value: number) => value.toString(16).padStart(2, '0');
  const data =
    `80031c00${byte(checksums).repeat(5)}${'00'.repeat(13)}` + `${byte(rsc).repeat(2)}00000000`;
  const { answers } = rig.control(words(5, 56, 1, 0xfc01020c, 28, 20, 0) + data);
  assert.is(answers.length, 2);
  assert.is(answers[0], words(0x80000005, 16, 1, 0));
  assert.is(answers[1]!.slice(0, 40), words(7, 176, 0x40020006, 156, 12));
  return answers[1]!.slice(40);
}

/** The sum of RFC 1071 over bytes, in another way than the device's: carries at each step. */
function onesSum(bytes: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

interface Segment {
  readonly protocol?: number;
  readonly version?: 4 | 6;
  readonly data: Uint8Array;
  readonly sequence?: number;
  readonly flags?: number;
  readonly port?: number;
}

/** Headers of a frame without checksums, and where the transport header begins. */
function bare({ protocol = 6, version = 4, data, ...rest }: Segment): [Uint8Array, number] {
  const transportAt = version === 4 ? 34 : 54;
  const head = protocol === 6 ? 20 : 8;
  const frame = new Uint8Array(transportAt + head + data.length);
  const view = new DataView(frame.buffer);
  frame.set([0x00, 0x15, 0x5d, 0x01, 0x00, 0x00, 2, 2, 2, 2, 2, 2]);
  view.setUint16(12, version === 4 ? 0x0800 : 0x86dd);
  if (version === 4) {
    view.setUint16(14, 0x4500);
    view.setUint16(16, frame.length - 14);
    view.setUint16(22, 0x4000 | protocol);
    frame.set([10, 0, 0, 1, 10, 0, 0, 2], 26);
  } else {
    view.setUint16(14, 0x6000);
    view.setUint16(18, frame.length - transportAt);
    view.setUint16(20, protocol * 256 + 64);
    frame.set(pattern(32, 3), 22);
  }
  view.setUint16(transportAt, rest.port ?? 1000);
  view.setUint16(transportAt + 2, 80);
  if (protocol === 6) {
    view.setUint32(transportAt + 4, rest.sequence ?? 1);
    view.setUint32(transportAt + 8, 77);
    view.setUint16(transportAt + 12, 0x5000 | (rest.flags ?? 0x10));
    view.setUint16(transportAt + 14, 8192);
  } else view.setUint16(transportAt + 4, head + data.length);
  frame.set(data, transportAt + head);
  return [frame, transportAt];
}

/** The pseudo header and the segment. */
function covered(frame: Uint8Array, transportAt: number): number[] {
  const four = transportAt === 34;
  const protocol = frame[four ? 23 : 20]!;
  const length = frame.length - transportAt;
  const addresses = four ? frame.slice(26, 34) : frame.slice(22, 54);
  return [...addresses, 0, protocol, length >> 8, length & 0xff, ...frame.slice(transportAt)];
}

/** A frame with all its checksums. */
function complete(segment: Segment): Uint8Array {
  const [frame, transportAt] = bare(segment);
  const view = new DataView(frame.buffer);
  const at = transportAt + ((segment.protocol ?? 6) === 6 ? 16 : 6);
  view.setUint16(at, 0xffff - onesSum(covered(frame, transportAt)) || 0xffff);
  if (transportAt === 34) view.setUint16(24, 0xffff - onesSum([...frame.slice(14, 34)]));
  return frame;
}

/** RNDIS_PACKET_MSG with information of 4 bytes each in front of the frame. */
function withInfo(frame: Uint8Array, infos: readonly (readonly [number, number])[]): string {
  const info = infos.map(([type, value]) => words(16, type, 12, value)).join('');
  const at = 44 + info.length / 2;
  const head = words(1, at + frame.length, at - 8, frame.length, 0, 0, 0, 36, info.length / 2);
  return head + words(0, 0) + info + hex(frame);
}

/** Information of a received message by its type, and the data. */
function parse(message: string): { info: Map<number, number>; data: string } {
  const view = new DataView(unhex(message).buffer);
  const info = new Map<number, number>();
  const end = 8 + view.getUint32(28, true) + view.getUint32(32, true);
  for (let at = 8 + view.getUint32(28, true); at < end; at += view.getUint32(at, true))
    info.set(view.getUint32(at + 4, true), view.getUint32(at + view.getUint32(at + 8, true), true));
  const at = 8 + view.getUint32(8, true);
  return { info, data: message.slice(at * 2, (at + view.getUint32(12, true)) * 2) };
}

/** Deliver frames at one moment; the packets are completed. */
function receive(rig: NetRig, ...frames: Uint8Array[]) {
  for (const frame of frames) rig.host.deliver(frame);
  const packets = rig.run();
  for (const packet of packets) rig.complete(packet);
  return packets.map(({ messages }) => messages.map(parse));
}

const transmit = suite('offloads: transmit');

transmit('P-B2 OpenBSD: checksums that the guest leaves to the host are in the frame', () => {
  const rig = started();
  for (const version of [4, 6] as const)
    for (const protocol of [6, 17])
      for (const length of [1, 100, 333]) {
        const [frame, transportAt] = bare({ version, protocol, data: pattern(length) });
        // Linux leaves the sum of the pseudo header there: whatever it is, it does not count
        new DataView(frame.buffer).setUint16(transportAt + (protocol === 6 ? 16 : 6), 0xabcd);
        const wanted = (version === 4 ? 0x11 : 0x2) | (protocol === 6 ? 0x4 : 0x8);
        rig.gpaDirect([withInfo(frame, [[0, wanted | (transportAt << 16)]])]);
        const sent = unhex(rig.frames.pop()!);
        assert.is(onesSum(covered(sent, transportAt)), 0xffff, `${version} ${protocol} ${length}`);
        if (version === 4) assert.is(onesSum([...sent.slice(14, 34)]), 0xffff);
        assert.is(hex(sent.slice(transportAt + 20)), hex(frame.slice(transportAt + 20)));
      }
});

transmit('P-B2 what is not asked for, or is no IP, goes out as it is', () => {
  const rig = started();
  const [frame] = bare({ data: pattern(50) });
  rig.gpaDirect([withInfo(frame, [[0, 0]])]);
  assert.is(rig.frames.pop(), hex(frame));
  rig.gpaDirect([withInfo(frame, [])]);
  assert.is(rig.frames.pop(), hex(frame));
  const broken = frame.slice(0, 40);
  rig.gpaDirect([withInfo(broken, [[0, 0x15]])]);
  assert.is(rig.frames.pop(), hex(broken));
});

transmit('P-B2 FreeBSD: the VLAN of the guest is a tag in the frame', () => {
  const rig = started();
  const frame = pattern(1514);
  rig.gpaDirect([withInfo(frame, [[6, 5 | (1 << 3) | (0x123 << 4)]])]);
  const sent = rig.frames.pop()!;
  assert.is(sent, hex(frame.slice(0, 12)) + '8100b123' + hex(frame.slice(12)));
  // With a checksum, which is that of the untagged frame
  const whole = complete({ data: pattern(60) });
  const [without] = bare({ data: pattern(60) });
  const both = [
    [6, 1 << 4],
    [0, 0x15],
  ] as const;
  rig.gpaDirect([withInfo(without, both)]);
  assert.is(rig.frames.pop(), hex(whole.slice(0, 12)) + '81000001' + hex(whole.slice(12)));
});

/** SET NDIS_OFFLOAD_PARAMETERS with large sends of version 2 alone. */
function setLargeSends(rig: NetRig, value: number): void {
  const byte = value.toString(16).padStart(2, '0');
  const data = `80031c00${'00'.repeat(7)}${byte.repeat(2)}${'00'.repeat(15)}`;
  const { answers } = rig.control(words(5, 56, 1, 0xfc01020c, 28, 20, 0) + data);
  assert.is(answers[0], words(0x80000005, 16, 1, 0));
}

const VERSION_2 = 0x40000000;
const IPV6 = 0x80000000;

transmit('L10 Linux: a large send goes out in segments with headers of their own', () => {
  for (const version of [4, 6] as const) {
    const rig = started();
    setLargeSends(rig, 2);
    const data = pattern(3001);
    const [frame, transportAt] = bare({ version, data, sequence: 0xfffffe00, flags: 0x99 });
    const view = new DataView(frame.buffer);
    // As Linux leaves it: no length, the sum of the pseudo header for a checksum
    view.setUint16(version === 4 ? 16 : 18, 0);
    view.setUint16(transportAt + 16, 0xabcd);
    const info = (1400 | (transportAt << 20) | VERSION_2 | (version === 6 ? IPV6 : 0)) >>> 0;
    const [answer] = rig.gpaDirect([withInfo(frame, [[2, info]])]);
    assert.is(answer?.payload.slice(0, 16), words(108, 1));
    const sent = rig.frames.splice(0).map(unhex);
    const head = transportAt + 20;
    assert.equal(
      sent.map(({ length }) => length - head),
      [1400, 1400, 201],
    );
    assert.is(sent.map((each) => hex(each.slice(head))).join(''), hex(data));
    sent.forEach((each, i) => {
      const at = new DataView(each.buffer);
      assert.is(onesSum(covered(each, transportAt)), 0xffff);
      assert.is(at.getUint32(transportAt + 4), (0xfffffe00 + 1400 * i) >>> 0);
      // CWR is of the first, FIN and PSH of the last
      assert.is(each[transportAt + 13], [0x90, 0x10, 0x19][i]);
      if (version === 6) return assert.is(at.getUint16(18), each.length - transportAt);
      assert.is(at.getUint16(16), each.length - 14);
      assert.is(at.getUint16(18), i);
      assert.is(onesSum([...each.slice(14, 34)]), 0xffff);
    });
  }
});

transmit('L10 a large send that is not on, or makes no sense, fails and sends nothing', () => {
  const data = pattern(3000);
  const [frame] = bare({ data });
  const [udp] = bare({ data, protocol: 17 });
  const [six] = bare({ data, version: 6 });
  const good = 1400 | (34 << 20) | VERSION_2;
  for (const [what, on, sent, info] of [
    ['not on', false, frame, good],
    ['version 1', true, frame, 1400 | (34 << 20)],
    ['no segment size', true, frame, (34 << 20) | VERSION_2],
    ['segments longer than the MTU', true, frame, 1461 | (34 << 20) | VERSION_2],
    ['too many segments', true, frame, 2 | (34 << 20) | VERSION_2],
    ['TCP elsewhere', true, frame, 1400 | (38 << 20) | VERSION_2],
    ['no TCP', true, udp, good],
    ['the other IP version', true, six, good],
    ['a frame of headers cut off', true, frame.slice(0, 40), good],
  ] as const) {
    const rig = started();
    if (on) setLargeSends(rig, 2);
    const [answer] = rig.gpaDirect([withInfo(sent, [[2, info >>> 0]])]);
    assert.is(answer?.payload.slice(0, 16), words(108, 2), what);
    assert.equal(rig.frames, [], what);
    assert.not(rig.channel.dead);
  }
  const none = started({ knobs: { offloads: 'checksum' } });
  setLargeSends(none, 2);
  const [answer] = none.gpaDirect([withInfo(frame, [[2, good]])]);
  assert.is(answer?.payload.slice(0, 16), words(108, 2));
});

transmit('L10 large sends are among the capabilities where the host has them', () => {
  for (const [offloads, expected] of [
    ['rsc', [2, 0xffff, 2, 2, 0xffff, 2, 5]],
    ['large-send', [2, 0xffff, 2, 2, 0xffff, 2, 5]],
    ['checksum', [0, 0, 0, 0, 0, 0, 0]],
  ] as const) {
    const rig = started({ knobs: { offloads } });
    const view = new DataView(unhex(rig.query(0xfc01020d).data).buffer);
    assert.equal(
      [80, 84, 88, 92, 96, 100, 104].map((at) => view.getUint32(at, true)),
      expected,
    );
  }
});

transmit.run();

const objects = suite('offloads: objects');

objects(
  'L10 Linux: the hardware capabilities tell what there is, the current ones what is on',
  () => {
    const rig = started({ capabilities: RSC });
    const caps = (oid: number) => new DataView(unhex(rig.query(oid).data).buffer);
    const flags = (view: DataView) => [8, 16, 24, 32].map((at) => view.getUint32(at, true));
    const hardware = caps(0xfc01020d);
    assert.equal(flags(hardware), [0x155, 0x155, 0x55, 0x55]);
    assert.equal([hardware.getUint8(144), hardware.getUint8(145)], [1, 1]);
    assert.equal(flags(caps(0xfc01020b)), [0, 0, 0, 0]);

    // Both directions on, then transmit alone, then no change
    const both = new DataView(unhex(setOffloads(rig, 4, 2)).buffer);
    assert.equal(flags(both), [0x155, 0x155, 0x55, 0x55]);
    assert.equal([both.getUint8(144), both.getUint8(145)], [1, 1]);
    const one = new DataView(unhex(setOffloads(rig, 2, 1)).buffer);
    assert.equal(flags(one), [0x155, 0, 0x55, 0]);
    assert.is(one.getUint8(144), 0);
    assert.is(setOffloads(rig, 0, 0), hex(new Uint8Array(one.buffer)));
  },
);

objects('L10 RSC is there from NVSP 6.1 on, and on no host without it', () => {
  for (const [offloads, version, checksums, rsc] of [
    ['rsc', NvspVersion.V6_1, 0x155, 1],
    ['rsc', NvspVersion.V6, 0x155, 0],
    ['checksum', NvspVersion.V6_1, 0x155, 0],
    ['none', NvspVersion.V6_1, 0, 0],
  ] as const) {
    const rig = started({ version, knobs: { offloads } });
    const view = new DataView(unhex(rig.query(0xfc01020d).data).buffer);
    assert.equal([view.getUint32(8, true), view.getUint8(144)], [checksums, rsc]);
  }
  const { knobs } = PROFILES.find(({ name }) => name === 'openvmm')!;
  assert.equal([knobs.offloads, knobs.vlanTag, knobs.hashInfo], ['none', 'frame', false]);
});

objects.run();

const received = suite('offloads: receive');

received('FreeBSD, DPDK: the data of a frame begin at any offset', () => {
  for (const rxDataPadding of [0, 1, 2, 7, 64]) {
    const rig = started({ knobs: { rxDataPadding } });
    const frame = pattern(1514, rxDataPadding);
    rig.host.deliver(frame);
    const [packet] = rig.run();
    const [message] = packet!.messages;
    assert.is(parse(message!).data, hex(frame));
    const at = 8 + new DataView(unhex(message!).buffer).getUint32(8, true);
    assert.is(at % 4, rxDataPadding % 4);
    assert.is(message!.length / 2, at + frame.length);
  }
});

received('L10 Linux: checksums are told once they are on: right, wrong, none', () => {
  const rig = started();
  const good = complete({ data: pattern(40) });
  assert.is(receive(rig, good)[0]![0]!.info.size, 0, 'nothing was asked for');
  setOffloads(rig, 4, 1);
  const told = (frame: Uint8Array) => receive(rig, frame)[0]![0]!.info.get(0);
  const wrong = (frame: Uint8Array, at: number) => {
    const copy = frame.slice();
    copy[at]! ^= 1;
    return copy;
  };
  assert.is(told(good), 0x28);
  assert.is(told(wrong(good, 60)), 0x21);
  assert.is(told(wrong(good, 24)), 0xc);
  const udp = complete({ protocol: 17, data: pattern(41) });
  assert.is(told(udp), 0x30);
  assert.is(told(wrong(udp, 50)), 0x22);
  const without = udp.slice();
  without.set([0, 0], 40);
  assert.is(told(without), 0x20, 'UDP without a checksum');
  assert.is(told(complete({ version: 6, data: pattern(10) })), 0x8);
  assert.is(told(complete({ version: 6, protocol: 17, data: pattern(10) })), 0x10);
  assert.is(told(pattern(60)), 0, 'no IP');
  setOffloads(rig, 2, 1);
  assert.is(told(good), undefined, 'transmit alone');
});

received('P-B2 FreeBSD: a tag moves beside the frame, for guests that take it there', () => {
  const frame = pattern(1514);
  const tagged = unhex(hex(frame.slice(0, 12)) + '8100b123' + hex(frame.slice(12)));
  const rig = started({ capabilities: VLAN });
  const [message] = receive(rig, tagged)[0]!;
  assert.is(message!.data, hex(frame));
  assert.equal([...message!.info], [[6, 5 | (1 << 3) | (0x123 << 4)]]);
  assert.equal([...receive(rig, frame)[0]![0]!.info], []);

  // A guest that did not ask, and a host that does not do it
  const short = tagged.slice(0, 100);
  for (const other of [started(), started({ capabilities: VLAN, knobs: { vlanTag: 'frame' } })])
    assert.is(receive(other, short)[0]![0]!.data, hex(short));
});

received('L10 DPDK: the hash is told while receive scaling is on', () => {
  const rig = started();
  const frame = complete({ data: pattern(40) });
  assert.is(receive(rig, frame)[0]![0]!.info.has(8), false);
  const key = pattern(40, 9);
  const head =
    '89021c00' + '00000000' + words(0x1701) + '04000000' + words(28) + '28000000' + words(32);
  assert.is(rig.set(0x00010204, head + words(0) + hex(key)), 0);
  const hash = receive(rig, frame)[0]![0]!.info.get(8);
  // Toeplitz, bit by bit
  const bits = (bytes: Uint8Array) =>
    [...bytes].map((b) => b.toString(2).padStart(8, '0')).join('');
  const input = bits(frame.slice(26, 38));
  let expected = 0;
  [...input].forEach((bit, i) => {
    if (bit === '1') expected ^= parseInt(bits(key).slice(i, i + 32), 2);
  });
  assert.is(hash, expected >>> 0);
});

received.run();

const rsc = suite('offloads: receive segment coalescing');

/** Segments of one flow, one behind the other. */
function flow(lengths: readonly number[], options: Partial<Segment> = {}): Uint8Array[] {
  let sequence = 0xffffff00;
  return lengths.map((length, i) => {
    const frame = complete({ data: pattern(length, i), sequence, ...options });
    sequence = (sequence + length) >>> 0;
    return frame;
  });
}

/** A device that coalesces. */
function coalescing(options: Options = {}): NetRig {
  const rig = started({
    capabilities: RSC,
    ...options,
    knobs: { rangesPerPacket: 32, ...options.knobs },
  });
  setOffloads(rig, 4, 2);
  return rig;
}

rsc('L10 Linux: segments that follow each other are one packet in several ranges', () => {
  for (const version of [4, 6] as const) {
    const rig = coalescing();
    const frames = flow([500, 1000, 3], { version });
    const packets = receive(rig, ...frames);
    assert.is(packets.length, 1);
    const pieces = packets[0]!;
    assert.is(pieces.length, 3);
    // Version 1, flags: piece, first, last; the same number in all
    const ids = pieces.map(({ info }) => info.get(0x80000001)!);
    assert.equal(
      ids.map((id) => id & 0xffff),
      [0x0301, 0x0101, 0x0501],
    );
    assert.is(new Set(ids.map((id) => id >>> 16)).size, 1);
    assert.equal([pieces[0]!.info.get(0), pieces[1]!.info.get(0)], [0xa8, undefined]);

    // All pieces together are the headers of the first, with the length of all, and all data
    const head = version === 4 ? 54 : 74;
    const whole = unhex(pieces.map(({ data }) => data).join(''));
    assert.is(whole.length, head + 1503);
    const view = new DataView(whole.buffer);
    assert.is(version === 4 ? view.getUint16(16) : view.getUint16(18), version === 4 ? 1543 : 1523);
    if (version === 4) assert.is(onesSum([...whole.slice(14, 34)]), 0xffff);
    const data = frames.map((frame) => hex(frame.slice(head))).join('');
    assert.is(hex(whole.slice(head)), data);
    assert.is(rig.device.statistics.framesToGuest, 3);
    assert.is(rig.device.state.sectionsInUse, 0);
  }
});

rsc('L10 what does not continue the flow is a packet of its own', () => {
  const [one, two, three] = flow([100, 100, 100]) as [Uint8Array, Uint8Array, Uint8Array];
  const alone = (rig: NetRig, ...frames: Uint8Array[]) =>
    receive(rig, ...frames)
      .flat()
      .map(({ info, data }) => [info.has(0x80000001), data]);
  const plain = (frame: Uint8Array) => [false, hex(frame)];
  const other = complete({ data: pattern(100, 1), sequence: 0xffffff64, port: 1001 });
  const fin = complete({ data: pattern(100, 1), sequence: 0xffffff64, flags: 0x11 });
  const bad = two.slice();
  bad[60]! ^= 1;
  for (const next of [three, other, fin, bad, pattern(60), one])
    assert.equal(alone(coalescing(), one, next), [plain(one), plain(next)]);

  // The push ends a packet, but is in it; what follows begins anew
  const push = complete({ data: pattern(100, 1), sequence: 0xffffff64, flags: 0x18 });
  const pieces = receive(coalescing(), one, push, three).flat();
  assert.equal(
    pieces.map(({ info }) => info.has(0x80000001)),
    [true, true, false],
  );
  assert.is(unhex(pieces[0]!.data)[47], 0x18);
});

rsc('L10 it is off without NVSP 6.1, the capability, the parameters or the host', () => {
  const frames = flow([100, 100]);
  const rigs = [
    coalescing({ version: NvspVersion.V6 }),
    coalescing({ capabilities: 0 }),
    coalescing({ knobs: { offloads: 'checksum' } }),
    started({ capabilities: RSC, knobs: { rangesPerPacket: 32 } }),
  ];
  for (const rig of rigs) {
    const messages = receive(rig, ...frames).flat();
    assert.equal(
      messages.map(({ info }) => info.has(0x80000001)),
      [false, false],
    );
  }
});

rsc(
  'L10 a packet holds no more ranges than the host puts into one, and closing loses nothing',
  () => {
    const rig = coalescing({ knobs: { rangesPerPacket: 4 } });
    const packets = receive(rig, ...flow(Array<number>(10).fill(50)));
    assert.equal(
      packets.map(({ length }) => length),
      [4, 4, 2],
    );
    assert.is(rig.device.state.sectionsInUse, 0);
    for (const frame of flow([50, 50])) rig.host.deliver(frame);
    rig.device.close();
    assert.equal(rig.run(10_000), []);
  },
);

rsc.run();
