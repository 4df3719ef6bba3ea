// SPDX-License-Identifier: GPL-2.0-or-later

/** The simulated VMBus server: GPADLs, and the opening and closing of channels. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../../../src/machine.ts';
import {
  GPADL_BODY_PFNS,
  GPADL_HEADER_PFNS,
  MessageType,
  VP_INDEX_DISABLE_INTERRUPT,
  VmbusVersion,
} from '../../../../src/vmbus/protocol.ts';
import { SAMPLES } from '../../../rigs/golden/golden.ts';
import {
  RING_PFN,
  Rig,
  RigDevice,
  created,
  gpadlHeader,
  inband,
  initiate,
  openChannel,
  opened,
  plain,
  teardown,
  torndown,
  words,
} from '../../../rigs/vmbus-server-rig.ts';

const FAILED = 0x8000ffff;
const close = (id: number) => words(MessageType.CLOSE_CHANNEL, 0, id);

/** A rig with `count` devices, connected and offered. */
function booted(
  version: number = VmbusVersion.V0_13,
  count = 1,
  options: ConstructorParameters<typeof Rig>[0] = {},
): { rig: Rig; devices: RigDevice[] } {
  const devices = Array.from({ length: count }, (_, i) => new RigDevice(i + 1));
  const rig = new Rig({ devices, ...options });
  rig.boot(version);
  return { rig, devices };
}

/** GPADL_HEADER from its parts: announced length of the ranges, their count, words that follow. */
function header(id: number, length: number, count: number, ...rest: number[]): string {
  return words(MessageType.GPADL_HEADER, 0, 1, id, length | (count << 16), ...rest);
}

function body(id: number, ...pfns: number[]): string {
  return words(MessageType.GPADL_BODY, 0, 0, id) + pfns.map((pfn) => words(pfn, 0)).join('');
}

const gpadls = suite('vmbus-server: gpadls');

gpadls('the golden 4 pages: one grant, pages in order, struck out by the teardown', () => {
  const { rig } = booted(VmbusVersion.V3_0, 5, { pages: 0x1004 });
  const before = rig.grants();
  assert.equal(rig.post(SAMPLES['gpadl_header_4pages']!.hex), [SAMPLES['gpadl_created_ok']!.hex]);
  const grant = rig.partition.grants.live().at(-1)!;
  assert.is(grant.kind, 'gpadl');
  assert.is(grant.access, 'write');
  assert.equal(grant.pfns, [0x1000, 0x1001, 0x1002, 0x1003]);
  assert.equal([grant.offset, grant.length], [0, 4 * PAGE_SIZE]);
  assert.equal([grant.channel, grant.gpadl], [5, 0xe1e10]);
  assert.equal(rig.post(SAMPLES['gpadl_teardown']!.hex), [SAMPLES['gpadl_torndown']!.hex]);
  assert.is(grant.revokedBy, 'GPADL_TEARDOWN');
  assert.equal(rig.grants(), before);
});

gpadls('knob oddGpadls: what is not one range of whole pages is accepted, or not answered', () => {
  const two = header(7, 32, 2, PAGE_SIZE, 0, 0x40, 0, PAGE_SIZE, 0, 0x41, 0);
  const offset = header(7, 16, 1, PAGE_SIZE - 8, 8, 0x40, 0);
  const part = header(7, 16, 1, 100, 0, 0x40, 0);
  const whole = header(7, 16, 1, PAGE_SIZE, 0, 0x40, 0);
  for (const oddGpadls of ['accept', 'ignore'] as const) {
    for (const message of [two, offset, part, whole]) {
      const { rig } = booted(VmbusVersion.V4_0, 1, { knobs: { oddGpadls } });
      const before = rig.grants();
      const isTaken = oddGpadls === 'accept' || message === whole;
      assert.equal(rig.post(message), isTaken ? [created(1, 7, 0)] : [], `${oddGpadls} ${message}`);
      assert.is(rig.grants().length > before.length, isTaken);
    }
  }
});

