// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Scenarios of OpenVMM's own tests against the simulated VMBus server: those that no other test
 * here mirrors by name. What they assert is told in our words.
 *
 *     vmbus_server/src/channels/tests.rs
 *     here                    pipe_offer_data_…, …_gpa_pinning_…, test_channel_lifetime_copper,
 *                             _copper_open_flags, test_hvsock, _rs3, _rs5, test_reserved_channels,
 *                             ★ …_close_response_after_unload, test_disconnected_reset,
 *                             test_pending_messages, test_offer_requires_pinning_…
 *     vmbus-server-contact    test_version_negotiation_* (★ …_interrupt_page), ★ test_disconnect,
 *                             ★ test_disconnect_open_channels, ★ test_reinitiate_contact,
 *                             test_modify_connection, _unsupported
 *     vmbus-server-gpadls     test_channel_lifetime, _iron, _copper_guest_signal,
 *                             ★ test_gpadl_create_failure, ★ test_gpadl_in_progress_reset
 *     vmbus-server-offers     test_hot_add, test_mnf_channel, ★ test_channel_id_order, _absolute
 *     vmbus-server-rings      test_mnf_channel_open_with_interrupts_disabled
 *     left out                test_save_restore_*, test_restore_* (16): a simulated host is not
 *                             saved; test_server_monitor_page: its pages lie outside of the RAM
 *                             that guests have here; test_confidential_*: no trusted path
 *
 *     vmbus_server/src/tests.rs
 *     vmbus-server-contact    test_pause_resume
 *     vmbus-server-offers     ★ test_gpadl_on_revoked_channel
 *     host-subchannels        ★ test_revoke_subchannels_before_primary
 *     left out                test_save_restore, test_server_monitor_page, test_confidential_*, as
 *                             above; test_stopped_child: devices here answer at once
 *
 *     vmbus_ring, vmbus_async, hv1_emulator, hv1_hypercall, vmbus_core, vmbus_server
 *     here                    large_offset, test_gpa_direct, test_transfer_pages,
 *                             test_outgoing_message, monitor assign_release
 *     vmbus-server-rings      test_ring, test_ring_full, test_interrupt_mask, test_malformed_*,
 *                             test_pending_send_size; test_atomic_bitmap is the scan of the
 *                             interrupt page
 *     partition-synic, -time  test_message_queues; timers restored_*, without a restore
 *     partition-hypercalls    null, simple, rep, rep_fail of hv1_hypercall
 *     left out                other register conventions of hv1_hypercall; vmbus_client and
 *                             hyperv_ic: a guest's part
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { SAMPLES } from '../../../rigs/golden/golden.ts';
import {
  MESSAGE_LATENCY,
  RING_LATENCY,
  RING_PFN,
  Rig,
  RigDevice,
  created,
  gpadlHeader,
  hex,
  inband,
  initiate,
  openChannel,
  opened,
  plain,
  teardown,
  torndown,
  unhex,
  words,
} from '../../../rigs/vmbus-server-rig.ts';

const UNLOAD = plain(MessageType.UNLOAD);
const UNLOADED = plain(MessageType.UNLOAD_RESPONSE);
const REQUEST = plain(MessageType.REQUEST_OFFERS);
const PFNS = [0, 1, 2, 3].map((i) => RING_PFN + i);

/** INITIATE_CONTACT of 6.0 with features. */
function copper(features: number): Uint8Array {
  return initiate(VmbusVersion.V6_0, { info: '02000000' + words(features) });
}

/** A server at 6.0 with these features and one device, its rings established. */
function copperRig(features: number): { rig: Rig; device: RigDevice } {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.post(copper(features));
  rig.post(REQUEST);
  rig.post(gpadlHeader(1, 0x101, PFNS));
  return { rig, device };
}

const peers = suite('host: scenarios of OpenVMM, channels');

