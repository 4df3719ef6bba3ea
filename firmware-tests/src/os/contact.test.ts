// SPDX-License-Identifier: GPL-2.0-or-later

/** How an OS connects: versions, message ports, processor and SINT, features, and refusals. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvCall, HvStatus } from '../../../src/hyperv/protocol.ts';
import {
  InitiateContact,
  MessageType,
  OpenChannel,
  SignalParameters,
  VersionResponse,
  VmbusVersion,
} from '../../../src/vmbus/protocol.ts';
import { contactNewestOf } from '../../../src/os/contact.ts';
import { osSint } from '../../../src/os/sint.ts';
import { connectionsOf } from '../../../src/os/sints.ts';
import { GuestRig, ProbeDevice, ProbeDriver, failure } from '../../rigs/guest-rig.ts';
import { patched } from '../../rigs/driver-rig.ts';
import { SAMPLES } from '../../rigs/golden/golden.ts';

const { INITIATE_CONTACT, VERSION_RESPONSE, OPEN_CHANNEL, REQUEST_OFFERS } = MessageType;

const ALL = [0x60000, 0x50003, 0x50002, 0x50001, 0x50000, 0x40001, 0x40000, 0x30000, 0x20004];

/** Contacts of a rig as [version, connection, status]. */
function contacts(rig: GuestRig): number[][] {
  return rig
    .posts(INITIATE_CONTACT)
    .map(({ view, connection, status }) => [
      view.getUint32(InitiateContact.at.version, true),
      connection,
      status,
    ]);
}

const versions = suite('an OS negotiates');

versions('newest first, each version once, on connection 4 from 5.0 on', () => {
  for (const [host, expected] of [
    ['server2012', VmbusVersion.V2_4],
    ['server2012r2', VmbusVersion.V3_0],
    ['server2016', VmbusVersion.V4_0],
    ['server2019', VmbusVersion.V5_2],
    ['server2022', VmbusVersion.V5_3],
    ['copper', VmbusVersion.V6_0],
    ['openvmm', VmbusVersion.V6_0],
    ['qemu', VmbusVersion.V4_0],
  ] as const) {
    const rig = new GuestRig({ host }).start();
    assert.is(rig.bus.connection.version, expected, host);
    const multi = rig.machine.partition.services.profile.multiClientPort;
    const asked = ALL.slice(0, ALL.indexOf(expected) + 1);
    const wanted = asked.map((version) => {
      const port = version >= VmbusVersion.V5_0 ? 4 : 1;
      // An older host has no connection 4: the hypercall says so, once
      return [version, port, port === 4 && !multi ? HvStatus.INVALID_CONNECTION_ID : 0];
    });
    assert.equal(contacts(rig), wanted, host);
    assert.equal(rig.violations(), []);
    rig.stop();
    // Hosts before 2012 R2 never answer UNLOAD: what they have stays reserved
    if (expected >= VmbusVersion.V3_0) assert.equal(rig.outstanding(), [], host);
  }
});

versions('an older host is found at once: no retry, no waiting', () => {
  const rig = new GuestRig({ host: 'server2016', cards: 0 });
  rig.hv.probe();
  const begin = rig.machine.clock.now;
  rig.bus.probe();
  assert.ok(rig.machine.clock.now - begin < 50_000, 'five versions within 5 ms');
  rig.stop();
});

versions('INVALID_CONNECTION_ID on another message is throttling: tried again, growing', () => {
  const rig = new GuestRig({ cards: 0 });
  rig.hv.probe();
  let left = 5;
  const times: number[] = [];
  rig.machine.partition.faults.hypercall = (code, _connection, index) => {
    // Two contacts (6.0 is not known), then REQUEST_OFFERS
    if (code !== HvCall.POST_MESSAGE || index < 2 || left-- <= 0) return undefined;
    times.push(rig.machine.clock.now);
    return HvStatus.INVALID_CONNECTION_ID;
  };
  rig.bus.probe();
  assert.is(rig.posts(REQUEST_OFFERS).length, 6);
  const pauses = times.slice(1).map((time, i) => time - times[i]!);
  for (let i = 1; i < pauses.length; i++) assert.ok(pauses[i]! > 1.5 * pauses[i - 1]!, `${pauses}`);
  rig.stop();
});