gpadls('the golden 40 pages: nothing is answered before the body', () => {
  const { rig } = booted(VmbusVersion.V3_0, 5, { pages: 0x2100 });
  assert.equal(rig.post(SAMPLES['gpadl_header_40pages']!.hex), []);
  assert.is(rig.server.inspect().gpadls[0]!.state, 'in-progress');
  assert.equal(rig.post(SAMPLES['gpadl_body_40pages']!.hex), [created(5, 0xe1e11, 0)]);
  const { pfns } = rig.server.inspect().gpadls[0]!;
  assert.equal(
    pfns,
    Array.from({ length: 40 }, (_, i) => 0x2000 + i),
  );
});

gpadls('O-7 OpenVMM: an incomplete GPADL of one channel is no obstacle for another channel', () => {
  const { rig } = booted(VmbusVersion.V3_0, 2);
  assert.equal(rig.post(header(9, 8 + 16, 1, 2 * PAGE_SIZE, 0, 0x20, 0)), []);
  assert.equal(rig.post(gpadlHeader(2, 9, [0x40])), [created(2, 9, 0)]);
  // Its own body still completes the first
  assert.equal(rig.post(body(9, 0x21)), [created(1, 9, 0)]);
});

gpadls('any number of bodies: 26 pages in the header, 28 in each body', () => {
  const { rig } = booted();
  const pfns = Array.from({ length: 100 }, (_, i) => 255 - i);
  const first = header(9, 8 + 800, 1, 100 * PAGE_SIZE, 0);
  const head =
    first +
    pfns
      .slice(0, GPADL_HEADER_PFNS)
      .map((pfn) => words(pfn, 0))
      .join('');
  assert.is(head.length / 2, 236);
  assert.equal(rig.post(head), []);
  for (let at = GPADL_HEADER_PFNS; at < 100; at += GPADL_BODY_PFNS) {
    const answers = rig.post(body(9, ...pfns.slice(at, at + GPADL_BODY_PFNS)));
    assert.equal(answers, at + GPADL_BODY_PFNS < 100 ? [] : [created(1, 9, 0)]);
  }
  assert.equal(rig.server.inspect().gpadls[0]!.pfns, pfns);
});

gpadls('several ranges: one grant for each, with its offset and length', () => {
  const { rig } = booted();
  const first = [0x1011, 0xff0, 0x20, 0, 0x21, 0, 0x22, 0];
  const second = [8, 16, 0x30, 0];
  assert.equal(rig.post(header(3, 48, 2, ...first, ...second)), [created(1, 3, 0)]);
  assert.equal(
    rig.partition.grants
      .live()
      .slice(-2)
      .map(({ pfns, offset, length }) => [pfns, offset, length]),
    [
      [[0x20, 0x21, 0x22], 0xff0, 0x1011],
      [[0x30], 16, 8],
    ],
  );
  assert.equal(rig.post(teardown(1, 3)), [torndown(3)]);
  assert.is(rig.grants().length, 3, 'only the pages of the connection are left');
});

gpadls('test_gpadl_create_failure: bad ranges are answered, and the ID is free again', () => {
  const bad: [string, string][] = [
    ['empty', header(5, 16, 1, 0, 0, 0x20, 0)],
    ['offset beyond the page', header(5, 16, 1, 8, 0x1000, 0x20, 0)],
    ['too few pages', header(5, 16, 1, 0x1001, 0, 0x20, 0)],
    ['one more by the offset', header(5, 16, 1, 0x1000, 8, 0x20, 0)],
    ['second range missing', header(5, 16, 2, 8, 0, 0x20, 0)],
    ['no range', header(5, 16, 0, 8, 0, 0x20, 0)],
    ['no room for a range', header(5, 7, 1)],
    ['not RAM', header(5, 16, 1, 8, 0, 0x100, 0)],
    ['far from RAM', header(5, 16, 1, 8, 0, 0x20, 0x80000000)],
  ];
  for (const [what, message] of bad) {
    const { rig } = booted();
    const before = rig.grants();
    assert.equal(rig.post(message), [created(1, 5, FAILED)], what);
    assert.equal(rig.grants(), before, what);
    assert.is(rig.violations.length, 1, what);
    assert.equal(rig.post(gpadlHeader(1, 5, [0x20])), [created(1, 5, 0)], what);
  }
});

