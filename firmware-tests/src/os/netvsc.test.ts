// SPDX-License-Identifier: GPL-2.0-or-later

/** The network device as an OS drives it: NVSP versions, set-up, send buffer, sub-channels. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { subchannelsOf } from '../../../src/os/subchannels.ts';
import { initiateUnload } from '../../../src/os/unload.ts';
import { NvspType, NvspVersion } from '../../../src/netvsc/protocol.ts';
import { PacketType } from '../../../src/vmbus/protocol.ts';
import { GuestRig, type GuestRigOptions, failure } from '../../rigs/guest-rig.ts';
import { frame, hex, viewOf } from '../../rigs/driver-rig.ts';
import { SAMPLES } from '../../rigs/golden/golden.ts';

interface Sent {
  readonly channel: number;
  readonly type: number;
  readonly flags: number;
  /** Payload in hexadecimal, behind the packet's headers. */
  readonly payload: string;
  readonly ranges: number;
}

/** NVSP messages that the guest has sent, as the host read them; of one type or all. */
function sent(rig: GuestRig, nvsp?: number): Sent[] {
  return rig
    .seen('ring-packet')
    .filter(({ from, type }) => from === 'guest' && type !== PacketType.COMPLETION)
    .map(({ channel, type, bytes }) => {
      const view = viewOf(bytes);
      const header = 8 * view.getUint16(2, true);
      return {
        channel,
        type,
        flags: view.getUint16(6, true),
        payload: hex(bytes.subarray(header)),
        ranges: type === PacketType.DATA_GPA_DIRECT ? view.getUint32(20, true) : 0,
      };
    })
    .filter(({ payload }) => nvsp === undefined || parseInt(payload.slice(0, 2), 16) === nvsp);
}

function open(options: GuestRigOptions = {}): GuestRig {
  const rig = new GuestRig(options).start();
  rig.mark();
  rig.device.open();
  return rig;
}

/** A sample of Linux, at the length that Linux sends: that of its longest message. */
function sample(name: string): string {
  return SAMPLES[name]!.hex.padEnd(80, '0');
}

const setUp = suite('setting the device up');

setUp('NVSP from 6.1 down, by exact match', () => {
  const versions = [0x60001, 0x60000, 0x50000, 0x40000, 0x30002, 0x2];
  for (const [host, expected] of [
    ['server2008', 0],
    ['server2012', NvspVersion.V4],
    ['server2012r2', NvspVersion.V5],
    ['server2016', NvspVersion.V6],
    ['server2022', NvspVersion.V6_1],
    ['qemu', NvspVersion.V2],
  ] as const) {
    // An OS does not connect to hosts below 2.4
    if (expected === 0) continue;
    const rig = open({ host });
    const asked = sent(rig, NvspType.INIT).map(({ payload }) =>
      viewOf(Buffer.from(payload, 'hex')).getUint32(4, true),
    );
    assert.equal(asked, versions.slice(0, versions.indexOf(expected) + 1), host);
    assert.is(rig.machine.nics[0]!.state.version, expected);
    assert.equal(rig.violations(), []);
    rig.stop();
  }
  const rig = open();
  assert.is(sent(rig, NvspType.INIT)[0]!.payload, sample('nvsp_init_v61'));
});

setUp('configuration, NDIS version and buffers, byte for byte as Linux has them', () => {
  const rig = open();
  const [config] = sent(rig, NvspType.SEND_NDIS_CONFIG);
  // All of Linux's capabilities but coalescing (bit 7), which this guest could not undo
  assert.is(config!.payload, sample('nvsp_ndis_config_v61').replace('ac', '2c'));
  assert.is(config!.flags, 0, 'no completion is asked for');
  assert.is(sent(rig, NvspType.SEND_NDIS_VERSION)[0]!.payload, sample('nvsp_ndis_version_6_30'));
  const [receive] = sent(rig, NvspType.SEND_RECEIVE_BUFFER);
  const expected = sample('nvsp_send_recv_buf');
  assert.is(receive!.payload.slice(16), expected.slice(16));
  assert.is(receive!.flags, 1);
  assert.is(sent(rig, NvspType.SEND_SEND_BUFFER).length, 1);

  // At the end both are revoked, without waiting for an answer
  rig.mark();
  rig.device.close();
  rig.hv.delay(1);
  const revokes = [NvspType.REVOKE_RECEIVE_BUFFER, NvspType.REVOKE_SEND_BUFFER];
  for (const type of revokes)
    assert.equal(
      sent(rig, type).map(({ flags }) => flags),
      [0],
    );
  assert.is(sent(rig, NvspType.REVOKE_RECEIVE_BUFFER)[0]!.payload, sample('nvsp_revoke_recv_buf'));
  rig.stop();
  assert.equal(rig.outstanding(), []);
  assert.equal(rig.violations(), []);
});

