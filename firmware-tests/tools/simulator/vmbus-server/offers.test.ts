// SPDX-License-Identifier: GPL-2.0-or-later

/** The simulated VMBus server: offers, rescinds, queues of messages, messages that are wrong. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DeviceClass, MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { GUEST_MESSAGES } from '../../../../tools/simulator/vmbus-server/host-protocol.ts';
import { inertDevice } from '../../../../tools/simulator/vmbus-server/inert-device.ts';
import { SAMPLES } from '../../../rigs/golden/golden.ts';
import {
  MESSAGE_LATENCY,
  RING_PFN,
  Rig,
  RigDevice,
  created,
  gpadlHeader,
  initiate,
  offeredId,
  openChannel,
  opened,
  plain,
  teardown,
  torndown,
  unhex,
  words,
} from '../../../rigs/vmbus-server-rig.ts';

const REQUEST = plain(MessageType.REQUEST_OFFERS);
const DELIVERED = plain(MessageType.ALL_OFFERS_DELIVERED);
const rescinded = (id: number) => words(MessageType.RESCIND_CHANNEL_OFFER, 0, id);
const released = (id: number) => words(MessageType.RELID_RELEASED, 0, id);

/** Instance GUID, relid, monitor, monitored of an offer. */
function brief(offer: string): string {
  const bytes = unhex(offer);
  return `${offer.slice(48 + 28, 48 + 32)} ${offeredId(offer)} ${bytes[188]} ${bytes[189]}`;
}

const offers = suite('vmbus-server: offers');

offers('ALL_OFFERS_DELIVERED also when there is nothing to offer', () => {
  assert.equal(new Rig().boot(), [DELIVERED]);
});

offers('an offer byte by byte is the golden one', () => {
  // Channel 5, instance bytes a0 to af, no monitor: four inert devices come first
  const sample = SAMPLES['offer_channel_nic']!.hex;
  const inert = [1, 2, 3, 4].map((i) =>
    inertDevice(DeviceClass.SHUTDOWN, `00000000-0000-0000-0000-00000000000${i}`),
  );
  const nic = new RigDevice('a3a2a1a0-a5a4-a7a6-a8a9-aaabacadaeaf');
  nic.offerFlags = 1;
  const rig = new Rig({ devices: [nic, ...inert] });
  const answers = rig.boot();
  assert.is(answers.length, 6);
  assert.is(answers[4], sample);
});

offers('test_channel_id_order: by interface, then as given; the same numbers again', () => {
  const devices = [
    new RigDevice(9),
    inertDevice(DeviceClass.SCSI, '00000000-0000-0000-0000-000000000002'),
    new RigDevice(4),
    inertDevice(DeviceClass.HEARTBEAT, '00000000-0000-0000-0000-000000000001'),
  ];
  const rig = new Rig({ devices });
  const first = rig.boot(VmbusVersion.V0_13);
  assert.equal(first.slice(0, 4).map(brief), [
    '0001 1 255 0',
    '0002 2 255 0',
    '0009 3 255 0',
    '0004 4 255 0',
  ]);
  rig.post(plain(MessageType.UNLOAD));
  assert.equal(rig.boot(VmbusVersion.V5_3), first);
});

offers('test_channel_id_order_absolute: as given', () => {
  const devices = [
    new RigDevice(9),
    inertDevice(DeviceClass.HEARTBEAT, '00000000-0000-0000-0000-000000000001'),
  ];
  const rig = new Rig({ devices, offerOrder: 'absolute' });
  assert.equal(rig.boot().slice(0, 2).map(brief), ['0009 1 255 0', '0001 2 255 0']);
});

offers('a second REQUEST_OFFERS is not answered', () => {
  const rig = new Rig({ devices: [new RigDevice(1)] });
  rig.boot();
  assert.equal(rig.post(REQUEST), []);
  assert.is(rig.violations.length, 1);
});

offers('test_mnf_channel: a monitor only with monitor pages, lowest first', () => {
  const devices = [new RigDevice(1), new RigDevice(2), new RigDevice(3)];
  devices[0]!.monitored = devices[2]!.monitored = true;
  const rig = new Rig({ devices });
  rig.connect(VmbusVersion.V3_0, false);
  assert.equal(rig.post(REQUEST).slice(0, 3).map(brief), [
    '0001 1 255 0',
    '0002 2 255 0',
    '0003 3 255 0',
  ]);
  assert.equal(rig.boot().slice(0, 3).map(brief), ['0001 1 0 1', '0002 2 255 0', '0003 3 1 1']);
});

