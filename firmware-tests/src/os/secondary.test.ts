// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Two VMBus drivers in one guest (Linux commit "enable VMBus protocol version 5.0"): the second on
 * a SINT of its own, over one hypervisor layer. Against the simulated host, strict and not.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { NetDevice } from '../../../src/index.ts';
import { NetvscDriver } from '../../../src/netvsc/driver.ts';
import { osNetvsc } from '../../../src/os/netvsc-part.ts';
import { OS_NETVSC } from '../../../src/os/netvsc-policy.ts';
import type { VmbusBus } from '../../../src/vmbus/bus.ts';
import { contactAsSecondary, contactNewestOf } from '../../../src/os/contact.ts';
import { dispatchEvents } from '../../../src/os/events.ts';
import { secondaryBus } from '../../../src/os/presets.ts';
import { initiateUnload } from '../../../src/os/unload.ts';
import {
  GpadlHeader,
  InitiateContact,
  MessageType,
  TargetInfo,
  VmbusVersion,
} from '../../../src/vmbus/protocol.ts';
import { auditHandoff } from '../../../tools/simulator/audit/audit.ts';
import {
  GuestRig,
  ProbeDevice,
  ProbeDriver,
  failure,
  type GuestRigOptions,
} from '../../rigs/guest-rig.ts';
import { frame } from '../../rigs/driver-rig.ts';

const SINT = 5;
const PORT = 0x77;
const { INITIATE_CONTACT, UNLOAD } = MessageType;

interface Pair {
  readonly rig: GuestRig;
  readonly second: VmbusBus;
  readonly net: NetvscDriver;
}

/** A primary that is connected, with a NIC, and a secondary that is not yet, with another. */
function pair(options: GuestRigOptions = {}): Pair {
  const rig = new GuestRig({
    cards: 2,
    nics: [{}, { client: 'secondary' }],
    ...options,
    knobs: { secondClient: 'allow', secondConnectionId: PORT, ...options.knobs },
  });
  rig.start();
  const net = new NetvscDriver(OS_NETVSC, rig.log, osNetvsc(OS_NETVSC));
  const second = rig.createBus(secondaryBus(SINT), [net]);
  return { rig, second, net };
}

/** Send a frame over a device, and receive one. */
function exchange(rig: GuestRig, bus: VmbusBus, device: NetDevice, card: number): void {
  const received: number[] = [];
  device.receiver = { receive: (_buffer, _offset, length) => void received.push(length) };
  const link = rig.links[card]!;
  const sent = link.frames.length;
  device.transmit(frame(100), 100);
  link.host.deliver(frame(222));
  for (let i = 0; i < 50; i++) {
    rig.hv.clock.pause();
    bus.poll();
    device.poll();
  }
  assert.is(link.frames.length, sent + 1);
  assert.equal(received, [222]);
}

const two = suite('two drivers');

two('each has its own offers, connection, SINT and GPADLs, and both work', () => {
  for (const newest of [VmbusVersion.V5_3, VmbusVersion.V4_0]) {
    const contact = contactNewestOf([newest, VmbusVersion.V3_0]);
    const { rig, second, net } = pair({ bus: { contact } });
    assert.is(rig.bus.connection.version, newest);
    second.probe();
    assert.is(second.connection.version, VmbusVersion.V5_3);
    assert.is(rig.net.devices.length, 1);
    assert.is(net.devices.length, 1);
    assert.is.not(rig.device.instance, net.devices[0]!.instance);
    rig.device.open();
    net.devices[0]!.open();
    exchange(rig, rig.bus, rig.device, 0);
    exchange(rig, second, net.devices[0]!, 1);

    // The second's contact: connection 4 with its SINT; then only the connection that it was told
    const contacts = rig.posts(INITIATE_CONTACT);
    const own = contacts.at(-1)!;
    assert.is(own.connection, 4);
    assert.is(own.view.getUint8(InitiateContact.at.interruptPage + TargetInfo.at.sint), SINT);
    assert.ok(rig.posts().filter(({ connection }) => connection === PORT).length > 10);

    // GPADLs: no ID is used by both
    const ids = rig.posts(MessageType.GPADL_HEADER).map(({ connection, view }) => ({
      second: connection === PORT,
      id: view.getUint32(GpadlHeader.at.gpadl, true),
    }));
    const firsts = new Set(ids.filter((entry) => !entry.second).map(({ id }) => id));
    const seconds = ids.filter((entry) => entry.second).map(({ id }) => id);
    assert.ok(firsts.size > 2 && seconds.length > 2);
    assert.not.ok(seconds.some((id) => firsts.has(id)));
    assert.is(seconds[0], 0x18ae0001 + SINT * 0x01000000);
    assert.equal(rig.violations(), []);

    second.remove();
    rig.stop();
    assert.equal(rig.outstanding(), []);
    assert.equal(rig.granted(), []);
  }
});

two('unloading one leaves the other working, whichever it is', () => {
  for (const first of ['primary', 'secondary'] as const) {
    const { rig, second, net } = pair();
    second.probe();
    rig.device.open();
    const [other] = net.devices;
    other!.open();
    const bus = first === 'primary' ? rig.bus : second;
    rig.mark();
    assert.is(initiateUnload(bus), 'answered');
    bus.remove();
    assert.equal(
      rig.posts(UNLOAD).map(({ connection }) => connection),
      [first === 'primary' ? 1 : PORT],
    );
    if (first === 'primary') exchange(rig, second, other!, 1);
    else exchange(rig, rig.bus, rig.device, 0);

    // And it may come again, beside the other
    bus.probe();
    if (first === 'primary') exchange(rig, second, other!, 1);
    else exchange(rig, rig.bus, rig.device, 0);
    second.remove();
    rig.stop();
    assert.equal(rig.outstanding(), []);
    assert.equal(rig.violations(), []);
  }
});

