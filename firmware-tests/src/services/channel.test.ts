// SPDX-License-Identifier: GPL-2.0-or-later

/** The framework of the utility services: pipe, headers, negotiation, answers in place, the end. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HeartbeatService, ShutdownService, TimeSyncService } from '../../../src/os.ts';
import { negotiate } from '../../../src/services/negotiation.ts';
import { IcFlag, IcStatus, IcType, UnservedClass } from '../../../src/services/protocol.ts';
import { DeviceClass } from '../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { profileNamed, withKnobs } from '../../../tools/simulator/profiles/profiles.ts';
import { HeartbeatHost, ShutdownHost } from '../../../tools/simulator/services/index.ts';
import { inertDevice } from '../../../tools/simulator/vmbus-server/inert-device.ts';
import { RawHost, UtilityRig, answerOf, message } from '../../rigs/utility-rig.ts';

const FAIL = IcStatus.FAIL;

function heartbeatHost(frameworkVersions?: readonly number[], messages = [0x10000, 0x30000]) {
  return new RawHost({
    name: 'heartbeat',
    interfaceId: DeviceClass.HEARTBEAT,
    type: IcType.HEARTBEAT,
    messageVersions: messages,
    frameworkVersions,
  });
}

/** A rig with one heartbeat that has been negotiated. */
function ready(host = heartbeatHost()): { rig: UtilityRig; host: RawHost } {
  const rig = new UtilityRig({ devices: [host] });
  rig.probe([new HeartbeatService()]);
  rig.until(() => host.state === 'ready');
  return { rig, host };
}

/** Send a message and return the answer to it, or undefined if none comes. */
function exchange(rig: UtilityRig, host: RawHost, bytes: Uint8Array): Uint8Array | undefined {
  const before = rig.packets.filter(({ from }) => from === 'guest').length;
  assert.ok(host.sendRaw(bytes));
  rig.run(10);
  return rig.packets.filter(({ from }) => from === 'guest')[before]?.message;
}

// --- negotiation ---

const negotiation = suite('negotiation');

/** A body of NEGOTIATE: counts as they are given, versions as `[major, minor]`. */
function lists(
  frameworks: readonly number[],
  messages: readonly number[],
  counts: readonly [number, number] = [frameworks.length, messages.length],
): Uint8Array {
  const versions = [...frameworks, ...messages];
  const view = new DataView(new ArrayBuffer(8 + 4 * versions.length));
  view.setUint16(0, counts[0], true);
  view.setUint16(2, counts[1], true);
  versions.forEach((version, i) => {
    view.setUint16(8 + 4 * i, version >>> 16, true);
    view.setUint16(10 + 4 * i, version & 0xffff, true);
  });
  return new Uint8Array(view.buffer);
}

const OURS = [0x00040000, 0x00030000, 0x00010000];

/** Negotiate over a body; returns the counts and versions of the answer. */
function outcome(body: Uint8Array, length = body.length) {
  const copy = body.slice();
  const view = new DataView(copy.buffer);
  const answer = negotiate(view, 0, length, copy.length, OURS);
  const counts = [view.getUint16(0, true), view.getUint16(2, true)];
  return { counts, reason: answer.reason, length: answer.length, agreement: answer.agreement };
}

negotiation('our preference decides, not the order of the lists', () => {
  for (const frameworks of [
    [0x10000, 0x30000],
    [0x30000, 0x10000],
  ])
    for (const messages of [
      [0x10000, 0x30000, 0x40000],
      [0x40000, 0x10000],
    ]) {
      const { agreement, counts } = outcome(lists(frameworks, messages));
      assert.equal(agreement, { framework: 0x30000, message: 0x40000 });
      assert.equal(counts, [1, 1]);
    }
});

negotiation('the best that both know', () => {
  const { agreement } = outcome(lists([0x10000], [0x10000, 0x30000, 0x50000]));
  assert.equal(agreement, { framework: 0x10000, message: 0x30000 });
});