gpadls('test_gpadl_create_failure: an unknown channel is answered with its number', () => {
  const { rig } = booted();
  assert.equal(rig.post(gpadlHeader(77, 5, [0x20])), [created(77, 5, FAILED)]);
});

gpadls('test_gpadl_create_failure: a bad range that a body completes is answered then', () => {
  const { rig } = booted();
  assert.equal(rig.post(header(5, 24, 1, 0x3000, 0, 0x20, 0)), []);
  assert.equal(rig.post(body(5, 0x21)), [created(1, 5, FAILED)]);
  assert.equal(rig.post(gpadlHeader(1, 5, [0x20])), [created(1, 5, 0)]);
});

gpadls('test_gpadl_in_progress_reset: a half-sent one does not survive the connection', () => {
  const { rig } = booted();
  rig.post(header(5, 24, 1, 0x2000, 0, 0x20, 0));
  rig.boot();
  assert.equal(rig.post(body(5, 0x21)), [], 'unknown now');
  assert.equal(rig.post(gpadlHeader(1, 5, [0x20])), [created(1, 5, 0)]);
});

gpadls('data beyond the announced length is ignored, and a rest below 8 bytes cut off', () => {
  const { rig } = booted();
  assert.equal(rig.post(header(5, 19, 1, 8, 0, 0x20, 0, 0x21, 0)), [created(1, 5, 0)]);
  assert.equal(rig.server.inspect().gpadls[0]!.pfns, [0x20]);
  assert.equal(rig.post(header(6, 24, 1, 0x1001, 0, 0x20, 0) + '212121'), []);
  assert.equal(rig.post(body(6, 0x22, 0x23)), [created(1, 6, 0)]);
  assert.equal(rig.server.inspect().gpadls[1]!.pfns, [0x20, 0x22]);
});

gpadls('duplicates: on one channel, and incomplete ones anywhere', () => {
  const { rig } = booted(VmbusVersion.V3_0, 2);
  assert.equal(rig.post(gpadlHeader(1, 5, [0x20])), [created(1, 5, 0)]);
  assert.equal(rig.post(gpadlHeader(1, 5, [0x21])), [created(1, 5, FAILED)]);
  assert.equal(rig.post(gpadlHeader(2, 5, [0x21])), [created(2, 5, 0)], 'another channel');
  rig.post(header(6, 24, 1, 0x2000, 0, 0x20, 0));
  const half = words(MessageType.GPADL_HEADER, 0, 2, 6, 24 | 0x10000, 0x2000, 0, 0x21, 0);
  assert.equal(rig.post(half), [created(2, 6, FAILED)]);
  assert.equal(rig.post(body(6, 0x21)), [created(1, 6, 0)]);
});

gpadls('a teardown of an unknown, incomplete or foreign GPADL is not answered', () => {
  const { rig } = booted(VmbusVersion.V3_0, 2);
  rig.post(gpadlHeader(1, 5, [0x20]));
  rig.post(header(6, 24, 1, 0x2000, 0, 0x20, 0));
  for (const message of [teardown(1, 7), teardown(1, 6), teardown(2, 5), teardown(9, 5)])
    assert.equal(rig.post(message), []);
  assert.is(rig.violations.length, 4);
});

gpadls('a buffer that the device holds is torn down when the channel is closed', () => {
  const { rig, devices } = booted();
  rig.open(1);
  rig.post(gpadlHeader(1, 7, [0x40, 0x41]));
  devices[0]!.holds.add(7);
  assert.equal(rig.post(teardown(1, 7)), []);
  assert.is(rig.server.inspect().gpadls.find(({ id }) => id === 7)!.state, 'tearing-down');
  assert.equal(rig.post(teardown(1, 7)), [], 'twice is not answered');
  assert.ok(rig.grants().includes('gpadl:64'));
  assert.equal(rig.post(close(1)), [torndown(7)]);
  assert.not(rig.grants().includes('gpadl:64'));
});

