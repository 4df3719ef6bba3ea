// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Sub-channels of the simulated network device: asked for by NVSP 5, announced by the indirection
 * table, frames spread over them.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import { NvspVersion } from '../../../../src/netvsc/protocol.ts';
import { PacketType } from '../../../../src/vmbus/protocol.ts';
import type { Struct } from '../../../../src/wire.ts';
import type { ChannelDevice } from '../../../../tools/simulator/vmbus-server/channel-interface.ts';
import { FrameHash } from '../../../../tools/simulator/netvsp/frame-hash.ts';
import {
  NvspIndirectionTable,
  NvspSwitchDataPath,
  ReceiveScaleCapabilities,
  ReceiveScaleParameters,
} from '../../../../tools/simulator/netvsp/host-protocol.ts';
import { goldenStruct } from '../../../rigs/golden/golden.ts';
import { FakeChannel } from '../../../rigs/netvsp-channel.ts';
import {
  NetRig,
  RX_GPADL,
  dataMessage,
  gpaRange,
  hex,
  rndis,
  unhex,
  words,
  type HostPacket,
  type RigOptions,
} from '../../../rigs/netvsp-rig.ts';

/** A frame of IPv4 and UDP whose source port is given. */
function flow(port: number): Uint8Array {
  const frame = new Uint8Array(60);
  frame.set([0x08, 0x00, 0x45], 12);
  frame[14 + 9] = 17;
  frame.set([10, 0, 0, 1, 10, 0, 0, 2], 14 + 12);
  new DataView(frame.buffer).setUint16(34, port);
  return frame;
}

/** The network device with its sub-channels, each on a channel of its own. */
class QueueRig extends NetRig {
  readonly channels: FakeChannel[] = [];

  /** Ask for sub-channels; returns status and count of the answer. */
  request(count: number, operation = 1): [number, number] {
    const [answer] = this.inband(words(133, operation, count, 0, 0, 0, 0));
    const view = new DataView(unhex(answer!.payload).buffer);
    assert.is(view.getUint32(0, true), 133);
    return [view.getUint32(4, true), view.getUint32(8, true)];
  }

  get subs(): ChannelDevice[] {
    return this.channel.subchannels;
  }

  openSub(index: number): FakeChannel {
    const channel = new FakeChannel(this.ram);
    assert.is(this.subs[index]!.open(channel), 0);
    return (this.channels[index] = channel);
  }

  /** Open all, and return what the primary channel was sent. */
  openAll(): HostPacket[] {
    this.subs.forEach((_, i) => this.openSub(i));
    return this.run(1000);
  }

  /** Deliver frames; returns how many each queue carried, the primary first. */
  spread(frames: readonly Uint8Array[]): number[] {
    for (const frame of frames) this.host.deliver(frame);
    this.clock.advanceTo(this.clock.now + 1);
    return [this.channel, ...this.subs.map((_, i) => this.channels[i])].map((channel, queue) => {
      const packets = (channel?.toGuest ?? []).splice(0);
      for (const packet of packets) this.completeOn(queue, packet);
      return packets.flatMap(({ ranges }) => ranges).length;
    });
  }

  /** Complete a packet on a queue: 0 is the primary channel. */
  completeOn(queue: number, { low, high }: HostPacket): void {
    const channel = queue === 0 ? this.channel : this.channels[queue - 1]!;
    put(channel, PacketType.COMPLETION, 0, low, '', words(108, 1), high);
    if (queue === 0) this.device.signalled();
    else this.subs[queue - 1]!.signalled();
  }
}

function queues(count: number, options: RigOptions = {}, version: number = NvspVersion.V6_1) {
  const rig = new QueueRig({ rxLength: 0x40000, ...options });
  rig.start(version);
  if (count > 0) assert.equal(rig.request(count), [1, count]);
  return rig;
}

const FLOWS = Array.from({ length: 64 }, (_, i) => flow(1000 + i));

const nic = suite('host: sub-channels of the network device');

/** Where the fields lie, after the NVSP header where Linux keeps it apart. */
function pin<F extends string>(
  ours: Struct<F>,
  linux: string,
  base: number,
  names: Readonly<Record<string, F>>,
): void {
  const golden = goldenStruct('linux', linux);
  for (const [theirs, name] of Object.entries(names)) {
    const { offset, size } = golden.fields[theirs]!;
    assert.equal([ours.at[name], ours.sizes[name]], [base + offset, size], `${linux}.${theirs}`);
  }
}