peers('pipe_offer_data_is_encoded_in_user_defined_data: 120 bytes and the pipe flags', () => {
  const userDefined = Uint8Array.from({ length: 120 }, (_, i) => i);
  userDefined.set([4, 0, 0, 0]);
  const device = Object.assign(new RigDevice(1), { userDefined, offerFlags: 0x11 });
  const [offer] = new Rig({ devices: [device] }).boot();
  assert.is(offer!.slice(56 * 2, 58 * 2), '1100');
  assert.is(offer!.slice(60 * 2, 180 * 2), hex(userDefined));
});

peers('test_version_negotiation_gpa_pinning_requires_server_support', () => {
  const rig = new Rig({ profile: { vmbusFeatures: 0xff } });
  const [answer] = rig.post(copper(0xff & ~0x8));
  assert.is(answer!.slice(32), words(0x27), 'no trusted path, no pages, no pinning');
});

peers('test_offer_requires_pinning_only_when_negotiated, test_confidential_*: never here', () => {
  const device = Object.assign(new RigDevice(1), { offerFlags: 0x1f });
  const rig = new Rig({ devices: [device], profile: { vmbusFeatures: 0xff } });
  rig.post(copper(0xff & ~0x8));
  assert.is(rig.post(REQUEST)[0]!.slice(56 * 2, 58 * 2), '1100');
});

peers('test_channel_lifetime_copper: connection ID and event flag are those of the offer', () => {
  const { rig, device } = copperRig(0);
  assert.equal(rig.post(openChannel(1, 0x101, 2, 4)), [opened(1)]);
  assert.is(rig.signal(0x2001), 0);
  rig.raised();
  send(device);
  assert.equal(rig.raised(), [{ vp: 4, sint: 2, flag: 1 }]);
  // MODIFY_CHANNEL, CLOSE_CHANNEL, GPADL_TEARDOWN
  assert.equal(rig.post(words(MessageType.MODIFY_CHANNEL, 0, 1, 5)), [words(24, 0, 1, 0)]);
  rig.rings(1).read(32);
  send(device);
  assert.equal(rig.raised(), [{ vp: 5, sint: 2, flag: 1 }]);
  assert.equal(rig.post(words(MessageType.CLOSE_CHANNEL, 0, 1)), []);
  assert.equal(rig.post(teardown(1, 0x101)), [torndown(0x101)]);
});

peers('test_channel_lifetime_copper_open_flags: redirected only where it was agreed', () => {
  for (const features of [0x1, 0x2]) {
    const { rig, device } = copperRig(features);
    const open = openChannel(1, 0x101, 2, 4);
    // The message is longer with either feature
    assert.equal(rig.post(open), []);
    assert.equal(rig.post(open + words(0x3000, 0x10000 | 9)), [opened(1)]);
    rig.raised();
    send(device);
    const agreed = features === 0x2;
    assert.equal(rig.raised(), [{ vp: 4, sint: agreed ? 7 : 2, flag: agreed ? 1 : 9 }]);
    assert.is(rig.signal(agreed ? 0x2001 : 0x3000), 0);
  }
});

peers(
  'test_hvsock, _rs3, _rs5: an answer from 4.1 on; the silo from 5.2 on, or the old size',
  () => {
    const request = SAMPLES['tl_connect_request']!.hex;
    const refused = words(23, 0) + request.slice(16) + words(0xc0000236);
    for (const version of [VmbusVersion.V4_0, VmbusVersion.V4_1, VmbusVersion.V5_2]) {
      const rig = new Rig();
      rig.connect(version);
      const answers = version === VmbusVersion.V4_0 ? [] : [refused];
      assert.equal(rig.post(request), answers);
      assert.equal(rig.post(request + '5a'.repeat(16)), answers);
      assert.equal(rig.violations, []);
    }
    const old = new Rig();
    old.connect(VmbusVersion.V3_0);
    assert.equal(old.post(request), []);
    assert.is(old.violations.length, 1);
  },
);

