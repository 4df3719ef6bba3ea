// SPDX-License-Identifier: GPL-2.0-or-later

/** The simulated VMBus server: INITIATE_CONTACT and UNLOAD, and what a host remembers of them. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MessageType, VmbusVersion, versionText } from '../../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import { SAMPLES } from '../../../rigs/golden/golden.ts';
import {
  MESSAGE_LATENCY,
  MONITOR_IN,
  Rig,
  RigDevice,
  created,
  gpadlHeader,
  initiate,
  plain,
  words,
} from '../../../rigs/vmbus-server-rig.ts';

const UNLOAD = plain(MessageType.UNLOAD);
const UNLOADED = plain(MessageType.UNLOAD_RESPONSE);
const REQUEST = plain(MessageType.REQUEST_OFFERS);
const PAGES = ['interrupt-page:1', 'monitor-page:2', 'monitor-page:3'];

function sampleHex(name: string): string {
  return SAMPLES[name]!.hex;
}

const REFUSED = sampleHex('version_response_unsupported');

/** VERSION_RESPONSE 1, state, then words. */
function answer(state: number, ...rest: number[]): string {
  return words(15, 0) + `01${state.toString(16).padStart(2, '0')}0000` + words(...rest);
}

const contact = suite('vmbus-server: contact');

contact('test_version_negotiation_not_supported: all zero, stays disconnected', () => {
  const rig = new Rig();
  assert.equal(rig.post(initiate(0x00030001)), [REFUSED]);
  assert.is(rig.server.inspect().phase, 'disconnected');
  assert.equal(rig.grants(), []);
  // The guest may try again at once
  assert.equal(rig.post(initiate(VmbusVersion.V3_0)), [
    sampleHex('version_response_ok_version_echo'),
  ]);
});

contact('test_version_negotiation_success: each version by exact match, with its answer', () => {
  const known: readonly number[] = Object.values(VmbusVersion);
  for (const version of known) {
    const rig = new Rig();
    const expected =
      version < VmbusVersion.V5_0
        ? answer(0, version)
        : version < VmbusVersion.V6_0
          ? sampleHex('version_response_ok_connid1')
          : answer(0, 1, 0);
    assert.equal(rig.post(initiate(version)), [expected], versionText(version));
    assert.is(rig.server.inspect().version, version);
    for (const near of [version - 1, version + 1].filter((v) => !known.includes(v)))
      assert.equal(new Rig().post(initiate(near)), [REFUSED], `near ${versionText(version)}`);
  }
});

contact('a profile refuses what is not on its list', () => {
  const rig = new Rig({ profile: { vmbusVersions: [VmbusVersion.V0_13, VmbusVersion.V2_4] } });
  assert.equal(rig.post(initiate(VmbusVersion.V3_0)), [REFUSED]);
  assert.equal(rig.post(initiate(VmbusVersion.V1_1)), [REFUSED]);
  assert.equal(rig.post(initiate(VmbusVersion.V2_4)), [answer(0, VmbusVersion.V2_4)]);
});

contact('knob echoVersion: the version field may stay 0 (QEMU)', () => {
  const rig = new Rig({ knobs: { echoVersion: false } });
  assert.equal(rig.post(initiate(VmbusVersion.V0_13)), [answer(0, 0)]);
});

contact('test_version_negotiation_interrupt_page: below 2.4 only, VP 0 below 3.0', () => {
  for (const version of Object.values(VmbusVersion)) {
    const rig = new Rig();
    rig.post(initiate(version, { targetVp: 3 }));
    const { interruptPage, targetVp } = rig.server.inspect();
    assert.is(interruptPage, version < VmbusVersion.V2_4 ? 0x1000 : undefined);
    assert.is(targetVp, version < VmbusVersion.V3_0 ? 0 : 3);
    assert.is(rig.partition.received[0]!.vp, targetVp);
    assert.equal(rig.grants(), version < VmbusVersion.V2_4 ? PAGES : PAGES.slice(1));
  }
});

