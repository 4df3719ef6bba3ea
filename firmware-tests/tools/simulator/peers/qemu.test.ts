// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Where the profile qemu differs from others, as QEMU's `hw/hyperv/vmbus.c` and `hyperv.c` were
 * seen to differ beside the simulator (P-Q4), a test for each.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvCall, HvStatus, Msr, SynicMessage } from '../../../../src/hyperv/protocol.ts';
import { PAGE_SIZE } from '../../../../src/machine.ts';
import { DeviceClass, MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { QEMU } from '../../../../tools/simulator/profiles/host-knobs.ts';
import { makeMachine } from '../../../../tools/scenarios/rig.ts';
import type { HostKnobs } from '../../../../tools/simulator/profiles/profile.ts';
import { MEMORY_SIZE, Page, create, profile, setUp } from '../../../rigs/partition-fixture.ts';
import {
  MESSAGE_LATENCY,
  Rig,
  RigDevice,
  INTERRUPT_PAGE,
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
  words,
} from '../../../rigs/vmbus-server-rig.ts';

const TO_V4: readonly number[] = [0x0d, 0x10001, 0x20004, 0x30000, 0x40000];
const UNLOAD = plain(MessageType.UNLOAD);
const UNLOAD_RESPONSE = plain(MessageType.UNLOAD_RESPONSE);
const REQUEST_OFFERS = plain(MessageType.REQUEST_OFFERS);
const ALL_OFFERS = plain(MessageType.ALL_OFFERS_DELIVERED);
/** VERSION_RESPONSE: supported, state and version 0. */
const ACCEPTED = words(MessageType.VERSION_RESPONSE, 0, 1, 0);
const close = (id: number): string => words(MessageType.CLOSE_CHANNEL, 0, id);

/** QEMU's host, with devices. */
function rigOf(devices: readonly RigDevice[] = [], knobs: Partial<HostKnobs> = {}): Rig {
  return new Rig({
    devices,
    knobs: { ...QEMU, ...knobs },
    profile: { vmbusVersions: TO_V4, multiClientPort: false },
  });
}

/** The same with offers requested. */
function booted(devices: readonly RigDevice[], version: number = VmbusVersion.V4_0): Rig {
  const rig = rigOf(devices);
  rig.boot(version);
  return rig;
}

const offers = suite('peers: QEMU, offers');

offers('P-Q4 QEMU: in order of creation, with the numbers of it, and monitor 0', () => {
  const scsi = new RigDevice(1, DeviceClass.SCSI);
  const first = new RigDevice(2, DeviceClass.NETWORK);
  const devices = [first, scsi, new RigDevice(3, DeviceClass.NETWORK)];
  // One by one: each when the slot is free, which it always is here
  const sent = booted(devices).partition.received.filter(({ payload }) => payload[0] === 1);
  assert.equal(
    sent.map(({ hex, payload }) => [offeredId(hex), payload.slice(24, 40).at(-1)]),
    [
      [1, 2],
      [2, 1],
      [3, 3],
    ],
  );
  assert.equal(
    sent.map(({ payload }) => [payload[188], payload[189]]),
    [
      [0, 0],
      [0, 0],
      [0, 0],
    ],
  );
});

offers('P-Q4 QEMU: a second REQUEST_OFFERS brings ALL_OFFERS_DELIVERED again', () => {
  const rig = booted([new RigDevice(1)]);
  assert.equal(rig.post(REQUEST_OFFERS), [ALL_OFFERS]);
});

offers('P-Q4 QEMU: RELID_RELEASED is ignored', () => {
  const rig = booted([new RigDevice(1)]);
  assert.equal(rig.post(words(MessageType.RELID_RELEASED, 0, 1)), []);
  assert.is(rig.open(1), opened(1));
});

offers('P-Q4 QEMU: a channel is opened before it was offered, and is offered then', () => {
  const rig = rigOf([new RigDevice(1)]);
  rig.connect(VmbusVersion.V4_0);
  assert.is(rig.open(1), opened(1));
  const [offer, end] = rig.post(REQUEST_OFFERS);
  assert.is(offeredId(offer!), 1);
  assert.is(end, ALL_OFFERS);
  assert.is(rig.server.inspect().channels[0]!.state, 'open');
});

offers.run();

const contact = suite('peers: QEMU, contact and unload');

contact('P-Q4 QEMU: what waits behind UNLOAD is dropped', () => {
  const rig = booted([new RigDevice(1)]);
  rig.postOnly(UNLOAD);
  rig.postOnly(initiate(VmbusVersion.V4_0));
  const before = rig.partition.received.length;
  rig.run(10 * MESSAGE_LATENCY);
  assert.equal(
    rig.partition.received.slice(before).map(({ hex }) => hex),
    [UNLOAD_RESPONSE],
  );
  assert.equal(rig.post(initiate(VmbusVersion.V4_0)), [ACCEPTED]);

  // Elsewhere the contact is answered as well
  const other = new Rig({ devices: [new RigDevice(1)] });
  other.boot(VmbusVersion.V4_0);
  other.postOnly(UNLOAD);
  other.postOnly(initiate(VmbusVersion.V4_0));
  const taken = other.partition.received.length;
  other.run(10 * MESSAGE_LATENCY);
  assert.equal(
    other.partition.received.slice(taken).map(({ payload }) => payload[0]),
    [MessageType.UNLOAD_RESPONSE, MessageType.VERSION_RESPONSE],
  );
});

contact('P-Q4 QEMU: UNLOAD after a refused version is answered, once', () => {
  const rig = rigOf();
  rig.post(initiate(VmbusVersion.V5_3));
  assert.equal(rig.post(UNLOAD), [UNLOAD_RESPONSE]);
  assert.equal(rig.post(UNLOAD), []);
  const other = new Rig();
  other.post(initiate(0x12345));
  assert.equal(other.post(UNLOAD), [], 'elsewhere it is not');
});

contact('P-Q4 QEMU: pages that cannot be shared are accepted', () => {
  const pages = { monitorIn: 0x123, monitorOut: 0x7fff0000 };
  assert.equal(rigOf().post(initiate(VmbusVersion.V4_0, pages)), [ACCEPTED]);
  const info = words(0x7fff0000, 0);
  assert.equal(rigOf().post(initiate(VmbusVersion.V0_13, { info })), [ACCEPTED]);
});

contact('P-Q4 QEMU: versions below 0.13 work', () => {
  for (const version of [1, 0x0c]) {
    const rig = rigOf([new RigDevice(1)]);
    assert.is(rig.boot(version).length, 2);
    assert.is(rig.open(1), opened(1));
    assert.equal(rig.post(UNLOAD), [UNLOAD_RESPONSE]);
  }
});

contact('P-Q4 QEMU: a message for a guest whose SIMP is off resets the bus', () => {
  const rig = booted([new RigDevice(1)]);
  const { partition } = rig;
  const deliver = partition.postMessage.bind(partition);
  partition.postMessage = () => false;
  rig.post(gpadlHeader(1, 7, [0x40]));
  partition.postMessage = deliver;
  rig.run(MESSAGE_LATENCY);
  const { phase, gpadls } = rig.server.inspect();
  assert.equal([phase, gpadls], ['disconnected', []]);
  assert.equal(rig.post(REQUEST_OFFERS), [], 'nobody is connected');
  assert.equal(rig.post(initiate(VmbusVersion.V4_0)), [ACCEPTED]);
});

/** Types of the messages that a guest takes which polls; SCONTROL is 1 from `on` on. */
function polled(host: string, on: 'contact' | 'offers' | 'never'): number[] {
  const machine = makeMachine({ host });
  const cpu = machine.bootProcessor;
  const view = new DataView(cpu.memory);
  setUp(cpu);
  const taken: number[] = [];
  const post = (...message: number[]): void => {
    [1, 0, 1, 4 * message.length, ...message].forEach((word, i) =>
      view.setUint32(Page.INPUT + 4 * i, word, true),
    );
    cpu.callHypercallPage(Page.HYPERCALL, BigInt(HvCall.POST_MESSAGE), BigInt(Page.INPUT), 0n);
    const slot = Page.SIMP + 2 * SynicMessage.size;
    for (let i = 0; i < 1000; i++) {
      cpu.pause();
      if (view.getUint32(slot, true) === 0) continue;
      taken.push(view.getUint32(slot + SynicMessage.at.data, true));
      view.setUint32(slot, 0, true);
      cpu.wrmsr(Msr.EOM, 0n);
    }
  };
  cpu.wrmsr(Msr.SCONTROL, on === 'contact' ? 1n : 0n);
  post(MessageType.INITIATE_CONTACT, 0, VmbusVersion.V4_0, 0, 0, 0, 0, 0, 0, 0);
  cpu.wrmsr(Msr.SCONTROL, on === 'never' ? 0n : 1n);
  post(MessageType.REQUEST_OFFERS, 0);
  post(MessageType.UNLOAD, 0);
  return taken;
}

contact('P-Q4 QEMU: after a contact with SCONTROL 0 later messages stick for ever', () => {
  const { VERSION_RESPONSE, OFFER_CHANNEL, ALL_OFFERS_DELIVERED, UNLOAD_RESPONSE } = MessageType;
  const all = polled('qemu', 'contact');
  const offers = all.filter((type) => type === OFFER_CHANNEL);
  assert.ok(offers.length > 0);
  assert.equal(all, [VERSION_RESPONSE, ...offers, ALL_OFFERS_DELIVERED, UNLOAD_RESPONSE]);
  assert.equal(polled('qemu', 'offers'), [VERSION_RESPONSE, OFFER_CHANNEL]);
  assert.equal(polled('qemu', 'never'), [VERSION_RESPONSE, OFFER_CHANNEL]);

  // Elsewhere nothing comes before SCONTROL is 1, and nothing that has waited without an EOM
  assert.is(polled('server2016', 'contact').at(-1), UNLOAD_RESPONSE);
  assert.equal(polled('server2016', 'offers'), []);
  assert.equal(polled('server2016', 'never'), []);

  // OpenVMM does not look
  const there = polled('openvmm', 'contact');
  assert.is(there.at(-1), UNLOAD_RESPONSE);
  assert.equal(polled('openvmm', 'never'), there);
});

contact.run();

const gpadls = suite('peers: QEMU, GPADLs and opens');

gpadls('P-Q4 QEMU: failures are silent', () => {
  const rig = booted([new RigDevice(1), new RigDevice(2)]);
  assert.equal(rig.post(gpadlHeader(1, 7, [0x40])), [created(1, 7, 0)]);
  assert.equal(rig.post(gpadlHeader(1, 7, [0x41])), [], 'duplicate');
  assert.equal(rig.post(gpadlHeader(2, 7, [0x41])), [], 'of another channel');
  const head = words(MessageType.GPADL_HEADER, 0, 1, 8, 16 + 0x10000);
  assert.equal(rig.post(head + words(2 * PAGE_SIZE, 0, 0x40, 0)), [], 'bytes are not the pages');
});

gpadls('P-Q4 QEMU: unknown channels, pages that are no RAM, and no pages are created', () => {
  const rig = booted([new RigDevice(1)]);
  assert.equal(rig.post(gpadlHeader(99, 7, [0x40])), [created(99, 7, 0)]);
  assert.equal(rig.post(gpadlHeader(1, 8, [0x7fffff])), [created(1, 8, 0)]);
  assert.equal(rig.post(gpadlHeader(1, 9, [])), [created(1, 9, 0)]);
  assert.equal(rig.post(teardown(1, 7)), [torndown(7)], 'whoever it belongs to');
  assert.equal(rig.post(openChannel(1, 8, 1)), [opened(1, 1)]);
  rig.post(UNLOAD);
  assert.equal(rig.grants(), []);
});

gpadls('P-Q4 QEMU: the ring goes on after its teardown, and its ID is taken until CLOSE', () => {
  const device = new RigDevice(1);
  const rig = booted([device]);
  rig.open(1);
  assert.equal(rig.post(teardown(1, 0x101)), [torndown(0x101)]);
  const rings = rig.rings(1);
  rings.write(inband('0102030405060708', 0));
  assert.is(rig.signal(17), 0);
  rig.run(MESSAGE_LATENCY);
  assert.is(device.packets.length, 1);
  assert.equal(rig.post(gpadlHeader(1, 0x101, [0x60])), []);
  assert.equal(rig.post(teardown(1, 0x101)), []);
  assert.equal(rig.post(close(1)), []);
  assert.equal(rig.post(gpadlHeader(1, 0x101, [0x60])), [created(1, 0x101, 0)]);
});

gpadls('P-Q4 QEMU: an incomplete GPADL is torn down, too', () => {
  const rig = booted([new RigDevice(1)]);
  const head = words(MessageType.GPADL_HEADER, 0, 1, 7, 24 + 0x10000);
  assert.equal(rig.post(head + words(2 * PAGE_SIZE, 0, 0x40, 0)), []);
  assert.equal(rig.post(teardown(1, 7)), [torndown(7)]);
  assert.equal(rig.post(gpadlHeader(1, 7, [0x40])), [created(1, 7, 0)]);
});

gpadls('P-Q4 QEMU: rings may lie in the GPADL of another channel', () => {
  const devices = [new RigDevice(1), new RigDevice(2)];
  const rig = booted(devices);
  const pfns = [0x40, 0x41, 0x42, 0x43];
  assert.equal(rig.post(gpadlHeader(1, 7, pfns)), [created(1, 7, 0)]);
  assert.equal(rig.post(openChannel(2, 7, 2)), [opened(2)]);
  assert.equal(rig.post(teardown(1, 7)), [torndown(7)]);
  assert.ok(devices[1]!.channel!.send(6, 0, 0, 0, new Uint8Array(0), 0, new Uint8Array(8), 8));
  rig.post(close(2));
  assert.not(rig.grants().includes('gpadl:64'));

  // And both end with the connection
  rig.post(gpadlHeader(1, 7, pfns));
  rig.post(openChannel(2, 7, 2));
  assert.equal(rig.post(UNLOAD), [UNLOAD_RESPONSE]);
  assert.equal(rig.grants(), []);
});

gpadls('P-Q4 QEMU: what the device refuses has status 1', () => {
  const device = new RigDevice(1);
  device.openStatus = 0xc0000001;
  assert.is(booted([device]).open(1), opened(1, 1));
  const other = new Rig({ devices: [device] });
  other.boot();
  assert.is(other.open(1), opened(1, 0xc0000001), 'elsewhere its own');
});

gpadls.run();

const rings = suite('peers: QEMU, rings');

/** An open channel: the guest writes at `from` of its ring. */
function open(version: number = VmbusVersion.V4_0) {
  const device = new RigDevice(1);
  const rig = booted([device], version);
  rig.open(1);
  rig.raised();
  const kick = (): void => {
    assert.is(rig.signal(17), 0);
    rig.run(MESSAGE_LATENCY);
  };
  return { rig, device, rings: rig.rings(1), kick };
}

rings('P-Q4 QEMU: indices need not be aligned', () => {
  const device = new RigDevice(1);
  const rig = booted([device]);
  rig.post(gpadlHeader(1, 7, [0x10, 0x11, 0x12, 0x13]));
  const view = rig.rings(1);
  for (const field of ['prod', 'cons'] as const) view.setControl(view.out, field, 12);
  assert.equal(rig.post(openChannel(1, 7, 2)), [opened(1)]);
  view.write(inband('0102030405060708', 12));
  rig.signal(17);
  rig.run(MESSAGE_LATENCY);
  assert.equal(device.packets, [inband('0102030405060708', 12).slice(0, -16)]);
});

rings('P-Q4 QEMU: unknown flags are fine', () => {
  const { device, rings, kick } = open();
  rings.write(inband('0102030405060708', 0, 0, 0x8002));
  kick();
  assert.is(device.packets.length, 1);
});

rings('P-Q4 QEMU: a packet of type 10 waits for ever, and a mended one goes on', () => {
  const { rig, device, rings, kick } = open();
  const bad = words(10 + (2 << 16), 3, 0, 0) + '0102030405060708' + words(0, 0);
  rings.write(bad);
  kick();
  kick();
  assert.equal(device.packets, []);
  assert.not(device.channel!.dead);
  rig.partition.ram.view.setUint16(rings.out + PAGE_SIZE, 6, true);
  kick();
  assert.is(device.packets.length, 1);
});

rings('P-Q4 QEMU: a bad index waits until it is mended', () => {
  const { device, rings, kick } = open();
  rings.write(inband('0102030405060708', 0));
  const prod = rings.control(rings.out, 'prod');
  rings.setControl(rings.out, 'prod', 0xffffff00);
  kick();
  assert.equal(device.packets, []);
  rings.setControl(rings.out, 'prod', prod);
  kick();
  assert.is(device.packets.length, 1);
});

rings('P-Q4 QEMU: a read is signalled unless the ring has the feature bit', () => {
  const { rig, rings, kick } = open();
  rings.write(inband('0102030405060708', 0));
  kick();
  assert.equal(rig.raised(), [{ vp: 0, sint: 2, flag: 1 }]);
  rings.setControl(rings.out, 'featureBits', 1);
  rings.write(inband('0102030405060708', 32));
  kick();
  assert.equal(rig.raised(), []);
});

rings('P-Q4 QEMU: below 2.4 the interrupt page has the bit, and no flag is set', () => {
  const { rig, device } = open(VmbusVersion.V1_1);
  device.channel!.send(6, 0, 0, 0, new Uint8Array(0), 0, new Uint8Array(8), 8);
  assert.equal(rig.raised(), []);
  assert.is(rig.partition.ram.view.getUint32(INTERRUPT_PAGE, true), 2);
});

rings('P-Q4 QEMU: below 2.4 without a page the flag is that of the channel', () => {
  const device = new RigDevice(1);
  const rig = rigOf([device]);
  rig.connect(VmbusVersion.V1_1, false);
  rig.post(REQUEST_OFFERS);
  rig.open(1, { targetVp: 3 });
  rig.raised();
  device.channel!.send(6, 0, 0, 0, new Uint8Array(0), 0, new Uint8Array(8), 8);
  assert.equal(rig.raised(), [{ vp: 3, sint: 2, flag: 1 }]);
});

rings.run();

const calls = suite('peers: QEMU, hypercalls');

/** A message, and how it is posted. */
interface Post {
  readonly at?: number;
  readonly control?: bigint;
  readonly connection?: number;
  readonly reserved?: number;
  readonly type?: number;
  readonly length?: number;
  readonly message?: number;
}

/** The status of HvPostMessage on a host that has a port on connection 1. */
function status(host: string, post: Post): number {
  const { cpu, partition, view } = create({}, { profile: profile(host) });
  setUp(cpu);
  partition.registerMessagePort(1, () => 0);
  const at = post.at ?? Page.INPUT;
  const { connection = 1, reserved = 0, type = 1, length = 8, message = 16 } = post;
  [connection, reserved, type, length, message, 0].forEach((word, i) => {
    if (at + 4 * i + 4 <= MEMORY_SIZE) view.setUint32(at + 4 * i, word, true);
  });
  const control = BigInt(HvCall.POST_MESSAGE) | (post.control ?? 0n);
  return Number(cpu.callHypercallPage(Page.HYPERCALL, control, BigInt(at), 0n));
}

const FAST = 0x10000n;

/** What is posted, and the statuses of QEMU and of others. */
const POSTS: readonly [what: string, post: Post, qemu: number, other: number][] = [
  ['fast', { control: FAST }, HvStatus.INVALID_HYPERCALL_CODE, 3],
  ['more than 240 bytes', { length: 241 }, HvStatus.INVALID_HYPERCALL_INPUT, 5],
  ['aligned to 4', { at: Page.INPUT + 4 }, HvStatus.SUCCESS, 4],
  ['aligned to 2', { at: Page.INPUT + 2 }, HvStatus.INVALID_ALIGNMENT, 4],
  ['across a page', { at: Page.INPUT + 4096 - 8 }, HvStatus.SUCCESS, 3],
  ['a reserved word', { reserved: 1 }, HvStatus.SUCCESS, 3],
  ['bits 31:24 of the connection', { connection: 0x7f000001 }, HvStatus.SUCCESS, 0x12],
  ['another SynIC type', { type: 2 }, HvStatus.INVALID_HYPERCALL_INPUT, 0],
  ['the type of the hypervisor', { type: 0x80000000 }, HvStatus.INVALID_HYPERCALL_INPUT, 5],
  ['less than a header', { length: 7 }, HvStatus.INVALID_HYPERCALL_INPUT, 0],
  ['VMBus type 0', { message: 0 }, HvStatus.INVALID_HYPERCALL_INPUT, 0],
  ['VMBus type 18', { message: 18 }, HvStatus.INVALID_HYPERCALL_INPUT, 0],
  ['VMBus type 17', { message: 17 }, HvStatus.SUCCESS, 0],
  ['across the end of RAM', { at: MEMORY_SIZE - 8 }, HvStatus.INSUFFICIENT_MEMORY, 3],
  ['outside of RAM', { at: MEMORY_SIZE }, HvStatus.INVALID_CONNECTION_ID, 5],
];

for (const [what, post, qemu, other] of POSTS)
  calls(`P-Q4 QEMU: HvPostMessage, ${what}`, () => {
    assert.equal([status('qemu', post), status('server2016', post)], [qemu, other]);
  });

/** HvSignalEvent: connection, flag, reserved; the statuses of QEMU and of others. */
const SIGNALS: readonly [what: string, input: bigint, qemu: number, other: number][] = [
  ['a reserved bit of the connection', 0x01000002n, 3, 0x12],
  ['a reserved bit behind the flag', 2n | (1n << 48n), 3, 3],
  ['a flag on an unknown port', 9n | (1n << 32n), 0x11, 0x12],
  ['an unknown port', 9n, 0x12, 0x12],
];

for (const [what, input, qemu, other] of SIGNALS)
  calls(`P-Q4 QEMU: HvSignalEvent, ${what}`, () => {
    const of = (host: string): number => {
      const { cpu, partition } = create({}, { profile: profile(host) });
      setUp(cpu);
      partition.registerEventPort(2, () => 0);
      const control = BigInt(HvCall.SIGNAL_EVENT) | FAST;
      return Number(cpu.callHypercallPage(Page.HYPERCALL, control, input, 0n));
    };
    assert.equal([of('qemu'), of('server2016')], [qemu, other]);
  });

calls('P-Q4 QEMU: HvSignalEvent from outside of RAM has connection 0', () => {
  const { cpu } = create({}, { profile: profile('qemu') });
  setUp(cpu);
  const call = [BigInt(HvCall.SIGNAL_EVENT), BigInt(MEMORY_SIZE), 0n] as const;
  assert.is(cpu.callHypercallPage(Page.HYPERCALL, ...call), 0x12n);
  assert.is(cpu.rdmsr(Msr.VP_INDEX), 0n);
});

calls.run();