const NOTHING: readonly (readonly [what: string, body: Uint8Array, length?: number])[] = [
  ['no framework in common', lists([0x20000], [0x10000])],
  ['no message version in common', lists([0x30000], [0x20000])],
  ['minor versions differ', lists([0x30000], [0x10001])],
  ['0 versions of both', lists([], [])],
  ['0 frameworks', lists([], [0x10000, 0x30000])],
  ['0 message versions', lists([0x10000, 0x30000], [])],
  ['counts beyond the body', lists([0x30000], [0x10000, 0x30000], [1, 90])],
  ['body shorter than its header', lists([0x30000], [0x10000]), 12],
  ['101 frameworks', lists(new Array<number>(101).fill(0x30000), [0x10000])],
  ['101 message versions', lists([0x30000], new Array<number>(101).fill(0x10000))],
];

for (const [what, body, length] of NOTHING)
  negotiation(`answered with 0/0: ${what}`, () => {
    const { agreement, counts, reason } = outcome(body, length);
    assert.is(agreement, undefined);
    assert.equal(counts, [0, 0]);
    assert.is.not(reason, '');
  });

negotiation('100 versions are not too many', () => {
  const many = [...new Array<number>(99).fill(0x20000), 0x30000];
  assert.equal(outcome(lists(many, many)).agreement, { framework: 0x30000, message: 0x30000 });
});

negotiation('in place: length, flags and versions change, the rest comes back as it went', () => {
  const { rig } = ready();
  const [request, answer] = rig.packets;
  assert.is(request!.from, 'host');
  assert.is(answer!.from, 'guest');
  // The sample of the golden layouts: frameworks 1.0, 3.0, messages 1.0, 3.0, padded to 56
  assert.is(
    Buffer.from(request!.message).toString('hex'),
    '010000002c0000000000000000000000000018000000000000030000020002000000000001000000030000000' +
      '100000003000000' +
      '00000000',
  );
  assert.is(
    Buffer.from(answer!.message).toString('hex'),
    '010000002c0000000000000000000000000010000000000000050000010001000000000003000000030000000' +
      '100000003000000' +
      '00000000',
  );
  rig.finish();
});

negotiation('the packet answers under the transaction ID of the packet', () => {
  const { rig } = ready();
  assert.equal(
    rig.packets.map(({ id }) => id),
    [0n, 0n],
  );
});

negotiation('a host that nothing matches with ends the service, and the boot goes on', () => {
  const host = heartbeatHost([0x20000]);
  const rig = new UtilityRig({ devices: [host] });
  rig.probe([new HeartbeatService()]);
  rig.run(50);
  assert.is(host.state, 'failed');
  assert.ok(rig.said(/^error UTIL heartbeat: negotiation failed: no framework version/));
  const [, answer] = rig.packets;
  assert.equal([...answer!.message.subarray(28, 36)], [0, 0, 0, 0, 0, 0, 0, 0]);
  rig.finish();
});

negotiation('0 and 101 versions over the wire', () => {
  for (const count of [0, 101]) {
    const { rig, host } = ready();
    const versions = new Array<number>(count).fill(0x30000);
    const bytes = exchange(rig, host, message(IcType.NEGOTIATE, lists(versions, versions)))!;
    assert.equal([...bytes.subarray(28, 32)], [0, 0, 0, 0], `${count} versions`);
    assert.is(answerOf(bytes).flags, IcFlag.TRANSACTION | IcFlag.RESPONSE);
    // Nothing is agreed on any more
    const beat = exchange(rig, host, message(IcType.HEARTBEAT, new Uint8Array(40)))!;
    assert.is(answerOf(beat).status, FAIL);
    rig.finish();
  }
});

negotiation('a body that cannot hold the counts is refused', () => {
  const { rig, host } = ready();
  const bytes = exchange(rig, host, message(IcType.NEGOTIATE, new Uint8Array(4)))!;
  assert.is(answerOf(bytes).status, FAIL);
});