nic('the layouts are those of Linux', () => {
  pin(NvspIndirectionTable, 'nvsp_5_send_indirect_table', 4, { count: 'count', offset: 'offset' });
  pin(NvspSwitchDataPath, 'nvsp_4_sw_datapath', 4, { active_datapath: 'dataPath' });
  pin(ReceiveScaleCapabilities, 'ndis_recv_scale_cap', 0, {
    'hdr.type': 'objectType',
    'hdr.rev': 'revision',
    'hdr.size': 'size',
    cap_flag: 'capabilities',
    num_int_msg: 'messages',
    num_recv_que: 'queues',
    num_indirect_tabent: 'tableEntries',
  });
  assert.is(ReceiveScaleCapabilities.size, goldenStruct('linux', 'ndis_recv_scale_cap').size);
  pin(ReceiveScaleParameters, 'ndis_recv_scale_param', 0, {
    'hdr.type': 'objectType',
    'hdr.rev': 'revision',
    'hdr.size': 'size',
    flag: 'flags',
    base_cpu_number: 'baseCpu',
    hashinfo: 'hashInformation',
    indirect_tabsize: 'tableSize',
    indirect_taboffset: 'tableOffset',
    hashkey_size: 'keySize',
    hashkey_offset: 'keyOffset',
  });
});

nic('P-B11 DPDK: the answer to SUBCHANNEL has 40 bytes from NVSP 6.1 on, and 28 below', () => {
  for (const [version, length] of [
    [NvspVersion.V5, 28],
    [NvspVersion.V6, 28],
    [NvspVersion.V6_1, 40],
  ] as const) {
    const rig = queues(0, {}, version);
    const [answer] = rig.inband(words(133, 1, 2, 0, 0, 0, 0));
    assert.is(unhex(answer!.payload).length, length, version.toString(16));
  }
});

nic('subchannel_request_equal_to_max_queues_rejected, and what else is', () => {
  const rig = queues(0, { nic: { queues: 4 } });
  assert.equal(rig.request(4), [2, 0], 'as many as there may be queues');
  assert.equal(rig.request(2, 0), [2, 0], 'an operation that nobody knows');
  assert.equal(rig.request(0xffffffff), [2, 0]);
  assert.is(rig.subs.length, 0);
  assert.equal(rig.request(3), [1, 3]);
  assert.equal(rig.request(1), [2, 0], 'a second time');
  assert.equal(
    rig.subs.map(({ subchannelIndex }) => subchannelIndex),
    [1, 2, 3],
  );
  assert.equal(
    new Set(rig.subs.map(({ instanceId }) => instanceId)),
    new Set([rig.device.instanceId]),
  );

  // One section for data on each queue: 37 sections are 21 of data
  const small = queues(0, { rxLength: 0x10000 });
  assert.equal(small.request(21), [2, 0]);
  assert.equal(small.request(20), [1, 20]);

  const full = queues(0);
  full.channel.subchannelRoom = false;
  assert.equal(full.request(2), [2, 0], 'no room on the bus');

  const old = queues(0, {}, NvspVersion.V4);
  old.inband(words(133, 1, 2, 0, 0, 0, 0));
  assert.ok(old.channel.dead, 'not before NVSP 5');
});

nic('SEND_INDIRECTION_TABLE on the primary channel once all are open', () => {
  const rig = queues(3);
  rig.openSub(0);
  rig.openSub(2);
  assert.equal(rig.run(10_000), []);
  assert.equal(rig.spread(FLOWS), [64, 0, 0, 0], 'the primary alone');
  rig.openSub(1);
  const [table, ...rest] = rig.run(1000);
  assert.equal(rest, []);
  assert.equal([table!.type, table!.flags], [PacketType.DATA_INBAND, 0], 'no completion wanted');
  const entries = Array.from({ length: 16 }, (_, i) => i % 4);
  const head = words(134, 16, 40).padEnd(80, '0');
  assert.is(table!.payload, head + words(...entries));
  assert.equal([rig.device.state.subchannels, rig.device.state.subchannelsActive], [3, 3]);
});