versions('no version at all is refused by name, and nothing stays shared', () => {
  for (const multiClientPort of [true, false]) {
    const rig = new GuestRig({ profile: { vmbusVersions: [0x0d], multiClientPort } });
    assert.is(failure(() => rig.start()).name, 'VersionRefused');
    assert.is(contacts(rig).length, ALL.length);
    assert.not.ok(rig.granted().includes('monitor-page'));
    rig.hv.remove();
    assert.equal(rig.outstanding(), []);
  }
});

versions('a policy may begin lower: a primary at 4.0', () => {
  const contact = contactNewestOf([VmbusVersion.V4_0, VmbusVersion.V3_0]);
  const rig = new GuestRig({ bus: { contact } }).start();
  assert.is(rig.bus.connection.version, VmbusVersion.V4_0);
  rig.stop();
});

versions('a connection state that is no success is no connection, from 2.4 on', () => {
  for (const state of [1, 2, 0xff]) {
    const rig = new GuestRig();
    rig.machine.vmbus.faults = {
      message(type, payload) {
        if (type !== VERSION_RESPONSE || payload[VersionResponse.at.supported] === 0) return;
        const copy = payload.slice();
        copy[VersionResponse.at.connectionState] = state;
        return copy;
      },
    };
    const error = failure(() => rig.start());
    assert.is(error.name, 'ContactFailed');
    assert.ok(error.message.includes(`state ${state}`));
    rig.hv.remove();
  }
});

versions.run();

const ports = suite('message ports');

ports('all later messages go where the host says, UNLOAD too', () => {
  for (const returnedConnectionId of [1, 4, 0x55, 0xfffffe]) {
    const rig = new GuestRig({ knobs: { returnedConnectionId } }).start();
    rig.device.open();
    rig.stop();
    const later = rig.posts().filter(({ view }) => view.getUint32(0, true) !== INITIATE_CONTACT);
    assert.ok(later.length > 10);
    assert.equal([...new Set(later.map(({ connection }) => connection))], [returnedConnectionId]);
    assert.is(later.at(-1)!.bytes, SAMPLES['unload']!.hex);
    assert.equal(rig.outstanding(), []);
  }
});

ports('a connection ID that is none is refused', () => {
  for (const id of [0, 0x1000000, 0xffffffff]) {
    const rig = new GuestRig();
    rig.machine.vmbus.faults = {
      message: (type, payload) =>
        type === VERSION_RESPONSE && payload[VersionResponse.at.supported] !== 0
          ? patched(payload, VersionResponse.at.version, id)
          : undefined,
    };
    assert.is(failure(() => rig.start()).name, 'ContactFailed');
    // The host may well be connected: the pages stay reserved
    assert.ok(rig.outstanding().includes('monitor-in'));
  }
});

ports.run();

const target = suite('the target');

target('INITIATE_CONTACT is as Linux builds it, and the answer comes to that processor', () => {
  const rig = new GuestRig({ processors: 4, vp: 3, bus: { connection: { targetVp: 3 } } }).start();
  rig.device.open();
  const contact = rig.posts(INITIATE_CONTACT)[1]!;
  const { at } = InitiateContact;
  // Pages are where the guest has them; the rest is the sample's
  const monitors = contact.bytes.slice(2 * at.monitorIn);
  const sample = SAMPLES['initiate_contact_5_3']!.hex;
  assert.is(contact.bytes, sample.slice(0, 2 * at.monitorIn) + monitors);
  const purposes = new Map(rig.pages.outstanding().map((page) => [page.purpose, page.address]));
  assert.is(contact.view.getUint32(at.monitorIn, true), purposes.get('monitor-in'));
  assert.is(contact.view.getUint32(at.monitorOut, true), purposes.get('monitor-out'));
  assert.not.ok(purposes.has('interrupt-page'), 'nobody was told of it');

  // The refusal of 6.0 goes to the processor of before; all else to this one
  const messages = rig.seen('host-message').filter(({ change }) => change === 'deliver');
  assert.equal([...new Set(messages.slice(1).map(({ vp }) => vp))], [3]);
  rig.stop();
  assert.equal(rig.outstanding(), []);
});

target('below 3.0 messages come to processor 0 only: another is refused, with nothing sent', () => {
  const options = { processors: 2, vp: 1, bus: { connection: { targetVp: 1 } } };
  const rig = new GuestRig({ host: 'server2012', ...options });
  assert.is(failure(() => rig.start()).name, 'VersionRefused');
  assert.equal(
    contacts(rig).map(([version]) => version),
    ALL.slice(0, -1),
  );
});