peers('test_pending_messages: one that waits lets all others wait, in order', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device], knobs: { backPressure: 'unbounded' } });
  rig.boot(VmbusVersion.V5_3);
  rig.partition.taking = false;
  rig.postOnly(gpadlHeader(1, 0x100, [0x40]));
  rig.postOnly(gpadlHeader(1, 0x101, PFNS));
  rig.postOnly(openChannel(1, 0x101, 2));
  rig.run(MESSAGE_LATENCY);
  const seen: string[] = [];
  for (let taken; (taken = rig.partition.take()) !== undefined;) seen.push(taken.hex);
  assert.equal(seen, [created(1, 0x100, 0), created(1, 0x101, 0), opened(1)]);
});

peers('test_pending_messages: what goes to a target of its own is lost instead', () => {
  const { rig } = reservedRig();
  const { partition } = rig;
  const busy = partition.queuedMessages.bind(partition);
  partition.queuedMessages = (_vp?: number, sint?: number) => (sint === 6 ? 1 : busy());
  const before = partition.received.length;
  assert.equal(rig.post(closeReserved(1, 3, 6)), []);
  assert.is(partition.received.length, before);
  assert.is(rig.violations.length, 1);
});

peers('test_outgoing_message: the bytes of CLOSE_CHANNEL and UNLOAD', () => {
  const devices = [1, 2, 3, 4, 5].map((i) => new RigDevice(i));
  const rig = new Rig({ devices });
  rig.boot(VmbusVersion.V5_3);
  rig.open(5);
  assert.equal(rig.post('07000000 00000000 05000000'.replaceAll(' ', '')), []);
  assert.is(devices[4]!.calls.at(-1), 'close');
  assert.equal(rig.post('10000000 00000000'.replaceAll(' ', '')), ['1100000000000000']);
});

peers('monitor assign_release: the lowest that is free', () => {
  const devices = [1, 2, 3].map((i) => Object.assign(new RigDevice(i), { monitored: true }));
  const rig = new Rig({ devices });
  rig.boot(VmbusVersion.V5_3);
  const monitors = () => rig.server.inspect().channels.map(({ monitor }) => monitor);
  assert.equal(monitors(), [0, 1, 2]);
  rig.server.rescind(devices[1]!);
  rig.post(words(MessageType.RELID_RELEASED, 0, 2));
  rig.server.hotAdd(Object.assign(new RigDevice(4), { monitored: true }));
  assert.equal(monitors(), [0, 2, 1]);
});

peers.run();

// --- reserved channels ---

function openReserved(channel: number, vp: number, sint: number, gpadl = 0x101): string {
  return words(MessageType.OPEN_RESERVED_CHANNEL, 0, channel, vp, sint, gpadl, 2);
}

function closeReserved(channel: number, vp: number, sint: number): string {
  return words(MessageType.CLOSE_RESERVED_CHANNEL, 0, channel, vp, sint);
}

const reservedOpened = (id: number) => words(MessageType.OPEN_CHANNEL_RESULT, 0, id, 0, 0);
const reservedClosed = (id: number) => words(MessageType.CLOSE_RESERVED_RESPONSE, 0, id);

/** A server with two devices, the first of which is open and reserved for VP 3, SINT 6. */
function reservedRig(): { rig: Rig; devices: RigDevice[] } {
  const devices = [new RigDevice(1), new RigDevice(2)];
  const rig = new Rig({ devices });
  rig.boot(VmbusVersion.V5_3);
  rig.post(gpadlHeader(1, 0x101, PFNS));
  assert.equal(rig.post(openReserved(1, 3, 6)), [reservedOpened(1)]);
  const { vp, sint } = rig.partition.received.at(-1)!;
  assert.equal([vp, sint], [3, 6]);
  return { rig, devices };
}

const reserved = suite('host: scenarios of OpenVMM, reserved channels');

reserved('test_reserved_channels: answers, interrupts and packets', () => {
  const { rig, devices } = reservedRig();
  rig.rings(1).write(inband('01', 0));
  assert.is(rig.signal(0x2001), 0);
  rig.run(RING_LATENCY);
  assert.is(devices[0]!.packets.length, 1);
  rig.raised();
  send(devices[0]!);
  assert.equal(rig.raised(), [{ vp: 3, sint: 6, flag: 1 }]);
  assert.ok(rig.server.inspect().channels[0]!.reserved);
  // The close names a target of its own
  assert.equal(rig.post(closeReserved(1, 5, 9)), [reservedClosed(1)]);
  const { vp, sint } = rig.partition.received.at(-1)!;
  assert.equal([vp, sint], [5, 9]);
  // The GPADL is there until it is torn down, and the channel may be opened either way
  assert.equal(rig.post(openChannel(1, 0x101, 2)), [opened(1)]);
});