contact('a refusal goes to the VP of before, which stays', () => {
  const rig = new Rig();
  rig.post(initiate(VmbusVersion.V3_0, { targetVp: 2 }));
  rig.post(initiate(0x00070000, { targetVp: 5 }));
  assert.is(rig.partition.received[1]!.hex, REFUSED);
  assert.is(rig.partition.received[1]!.vp, 2);
  // And the unknown version has cost the connection
  assert.is(rig.server.inspect().phase, 'disconnected');
  assert.equal(rig.grants(), []);
});

contact('knob refusalVp: or to the VP that it is asked for, if there is such a one', () => {
  const rig = new Rig({ knobs: { refusalVp: 'requested' } });
  rig.post(initiate(VmbusVersion.V3_0, { targetVp: 2 }));
  rig.post(initiate(0x00070000, { targetVp: 5 }));
  rig.post(initiate(0x00070000, { targetVp: 5000 }));
  const refusals = rig.partition.received.slice(1);
  assert.equal(
    refusals.map(({ hex, vp }) => [hex, vp]),
    [
      [REFUSED, 5],
      [REFUSED, 5],
    ],
  );
});

contact('test_version_negotiation_multiclient_sint: another SINT is refused to that SINT', () => {
  const rig = new Rig();
  const other = initiate(VmbusVersion.V5_0, { info: '0300000000000000' });
  rig.connect(VmbusVersion.V3_0);
  assert.equal(rig.post(other, 4), [REFUSED]);
  assert.is(rig.partition.received[1]!.sint, 3);
  assert.is(rig.partition.received[1]!.vp, 0);
  assert.is(rig.server.inspect().version, VmbusVersion.V3_0, 'no change of state');
  // On port 1 the SINT is not looked at
  assert.equal(rig.post(other, 1), [answer(0, 1)]);
  assert.is(rig.partition.received[2]!.sint, 2);
  // Nor below 5.0
  assert.equal(rig.post(initiate(VmbusVersion.V4_1, { info: '0300000000000000' }), 4), [
    answer(0, VmbusVersion.V4_1),
  ]);
});

contact('a SINT that does not exist is a violation without an answer', () => {
  const rig = new Rig();
  assert.equal(rig.post(initiate(VmbusVersion.V5_0, { info: '1000000000000000' }), 4), []);
  assert.is(rig.violations.length, 1);
});

contact('test_version_negotiation_multiclient_vtl: another VTL has another server', () => {
  const rig = new Rig();
  const message = initiate(VmbusVersion.V5_1, { info: '0202000000000000' });
  assert.equal(rig.post(message, 4), []);
  assert.equal(rig.post(message, 1), [answer(0, 1)]);
});

contact('test_version_negotiation_feature_flags: supported and requested, the rest dropped', () => {
  const flags = (requested: number, length = 40) =>
    new Rig().post(initiate(VmbusVersion.V6_0, { info: '02000000' + words(requested), length }), 4);
  assert.equal(flags(0), [answer(0, 1, 0)]);
  assert.equal(flags(0x25), [answer(0, 1, 0x25)]);
  assert.equal(flags(0xffffff77), [answer(0, 1, 0x27)]);
  // The client ID needs its bytes
  assert.equal(flags(0x8), []);
  assert.equal(flags(0x8, 56), [answer(0, 1, 0x8)]);
});

contact('exactly one monitor page: failed, and below 2.4 unsupported', () => {
  for (const version of [VmbusVersion.V0_13, VmbusVersion.V2_4, VmbusVersion.V5_3]) {
    const rig = new Rig();
    const expected =
      version < VmbusVersion.V2_4 ? REFUSED : answer(2, version < VmbusVersion.V5_0 ? version : 1);
    assert.equal(rig.post(initiate(version, { monitorOut: 0 })), [expected]);
    assert.is(rig.server.inspect().phase, 'disconnected');
    assert.equal(rig.grants(), []);
  }
});

