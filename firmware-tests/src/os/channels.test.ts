// SPDX-License-Identifier: GPL-2.0-or-later

/** Channels as an OS has them: opening and moving, late offers and rescinds. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { dispatchEvents } from '../../../src/os/events.ts';
import { modifyChannel } from '../../../src/os/modify-channel.ts';
import {
  MessageType,
  ModifyChannel,
  ModifyChannelResponse,
  OpenChannel,
} from '../../../src/vmbus/protocol.ts';
import { ProbeDevice, failure, probeSetup, word, type GuestRig } from '../../rigs/guest-rig.ts';
import { patched } from '../../rigs/driver-rig.ts';
import { SAMPLES } from '../../rigs/golden/golden.ts';

const { OPEN_CHANNEL, MODIFY_CHANNEL, RELID_RELEASED } = MessageType;
const { GPADL_TEARDOWN, OFFER_CHANNEL } = MessageType;

const opening = suite('opening and moving a channel');

opening(
  'OPEN_CHANNEL is as Linux builds it: its ID is the channel, with processor and rings',
  () => {
    const { rig, driver } = probeSetup({ processors: 4 }, { targetVp: 1 });
    const [open] = rig.posts(OPEN_CHANNEL);
    const id = word(driver.channel.offer.channel);
    // Of the sample other are only the channel's number and the GPADL's
    const { at } = OpenChannel;
    const gpadl = open!.bytes.slice(2 * at.gpadl, 2 * at.targetVp);
    const sample = SAMPLES['open_channel']!.hex;
    const expected =
      sample.slice(0, 2 * at.channel) + id + id + gpadl + sample.slice(2 * at.targetVp);
    assert.is(open!.bytes, expected);
    assert.ok(parseInt(gpadl.slice(0, 2), 16) >= 0x10);
    rig.stop();
  },
);

opening('GPADLs count up from the first of Linux', () => {
  const { rig } = probeSetup();
  const [header] = rig.posts(MessageType.GPADL_HEADER);
  assert.is(header!.view.getUint32(12, true), 0xe1e10);
});

opening('MODIFY_CHANNEL moves events to another processor, with an answer from 5.3 on', () => {
  for (const [host, answered] of [
    ['server2022', true],
    ['server2019', false],
  ] as const) {
    const { rig, device, driver } = probeSetup({ host, processors: 4 }, { targetVp: 1 });
    rig.mark();
    modifyChannel(driver.devices[0]!, 2);
    const [modify] = rig.posts(MODIFY_CHANNEL);
    const { at } = ModifyChannel;
    const sample = SAMPLES['modify_channel']!.hex;
    const id = word(driver.channel.offer.channel);
    assert.is(modify!.bytes, sample.slice(0, 2 * at.channel) + id + sample.slice(2 * at.targetVp));
    rig.hv.delay(1);
    const answers = rig.seen('host-message').filter(({ payload }) => payload[0] === 24);
    assert.is(answers.filter(({ change }) => change === 'deliver').length, answered ? 1 : 0);
    rig.mark();
    device.send(new Uint8Array(8));
    assert.equal(
      rig.seen('event-flag').map(({ vp }) => vp),
      [2],
    );
    assert.equal(rig.violations(), []);
  }
});

opening('what cannot be moved is refused by name', () => {
  // Before 4.1 there is no such message
  const old = probeSetup({ host: 'server2016', processors: 2 });
  old.rig.mark();
  assert.is(failure(() => modifyChannel(old.driver.devices[0]!, 1)).name, 'NotSupported');
  assert.equal(old.rig.posts(), []);

  // Without events, or to nowhere
  const mute = probeSetup({ processors: 2 }, { targetVp: 0xffffffff });
  assert.is(failure(() => modifyChannel(mute.driver.devices[0]!, 1)).name, 'NotSupported');
  const { driver, rig } = probeSetup({ processors: 2 });
  const [device] = driver.devices;
  assert.is(failure(() => modifyChannel(device!, 0xffffffff)).name, 'NotSupported');

  // The host does not know the processor
  const error = failure(() => modifyChannel(device!, 7));
  assert.is(error.name, 'ModifyRefused');
  assert.is(error.status, 0x8000ffff);

  // An answer for another channel is not this one's; none at all ends the wait
  rig.machine.vmbus.faults = {
    message: (type, payload) =>
      type === MessageType.MODIFY_CHANNEL_RESPONSE
        ? patched(payload, ModifyChannelResponse.at.channel, 99)
        : undefined,
  };
  assert.is(failure(() => modifyChannel(device!, 1)).name, 'NoResponse');
  rig.stop();
  assert.equal(rig.outstanding(), []);
});

opening('a channel that is closed cannot be moved', () => {
  const { driver } = probeSetup({ processors: 2 });
  driver.devices[0]!.close();
  assert.is(failure(() => modifyChannel(driver.devices[0]!, 1)).name, 'NotSupported');
});

opening.run();

const offers = suite('offers that come and go');

offers('late-offers-are-devices: one is probed by the next poll', () => {
  const { rig, driver } = probeSetup();
  const late = new ProbeDevice(2);
  rig.machine.vmbus.hotAdd(late);
  rig.poll();
  assert.is(driver.devices.length, 2);
  driver.channels[1]!.sendInband(1, new Uint8Array(8), 8);
  rig.poll();
  assert.is(late.packets.length, 1);
  rig.stop();
  assert.equal(rig.outstanding(), []);
  assert.equal(rig.violations(), []);
});

offers('firmware too', () => {
  const { rig, driver } = probeSetup({ bus: { part: undefined } });
  rig.machine.vmbus.hotAdd(new ProbeDevice(2));
  rig.poll();
  assert.is(driver.devices.length, 2);
  rig.stop();
  assert.equal(rig.outstanding(), []);
});

offers(
  'a rescinded device is let go of, its number released, and probed anew when it is back',
  () => {
    const { rig, device, driver } = probeSetup();
    const id = driver.channel.offer.channel;
    for (let round = 1; round <= 3; round++) {
      rig.mark();
      rig.machine.vmbus.rescind(device);
      // It comes back before the guest has released it: offered again only after that
      if (round > 1) rig.machine.vmbus.hotAdd(device);
      rig.poll(5);
      assert.equal(rig.types().slice(0, 2), [GPADL_TEARDOWN, RELID_RELEASED]);
      const released = rig.posts(RELID_RELEASED)[0]!;
      const sample = SAMPLES['relid_released']!.hex;
      assert.is(released.bytes, sample.slice(0, 16) + word(id));
      if (round === 1) rig.machine.vmbus.hotAdd(device);
      rig.poll(5);
      assert.is(driver.devices.length, round + 1);
      assert.is(driver.channels[round]!.offer.channel, id);
      driver.channels[round]!.sendInband(round, new Uint8Array(8), 8);
      rig.poll(1);
      assert.is(device.packets.length, round);
    }
    assert.equal(driver.fate, ['rescinded', 'rescinded', 'rescinded']);
    rig.stop();
    assert.equal(rig.outstanding(), []);
    assert.equal(rig.violations(), []);
  },
);

offers('channels that no driver has are released too', () => {
  const unknown = Object.assign(new ProbeDevice(7), {
    interfaceId: '99999999-0000-0000-0000-000000000000',
  });
  const { rig } = probeSetup({ devices: [unknown] });
  rig.machine.vmbus.rescind(unknown);
  rig.mark();
  rig.poll();
  assert.equal(rig.types(), [RELID_RELEASED]);

  // Offered and rescinded before anybody has looked: never probed, but released
  const brief = new ProbeDevice(8);
  rig.machine.vmbus.hotAdd(brief);
  rig.machine.vmbus.rescind(brief);
  rig.mark();
  rig.poll();
  assert.equal(rig.types(), [RELID_RELEASED]);
  assert.equal(rig.violations(), []);
});

offers('a device that is offered again without a rescind is not probed twice', () => {
  const { rig, driver } = probeSetup();
  const offer = rig.seen('host-message').find(({ payload }) => payload[0] === OFFER_CHANNEL);
  assert.ok(offer);
  const again = rig
    .seen('host-message')
    .filter(({ payload, change }) => payload[0] === OFFER_CHANNEL && change !== 'drop')
    .at(-1)!.payload;
  rig.machine.vmbus.postUnsolicited(again);
  rig.machine.vmbus.postUnsolicited(patched(again, 184, 77));
  rig.poll();
  assert.is(driver.devices.length, 1);
});

offers('a sub-channel that nobody asked for, or of no device, is ignored', () => {
  const { rig, driver } = probeSetup();
  const offer = rig
    .seen('host-message')
    .filter(({ payload }) => payload[0] === OFFER_CHANNEL)
    .at(-1)!
    .payload.slice();
  const view = new DataView(offer.buffer);
  view.setUint16(180, 1, true);
  view.setUint32(184, 40, true);
  // The device's own: known to it, opened by nobody
  const [device] = driver.devices;
  offer.set(rigInterface(rig, device!.interfaceId), 8);
  rig.machine.vmbus.postUnsolicited(offer);
  rig.poll(1);
  // Of a device that is not there
  offer[24] = 0xee;
  view.setUint32(184, 41, true);
  rig.machine.vmbus.postUnsolicited(offer);
  rig.poll(1);
  assert.ok(rig.logged().includes('ignoring offer of sub-channel 1 as channel 41'));
  assert.is(driver.devices.length, 1);
  rig.stop();
});

/** The bytes of an interface as the host has sent them. */
function rigInterface(rig: GuestRig, interfaceId: string): Uint8Array {
  const payload = rig
    .seen('host-message')
    .map((event) => event.payload)
    .find(
      (bytes) =>
        bytes[0] === OFFER_CHANNEL &&
        rig.bus.devices.some(
          (device) =>
            device.interfaceId === interfaceId &&
            device.channelId === new DataView(bytes.buffer, bytes.byteOffset).getUint32(184, true),
        ),
    )!;
  return payload.slice(8, 24);
}

offers('an event of a channel that is not open means nothing', () => {
  const { rig, driver } = probeSetup();
  const { address } = rig.pages.outstanding().find(({ purpose }) => purpose === 'siefp')!;
  const flags = address + 2 * 256;
  rig.memory.bytes.fill(0xff, flags, flags + 256);
  assert.is(dispatchEvents(rig.bus), 1, 'the one that is open');
  assert.is(dispatchEvents(rig.bus), 0);
  assert.equal(driver.errors, []);
  rig.stop();
});

offers.run();