target(
  'the SINT is unmasked as Linux does, with AutoEOI unless the host advises against it',
  () => {
    for (const [host, sint] of [
      ['server2019', 0x200f3n],
      ['server2022', 0xf3n],
    ] as const) {
      const hyperv = { sint: osSint(0xf3) };
      const rig = new GuestRig({ host, hyperv }).start();
      assert.is(rig.machine.partition.inspection.register(0, 'SINT2'), sint);
      rig.stop();
      assert.is(rig.machine.partition.inspection.register(0, 'SINT2') & 0x10000n, 0x10000n);
    }
    assert.is(SAMPLES['sint2_linux_x86']!.hex, 'f300020000000000');
  },
);

target('without monitor pages both addresses are 0, and every signal is an event', () => {
  const monitored = new ProbeDevice(1, true);
  const driver = new ProbeDriver();
  const rig = new GuestRig({
    cards: 0,
    devices: [monitored],
    drivers: [driver],
    bus: { connection: { monitors: false } },
  }).start();
  assert.is(rig.posts(INITIATE_CONTACT)[1]!.bytes.slice(48), '0'.repeat(32));
  assert.is(driver.channel.offer.monitor, -1);
  rig.mark();
  driver.channel.sendInband(1, new Uint8Array(8), 8);
  assert.equal(rig.signals(), [driver.channel.offer.connectionId]);
  rig.stop();
  assert.equal(rig.outstanding(), []);

  // With them the same device has a monitor, and no hypercall is needed
  const other = new ProbeDriver();
  const devices = [new ProbeDevice(1, true)];
  const second = new GuestRig({ cards: 0, devices, drivers: [other] }).start();
  second.mark();
  other.channel.sendInband(1, new Uint8Array(8), 8);
  assert.equal(second.signals(), []);
  second.poll(1);
  assert.is(devices[0]!.packets.length, 1);
});

target.run();

const features = suite('features of 6.0');

function agreedFeatures({ hv, bus }: GuestRig): number | undefined {
  return connectionsOf(hv).get(bus.connection);
}

features('those that both know are agreed, and make OPEN_CHANNEL longer', () => {
  for (const [host, asked, agreed] of [
    ['copper', 3, 3],
    ['copper', 1, 1],
    ['copper', 0, 0],
    ['copper', 0xffffffff, 3],
    ['server2022', 3, 0],
  ] as const) {
    const connection = { features: asked };
    const driver = new ProbeDriver({ targetVp: 1 });
    const devices = [new ProbeDevice(1)];
    const rig = new GuestRig({
      ...{ host, devices, cards: 0, processors: 2 },
      ...{ drivers: [driver], bus: { connection } },
    }).start();
    assert.is(agreedFeatures(rig), agreed);
    const open = rig.posts(OPEN_CHANNEL)[0]!;
    const { offer } = driver.channel;
    assert.is(open.bytes.length / 2, OpenChannel.size + (agreed === 0 ? 0 : SignalParameters.size));
    if (agreed !== 0) {
      const { at } = SignalParameters;
      const parameters = OpenChannel.size;
      assert.is(open.view.getUint32(parameters + at.connectionId, true), offer.connectionId);
      assert.is(open.view.getUint16(parameters + at.eventFlag, true), offer.channel);
      assert.is(open.view.getUint16(parameters + at.flags, true), 0);
    }
    // Signals and packets arrive either way
    driver.channel.sendInband(1, new Uint8Array(8), 8);
    rig.poll(1);
    assert.is(devices[0]!.packets.length, 1);
    assert.equal(rig.violations(), []);
    rig.stop();
  }
});

features('a host that claims more than was asked for is not believed', () => {
  const rig = new GuestRig({ host: 'copper', bus: { connection: { features: 1 } } });
  rig.machine.vmbus.faults = {
    message: (type, payload) =>
      type === VERSION_RESPONSE && payload.length === 20 ? patched(payload, 16, 0xff) : undefined,
  };
  rig.start();
  assert.is(agreedFeatures(rig), 1);
  rig.stop();
});

features('an answer without features has none', () => {
  const rig = new GuestRig({ host: 'copper', cards: 0 });
  rig.machine.vmbus.faults = {
    message: (type, payload) => (type === VERSION_RESPONSE ? payload.slice(0, 16) : undefined),
  };
  rig.start();
  assert.is(rig.bus.connection.version, VmbusVersion.V6_0);
  assert.is(agreedFeatures(rig), 0);
});

features.run();