nic('knob tableOffset: hosts up to NVSP 6 count wrong, and Linux knows where it is', () => {
  for (const version of [NvspVersion.V5, NvspVersion.V6, NvspVersion.V6_1]) {
    for (const tableOffset of ['too-small', 'right'] as const) {
      const rig = queues(1, { knobs: { tableOffset } }, version);
      const [table] = rig.openAll();
      const wrong = tableOffset === 'too-small' && version !== NvspVersion.V6_1;
      assert.is(table!.payload.slice(16, 24), words(wrong ? 28 : 40), `${version} ${tableOffset}`);
      // sizeof(nvsp_message_header) + sizeof(union nvsp_6_message_uber)
      const uber = goldenStruct('linux', 'nvsp_6_message_uber').size;
      assert.is(table!.payload.slice((4 + uber) * 2), words(...Array(8).fill([0, 1]).flat()));
    }
  }
});

nic('frames are spread by their flow, the same way each time', () => {
  const rig = queues(3);
  rig.openAll();
  const first = rig.spread(FLOWS);
  assert.is(
    first.reduce((a, b) => a + b),
    64,
  );
  assert.ok(
    first.every((count) => count > 4),
    `${first}`,
  );
  const again = queues(3);
  again.openAll();
  assert.equal(again.spread(FLOWS), first);
  // One flow stays on one queue; what is not IP goes to the primary
  const one = queues(3);
  one.openAll();
  assert.equal(
    one.spread(Array.from({ length: 5 }, () => flow(7))).filter((count) => count > 0),
    [5],
  );
  assert.is(one.spread([new Uint8Array(60), new Uint8Array(60).fill(0xff)])[0], 2);
});

nic('the hash is that of the documents', () => {
  const hash = new FrameHash();
  const frame = (source: number[], target: number[], ports: number[], protocol = 6) => {
    const bytes = new Uint8Array(60);
    bytes.set([0x08, 0x00, 0x45], 12);
    bytes[23] = protocol;
    bytes.set([...source, ...target], 26);
    ports.forEach((port, i) => new DataView(bytes.buffer).setUint16(34 + 2 * i, port));
    return bytes;
  };
  // "Verifying the RSS Hash Calculation", TCP and addresses alone
  const source = [66, 9, 149, 187];
  const target = [161, 142, 100, 80];
  assert.is(hash.of(frame(source, target, [2794, 1766])), 0x51ccc178);
  assert.is(hash.of(frame(source, target, [2794, 1766], 1)), 0x323e8fc2);
  assert.is(hash.of(frame([199, 92, 111, 2], [65, 69, 140, 83], [14230, 4739])), 0xc626b0ea);
  assert.is(hash.of(new Uint8Array(10)), 0);
});

nic('receive-side scaling: the table of the guest, and what is no table', () => {
  const rig = queues(3);
  rig.openAll();
  const caps = unhex(rig.query(0x00010203).data);
  const view = new DataView(caps.buffer);
  assert.equal([caps[0], caps[1], view.getUint32(12, true)], [0x88, 2, 64]);

  const parameters = (table: number[], flags = 0x8, type = 0x89) => {
    const head = new DataView(new ArrayBuffer(ReceiveScaleParameters.size));
    head.setUint8(0, type);
    head.setUint16(4, flags, true);
    head.setUint32(8, 0xf701, true);
    head.setUint16(12, table.length * 4, true);
    head.setUint32(16, head.byteLength, true);
    return hex(new Uint8Array(head.buffer)) + words(...table);
  };
  const set = (data: string) => rig.set(0x00010204, data);
  assert.is(set(parameters([2])), 0);
  assert.equal(rig.spread(FLOWS), [0, 0, 64, 0]);
  for (const bad of [[], [64], Array<number>(129).fill(0)])
    assert.is(set(parameters(bad)), 0xc0010015, `${bad.length} entries`);
  assert.is(set(parameters([1], 0x8, 0x88)), 0xc0010015, 'another object');
  assert.is(set(parameters([1]).slice(0, 40)), 0xc0010015, 'too short');
  assert.is(set(parameters([1]).slice(0, -2)), 0xc0010015, 'table beyond the end');
  assert.equal(rig.spread(FLOWS), [0, 0, 64, 0], 'nothing was changed');
  // A queue that could be and is not: the first
  assert.is(set(parameters([63])), 0);
  assert.equal(rig.spread(FLOWS), [64, 0, 0, 0]);
  assert.is(set(parameters([], 0x10)), 0, 'switched off');
  assert.ok(rig.spread(FLOWS).every((count) => count > 0));
});