offers('test_hot_add: before, during and after; each can be opened', () => {
  const devices = [1, 2, 3].map((i) => new RigDevice(i));
  const rig = new Rig({ devices: [devices[0]!] });
  rig.connect(VmbusVersion.V3_0);
  rig.server.hotAdd(devices[1]!);
  assert.is(rig.partition.received.length, 1, 'waits for REQUEST_OFFERS');
  assert.is(rig.post(REQUEST).length, 3);
  rig.server.hotAdd(devices[2]!);
  assert.is(brief(rig.partition.received.at(-1)!.hex), '0003 3 255 0');
  for (const id of [1, 2, 3]) assert.is(rig.open(id), opened(id));
  rig.server.reset();
  for (const device of devices) assert.is(device.calls.at(-1), 'close');
});

offers('the same device twice is a mistake of the caller', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  assert.throws(() => rig.server.hotAdd(device), /offered already/);
});

offers('knob offerPacing: the next offer when the one before has reached its slot', () => {
  const devices = [1, 2, 3].map((i) => new RigDevice(i));
  const rig = new Rig({ devices, knobs: { offerPacing: 'one-by-one' } });
  rig.connect(VmbusVersion.V3_0);
  rig.partition.taking = false;
  rig.post(REQUEST);
  // One in the slot, one behind it so that the guest sees message-pending
  assert.is(rig.partition.queuedMessages(), 1);
  rig.server.rescind(devices[2]!);
  const seen: string[] = [];
  for (let taken; (taken = rig.partition.take()) !== undefined;) {
    assert.ok(rig.partition.queuedMessages() <= 1);
    seen.push(taken.hex.length > 100 ? brief(taken.hex) : taken.hex);
  }
  assert.equal(seen, ['0001 1 255 0', '0002 2 255 0', '0003 3 255 0', DELIVERED, rescinded(3)]);
});

offers('knob offerPacing: all at once otherwise, whether the guest takes them or not', () => {
  const devices = [1, 2, 3].map((i) => new RigDevice(i));
  const rig = new Rig({ devices, knobs: { offerPacing: 'burst' } });
  rig.connect(VmbusVersion.V3_0);
  rig.partition.taking = false;
  rig.post(REQUEST);
  // One in the slot, two offers and ALL_OFFERS_DELIVERED behind it
  assert.is(rig.partition.queuedMessages(), 3);
});

offers('inert devices refuse to be opened', () => {
  const id = '00000000-0000-0000-0000-000000000001';
  const rig = new Rig({ devices: [inertDevice(DeviceClass.HEARTBEAT, id)] });
  rig.boot();
  assert.is(rig.open(1), opened(1, 0x8000ffff));
  assert.is(rig.server.inspect().channels[0]!.state, 'closed');
  assert.is(rig.signal(0x2001), 0x12);
});

offers.run();

const rescind = suite('vmbus-server: rescind');

rescind('the golden RESCIND and RELID_RELEASED; the number is free after the release only', () => {
  const devices = [1, 2, 3, 4, 5].map((i) => new RigDevice(i));
  const rig = new Rig({ devices });
  rig.boot();
  rig.server.rescind(devices[4]!);
  assert.is(rig.partition.received.at(-1)!.hex, SAMPLES['rescind']!.hex);
  rig.server.hotAdd(new RigDevice(6));
  assert.is(brief(rig.partition.received.at(-1)!.hex), '0006 6 255 0');
  assert.equal(rig.post(SAMPLES['relid_released']!.hex), []);
  rig.server.hotAdd(new RigDevice(7));
  assert.is(brief(rig.partition.received.at(-1)!.hex), '0007 5 255 0');
});

rescind('an open channel: the device closes, messages of an unknowing guest are ignored', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot();
  rig.open(1);
  rig.server.rescind(device);
  assert.is(device.calls.at(-1), 'close');
  assert.is(rig.signal(0x2001), 0, 'signals succeed and do nothing');
  assert.equal(rig.post(openChannel(1, 0x101, 2)), []);
  assert.equal(rig.post(words(MessageType.CLOSE_CHANNEL, 0, 1)), []);
  assert.equal(rig.violations, []);
  rig.run(10 * MESSAGE_LATENCY);
  assert.not(device.calls.includes('signalled'));
  assert.is(rig.server.inspect().channels[0]!.state, 'revoked');
  assert.is(rig.server.inspect().gpadls.length, 1, 'kept until the guest acts');
  rig.post(released(1));
  assert.equal(rig.server.inspect().channels, []);
  assert.equal(rig.server.inspect().gpadls, []);
  assert.is(rig.signal(0x2001), 0x12);
});

rescind('test_gpadl_on_revoked_channel: created and torn down are still answered', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot();
  rig.server.rescind(device);
  assert.equal(rig.post(gpadlHeader(1, 7, [RING_PFN])), [created(1, 7, 0)]);
  assert.equal(rig.post(teardown(1, 7)), [torndown(7)]);
  assert.equal(device.calls, ['attach'], 'the device is not asked');
});