contact('pages that are not aligned or not RAM: failed, nothing is granted', () => {
  const bad = [
    initiate(VmbusVersion.V0_13, { info: words(0x1008, 0) }),
    initiate(VmbusVersion.V0_13, { info: words(0x1000, 1) }),
    initiate(VmbusVersion.V0_13, { info: words(0x7ffff000, 0) }),
    initiate(VmbusVersion.V0_13, { monitorIn: MONITOR_IN + 8 }),
    initiate(VmbusVersion.V0_13, { monitorOut: 0x7ffff000 }),
  ];
  for (const message of bad) {
    const rig = new Rig();
    assert.equal(rig.post(message), [REFUSED]);
    assert.equal(rig.grants(), []);
  }
});

contact('a virtual processor that does not exist: failed from 3.0 on', () => {
  const rig = new Rig();
  const message = (version: number) => initiate(version, { targetVp: 8 });
  assert.equal(rig.post(message(VmbusVersion.V3_0)), [answer(2, VmbusVersion.V3_0)]);
  assert.equal(rig.grants(), []);
  assert.equal(rig.post(message(VmbusVersion.V2_4)), [answer(0, VmbusVersion.V2_4)]);
});

contact('the golden INITIATE_CONTACT of Linux is understood', () => {
  const rig = new Rig({ pages: 0x33334 });
  assert.equal(rig.post(sampleHex('initiate_contact_5_3'), 4), [
    sampleHex('version_response_ok_connid1'),
  ]);
  assert.equal(rig.grants(), ['monitor-page:139810', 'monitor-page:209715']);
  assert.is(rig.server.inspect().targetVp, 3);
});

contact('knob returnedConnectionId: a strict host insists on its own', () => {
  const rig = new Rig({ knobs: { returnedConnectionId: 0x77 } });
  assert.equal(rig.post(initiate(VmbusVersion.V5_0), 4), [answer(0, 0x77)]);
  assert.equal(rig.post(REQUEST, 4), []);
  assert.is(rig.violations.length, 1);
  assert.equal(rig.post(REQUEST, 0x77), [plain(MessageType.ALL_OFFERS_DELIVERED)]);
});

contact('P-M4 Microsoft: who contacted on connection 1 goes on posting there', () => {
  const rig = new Rig({ knobs: { returnedConnectionId: 0x77 } });
  assert.equal(rig.post(initiate(VmbusVersion.V5_0), 1), [answer(0, 0x77)]);
  assert.equal(rig.post(REQUEST, 1), [plain(MessageType.ALL_OFFERS_DELIVERED)]);
  assert.equal(rig.violations, []);
});

contact('connection 4 is there only on hosts that have it', () => {
  const rig = new Rig({ profile: { multiClientPort: false } });
  assert.is(rig.postOnly(initiate(VmbusVersion.V5_0), 4), 0x12);
});

contact('test_reinitiate_contact: implicit disconnect without UNLOAD_RESPONSE', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot();
  rig.open(1);
  const pages = { monitorIn: 0x5000, monitorOut: 0x6000 };
  assert.equal(rig.post(initiate(VmbusVersion.V3_0, pages)), [answer(0, VmbusVersion.V3_0)]);
  assert.equal(device.calls, ['attach', 'open 1', 'close']);
  assert.equal(rig.grants(), ['monitor-page:5', 'monitor-page:6']);
  const { history } = rig.server.inspect();
  assert.is(history[0]!.endedBy, 'INITIATE_CONTACT');
  assert.is(history[1]!.endedBy, undefined);
});

contact('knob reinitiate: hosts before 2012 R2 ignore it', () => {
  const rig = new Rig({ knobs: { reinitiate: 'ignore' } });
  rig.connect(VmbusVersion.V0_13);
  assert.equal(rig.post(initiate(VmbusVersion.V2_4)), []);
  assert.is(rig.server.inspect().version, VmbusVersion.V0_13);
  assert.equal(rig.grants(), PAGES);
});