gpadls('the rings of an open channel are torn down when it is closed', () => {
  const { rig, devices } = booted();
  rig.open(1);
  assert.equal(rig.post(teardown(1, 0x101)), []);
  assert.is(devices[0]!.calls.at(-1), 'open 1', "the rings are not the device's business");
  // And it still works
  rig.rings(1).write(inband('01', 0));
  rig.signal(0x2001);
  rig.run(1000);
  assert.is(devices[0]!.packets.length, 1);
  assert.equal(rig.post(close(1)), [torndown(0x101)]);
});

gpadls('knob torndownWhileOpen immediate: the rings are used until the close', () => {
  const { rig, devices } = booted(VmbusVersion.V0_13, 1, {
    knobs: { torndownWhileOpen: 'immediate' },
  });
  rig.open(1);
  assert.equal(rig.post(teardown(1, 0x101)), [torndown(0x101)]);
  const { channel } = devices[0]!;
  assert.not(channel!.dead);
  assert.ok(channel!.send(6, 0, 0, 0, new Uint8Array(0), 0, new Uint8Array(8), 8));
  const before = rig.grants().length;
  assert.equal(rig.post(close(1)), []);
  assert.is(rig.grants().length, before - 1, 'and not beyond');
});

gpadls('the device sees accepted GPADLs of its own channel that are one range', () => {
  const { rig, devices } = booted(VmbusVersion.V3_0, 2);
  rig.open(1);
  rig.open(2);
  rig.post(gpadlHeader(1, 7, [0x40]));
  rig.post(header(8, 32, 2, 8, 0, 0x20, 0, 8, 0, 0x21, 0));
  rig.post(header(9, 24, 1, 0x2000, 0, 0x20, 0));
  const channel = devices[0]!.channel!;
  assert.equal(channel.gpadl(7)!.pfns, [0x40]);
  for (const id of [8, 9, 10]) assert.is(channel.gpadl(id), undefined);
  assert.is(devices[1]!.channel!.gpadl(7), undefined);
});

gpadls.run();

const channels = suite('vmbus-server: channels');

channels('test_channel_lifetime: open, modify, close, teardown', () => {
  const { rig, devices } = booted(VmbusVersion.V4_1);
  assert.is(rig.open(1), opened(1));
  assert.equal(rig.post(words(MessageType.MODIFY_CHANNEL, 0, 1, 2)), [], 'no answer below 5.3');
  devices[0]!.channel!.send(6, 0, 0, 0, new Uint8Array(0), 0, new Uint8Array(8), 8);
  assert.equal(rig.raised(), [{ vp: 2, sint: 2, flag: 1 }]);
  assert.equal(rig.post(close(1)), [], 'no answer exists');
  assert.equal(devices[0]!.calls, ['attach', 'open 1', 'close']);
  assert.equal(rig.post(teardown(1, 0x101)), [torndown(0x101)]);
  assert.is(rig.open(1), opened(1), 'and again');
});

channels('test_channel_lifetime_iron: MODIFY_CHANNEL is answered', () => {
  const sample = (name: string) => SAMPLES[name]!.hex;
  const { rig } = booted(VmbusVersion.V5_3, 5);
  const modify = (id: number, vp: number) => rig.post(words(MessageType.MODIFY_CHANNEL, 0, id, vp));
  const failed = (id: number) => [words(MessageType.MODIFY_CHANNEL_RESPONSE, 0, id, FAILED)];
  assert.equal(modify(5, 2), failed(5), 'not open');
  assert.equal(modify(9, 2), failed(9), 'not offered');
  rig.open(5);
  assert.equal(rig.post(sample('modify_channel')), [sample('modify_channel_response')]);
  assert.is(rig.server.inspect().channels[4]!.targetVp, 2);
  assert.equal(modify(5, VP_INDEX_DISABLE_INTERRUPT), failed(5));
  rig.open(4, { targetVp: VP_INDEX_DISABLE_INTERRUPT });
  assert.equal(modify(4, 0), failed(4), 'opened with interrupts disabled');
});