negotiation('may be made again at any time', () => {
  const { rig, host } = ready();
  exchange(rig, host, message(IcType.NEGOTIATE, lists([0x10000], [0x10000])));
  const beat = exchange(rig, host, message(IcType.HEARTBEAT, new Uint8Array(40), { id: 7 }))!;
  assert.equal(answerOf(beat), { type: 1, length: 40, status: 0, id: 7, flags: 5 });
});

negotiation.run();

// --- headers that lie ---

const headers = suite('headers');
const BEAT = new Uint8Array(40);

const DROPPED: readonly (readonly [what: string, bytes: Uint8Array])[] = [
  ['shorter than its headers', message(IcType.HEARTBEAT, BEAT).subarray(0, 24)],
  ['empty', new Uint8Array(0)],
  ['no data of the pipe', message(IcType.HEARTBEAT, BEAT, { pipeType: 2 })],
  ['pipe length beyond the packet', message(IcType.HEARTBEAT, BEAT, { pipeLength: 100 })],
  ['pipe length of 2^32 - 1', message(IcType.HEARTBEAT, BEAT, { pipeLength: 0xffffffff })],
  ['pipe length below the header', message(IcType.HEARTBEAT, BEAT, { pipeLength: 19 })],
  ['an answer', message(IcType.HEARTBEAT, BEAT, { flags: 5 })],
  ['request and answer at once', message(IcType.HEARTBEAT, BEAT, { flags: 7 })],
  ['no transaction', message(IcType.HEARTBEAT, BEAT, { flags: 2 })],
  ['no flags at all', message(IcType.HEARTBEAT, BEAT, { flags: 0 })],
];

for (const [what, bytes] of DROPPED)
  headers(`dropped, and told: ${what}`, () => {
    const { rig, host } = ready();
    assert.is(exchange(rig, host, bytes), undefined);
    assert.is(rig.lines('error').filter((line) => /UTIL heartbeat: dropping/.test(line)).length, 1);
    // The next one is served
    host.ask(new Uint8Array(40));
    rig.until(() => host.bodies.length === 1);
    rig.finish();
  });

const REFUSED: readonly (readonly [what: string, bytes: Uint8Array, status: number])[] = [
  ['body beyond the pipe', message(IcType.HEARTBEAT, BEAT, { bodyLength: 41 }), FAIL],
  ['body of 65535 bytes', message(IcType.HEARTBEAT, BEAT, { bodyLength: 0xffff }), FAIL],
  ['no room for the body', message(IcType.HEARTBEAT, BEAT, { bodyLength: 7 }), FAIL],
  ['KVP on this channel', message(IcType.KVP_EXCHANGE, BEAT), IcStatus.NOT_SUPPORTED],
  ['a type that nobody knows', message(99, BEAT), IcStatus.NOT_SUPPORTED],
];

for (const [what, bytes, status] of REFUSED)
  headers(`refused in place: ${what}`, () => {
    const { rig, host } = ready();
    const answer = exchange(rig, host, bytes)!;
    assert.is(answer.length, (bytes.length + 7) & ~7);
    assert.is(answerOf(answer).status, status);
    assert.is(answerOf(answer).flags, 5);
    assert.is(rig.lines('error').length, 1);
  });

headers('a request before the negotiation is refused', () => {
  const host = heartbeatHost();
  host.faults = { silent: true };
  const rig = new UtilityRig({ devices: [host] });
  rig.probe([new HeartbeatService()]);
  rig.run(10);
  const answer = exchange(rig, host, message(IcType.HEARTBEAT, BEAT))!;
  assert.is(answerOf(answer).status, FAIL);
  assert.ok(rig.said(/refusing a request before the negotiation/));
});

headers('a message longer than any is dropped', () => {
  const { rig, host } = ready();
  const answer = exchange(rig, host, message(IcType.HEARTBEAT, new Uint8Array(14_000)));
  assert.is(answer, undefined);
  assert.ok(rig.said(/dropping a packet \(PacketTooLong\)/));
  rig.finish();
});