contact('test_modify_connection, _unsupported', () => {
  const modify = (a: number, b: number) => words(MessageType.MODIFY_CONNECTION, 0, a, 0, b, 0);
  const response = (state: number) =>
    plain(MessageType.MODIFY_CONNECTION_RESPONSE) + state.toString(16).padStart(2, '0');
  const rig = new Rig();
  rig.post(initiate(VmbusVersion.V6_0, { info: '02000000' + words(4) }));
  assert.equal(rig.post(modify(0x5000, 0)), [response(2)]);
  assert.equal(rig.grants(), PAGES.slice(1));
  assert.equal(rig.post(modify(0x5000, 0x6000)), [response(0)]);
  assert.equal(rig.grants(), ['monitor-page:5', 'monitor-page:6']);
  assert.equal(rig.post(modify(0, 0)), [response(0)]);
  assert.equal(rig.grants(), []);
  rig.post(initiate(VmbusVersion.V6_0));
  assert.equal(rig.post(modify(0x5000, 0x6000)), []);
});

contact('test_pause_resume: answers wait until RESUME', () => {
  const rig = new Rig();
  rig.post(initiate(VmbusVersion.V6_0, { info: '02000000' + words(0x20) }));
  rig.post(REQUEST);
  assert.equal(rig.post(plain(MessageType.PAUSE)), [plain(MessageType.PAUSE_RESPONSE)]);
  rig.server.hotAdd(new RigDevice(1));
  assert.equal(rig.post(gpadlHeader(1, 5, [0x10])), [], 'not accepted while paused');
  const [offer] = rig.post(plain(MessageType.RESUME));
  assert.is(offer!.slice(0, 2), '01');
  assert.equal(rig.post(gpadlHeader(1, 5, [0x10])), [created(1, 5, 0)]);
});

contact('TL_CONNECT_REQUEST: refused from 4.1 on, silence at 4.0', () => {
  const request = sampleHex('tl_connect_request');
  const rig = new Rig();
  rig.connect(VmbusVersion.V4_0);
  assert.equal(rig.post(request), []);
  rig.connect(VmbusVersion.V4_1);
  assert.equal(rig.post(request), [words(23, 0) + request.slice(16) + words(0xc0000236)]);
});

for (const messageLatencyTicks of [0, 7, 50_000])
  contact(`knob messageLatencyTicks: an answer comes ${messageLatencyTicks} ticks later`, () => {
    const rig = new Rig({ knobs: { messageLatencyTicks } });
    rig.postOnly(initiate(VmbusVersion.V3_0));
    if (messageLatencyTicks > 0) rig.run(messageLatencyTicks - 1);
    assert.is(rig.partition.received.length, 0);
    rig.run(1);
    assert.is(rig.partition.received.length, 1);
  });

contact.run();

const unload = suite('vmbus-server: unload');

unload('test_disconnect: with everything closed the pages are still taken away', () => {
  for (const version of Object.values(VmbusVersion)) {
    const rig = new Rig();
    rig.connect(version);
    assert.equal(rig.post(UNLOAD), [UNLOADED]);
    assert.equal(rig.grants(), []);
    assert.is(rig.server.inspect().phase, 'disconnected');
  }
});

unload('test_disconnect_open_channels: devices close, then pages go, then the answer', () => {
  const devices = [new RigDevice(1), new RigDevice(2)];
  const rig = new Rig({ devices });
  rig.boot();
  rig.open(1);
  rig.open(2);
  devices[0]!.holds.add(0x55);
  rig.post(gpadlHeader(1, 0x55, [0x40]));
  rig.post(words(MessageType.GPADL_TEARDOWN, 0, 1, 0x55));
  const order: string[] = [];
  devices.forEach((device, i) => {
    const close = device.close.bind(device);
    device.close = () => {
      order.push(`close ${i + 1}`);
      close();
    };
  });
  rig.partition.grants.listener = (change, grant) => order.push(`${change} ${grant.kind}`);
  const post = rig.partition.postMessage.bind(rig.partition);
  rig.partition.postMessage = (...message) => {
    order.push(`message ${message[3][0]}`);
    return post(...message);
  };
  // No TORNDOWN, not even for the one that waited for the device
  assert.equal(rig.post(UNLOAD), [UNLOADED]);
  assert.equal(order, [
    'close 1',
    'revoke gpadl',
    'revoke gpadl',
    'close 2',
    'revoke gpadl',
    'revoke monitor-page',
    'revoke monitor-page',
    'revoke interrupt-page',
    'message 17',
  ]);
  assert.is(rig.signal(0x2001), 0x12, 'the port is gone');
});