/** NDIS_RECEIVE_SCALE_PARAMETERS of a table and a hash, with the key of the documents. */
function scaling(hashInformation: number, table: number[], flags = 0x8): string {
  const { at, size } = ReceiveScaleParameters;
  const head = new DataView(new ArrayBuffer(size));
  head.setUint8(at.objectType, 0x89);
  head.setUint16(at.flags, flags, true);
  head.setUint32(at.hashInformation, hashInformation, true);
  head.setUint16(at.tableSize, table.length * 4, true);
  head.setUint32(at.tableOffset, size, true);
  return hex(new Uint8Array(head.buffer)) + words(...table);
}

nic('L5 Linux: UDP is hashed by addresses unless its ports are asked for', () => {
  const rig = queues(3);
  rig.openAll();
  const used = (frames: Uint8Array[]) => rig.spread(frames).filter((count) => count > 0).length;
  const tcp = FLOWS.map((frame) => {
    const copy = frame.slice();
    copy[23] = 6;
    return copy;
  });
  // What Linux sends: Toeplitz over IPv4, TCP and IPv4, IPv6, TCP and IPv6
  assert.is(rig.set(0x00010204, scaling(0x1701, [0, 1, 2, 3])), 0);
  assert.is(used(FLOWS), 1, 'UDP: one pair of addresses is one flow');
  assert.is(used(tcp), 4, 'TCP: by its ports');
  assert.is(rig.set(0x00010204, scaling(0x5701, [0, 1, 2, 3])), 0);
  assert.is(used(FLOWS), 4, 'UDP was asked for');
  assert.is(rig.set(0x00010204, scaling(0, [1, 2, 3, 0], 0xa)), 0, 'hash and key unchanged');
  assert.is(used(FLOWS), 4);
  assert.is(rig.set(0x00010204, scaling(0x101, [0, 1, 2, 3])), 0);
  assert.is(used(tcp), 1, 'addresses alone');
  // What is not hashed has the hash 0
  assert.is(rig.set(0x00010204, scaling(0x201, [3, 1, 2, 0])), 0);
  assert.equal(rig.spread(FLOWS), [0, 0, 0, 64]);
});

nic('P-B9 a Windows host: receive scaling without a hash is refused, or switched off', () => {
  for (const hash of [0, 1, 0x1700]) {
    const windows = queues(3, { knobs: { hashlessScaling: 'refuse' } });
    windows.openAll();
    assert.is(windows.set(0x00010204, scaling(0x1701, [2])), 0);
    assert.is(windows.set(0x00010204, scaling(hash, [1])), 0xc000000d, `${hash}`);
    assert.equal(windows.spread(FLOWS), [0, 0, 64, 0], 'nothing was changed');
    assert.is(windows.set(0x00010204, scaling(0, [], 0x10)), 0, 'switched off');
    assert.is(windows.set(0x00010204, scaling(0, [1], 0xa)), 0xc000000d, 'nothing to keep');
  }
  const openvmm = queues(3, { knobs: { hashlessScaling: 'disable' } });
  openvmm.openAll();
  assert.is(openvmm.set(0x00010204, scaling(0x1701, [2])), 0);
  assert.is(openvmm.set(0x00010204, scaling(0, [])), 0, 'whatever the table is');
  assert.ok(openvmm.spread(FLOWS).every((count) => count > 0));
});

nic('the guest sends on any queue and is completed there', () => {
  const rig = queues(2);
  rig.openAll();
  const channel = rig.channels[1]!;
  const frame = flow(9);
  rig.ram.bytes.set(unhex(dataMessage(frame)), 0x80000);
  const ranges = words(0, 1) + gpaRange(0x80000, 44 + frame.length);
  const header = rndis(0).padEnd(80, '0');
  put(channel, PacketType.DATA_GPA_DIRECT, 1, 0x1234, ranges, header);
  rig.subs[1]!.signalled();
  assert.is(rig.frames.at(-1), hex(frame));
  const [completion] = channel.toGuest.splice(0);
  assert.equal([completion!.type, completion!.low], [PacketType.COMPLETION, 0x1234]);
  assert.is(completion!.payload.slice(0, 16), words(108, 1));
  assert.equal(rig.inFlight, []);
  assert.equal(rig.taken(), []);
});

nic('packets are completed on the queue that carried them', () => {
  const rig = queues(1);
  rig.openAll();
  for (const frame of FLOWS) rig.host.deliver(frame);
  rig.run(1);
  const [packet] = rig.channels[0]!.toGuest.splice(0);
  assert.is(rig.device.state.outstanding, 64);
  const before = rig.device.statistics.guestCompletions;
  rig.completeOn(1, packet!);
  assert.is(rig.device.state.outstanding, 63);
  assert.is(rig.device.statistics.guestCompletions, before + 1);

  const other = queues(1);
  other.openAll();
  for (const frame of FLOWS) other.host.deliver(frame);
  other.run(1);
  const [foreign] = other.channels[0]!.toGuest.splice(0);
  other.complete(foreign!);
  assert.ok(other.channel.dead, 'on the wrong queue');
});