setUp('NVSP 1 has no configuration, and up to 4 NDIS is 6.1', () => {
  const first = open({ profile: { nvspVersions: [NvspVersion.V1] } });
  assert.equal(sent(first, NvspType.SEND_NDIS_CONFIG), []);
  const ndis = sent(first, NvspType.SEND_NDIS_VERSION)[0]!.payload;
  assert.is(ndis.slice(0, 24), '640000000600000001000000');
  const fourth = open({ profile: { nvspVersions: [NvspVersion.V4] } });
  // 8021q only
  assert.is(sent(fourth, NvspType.SEND_NDIS_CONFIG)[0]!.payload.slice(24, 26), '08');
  for (const rig of [first, fourth]) rig.stop();
});

setUp('a larger MTU is announced with its header', () => {
  const rig = open({ policy: { mtu: 9000 } });
  const payload = sent(rig, NvspType.SEND_NDIS_CONFIG)[0]!.payload;
  assert.is(viewOf(Buffer.from(payload, 'hex')).getUint32(4, true), 9014);
});

setUp('a host that knows none of the versions is refused by name', () => {
  const rig = new GuestRig({ profile: { nvspVersions: [0x70000] } });
  rig.hv.probe();
  assert.is(failure(() => rig.bus.probe()).name, 'NvspVersionRefused');
  rig.hv.remove();
  assert.equal(rig.outstanding(), []);
});

setUp.run();

const sections = suite('the send buffer');

sections('frames go through its sections, in-band, and arrive whole', () => {
  const rig = open();
  rig.mark();
  const frames = Array.from({ length: 100 }, (_, i) => frame(60 + 14 * i, i));
  for (const bytes of frames) {
    rig.device.transmit(bytes, bytes.length);
    rig.poll(0.2);
  }
  rig.poll(5);
  assert.equal(rig.links[0]!.frames.map(hex), frames.map(hex));
  const packets = sent(rig, NvspType.SEND_RNDIS_PACKET);
  assert.is(packets.length, 100);
  for (const { type, payload } of packets) {
    assert.is(type, PacketType.DATA_INBAND);
    assert.ok(viewOf(Buffer.from(payload, 'hex')).getUint32(8, true) < 32);
  }
  // No page of the transmit buffers is told to the host
  assert.not.ok(rig.outstanding().includes('tx-buffer'));
  rig.stop();
  assert.equal(rig.outstanding(), []);
});

sections('a section is not used again before the host has completed its frame', () => {
  const rig = open({ knobs: { ringLatencyTicks: 100_000 } });
  rig.mark();
  const frames = Array.from({ length: 50 }, (_, i) => frame(1000, i));
  const results = frames.map((bytes) => rig.device.transmit(bytes, bytes.length));
  // The ring holds all; there are 32 sections and slots
  assert.is(results.filter((result) => result === 'sent').length, 32);
  assert.is(results.filter((result) => result === 'deferred').length, 18);
  rig.poll(100);
  assert.equal(rig.links[0]!.frames.map(hex), frames.map(hex));
  rig.stop();
});

sections('without one, and for control messages, pages are told one by one', () => {
  const rig = open({ policy: { sendBufferLength: 0 } });
  assert.equal(sent(rig, NvspType.SEND_SEND_BUFFER), []);
  rig.mark();
  rig.device.transmit(frame(1514), 1514);
  rig.poll();
  const [packet] = sent(rig, NvspType.SEND_RNDIS_PACKET);
  assert.is(packet!.type, PacketType.DATA_GPA_DIRECT);
  assert.is(packet!.ranges, 1);
  assert.is(packet!.payload.slice(16, 24), 'ffffffff');
  assert.is(rig.links[0]!.frames.length, 1);
  rig.stop();
});

sections('a host that refuses it, or cuts it absurdly, is refused by name', () => {
  for (const [offset, value] of [
    [4, 2],
    [8, 0],
    [8, 67],
    [8, 0x30001],
  ] as const) {
    const rig = new GuestRig();
    rig.machine.vmbus.faults = {
      ringPacket(_channel, bytes) {
        if (bytes[0] !== PacketType.COMPLETION) return undefined;
        if (bytes[16] !== NvspType.SEND_SEND_BUFFER_COMPLETE) return undefined;
        const copy = bytes.slice();
        viewOf(copy).setUint32(16 + offset, value, true);
        return copy;
      },
    };
    rig.hv.probe();
    assert.is(failure(() => rig.bus.probe()).name, 'SendBufferRefused');
    rig.hv.remove();
    assert.equal(rig.outstanding(), []);
  }
});