unload('knob unloadAnswer: the answer comes late, the pages stay shared until then', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device], knobs: { unloadAnswer: 1500 * TICKS_PER_MS } });
  rig.boot();
  rig.open(1);
  assert.equal(rig.post(UNLOAD), []);
  assert.equal(device.calls.at(-1), 'close');
  assert.equal(rig.grants(), PAGES);
  assert.is(rig.server.inspect().unloadAnsweredAt, undefined);
  assert.equal(rig.post(REQUEST), [], 'not connected any more');
  rig.run(1500 * TICKS_PER_MS - MESSAGE_LATENCY - 1);
  assert.equal(rig.grants(), PAGES);
  rig.run(1);
  assert.is(rig.partition.received.at(-1)!.hex, UNLOADED);
  assert.equal(rig.grants(), []);
  assert.is(rig.server.inspect().unloadAnsweredAt, rig.partition.clock.now);
});

unload('an INITIATE_CONTACT during a slow UNLOAD takes the place of its answer', () => {
  const rig = new Rig({ knobs: { unloadAnswer: 100 * TICKS_PER_MS } });
  rig.connect(VmbusVersion.V3_0);
  assert.equal(rig.post(UNLOAD), []);
  assert.equal(rig.post(initiate(VmbusVersion.V0_13)), []);
  const before = rig.partition.received.length;
  rig.run(200 * TICKS_PER_MS);
  assert.equal(
    rig.partition.received.slice(before).map((received) => received.hex),
    [answer(0, VmbusVersion.V0_13)],
  );
});

unload('knob unloadAnswer never: the host keeps everything and says nothing', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device], knobs: { unloadAnswer: 'never' } });
  rig.boot();
  rig.open(1);
  const before = rig.grants();
  assert.equal(rig.post(UNLOAD), []);
  rig.run(200_000 * TICKS_PER_MS);
  assert.equal(rig.grants(), before);
  assert.is(rig.server.inspect().phase, 'connected');
  assert.is(rig.server.inspect().unloadsSeen, 1);
  assert.is(rig.server.inspect().unloadsAnswered, 0);
  assert.equal(device.calls, ['attach', 'open 1']);
});

unload('UNLOAD while disconnected is not answered', () => {
  const rig = new Rig();
  assert.equal(rig.post(UNLOAD), []);
  rig.connect(VmbusVersion.V3_0);
  rig.post(UNLOAD);
  assert.equal(rig.post(UNLOAD), []);
});

unload("iPXE's way (3.0, unload, 0.13) is remembered", () => {
  const rig = new Rig();
  rig.connect(VmbusVersion.V3_0);
  rig.post(UNLOAD);
  const unloadedAt = rig.partition.clock.now;
  assert.is(rig.server.inspect().unloadSeenAt, unloadedAt);
  rig.connect(VmbusVersion.V0_13);
  const state = rig.server.inspect();
  assert.equal(state.everNegotiated, [VmbusVersion.V3_0, VmbusVersion.V0_13]);
  assert.equal(
    state.history.map(({ version, outcome, endedBy, endedAt }) => [
      versionText(version),
      outcome,
      endedBy,
      endedAt,
    ]),
    [
      ['3.0', 'accepted', 'UNLOAD', unloadedAt],
      ['0.13', 'accepted', undefined, undefined],
    ],
  );
  assert.is(state.unloadSeenAt, undefined, 'none since the last connection');
});

unload('a reset of the machine ends everything without a word', () => {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device] });
  rig.boot();
  rig.open(1);
  rig.postOnly(REQUEST);
  const before = rig.partition.received.length;
  rig.server.reset();
  rig.run(1000 * TICKS_PER_MS);
  assert.is(rig.partition.received.length, before);
  assert.equal(rig.grants(), []);
  assert.is(device.calls.at(-1), 'close');
  assert.is(rig.boot().length, 2, 'and can be used again');
});

unload.run();