channels('test_channel_lifetime_copper_guest_signal: flag and connection of the guest', () => {
  const { rig, devices } = booted(VmbusVersion.V3_0, 2);
  rig.post(initiate(VmbusVersion.V6_0, { info: '02000000' + words(1) }));
  rig.post(plain(MessageType.REQUEST_OFFERS));
  const open = (id: number, connection: number, flag: number) => {
    const pfn = RING_PFN + 8 * (id - 1);
    rig.post(gpadlHeader(id, 0x100 + id, [pfn, pfn + 1, pfn + 2, pfn + 3]));
    return rig.post(openChannel(id, 0x100 + id, 2) + words(connection, flag));
  };
  assert.equal(rig.post(openChannel(1, 0x101, 2)), [], 'too short now');
  assert.equal(open(1, 0x3456, 9), [opened(1)]);
  assert.is(rig.signal(0x2001), 0x12);
  assert.is(rig.signal(0x3456), 0);
  devices[0]!.channel!.send(6, 0, 0, 0, new Uint8Array(0), 0, new Uint8Array(8), 8);
  assert.equal(rig.raised(), [{ vp: 0, sint: 2, flag: 9 }]);
  // Taken, the server's own, out of range
  assert.equal(open(2, 0x3456, 9), [opened(2, FAILED)]);
  assert.equal(open(2, 2, 9), [opened(2, FAILED)]);
  assert.equal(open(2, 0x3457, 2048), [opened(2, FAILED)]);
  // The offered ones come back with the next connection
  rig.boot(VmbusVersion.V3_0);
  rig.open(1);
  assert.is(rig.signal(0x2001), 0);
});

channels('the golden OPEN_CHANNEL and its results', () => {
  const sample = (name: string) => SAMPLES[name]!.hex;
  const { rig, devices } = booted(VmbusVersion.V3_0, 5, { pages: 0x1004 });
  assert.equal(rig.post(sample('open_channel')), [sample('open_result_fail')], 'no GPADL yet');
  rig.post(sample('gpadl_header_4pages'));
  devices[4]!.openStatus = FAILED;
  assert.equal(rig.post(sample('open_channel')), [sample('open_result_fail')]);
  assert.is(rig.signal(0x2005), 0x12);
  devices[4]!.openStatus = 0;
  assert.equal(rig.post(sample('open_channel')), [sample('open_result_ok')], 'may be tried again');
  assert.is(devices[4]!.channel!.userData.length, 120);
  assert.is(devices[4]!.channel!.vmbusVersion, VmbusVersion.V3_0);
  assert.equal(rig.post(sample('close_channel')), []);
});

channels('what cannot be rings is refused', () => {
  const { rig } = booted();
  const pages = [0x20, 0x21, 0x22, 0x23];
  rig.post(gpadlHeader(1, 1, pages));
  rig.post(header(2, 40, 1, 0x3ff8, 0, ...pages.flatMap((pfn) => [pfn, 0])));
  rig.post(header(3, 40, 1, 0x3000, 8, ...pages.flatMap((pfn) => [pfn, 0])));
  const two = (a: number, b: number) => [0x2000, 0, a, 0, b, 0];
  rig.post(header(4, 48, 2, ...two(0x20, 0x21), ...two(0x22, 0x23)));
  rig.post(header(5, 8 + 8 * 20, 1, 20 * PAGE_SIZE, 0, 0x20, 0));
  const cases: [string, number, number][] = [
    ['no outbound page', 1, 0],
    ['outbound control page only', 1, 1],
    ['inbound control page only', 1, 3],
    ['no inbound page', 1, 4],
    ['beyond the pages', 1, 0xffffffff],
    ['not whole pages', 2, 2],
    ['not at the start of a page', 3, 2],
    ['two ranges', 4, 2],
    ['incomplete', 5, 2],
    ['unknown', 6, 2],
  ];
  for (const [what, gpadl, outPages] of cases)
    assert.equal(rig.post(openChannel(1, gpadl, outPages)), [opened(1, FAILED)], what);
  // Another channel's rings
  rig.server.hotAdd(new RigDevice(2));
  assert.equal(rig.post(openChannel(2, 1, 2)), [opened(2, FAILED)]);
  assert.equal(rig.post(openChannel(1, 1, 2)), [opened(1)]);
});