reserved('test_reserved_channels: what does not fit is not answered', () => {
  const { rig } = reservedRig();
  const wrong = [
    words(MessageType.CLOSE_CHANNEL, 0, 1),
    openChannel(1, 0x101, 2),
    openReserved(1, 3, 6),
    openReserved(9, 3, 6),
    openReserved(2, 8, 6),
    openReserved(2, 3, 16),
    closeReserved(2, 3, 6),
    closeReserved(1, 8, 6),
    words(MessageType.RELID_RELEASED, 0, 1),
    teardown(1, 0x101),
  ];
  for (const [i, message] of wrong.entries()) {
    assert.equal(rig.post(message), [], `${i}`);
    assert.is(rig.violations.length, i + 1, `${i}`);
  }
  // A GPADL and a MODIFY_CHANNEL are answered, with a failure
  assert.equal(rig.post(gpadlHeader(1, 0x102, [0x40])), [created(1, 0x102, 0x8000ffff)]);
  assert.equal(rig.post(words(MessageType.MODIFY_CHANNEL, 0, 1, 2)), [words(24, 0, 1, 0x8000ffff)]);
  // The same GPADL ID on another channel is another GPADL
  assert.equal(rig.post(gpadlHeader(2, 0x101, [0x41])), [created(2, 0x101, 0)]);
});

reserved(
  'OPEN_RESERVED_CHANNEL fails as OPEN_CHANNEL does, to its own target; not below 4.0',
  () => {
    const rig = new Rig({ devices: [new RigDevice(1)] });
    rig.boot(VmbusVersion.V4_0);
    assert.equal(rig.post(openReserved(1, 3, 6, 0x999)), [words(6, 0, 1, 0, 0x8000ffff)]);
    assert.is(rig.partition.received.at(-1)!.sint, 6);
    const old = new Rig({ devices: [new RigDevice(1)] });
    old.boot(VmbusVersion.V3_0);
    old.post(gpadlHeader(1, 0x101, PFNS));
    assert.equal(old.post(openReserved(1, 3, 6)), []);
  },
);

reserved('★ test_reserved_channel_close_response_after_unload', () => {
  const { rig, devices } = reservedRig();
  assert.equal(rig.post(UNLOAD), [UNLOADED]);
  assert.not(devices[0]!.calls.includes('close'), 'it survives');
  assert.equal(rig.grants(), [`gpadl:${RING_PFN}`]);
  assert.is(rig.server.inspect().phase, 'disconnected');
  assert.is(rig.server.inspect().channels[0]!.state, 'open');
  assert.equal(rig.post(closeReserved(1, 3, 6)), [reservedClosed(1)], 'though disconnected');
  assert.equal(rig.grants(), []);
  assert.is(rig.server.inspect().channels[0]!.state, 'released');
  assert.equal(rig.violations, []);
});

reserved('a reserved channel of a guest that is gone is not offered to the next one', () => {
  const { rig, devices } = reservedRig();
  rig.post(UNLOAD);
  const ids = () =>
    rig.partition.received
      .filter(({ hex: bytes }) => bytes.startsWith('01000000'))
      .slice(-1)
      .map(({ hex: bytes }) => new DataView(unhex(bytes).buffer).getUint32(184, true));
  assert.is(rig.boot(VmbusVersion.V5_3).length, 2, 'the other device');
  assert.equal(ids(), [2]);
  // The next guest may close it; then it is offered
  rig.post(closeReserved(1, 3, 6));
  assert.equal(ids(), [1]);
  assert.is(devices[0]!.calls.at(-1), 'close');
});