rescind('a GPADL that the device held is torn down with the rescind', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot();
  rig.open(1);
  rig.post(gpadlHeader(1, 7, [0x40]));
  device.holds.add(7);
  assert.equal(rig.post(teardown(1, 7)), []);
  rig.server.rescind(device);
  assert.equal(
    rig.partition.received.slice(-2).map((received) => received.hex),
    [torndown(7), rescinded(1)],
  );
});

rescind('reoffered before the release: the same number, at once when it is released', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  const [offer] = rig.boot();
  rig.open(1);
  rig.server.rescind(device);
  const before = rig.partition.received.length;
  rig.server.hotAdd(device);
  assert.is(rig.partition.received.length, before, 'not while the guest holds the old number');
  assert.is(rig.server.inspect().channels[0]!.state, 'reoffered');
  assert.equal(rig.post(openChannel(1, 0x101, 2)), []);
  assert.equal(rig.post(released(1)), [offer]);
  assert.is(rig.open(1), opened(1));
});

rescind('reoffered and rescinded again: gone with the release', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot();
  rig.server.rescind(device);
  rig.server.hotAdd(device);
  rig.server.rescind(device);
  assert.equal(rig.post(released(1)), []);
  assert.equal(rig.server.inspect().channels, []);
});

rescind('a rescind between CLOSE and UNLOAD is survived', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot();
  rig.open(1);
  rig.post(words(MessageType.CLOSE_CHANNEL, 0, 1));
  rig.server.rescind(device);
  assert.equal(rig.post(plain(MessageType.UNLOAD)), [plain(MessageType.UNLOAD_RESPONSE)]);
  assert.equal(rig.grants(), []);
  assert.equal(rig.boot(), [DELIVERED]);
});

rescind('before the guest has asked for offers nothing is said', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.connect(VmbusVersion.V3_0);
  rig.server.rescind(device);
  assert.equal(rig.post(REQUEST), [DELIVERED]);
});

rescind('a guest may release a closed channel; it comes back with the next connection', () => {
  const rig = new Rig({ devices: [new RigDevice(1)] });
  const [offer] = rig.boot();
  assert.equal(rig.post(released(1)), []);
  assert.equal(rig.post(gpadlHeader(1, 7, [0x40])), [created(1, 7, 0x8000ffff)]);
  assert.is(rig.boot()[0], offer);
});

rescind('knob relidReleased: an offered channel is gone, or as it was', () => {
  for (const relidReleased of ['taken', 'ignored'] as const) {
    const rig = new Rig({ devices: [new RigDevice(1)], knobs: { relidReleased } });
    rig.boot();
    rig.post(gpadlHeader(1, 7, [0x40, 0x41]));
    assert.equal(rig.post(released(1)), []);
    const isGone = relidReleased === 'taken';
    const status = isGone ? 0x8000ffff : 0;
    assert.equal(rig.post(gpadlHeader(1, 8, [0x42])), [created(1, 8, status)], relidReleased);
    // What was shared with it ends with it
    assert.is(
      rig.server.inspect().gpadls.some(({ id }) => id === 7),
      !isGone,
    );
  }
});

rescind('an open channel cannot be released', () => {
  const rig = new Rig({ devices: [new RigDevice(1)] });
  rig.boot();
  rig.open(1);
  rig.post(released(1));
  assert.is(rig.violations.length, 1);
  assert.is(rig.server.inspect().channels[0]!.state, 'open');
});

rescind.run();

const messages = suite('vmbus-server: messages');

messages('each is handled a latency after it came, in order', () => {
  const rig = new Rig();
  rig.postOnly(initiate(VmbusVersion.V3_0));
  rig.run(400);
  rig.postOnly(REQUEST);
  rig.run(MESSAGE_LATENCY - 401);
  assert.is(rig.partition.received.length, 0);
  rig.run(1);
  assert.is(rig.partition.received.length, 1);
  rig.run(399);
  assert.is(rig.partition.received.length, 1);
  rig.run(1);
  assert.is(rig.partition.received.length, 2);
});

messages('the queue holds 64; then HvPostMessage fails with INSUFFICIENT_BUFFERS', () => {
  const rig = new Rig();
  rig.connect(VmbusVersion.V3_0);
  for (let i = 0; i < 64; i++) assert.is(rig.postOnly(REQUEST), 0);
  assert.is(rig.postOnly(REQUEST), 0x13);
  assert.is(rig.server.inspect().guestMessagesQueued, 64);
  rig.run(MESSAGE_LATENCY);
  assert.is(rig.postOnly(REQUEST), 0);
});