sections.run();

const queues = suite('sub-channels');

/** A UDP frame of a flow. */
function flowFrame(port: number): Uint8Array {
  const bytes = frame(100, port);
  const view = viewOf(bytes);
  view.setUint16(12, 0x0800);
  view.setUint8(14, 0x45);
  view.setUint16(20, 0);
  view.setUint8(23, 17);
  view.setUint32(26, 0x0a000001);
  view.setUint32(30, 0x0a000002);
  view.setUint16(34, port);
  view.setUint16(36, 69);
  return bytes;
}

queues('are asked for, offered, opened, used for both directions, and closed first', () => {
  const rig = open({ policy: { subchannels: 3, targetVps: [0, 1, 2, 3] }, processors: 4 });
  const request = sent(rig, NvspType.SUBCHANNEL);
  assert.equal(
    request.map(({ payload }) => payload),
    [sample('nvsp_subchannel_request')],
  );
  const { state } = rig.machine.nics[0]!;
  assert.is(state.subchannels, 3);
  assert.is(state.subchannelsActive, 3);
  const channels = rig.machine.vmbus.inspect().channels.filter(({ state: s }) => s === 'open');
  assert.equal(
    channels.map(({ subchannelIndex, targetVp }) => [subchannelIndex, targetVp]),
    [
      [0, 0],
      [1, 1],
      [2, 2],
      [3, 3],
    ],
  );

  // Many flows: each keeps to one channel, and all channels are used
  rig.poll(5);
  rig.mark();
  const byFlow = new Map<number, Set<number>>();
  for (let i = 0; i < 64; i++) {
    const port = 1000 + (i % 32);
    const bytes = flowFrame(port);
    rig.device.transmit(bytes, bytes.length);
    rig.poll(0.2);
    const { channel } = sent(rig, NvspType.SEND_RNDIS_PACKET).at(-1)!;
    byFlow.set(port, (byFlow.get(port) ?? new Set()).add(channel));
  }
  for (const used of byFlow.values()) assert.is(used.size, 1);
  assert.is(new Set([...byFlow.values()].flatMap((used) => [...used])).size, 4);
  rig.poll(5);
  assert.is(rig.links[0]!.frames.length, 64);
  assert.is(rig.device.statistics.txGood, 64);

  // And the other way; each packet is completed on the channel that it came on
  let received = 0;
  rig.device.receiver = { receive: () => void received++ };
  for (let i = 0; i < 64; i++) rig.links[0]!.host.deliver(flowFrame(2000 + i));
  rig.poll(10);
  assert.is(received, 64);
  assert.is(rig.machine.nics[0]!.state.outstanding, 0);

  // The end: sub-channels before the device's own
  rig.mark();
  rig.device.close();
  const closed = rig.posts(7).map(({ view }) => view.getUint32(8, true));
  assert.is(closed.length, 4);
  assert.is(closed.at(-1), channels.find(({ subchannelIndex }) => subchannelIndex === 0)!.id);
  rig.poll(5);
  rig.device.open();
  rig.poll(5);
  assert.is(rig.machine.nics[0]!.state.subchannelsActive, 3);
  rig.stop();
  assert.equal(rig.outstanding(), []);
  assert.equal(rig.violations(), []);
});

queues('UNLOAD alone ends them all', () => {
  const rig = open({ policy: { subchannels: 2 } });
  rig.mark();
  assert.is(initiateUnload(rig.bus), 'answered');
  rig.stop();
  assert.equal(rig.types(), [16]);
  assert.equal(rig.outstanding(), []);
  assert.equal(rig.granted(), []);
});

queues('a host that has none, or refuses, is used without', () => {
  for (const options of [
    { host: 'server2012' },
    { nics: [{ queues: 1 }] },
    { nics: [{ queues: 4 }], policy: { subchannels: 4 } },
  ] as const) {
    const rig = open({ policy: { subchannels: 3 }, ...options });
    assert.is(rig.machine.nics[0]!.state.subchannels, 0);
    rig.device.transmit(frame(100), 100);
    rig.poll();
    assert.is(rig.links[0]!.frames.length, 1);
    rig.bus.remove();
    assert.equal(rig.violations(), []);
  }
});

queues('offers that do not come are waited for a second, and done without', () => {
  const rig = new GuestRig({ policy: { subchannels: 2 } }).start();
  rig.machine.vmbus.faults = { message: (type) => (type === 1 ? 'drop' : undefined) };
  rig.device.open();
  assert.ok(rig.logged().includes('0 of 2 sub-channels were offered'));
  rig.device.transmit(frame(100), 100);
  rig.poll();
  assert.is(rig.links[0]!.frames.length, 1);
  rig.stop();
  assert.equal(rig.outstanding(), []);
});