two('signals go to the connection of the offer, and flags come in the own SINT', () => {
  const device = Object.assign(new ProbeDevice(1), { client: 'secondary' as const });
  const { rig } = pair({ devices: [device] });
  const driver = new ProbeDriver();
  const second = rig.createBus(secondaryBus(SINT), [driver]);
  second.probe();
  rig.mark();
  driver.channel.sendInband(1, new Uint8Array(8), 8);
  assert.equal(rig.signals(), [(SINT << 12) | driver.channel.offer.channel]);
  rig.hv.delay(1);
  assert.is(device.packets.length, 1);

  // The host's event is a flag of this SINT, which the primary does not see
  device.send(new Uint8Array([1, 2, 3]));
  const flags = rig.seen('event-flag').map(({ vp, sint, flag }) => [vp, sint, flag]);
  assert.equal(flags, [[0, SINT, driver.channel.offer.channel]]);
  assert.is(dispatchEvents(rig.bus), 0);
  assert.equal(driver.received, []);
  assert.is(dispatchEvents(second), 1);
  assert.equal(driver.received, ['0102030000000000']);
  assert.is(dispatchEvents(second), 0);
  second.remove();
  rig.stop();
});

two('the audit looks at both connections', () => {
  const { rig, second } = pair();
  second.probe();
  const [vp] = rig.machine.processors;
  const left = (): string[] =>
    auditHandoff(rig.machine, vp!.memoryMap)
      .filter(({ check }) => check === 'unload')
      .map(({ text }) => text);
  assert.equal(
    left().map((text) => text.startsWith('second VMBus client: no UNLOAD')),
    [false, true],
  );
  second.remove();
  assert.is(left().length, 1);
  rig.stop();
  assert.equal(left(), []);
});

two.run();

const refusals = suite('a secondary driver is refused');

refusals('by a strict host, at every version; the primary goes on', () => {
  const { rig, second } = pair({ knobs: { secondClient: 'refuse' }, nics: [{}, {}] });
  rig.device.open();
  const error = failure(() => second.probe());
  assert.is(error.name, 'VersionRefused');
  exchange(rig, rig.bus, rig.device, 0);
  rig.stop();
  assert.equal(rig.outstanding(), []);
});

refusals('by an older host, at once, and nothing below 5.0 is ever asked for', () => {
  const { rig, second } = pair({ host: 'server2016', nics: [{}, {}] });
  rig.mark();
  assert.is(failure(() => second.probe()).name, 'VersionRefused');
  const asked = rig.posts(INITIATE_CONTACT);
  assert.equal(
    asked.map(({ connection, status }) => [connection, status]),
    Array(5).fill([4, 0x12]),
  );
  // Not even if somebody tries: it would end the primary's connection
  const forced = rig.createBus({ ...secondaryBus(6), contact: contactNewestOf([0x40000]) }, []);
  rig.mark();
  assert.is(failure(() => forced.probe()).name, 'VersionRefused');
  assert.equal(rig.posts(), []);
  rig.device.open();
  exchange(rig, rig.bus, rig.device, 0);
  rig.stop();
});

refusals('for a SINT that is in use, or none', () => {
  const { rig, second } = pair();
  second.probe();
  for (const [sint, name] of [
    [2, 'SintInUse'],
    [SINT, 'SintInUse'],
    [0, 'BadSint'],
    [16, 'BadSint'],
    [1.5, 'BadSint'],
  ] as const) {
    const other = rig.createBus(secondaryBus(sint), []);
    rig.mark();
    assert.is(failure(() => other.probe()).name, name, `${sint}`);
    assert.equal(rig.posts(), []);
  }
  // A SINT that somebody else in the guest has unmasked, as for a timer
  rig.machine.bootProcessor.wrmsr(0x40000094, 0x200ecn);
  const timer = rig.createBus(secondaryBus(4), []);
  assert.is(failure(() => timer.probe()).name, 'SintInUse');
  assert.is(rig.machine.partition.inspection.register(0, 'SINT4'), 0x200ecn);
  // Given back it is free again
  second.remove();
  second.probe();
  second.remove();
  rig.stop();
  assert.equal(rig.outstanding().length, 0);
});

refusals(
  'by a host that gives both the same connection: its UNLOAD would be the other one’s',
  () => {
    const { rig, second } = pair();
    rig.machine.vmbus.faults = {
      message(type, payload) {
        if (type !== MessageType.VERSION_RESPONSE || payload[8] === 0) return undefined;
        const copy = payload.slice();
        new DataView(copy.buffer).setUint32(12, 1, true);
        return copy;
      },
    };
    rig.mark();
    assert.is(failure(() => second.probe()).name, 'PortShared');
    assert.equal(rig.posts(UNLOAD), []);
    rig.device.open();
    exchange(rig, rig.bus, rig.device, 0);
    rig.stop();
  },
);

refusals('contactAsSecondary is for any SINT but 2', () => {
  const rig = new GuestRig({ bus: { contact: contactAsSecondary } }).start();
  assert.is(rig.bus.connection.version, VmbusVersion.V5_3);
  rig.stop();
});

refusals.run();