messages('knob backPressure: stop-reading while something is undelivered', () => {
  for (const backPressure of ['stop-reading', 'unbounded'] as const) {
    const rig = new Rig({ devices: [new RigDevice(1)], knobs: { backPressure } });
    rig.boot();
    rig.partition.taking = false;
    // The first answer fills the slot, the second queues behind it
    for (let i = 1; i <= 4; i++) rig.postOnly(gpadlHeader(1, i, [0x40]));
    rig.run(10 * MESSAGE_LATENCY);
    const left = backPressure === 'stop-reading' ? 2 : 0;
    assert.is(rig.server.inspect().guestMessagesQueued, left, backPressure);
    const seen = [];
    for (let taken; (taken = rig.partition.take()) !== undefined; rig.run(1)) seen.push(taken.hex);
    assert.equal(
      seen,
      [1, 2, 3, 4].map((i) => created(1, i, 0)),
    );
  }
});

messages('whatever a guest may not send is a violation and not answered', () => {
  const rig = new Rig({ devices: [new RigDevice(1)] });
  rig.boot(VmbusVersion.V6_0);
  for (let type = 0; type < 40; type++) {
    if (GUEST_MESSAGES.has(type)) continue;
    const before = rig.violations.length;
    assert.equal(rig.post(words(type, 0) + '00'.repeat(188)), [], `type ${type}`);
    assert.is(rig.violations.length, before + 1, `type ${type}`);
  }
});

messages('whatever is too short is a violation and not answered', () => {
  for (const [type, { minLength, name }] of GUEST_MESSAGES) {
    const rig = new Rig();
    rig.post(initiate(VmbusVersion.V6_0, { info: '02000000' + words(0x24) }));
    for (const length of [0, 4, 7, minLength - 1]) {
      const before = rig.violations.length;
      const message = (words(type, 0) + '00'.repeat(232)).slice(0, length * 2);
      assert.equal(rig.post(message), [], `${name} of ${length}`);
      assert.is(rig.violations.length, before + 1, `${name} of ${length}`);
    }
  }
});

messages('nothing but INITIATE_CONTACT is understood while disconnected', () => {
  const rig = new Rig({ devices: [new RigDevice(1)] });
  for (const [type, { minVersion, name }] of GUEST_MESSAGES) {
    if (minVersion === 0) continue;
    assert.equal(rig.post(words(type, 0) + '00'.repeat(180)), [], name);
  }
  assert.is(rig.violations.length, [...GUEST_MESSAGES.values()].filter((r) => r.minVersion).length);
});

messages('a message of a later version is not understood', () => {
  const rig = new Rig({ devices: [new RigDevice(1)] });
  rig.boot(VmbusVersion.V4_0);
  rig.open(1);
  assert.equal(rig.post(words(MessageType.MODIFY_CHANNEL, 0, 1, 0)), []);
  assert.match(rig.violations[0]!, 'not in version 4.0');
});

messages('trailing bytes are accepted (mu_msvm pads to 240)', () => {
  const rig = new Rig({ devices: [new RigDevice(1)] });
  rig.connect(VmbusVersion.V3_0);
  assert.is(rig.post(REQUEST + '00'.repeat(232)).length, 2);
  const padded = gpadlHeader(1, 7, [0x40]).padEnd(480, '0');
  assert.equal(rig.post(padded), [created(1, 7, 0)]);
  assert.is(rig.server.inspect().gpadls[0]!.pfns.length, 1);
});

messages('another SynIC message type is not looked at', () => {
  const rig = new Rig();
  const port = rig.partition.messagePorts.get(1)!;
  assert.is(port(2, initiate(VmbusVersion.V3_0), 0), 0);
  rig.run(MESSAGE_LATENCY);
  assert.is(rig.partition.received.length, 0);
  assert.is(rig.violations.length, 1);
});

messages('faults: drop, change, delay, duplicate, unsolicited', () => {
  const rig = new Rig();
  const types: number[] = [];
  rig.server.faults = {
    message(type) {
      types.push(type);
      if (types.length === 1) return 'drop';
      if (types.length === 2) return unhex(words(99, 0));
      if (types.length === 3) return { delayTicks: 5000 };
      if (types.length === 4) return { duplicates: 2 };
      return undefined;
    },
  };
  const contact = initiate(VmbusVersion.V3_0);
  const answer = SAMPLES['version_response_ok_version_echo']!.hex;
  assert.equal(rig.post(contact), []);
  assert.equal(rig.post(contact), [words(99, 0)]);
  assert.equal(rig.post(contact), []);
  rig.run(5000);
  assert.is(rig.partition.received.at(-1)!.hex, answer);
  assert.equal(rig.post(contact), [answer, answer, answer]);
  rig.server.postUnsolicited(unhex(torndown(9)));
  assert.is(rig.partition.received.at(-1)!.hex, torndown(9));
  assert.equal(types, [15, 15, 15, 15, 12]);
  assert.is(rig.log.filter((event) => event.kind === 'fault').length, 4);
});

messages.run();