nic('sub-channels carry nothing but frames', () => {
  const bad: readonly [string, string][] = [
    ['another NVSP message', words(100, 6, 30)],
    ['a short one', words(107, 0)],
  ];
  for (const [name, payload] of bad) {
    const rig = queues(1);
    rig.openAll();
    put(rig.channels[0]!, PacketType.DATA_INBAND, 1, 1, '', payload);
    rig.subs[0]!.signalled();
    assert.ok(rig.channels[0]!.dead, name);
    assert.not(rig.channel.dead, 'the primary channel goes on');
  }
  const rig = queues(1);
  rig.openAll();
  rig.ram.bytes.set(unhex(words(8, 12, 1)), 0x80000);
  const ranges = words(0, 1) + gpaRange(0x80000, 12);
  put(rig.channels[0]!, PacketType.DATA_GPA_DIRECT, 1, 1, ranges, rndis(1).padEnd(80, '0'));
  rig.subs[0]!.signalled();
  assert.ok(rig.channels[0]!.dead, 'an RNDIS control message');
  // Its frames go to the primary channel from now on
  assert.is(rig.spread(FLOWS)[0], 64);
});

nic('a sub-channel that closes leaves its frames to the primary, and its sections', () => {
  const rig = queues(1);
  rig.openAll();
  for (const frame of FLOWS) rig.host.deliver(frame);
  rig.run(1);
  const used = rig.device.state.sectionsInUse;
  rig.host.deliver(FLOWS[0]!);
  rig.host.deliver(FLOWS[1]!);
  rig.subs[0]!.close();
  assert.ok(rig.device.state.sectionsInUse < used);
  assert.ok(rig.device.statistics.uncompletedAtClose > 0);
  rig.channels[0]!.toGuest.splice(0);
  assert.is(rig.spread(FLOWS)[1], 0);
  // Open again: the table comes again
  const [table] = rig.openAll();
  assert.is(table!.payload.slice(0, 8), words(134));
});

nic('closing the device closes them all, and what is counted is counted once', () => {
  const rig = queues(2);
  rig.openAll();
  for (const frame of FLOWS) rig.host.deliver(frame);
  rig.run(1);
  const { outstanding } = rig.device.state;
  rig.device.close();
  assert.is(rig.device.statistics.uncompletedAtClose, outstanding);
  assert.is(rig.device.state.subchannels, 0);
  for (const sub of rig.subs) sub.close();
  assert.is(rig.device.statistics.uncompletedAtClose, outstanding);
});

nic('a filter of 0 and a revoked buffer silence all queues', () => {
  const rig = queues(1);
  rig.openAll();
  rig.set(0x0001010e, words(0));
  assert.equal(rig.spread(FLOWS), [0, 0]);
  rig.set(0x0001010e, words(0x2f));
  assert.is(
    rig.spread(FLOWS).reduce((a, b) => a + b),
    64,
  );
  assert.is(rig.device.gpadlTeardown(RX_GPADL), false, 'held until the close');
});

nic('a table without room in the ring waits for it', () => {
  const rig = queues(1, { knobs: { ringPollTicks: TICKS_PER_MS } });
  rig.channel.room = 0;
  assert.equal(rig.openAll(), []);
  rig.channel.room = Infinity;
  assert.is(rig.run(100_000)[0]!.payload.slice(0, 8), words(134));
});

nic.run();

/** Put a packet of the guest into the ring of a sub-channel. */
function put(
  channel: FakeChannel,
  type: number,
  flags: number,
  low: number,
  extra: string,
  payload: string,
  high = 0,
): void {
  const padded = payload.padEnd(Math.ceil(payload.length / 16) * 16, '0');
  const header = 2 + extra.length / 16;
  const view = new DataView(new ArrayBuffer(16));
  view.setUint16(0, type, true);
  view.setUint16(2, header, true);
  view.setUint16(4, header + padded.length / 16, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, low, true);
  view.setUint32(12, high, true);
  channel.toHost.push(unhex(hex(new Uint8Array(view.buffer)) + extra + padded));
}
