// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Sub-channels of the simulated bus: offers with the GUIDs of the primary channel, opened and
 * closed by themselves, rescinded before it.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { SAMPLES } from '../../../rigs/golden/golden.ts';
import {
  Rig,
  RigDevice,
  offeredId,
  openChannel,
  opened,
  plain,
  words,
} from '../../../rigs/vmbus-server-rig.ts';

const rescinded = (id: number) => words(MessageType.RESCIND_CHANNEL_OFFER, 0, id);
const released = (id: number) => words(MessageType.RELID_RELEASED, 0, id);
const close = (id: number) => words(MessageType.CLOSE_CHANNEL, 0, id);

/** Sub-channels of device 1, as the device offers them. */
function subchannels(count: number): RigDevice[] {
  return Array.from({ length: count }, (_, i) =>
    Object.assign(new RigDevice(1), { subchannelIndex: i + 1 }),
  );
}

/** A server with a device that has two sub-channels, on channels 3 and 4. */
function busRig(): { rig: Rig; device: RigDevice; subs: RigDevice[]; before: number } {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device, new RigDevice(2)] });
  rig.boot(VmbusVersion.V5_3);
  rig.open(1);
  const before = rig.partition.received.length;
  const subs = subchannels(2);
  assert.ok(device.channel!.offerSubchannels(subs));
  return { rig, device, subs, before };
}

const bus = suite('host: sub-channels of the bus');

bus('the same GUIDs, an index from 1 on, the lowest free numbers', () => {
  const { rig, before } = busRig();
  const offers = rig.partition.received.slice(before).map(({ hex }) => hex);
  const [primary] = new Rig({ devices: [new RigDevice(1)] }).boot();
  assert.equal(offers.map(offeredId), [3, 4]);
  offers.forEach((offer, i) => {
    assert.is(offer.slice(16, 80), primary!.slice(16, 80), 'interface and instance');
    assert.is(offer.slice(360, 364), `0${i + 1}00`, 'index');
    assert.is(offer.slice(384), words(0x2003 + i), 'connection ID');
  });
  // As Linux lays it out
  const sample = SAMPLES['offer_channel_nic_sub_monitored']!.hex;
  assert.is(sample.slice(360, 364), '0200');
  const state = rig.server.inspect().channels.map(({ id, subchannelIndex: i }) => [id, i]);
  assert.equal(state, [
    [1, 0],
    [2, 0],
    [3, 1],
    [4, 2],
  ]);
});

bus('each is opened, signalled and closed by itself', () => {
  const { rig, subs } = busRig();
  assert.is(rig.open(3, { targetVp: 2 }), opened(3));
  assert.is(rig.open(4, { targetVp: 3 }), opened(4));
  rig.raised();
  const none = new Uint8Array(8);
  for (const { channel } of subs) channel!.send(6, 0, 0, 0, none, 0, none, 8);
  assert.equal(rig.raised(), [
    { vp: 2, sint: 2, flag: 3 },
    { vp: 3, sint: 2, flag: 4 },
  ]);
  assert.equal(rig.post(close(3)), []);
  assert.equal(subs[0]!.calls, ['open 3', 'close']);
  assert.equal(rig.post(openChannel(3, 0x103, 2)), [opened(3)], 'and opened again');
});

bus('★ test_revoke_subchannels_before_primary: a rescind of the device', () => {
  const { rig, device, subs } = busRig();
  rig.open(3);
  const before = rig.partition.received.length;
  const order: string[] = [];
  for (const each of [device, ...subs]) {
    const closes = each.close.bind(each);
    each.close = () => {
      order.push(`close ${each === device ? 0 : subs.indexOf(each) + 1}`);
      closes();
    };
  }
  rig.server.rescind(device);
  const messages = rig.partition.received.slice(before).map(({ hex }) => hex);
  assert.equal(messages, [rescinded(3), rescinded(4), rescinded(1)]);
  assert.equal(order, ['close 1', 'close 0']);
});

bus('closing the primary channel takes the sub-channels back, and the guest releases them', () => {
  const { rig, subs } = busRig();
  rig.open(3);
  assert.equal(rig.post(close(1)), [rescinded(3), rescinded(4)]);
  assert.is(subs[0]!.calls.at(-1), 'close');
  // Late messages of a guest that does not know it yet are ignored, GPADLs are still answered
  assert.equal(rig.post(close(3)), []);
  assert.equal(rig.post(words(MessageType.GPADL_TEARDOWN, 0, 3, 0x103)), [words(12, 0, 0x103)]);
  assert.equal(rig.violations, []);
  rig.post(released(3));
  rig.post(released(4));
  assert.equal(
    rig.server.inspect().channels.map(({ id }) => id),
    [1, 2],
  );
  // The next opening may have new ones, with the same numbers
  rig.post(words(MessageType.GPADL_TEARDOWN, 0, 1, 0x101));
  rig.open(1);
  assert.is(rig.server.inspect().channels.length, 2);
});

bus('UNLOAD ends them in silence, and the next owner sees the primary numbers alone', () => {
  const { rig, subs } = busRig();
  rig.open(3);
  const offers = new Rig({ devices: [new RigDevice(1), new RigDevice(2)] }).boot();
  assert.equal(rig.post(plain(MessageType.UNLOAD)), [plain(MessageType.UNLOAD_RESPONSE)]);
  assert.is(subs[0]!.calls.at(-1), 'close');
  assert.equal(rig.grants(), []);
  assert.equal(rig.boot(VmbusVersion.V5_3), offers);
});

bus('released by the guest while closed: gone', () => {
  const { rig } = busRig();
  rig.post(released(3));
  assert.equal(rig.post(plain(MessageType.GPADL_HEADER).padEnd(40, '0')).length, 1);
  assert.equal(
    rig.server.inspect().channels.map(({ id }) => id),
    [1, 2, 4],
  );
});

bus('a closed channel offers none, and the bus has a bound', () => {
  const { rig, device } = busRig();
  const channel = device.channel!;
  assert.not(channel.offerSubchannels(subchannels(2047)), 'no room for all: none is offered');
  assert.is(rig.server.inspect().channels.length, 4);
  rig.post(close(1));
  assert.not(channel.offerSubchannels(subchannels(1)));
});

bus.run();