channels('bad ring indices at the open are refused', () => {
  const cases: [number, number][] = [
    [0, 4096],
    [0, 4],
    [4, 0xfffffff8],
    [0x2000, 4096],
    [0x2004, 12],
  ];
  for (const [offset, value] of cases) {
    const { rig } = booted();
    const pages = [0x20, 0x21, 0x22, 0x23];
    rig.post(gpadlHeader(1, 1, pages));
    rig.partition.ram.view.setUint32(0x20000 + offset, value, true);
    assert.equal(rig.post(openChannel(1, 1, 2)), [opened(1, FAILED)]);
  }
});

channels('a virtual processor that does not exist is refused from 2.4 on', () => {
  assert.is(booted(VmbusVersion.V1_1).rig.open(1, { targetVp: 8 }), opened(1));
  assert.is(booted(VmbusVersion.V2_4).rig.open(1, { targetVp: 8 }), opened(1, FAILED));
  const { rig } = booted(VmbusVersion.V5_3);
  rig.open(1, { targetVp: 7 });
  assert.equal(rig.post(words(MessageType.MODIFY_CHANNEL, 0, 1, 8)), [
    words(MessageType.MODIFY_CHANNEL_RESPONSE, 0, 1, FAILED),
  ]);
  assert.is(rig.server.inspect().channels[0]!.targetVp, 7);
});

channels('messages that do not fit the state are not answered', () => {
  const { rig, devices } = booted();
  assert.equal(rig.post(openChannel(9, 1, 2)), [], 'not offered');
  assert.equal(rig.post(close(1)), [], 'not open');
  assert.equal(rig.post(close(9)), []);
  assert.equal(rig.post(words(MessageType.RELID_RELEASED, 0, 9)), []);
  rig.open(1);
  assert.equal(rig.post(openChannel(1, 0x101, 2)), [], 'open already');
  assert.is(rig.violations.length, 5);
  assert.is(rig.server.inspect().channels[0]!.state, 'open');
  assert.not(devices[0]!.calls.includes('close'));
});

channels('the device may talk before the OPEN_CHANNEL_RESULT', () => {
  const { rig, devices } = booted(VmbusVersion.V3_0);
  const order: string[] = [];
  devices[0]!.onOpen = (channel) => {
    assert.is(rig.signal(0x2001), 0, 'the port is there');
    channel.send(6, 0, 0, 0, new Uint8Array(0), 0, new Uint8Array(8), 8);
    order.push(`flags ${rig.raised().length}, messages ${rig.partition.received.length}`);
  };
  const before = rig.partition.received.length + 1;
  assert.is(rig.open(1), opened(1));
  assert.equal(order, [`flags 1, messages ${before}`]);
});

channels('reopened by the rings that are still there', () => {
  const { rig } = booted();
  rig.open(1);
  rig.post(close(1));
  assert.equal(rig.post(openChannel(1, 0x101, 2)), [opened(1)]);
});

channels('the purpose of the rings stands in the ledger', () => {
  const { rig } = booted();
  rig.open(1);
  assert.equal(
    rig.server.inspect().gpadls.map(({ purpose }) => purpose),
    ['rings of channel 1 (GPADL 0x101)'],
  );
});

channels.run();