headers.run();

// --- the channel ---

const channel = suite('channel');

channel('a ring full of back-to-back requests: each is answered, in order', () => {
  const { rig, host } = ready();
  let sent = 0;
  while (host.sendRaw(message(IcType.HEARTBEAT, sequence(sent), { id: sent & 0xff }))) sent++;
  assert.ok(sent > 100, `only ${sent} fit`);
  const before = rig.packets.filter(({ from }) => from === 'guest').length;
  rig.run(100);
  const answers = rig.packets.filter(({ from }) => from === 'guest').slice(before);
  assert.is(answers.length, sent);
  answers.forEach(({ message: bytes }, i) => {
    const { status, id } = answerOf(bytes);
    const count = new DataView(bytes.buffer, bytes.byteOffset).getUint32(28, true);
    assert.equal([status, id, count], [0, i & 0xff, i + 1]);
  });
  rig.finish();
});

function sequence(value: number): Uint8Array {
  const body = new Uint8Array(40);
  new DataView(body.buffer).setUint32(0, value, true);
  return body;
}

channel('an answer that finds no room waits for it, and nothing else is read meanwhile', () => {
  const { rig, host } = ready();
  const answered = () => rig.packets.filter(({ from }) => from === 'guest').slice(1);

  // The host reads nothing while its device is deaf: two answers fill the ring, the third waits
  host.signalled = () => {};
  let sent = 0;
  while (host.sendRaw(message(IcType.HEARTBEAT, new Uint8Array(6000), { id: sent }))) {
    sent++;
    rig.run(5);
  }
  assert.is(sent, 5, 'two answered, one waiting, two in the ring');
  assert.is(answered().length, 0);
  delete (host as Partial<RawHost>).signalled;
  for (let i = 0; i < 5; i++) {
    host.signalled();
    rig.run(5);
  }
  assert.equal(
    answered().map((packet) => packet.message[24]),
    [0, 1, 2, 3, 4],
  );
  rig.finish();
});

for (const phase of ['opening', 'negotiating', 'ready'] as const)
  channel(`taken away while ${phase}: closed, freed, and the rest goes on`, () => {
    const host = heartbeatHost();
    const other = new ShutdownHost();
    if (phase === 'negotiating') host.faults = { silent: true };
    const rig = new UtilityRig({ devices: [host, other] });
    rig.probe([new HeartbeatService(), new ShutdownService()]);
    if (phase === 'opening') assert.is(host.state, 'opening');
    else rig.until(() => host.state === phase);
    rig.machine.vmbus.rescind(host);
    rig.run(50);
    assert.is(host.state, 'closed');
    assert.is(host.endings.length, 1);
    const shared = rig.driver!.outstanding().filter(({ purpose }) => purpose === 'ring');
    assert.is(shared.length, 1, 'only the ring of the other service is shared');
    rig.until(() => other.state === 'ready');
    assert.ok(rig.machine.vmbus.inspect().channels.every(({ state }) => state !== 'revoked'));
    rig.finish();
  });

channel('taken away with requests in the ring', () => {
  const { rig, host } = ready();
  for (let i = 0; i < 10; i++) host.sendRaw(message(IcType.HEARTBEAT, BEAT));
  rig.machine.vmbus.rescind(host);
  rig.run(50);
  assert.is(host.state, 'closed');
  rig.finish();
});

channel('a ring that the host has broken ends the service alone', () => {
  const { rig, host } = ready();
  const ring = rig.driver!.outstanding().find(({ purpose }) => purpose === 'ring')!;
  const inbound = ring.address + ring.length / 2;
  new DataView(rig.machine.partition.ram.buffer).setUint32(inbound, 0x12345677, true);
  rig.run(20);
  assert.ok(rig.said(/^error VMBUS .*channel given up/));
  assert.is(host.state, 'closed');
  rig.finish();
});