queues('a send table that does not lie in its message is ignored, with a word', () => {
  for (const [offset, value] of [
    [4, 15],
    [4, 0xffffffff],
    [8, 0xffffffff],
    [8, 0x1000],
  ] as const) {
    const rig = new GuestRig({ policy: { subchannels: 2 } }).start();
    rig.machine.vmbus.faults = {
      ringPacket(_channel, bytes) {
        const table = bytes[0] === PacketType.DATA_INBAND && bytes[16] === 134;
        if (!table) return undefined;
        const copy = bytes.slice();
        viewOf(copy).setUint32(16 + offset, value, true);
        return copy;
      },
    };
    rig.device.open();
    rig.poll(5);
    assert.ok(
      rig.logged().some((text) => /^send table of .* ignored$/.test(text)),
      `${value}`,
    );
    rig.device.transmit(frame(100), 100);
    rig.poll();
    assert.is(rig.links[0]!.frames.length, 1);
    rig.stop();
  }
});

queues('a sub-channel that is taken away is closed and released; the device goes on', () => {
  const rig = open({ policy: { subchannels: 2 } });
  rig.poll(5);
  const [, sub] = rig.machine.vmbus.inspect().channels.filter(({ state }) => state === 'open');
  const device = rig.bus.devices.find((d) => subchannelsOf(d).length > 0)!;
  rig.mark();
  // As the host would say it: it takes sub-channels back only with their device
  const rescind = new Uint8Array(12);
  viewOf(rescind).setUint32(0, 2, true);
  viewOf(rescind).setUint32(8, subchannelsOf(device)[0]!.channelId, true);
  assert.ok(sub);
  rig.machine.vmbus.postUnsolicited(rescind);
  rig.poll(5);
  assert.is(subchannelsOf(device).length, 1);
  assert.equal(
    rig.posts(13).map(({ view }) => view.getUint32(8, true)),
    [viewOf(rescind).getUint32(8, true)],
  );
  for (let i = 0; i < 16; i++) {
    const bytes = flowFrame(i);
    rig.device.transmit(bytes, bytes.length);
  }
  rig.poll(5);
  const remaining = [device.channelId, subchannelsOf(device)[0]!.channelId];
  for (const { channel } of sent(rig, NvspType.SEND_RNDIS_PACKET)) {
    assert.ok(remaining.includes(channel));
  }
  assert.is(rig.links[0]!.frames.length, 16);
});

queues('the host’s table says where flows go, also where its offset is wrong', () => {
  for (const [nvsp, offset] of [
    [NvspVersion.V6_1, 40],
    [NvspVersion.V6, 12],
    [NvspVersion.V5, 36],
  ] as const) {
    const profile = { nvspVersions: [nvsp] };
    const rig = new GuestRig({ profile, policy: { subchannels: 2 } }).start();
    rig.machine.vmbus.faults = {
      ringPacket(_channel, bytes) {
        if (bytes[0] !== PacketType.DATA_INBAND || bytes[16] !== 134) return undefined;
        const copy = bytes.slice();
        const view = viewOf(copy);
        view.setUint32(16 + 8, offset, true);
        for (let i = 0; i < 16; i++) view.setUint32(16 + 40 + 4 * i, 2, true);
        return copy;
      },
    };
    rig.device.open();
    rig.poll(5);
    rig.mark();
    for (let port = 1; port <= 16; port++) rig.device.transmit(flowFrame(port), 100);
    rig.poll(5);
    const { channelId: id } = rig.bus.devices.flatMap(subchannelsOf)[1]!;
    const used = new Set(sent(rig, NvspType.SEND_RNDIS_PACKET).map(({ channel }) => channel));
    assert.equal([...used], [id], `${nvsp.toString(16)}`);
    rig.stop();
  }
});

queues('rescinding the device takes its sub-channels first', () => {
  const rig = open({ policy: { subchannels: 2 } });
  rig.poll(5);
  const device = rig.bus.devices.find((d) => subchannelsOf(d).length > 0)!;
  const ids = [...subchannelsOf(device).map(({ channelId }) => channelId), device.channelId];
  rig.mark();
  rig.machine.vmbus.rescind(rig.machine.nics[0]!);
  rig.poll(10);
  const released = rig.posts(13).map(({ view }) => view.getUint32(8, true));
  assert.equal([...released].sort(), [...ids].sort());
  assert.is(released.at(-1), device.channelId);
  assert.equal(rig.net.devices, []);
  rig.stop();
  assert.equal(rig.outstanding(), []);
  assert.equal(rig.violations(), []);
});

queues.run();