reserved('a device that goes takes its reserved channel with it', () => {
  const { rig, devices } = reservedRig();
  rig.post(UNLOAD);
  const before = rig.partition.received.length;
  rig.server.rescind(devices[0]!);
  assert.is(devices[0]!.calls.at(-1), 'close');
  assert.is(rig.partition.received.length, before, 'nobody could be told');
  assert.equal(rig.grants(), []);
});

reserved('a rescinded one is closed with an answer, and ends with its connection', () => {
  const { rig, devices } = reservedRig();
  rig.server.rescind(devices[0]!);
  assert.is(rig.partition.received.at(-1)!.hex, words(2, 0, 1));
  assert.equal(rig.post(closeReserved(1, 3, 6)), [reservedClosed(1)]);
  assert.equal(rig.post(words(MessageType.RELID_RELEASED, 0, 1)), []);
  assert.equal(rig.grants().includes(`gpadl:${RING_PFN}`), false);
  assert.equal(rig.violations, []);

  const other = reservedRig();
  other.rig.server.rescind(other.devices[0]!);
  other.rig.post(UNLOAD);
  assert.equal(other.rig.grants(), []);
});

reserved('test_disconnected_reset: a reset closes reserved channels, too', () => {
  const { rig, devices } = reservedRig();
  rig.post(UNLOAD);
  rig.server.reset();
  assert.is(devices[0]!.calls.at(-1), 'close');
  assert.equal(rig.grants(), []);
  assert.is(rig.boot(VmbusVersion.V5_3).length, 3);
});

reserved.run();

// --- rings ---

const rings = suite('host: scenarios of OpenVMM, rings');

function openRig(): { rig: Rig; device: RigDevice } {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot(VmbusVersion.V5_3);
  rig.open(1);
  return { rig, device };
}

rings('large_offset: a range that begins behind its first page is refused', () => {
  const { rig } = openRig();
  const header = words(MessageType.GPADL_HEADER, 0, 1, 7, 16 + 0x10000);
  assert.equal(rig.post(header + words(0x1000, 0x1000, 0x40, 0)), [created(1, 7, 0x8000ffff)]);
  assert.equal(rig.post(header + words(1, 0xfff, 0x40, 0)), [created(1, 7, 0)]);
});

rings('test_gpa_direct: ranges and payload as the guest wrote them', () => {
  const { rig, device } = openRig();
  const seen: [number, number, string][] = [];
  device.onSignal = (channel) => {
    for (let packet; (packet = channel.receive()) !== undefined;)
      seen.push([packet.type, packet.payloadOffset, hex(packet.bytes.subarray(16, packet.length))]);
  };
  const ranges = words(0, 2) + words(100, 8, 0x40, 0) + words(0x1008, 0, 0x41, 0, 0x42, 0);
  const body = ranges + words(1, 2);
  const qlen = 2 + body.length / 16;
  const descriptor = words(9 | ((2 + ranges.length / 16) << 16), qlen | (1 << 16), 5, 0);
  rig.rings(1).write(descriptor + body + words(0, 0));
  rig.signal(0x2001);
  rig.run(RING_LATENCY);
  assert.equal(seen, [[9, 16 + ranges.length / 2, body]]);
});

rings('test_transfer_pages: set, ranges, payload and footer', () => {
  const { rig, device } = openRig();
  const extra = unhex(words(0xcafe, 2, 100, 0, 200, 1728));
  device.channel!.send(7, 1, 3, 9, extra, extra.length, unhex(words(1, 2, 3)), 12);
  const bytes = rig.rings(1).read(16 + 24 + 16 + 8);
  const descriptor = words(7 | (5 << 16), 7 | (1 << 16), 3, 9);
  assert.is(bytes, descriptor + words(0xcafe, 2, 100, 0, 200, 1728, 1, 2, 3, 0, 0, 0));
});

rings.run();

/** The device sends eight bytes. */
function send(device: RigDevice): void {
  const none = new Uint8Array(8);
  assert.ok(device.channel!.send(6, 0, 0, 0, none, 0, none, 8));
}