channel('closed at the end, with nothing left behind', () => {
  const { rig, host } = ready();
  rig.finish();
  assert.is(host.state, 'closed');
  assert.equal(rig.driver!.outstanding(), []);
  const changes = rig.events.filter((e) => e.kind === 'ledger' && e.purpose === 'ring');
  assert.equal(
    changes.map((event) => event.kind === 'ledger' && event.change),
    ['share', 'revoke'],
  );
});

channel('requests that come with the end are answered before it', () => {
  const { rig, host } = ready();
  host.ask(sequence(41));
  rig.finish();
  assert.equal(
    host.bodies.map(({ status, body }) => [status, body[0]]),
    [[0, 42]],
  );
});

channel('the last answer is given time to be read by a slow host', () => {
  const profile = withKnobs(profileNamed('server2022')!, { ringLatencyTicks: 10 * TICKS_PER_MS });
  const host = heartbeatHost();
  const rig = new UtilityRig({ devices: [host], profile });
  rig.probe([new HeartbeatService()]);
  rig.until(() => host.state === 'ready');
  host.ask(sequence(41));
  rig.finish();
  assert.is(host.bodies.length, 1);
});

channel('after a reset of the bus the service starts anew', () => {
  const { rig, host } = ready();
  rig.driver!.quiesce();
  rig.driver!.unquiesce();
  rig.until(() => host.negotiations === 2);
  host.ask(sequence(1));
  rig.until(() => host.bodies.length === 1);
  rig.finish();
});

channel.run();

// --- which services ---

const services = suite('services');

services('what nobody asked for stays closed, with a line', () => {
  const kvp = new RawHost({
    name: 'KVP',
    interfaceId: UnservedClass.KVP_EXCHANGE,
    type: IcType.KVP_EXCHANGE,
    messageVersions: [0x50000],
  });
  const shutdown = new ShutdownHost();
  const rig = new UtilityRig({ devices: [kvp, shutdown, new HeartbeatHost()] });
  rig.probe([new HeartbeatService()]);
  rig.run(50);
  assert.is(kvp.state, 'closed');
  assert.is(shutdown.state, 'closed');
  assert.ok(rig.said(/^info UTIL key-value exchange: channel \d+ stays closed: .* not served/));
  assert.ok(rig.said(/^info UTIL shutdown: channel \d+ stays closed/));
  rig.finish();
});

services('without services nothing is opened and nothing is said', () => {
  const host = heartbeatHost();
  const rig = new UtilityRig({ devices: [host] });
  rig.probe([]);
  rig.run(50);
  assert.is(host.state, 'closed');
  assert.is(rig.said(/ UTIL /), false);
  rig.finish();
});

services('one that cannot be opened is left out, the others are served', () => {
  const broken = inertDevice(DeviceClass.TIME_SYNC, '11111111-0000-0000-0000-000000000000');
  const host = new HeartbeatHost();
  const rig = new UtilityRig({ devices: [broken, host], files: {} });
  rig.probe([new TimeSyncService(), new HeartbeatService()]);
  rig.until(() => host.beats === 1);
  assert.ok(rig.said(/^error UTIL time synchronisation: left out: opening channel/));
  assert.is(rig.driver!.devices.length, 1, 'the NIC is there');
  rig.finish();
});

services('a failing service is no failure of the bus, even as its only device', () => {
  const broken = inertDevice(DeviceClass.HEARTBEAT, '11111111-0000-0000-0000-000000000000');
  const rig = new UtilityRig({ devices: [broken] });
  rig.probe([new HeartbeatService()]);
  rig.finish();
});

services('a second device of the same class is refused', () => {
  const first = heartbeatHost();
  const second = new HeartbeatHost();
  const rig = new UtilityRig({ devices: [first, second] });
  rig.probe([new HeartbeatService()]);
  rig.run(50);
  const states = [first.state, second.state].sort();
  assert.equal(states, ['closed', 'ready']);
  assert.ok(rig.said(/this service is served already/));
  rig.finish();
});

services.run();
