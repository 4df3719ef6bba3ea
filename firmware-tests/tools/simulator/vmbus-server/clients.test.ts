// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The simulated VMBus server with two VMBus drivers in one guest: the second one on a SINT of its
 * own, from 5.0 on (Linux commit "Drivers: hv: vmbus: enable VMBus protocol version 5.0").
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../../../src/machine.ts';
import { MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import type { HostKnobs } from '../../../../tools/simulator/profiles/profile.ts';
import { SAMPLES } from '../../../rigs/golden/golden.ts';
import {
  RING_LATENCY,
  RING_PFN,
  Rig,
  RigDevice,
  RigRings,
  created,
  gpadlHeader,
  inband,
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
const UNLOAD = plain(MessageType.UNLOAD);
const UNLOADED = plain(MessageType.UNLOAD_RESPONSE);
const REFUSED = SAMPLES['version_response_unsupported']!.hex;

/** The SINT of the second driver, the connection that it is told, and its monitor pages. */
const SINT = 5;
const PORT = 0x55;
const MONITORS = { monitorIn: 0x8000, monitorOut: 0x9000 };

/** First page of the second driver's rings. */
const SECOND_PFN = 0x80;

interface Clients {
  readonly rig: Rig;
  readonly primary: RigDevice;
  readonly second: RigDevice;
}

function clients(knobs: Partial<HostKnobs> = {}): Clients {
  const primary = new RigDevice(1);
  const second = Object.assign(new RigDevice(2), { client: 'secondary' as const });
  const rig = new Rig({
    devices: [primary, second],
    knobs: { secondClient: 'allow', secondConnectionId: PORT, ...knobs },
  });
  return { rig, primary, second };
}

/** INITIATE_CONTACT of the second driver. */
function contact(version: number = VmbusVersion.V5_3, sint = SINT, targetVp = 0): Uint8Array {
  return initiate(version, { info: words(sint, 0), targetVp, ...MONITORS });
}

function accepted(connectionId: number): string {
  return words(15, 0) + '01000000' + words(connectionId);
}

/** Connect the second driver, and open its device. */
function start({ rig }: Clients): void {
  assert.equal(rig.post(contact(), 4), [accepted(PORT)]);
  assert.is(rig.post(REQUEST, PORT).length, 2);
  const pfns = [0, 1, 2, 3].map((i) => SECOND_PFN + i);
  assert.equal(rig.post(gpadlHeader(1, 0x77, pfns), PORT), [created(1, 0x77, 0)]);
  assert.equal(rig.post(openChannel(1, 0x77, 2, 3), PORT), [opened(1)]);
}

/** The rings of the second driver. */
function secondRings(rig: Rig): RigRings {
  return new RigRings(rig.partition.ram, SECOND_PFN * PAGE_SIZE);
}

const PRIMARY_GRANTS = [`gpadl:${RING_PFN}`, 'monitor-page:2', 'monitor-page:3'];
const SECOND_GRANTS = [`gpadl:${SECOND_PFN}`, 'monitor-page:8', 'monitor-page:9'];

function clientStates(rig: Rig) {
  return rig.server.inspect().clients.map(({ phase, version }) => [phase, version]);
}

/** Both drivers connected, each with an open device. */
function both(version: number = VmbusVersion.V4_0, knobs: Partial<HostKnobs> = {}): Clients {
  const made = clients(knobs);
  made.rig.boot(version);
  assert.is(made.rig.open(1, { targetVp: 2 }), opened(1));
  start(made);
  made.rig.raised();
  return made;
}

const two = suite('host: two VMBus drivers');

two('a strict host refuses the second one to its SINT and keeps the first', () => {
  const { rig } = clients({ secondClient: 'refuse' });
  rig.connect(VmbusVersion.V4_0);
  assert.equal(rig.post(contact(VmbusVersion.V5_0, SINT, 6), 4), [REFUSED]);
  const { vp, sint } = rig.partition.received.at(-1)!;
  assert.equal([vp, sint], [6, SINT]);
  assert.equal(clientStates(rig), [['connected', VmbusVersion.V4_0]]);
});

two('a second connection beside 4.0 and beside 5.x, with its own ID, SINT and VP', () => {
  for (const version of [VmbusVersion.V4_0, VmbusVersion.V5_0, VmbusVersion.V5_3]) {
    const { rig } = clients();
    rig.connect(version);
    assert.equal(rig.post(contact(VmbusVersion.V5_1, SINT, 4), 4), [accepted(PORT)]);
    const { vp, sint } = rig.partition.received.at(-1)!;
    assert.equal([vp, sint], [4, SINT]);
    assert.equal(clientStates(rig), [
      ['connected', version],
      ['connected', VmbusVersion.V5_1],
    ]);
    const [first, second] = rig.server.inspect().clients;
    assert.equal([first!.client, first!.sint, first!.connectionId], ['primary', 2, 1]);
    assert.equal([second!.client, second!.sint, second!.connectionId], ['secondary', SINT, PORT]);
  }
});

two('the second driver needs no first, and 5.0', () => {
  const { rig } = clients();
  assert.equal(rig.post(contact(VmbusVersion.V5_0), 4), [accepted(PORT)]);
  // Below 5.0 the SINT is not looked at: this is the primary driver
  const other = clients().rig;
  assert.equal(other.post(contact(VmbusVersion.V4_1), 4), [
    words(15, 0) + '01000000' + words(VmbusVersion.V4_1),
  ]);
  assert.is(other.partition.received[0]!.sint, 2);
});

two('each driver is offered its own devices, numbered from 1, with IDs of its SINT', () => {
  const { rig } = clients();
  const [mine] = rig.boot(VmbusVersion.V4_0);
  rig.post(contact(), 4);
  const [offer, end] = rig.post(REQUEST, PORT);
  assert.equal([offeredId(mine!), offeredId(offer!)], [1, 1]);
  assert.is(mine!.slice(48 + 28, 48 + 32), '0001');
  assert.is(offer!.slice(48 + 28, 48 + 32), '0002');
  assert.is(mine!.slice(192 * 2), words(0x2001));
  assert.is(offer!.slice(192 * 2), words(0x5001));
  assert.is(end, DELIVERED);
});

two('channels of the same number do not meet: GPADLs, signals, events', () => {
  const { rig, primary, second } = both();
  // The same GPADL ID on the same channel number
  assert.equal(rig.post(gpadlHeader(1, 0x99, [0x40])), [created(1, 0x99, 0)]);
  assert.equal(rig.post(gpadlHeader(1, 0x99, [0x41]), PORT), [created(1, 0x99, 0)]);
  assert.equal(rig.post(teardown(1, 0x99), PORT), [torndown(0x99)]);
  assert.ok(rig.grants().includes('gpadl:64') && !rig.grants().includes('gpadl:65'));

  secondRings(rig).write(inband('02', 0));
  assert.is(rig.signal(0x5001), 0);
  rig.run(RING_LATENCY);
  assert.equal([primary.packets.length, second.packets.length], [0, 1]);
  rig.rings(1).write(inband('01', 0));
  assert.is(rig.signal(0x2001), 0);
  rig.run(RING_LATENCY);
  assert.equal([primary.packets.length, second.packets.length], [1, 1]);

  const none = new Uint8Array(8);
  for (const { channel } of [primary, second]) channel!.send(6, 0, 0, 0, none, 0, none, 8);
  assert.equal(rig.raised(), [
    { vp: 2, sint: 2, flag: 1 },
    { vp: 3, sint: SINT, flag: 1 },
  ]);
});

two('unloading one leaves the other working', () => {
  for (const leaving of ['primary', 'secondary'] as const) {
    const { rig, primary, second } = both();
    const stays = leaving === 'primary' ? second : primary;
    assert.equal(rig.post(UNLOAD, leaving === 'primary' ? 1 : PORT), [UNLOADED]);
    assert.is(rig.partition.received.at(-1)!.sint, leaving === 'primary' ? 2 : SINT);
    assert.equal(
      rig.grants().sort(),
      [...(leaving === 'primary' ? SECOND_GRANTS : PRIMARY_GRANTS)].sort(),
    );
    assert.equal(
      rig.server.inspect().clients.map(({ phase }) => phase),
      leaving === 'primary' ? ['disconnected', 'connected'] : ['connected', 'disconnected'],
    );

    // The other's channel still carries packets
    const rings = leaving === 'primary' ? secondRings(rig) : rig.rings(1);
    rings.write(inband('03', 0));
    assert.is(rig.signal(leaving === 'primary' ? 0x5001 : 0x2001), 0);
    rig.run(RING_LATENCY);
    assert.is(stays.packets.length, 1);
    assert.is(rig.signal(leaving === 'primary' ? 0x2001 : 0x5001), 0x12);

    // And whoever left may come back
    if (leaving === 'primary') assert.is(rig.boot(VmbusVersion.V4_0).length, 2);
    else assert.equal(rig.post(contact(), 4), [accepted(PORT)]);
    assert.ok(rig.server.inspect().clients.every(({ phase }) => phase === 'connected'));
  }
});

two('an implicit disconnect concerns its own connection', () => {
  const { rig, primary, second } = both();
  assert.equal(rig.post(contact(VmbusVersion.V5_0), 4), [accepted(PORT)]);
  assert.is(second.calls.at(-1), 'close');
  assert.not(primary.calls.includes('close'));
  assert.is(rig.server.inspect().clients[1]!.history[0]!.endedBy, 'INITIATE_CONTACT');

  const again = both();
  again.rig.connect(VmbusVersion.V5_0);
  assert.is(again.primary.calls.at(-1), 'close');
  assert.not(again.second.calls.includes('close'));
});

two('an unknown version costs the second driver its connection, and no other', () => {
  const { rig, primary } = both();
  assert.equal(rig.post(contact(0x00070000), 4), [REFUSED]);
  assert.is(rig.partition.received.at(-1)!.sint, SINT);
  assert.equal(
    rig.server.inspect().clients.map(({ phase }) => phase),
    ['connected', 'disconnected'],
  );
  assert.not(primary.calls.includes('close'));
});

two('a third driver is refused to its SINT; after an unload another SINT may be used', () => {
  const { rig } = both();
  assert.equal(rig.post(contact(VmbusVersion.V5_0, 7), 4), [REFUSED]);
  assert.is(rig.partition.received.at(-1)!.sint, 7);
  rig.post(UNLOAD, PORT);
  assert.equal(rig.post(contact(VmbusVersion.V5_0, 7), 4), [accepted(PORT)]);
  assert.is(rig.partition.received.at(-1)!.sint, 7);
  assert.is(rig.server.inspect().clients[1]!.sint, 7);
});

two('SINTs that no client can have', () => {
  const { rig } = clients();
  assert.equal(rig.post(contact(VmbusVersion.V5_0, 0), 4), [REFUSED], "the hypervisor's");
  assert.equal(rig.post(contact(VmbusVersion.V5_0, 16), 4), []);
  assert.equal(rig.post(contact(VmbusVersion.V5_0, SINT, 8), 4), [], 'no such VP');
  assert.is(rig.violations.length, 2);
  assert.is(rig.server.inspect().clients[1]!.sint, undefined);
});

two('monitor pages cannot be shared by two connections', () => {
  const { rig } = clients();
  rig.connect(VmbusVersion.V4_0);
  const same = initiate(VmbusVersion.V5_0, { info: words(SINT, 0) });
  assert.equal(rig.post(same, 4), [words(15, 0) + '01020000' + words(PORT)]);
  assert.equal(rig.post(contact(), 4), [accepted(PORT)]);
  assert.equal(rig.grants(), [
    'monitor-page:2',
    'monitor-page:3',
    'monitor-page:8',
    'monitor-page:9',
  ]);
  // The pages are free once they were given back
  rig.post(UNLOAD);
  assert.equal(rig.post(same, 4), [accepted(PORT)]);
});

two('the connection ID says who speaks: 4 alone is the primary driver', () => {
  const { rig } = both();
  assert.equal(rig.post(REQUEST, PORT), [], 'asked already');
  assert.equal(rig.post(UNLOAD, 4), [UNLOADED]);
  assert.equal(clientStates(rig)[0], ['disconnected', 0]);
  assert.equal(clientStates(rig)[1], ['connected', VmbusVersion.V5_3]);
  // INITIATE_CONTACT belongs on connection 4
  const before = rig.violations.length;
  assert.equal(rig.post(contact(), PORT), []);
  assert.is(rig.violations.length, before + 1);
  assert.match(rig.violations.at(-1)!, 'of the second client');
});

two('a driver that does not take its messages does not hold up the other', () => {
  const { rig } = both();
  const { partition } = rig;
  const busy = new Set([SINT]);
  partition.queuedMessages = (_vp?: number, sint?: number) => (busy.has(sint!) ? 1 : 0);
  rig.postOnly(gpadlHeader(1, 0x90, [0x40]), PORT);
  assert.equal(rig.post(gpadlHeader(1, 0x90, [0x40])), [created(1, 0x90, 0)]);
  assert.is(rig.server.inspect().clients[1]!.guestMessagesQueued, 1);
  busy.clear();
  partition.onSlotEmptied!();
  rig.run(1);
  assert.is(partition.received.at(-1)!.sint, SINT);
});

two('a slow UNLOAD of one does not delay the other', () => {
  const { rig } = both(VmbusVersion.V5_0, { unloadAnswer: 100 * TICKS_PER_MS });
  assert.equal(rig.post(UNLOAD, PORT), []);
  assert.equal(rig.post(gpadlHeader(1, 0x90, [0x40])), [created(1, 0x90, 0)]);
  rig.run(100 * TICKS_PER_MS);
  assert.is(rig.partition.received.at(-1)!.hex, UNLOADED);
  assert.is(rig.server.inspect().clients[0]!.phase, 'connected');
});

two('devices of the second driver come, go and are reset with it', () => {
  const { rig, primary, second } = both();
  const hot = Object.assign(new RigDevice(3), { client: 'secondary' as const });
  rig.server.hotAdd(hot);
  assert.is(offeredId(rig.partition.received.at(-1)!.hex), 2);
  assert.is(rig.partition.received.at(-1)!.sint, SINT);
  rig.server.rescind(second);
  assert.is(rig.partition.received.at(-1)!.hex, words(MessageType.RESCIND_CHANNEL_OFFER, 0, 1));
  assert.is(second.calls.at(-1), 'close');
  rig.server.postUnsolicited(unhex(torndown(9)), 'secondary');
  assert.is(rig.partition.received.at(-1)!.sint, SINT);
  rig.server.reset();
  assert.is(primary.calls.at(-1), 'close');
  assert.equal(rig.grants(), []);
});

two('what happens to the second driver is told apart from the first', () => {
  const { rig } = both();
  const events = rig.log.filter((event) => event.kind === 'vmbus' && event.change === 'opened');
  assert.equal(events, [
    { kind: 'vmbus', change: 'opened', channel: 1 },
    { kind: 'vmbus', change: 'opened', channel: 1, client: 'secondary' },
  ]);
  const purposes = rig.partition.grants.live().map(({ purpose }) => purpose);
  assert.ok(purposes.includes('rings of channel 1 (GPADL 0x101)'));
  assert.ok(purposes.includes('rings of channel 1 (GPADL 0x77) of the second client'));
  assert.ok(purposes.includes('monitor page, child to parent of the second client'));
});

two('the connection ID of the second driver is one that nothing else has', () => {
  const { rig } = clients({ secondConnectionId: 0x77, returnedConnectionId: 0x77 });
  assert.is(rig.server.inspect().clients[1]!.connectionId, 0x78);
});

two('a connection ID that a guest picks cannot be one of the other driver', () => {
  const { rig } = clients();
  rig.post(initiate(VmbusVersion.V6_0, { info: '02000000' + words(1) }), 4);
  rig.post(REQUEST);
  start({ rig } as Clients);
  const pfns = [0, 1, 2, 3].map((i) => RING_PFN + i);
  rig.post(gpadlHeader(1, 0x101, pfns));
  const open = openChannel(1, 0x101, 2) + words(0x5001, 1);
  assert.equal(rig.post(open), [opened(1, 0x8000ffff)]);
});

two.run();
