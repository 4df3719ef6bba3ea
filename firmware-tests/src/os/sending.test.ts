// SPDX-License-Identifier: GPL-2.0-or-later

/** How an OS sends on a channel and drains it: three kinds of packets, flow control, masks. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { dispatchEvents } from '../../../src/os/events.ts';
import { PageBuffers, sendMultiPageBuffer, sendPageBuffers } from '../../../src/os/sending.ts';
import {
  MessageType,
  RING_FEATURE_PENDING_SEND_SIZE,
  RingControl,
  VmbusVersion,
} from '../../../src/vmbus/protocol.ts';
import {
  failure,
  probeSetup,
  word,
  type GuestRig,
  type ProbeDriver,
} from '../../rigs/guest-rig.ts';

const { CLOSE_CHANNEL } = MessageType;

const sending = suite('the three ways to send');

const PAYLOAD = new Uint8Array([1, 2, 3, 4, 5]);

sending('in-band: descriptor and padded payload', () => {
  const { rig, device, driver } = probeSetup();
  assert.ok(driver.channel.sendInband(0x11223344, PAYLOAD, 5));
  rig.hv.delay(1);
  assert.is(device.packets[0]!.bytes, '0600020003000100' + '4433221100000000' + '0102030405000000');
});

sending('page buffers: a range for each page, with its offset and length', () => {
  const { rig, device, driver } = probeSetup();
  const { address } = rig.pages.allocate('tx-buffer', 0x4000);
  const pages = new PageBuffers();
  pages.add(address + 0xf00, 0x1200);
  pages.add(address + 0x3000, 0x10);
  assert.ok(sendPageBuffers(driver.channel, 7, pages, PAYLOAD, 5));
  rig.hv.delay(1);
  const pfn = address / 4096;
  const range = (length: number, offset: number, page: number) =>
    word(length) + word(offset) + word(page) + word(0);
  assert.is(
    device.packets[0]!.bytes,
    // Four ranges: header 24 + 4 * 16 = 88 bytes, packet 96
    '09000b000c000100' +
      '0700000000000000' +
      word(0) +
      word(4) +
      range(0x100, 0xf00, pfn) +
      range(0x1000, 0, pfn + 1) +
      range(0x100, 0, pfn + 2) +
      range(0x10, 0, pfn + 3) +
      '0102030405000000',
  );
  // The list is used again
  pages.clear();
  pages.add(address, 4096);
  assert.is(pages.count, 1);
});

sending('a multi-page buffer: one range over pages anywhere, at any offset', () => {
  const { rig, device, driver } = probeSetup();
  const pfns = new Uint32Array([0x300, 0x100, 0x200]);
  assert.ok(sendMultiPageBuffer(driver.channel, 8, 0xffe, 0x1004, pfns, PAYLOAD, 5));
  rig.hv.delay(1);
  assert.is(
    device.packets[0]!.bytes,
    '0900070008000100' +
      '0800000000000000' +
      word(0) +
      word(1) +
      word(0x1004) +
      word(0xffe) +
      [0x300, 0x100, 0x200].map((pfn) => word(pfn) + word(0)).join('') +
      '0102030405000000',
  );
});

sending('what lies in no page is refused by name, and nothing is sent', () => {
  const { rig, device, driver } = probeSetup();
  const { channel } = driver;
  const pfns = new Uint32Array(2);
  const pages = new PageBuffers();
  for (const action of [
    () => sendPageBuffers(channel, 1, pages, PAYLOAD, 5),
    () => sendMultiPageBuffer(channel, 1, 4096, 1, pfns, PAYLOAD, 5),
    () => sendMultiPageBuffer(channel, 1, -1, 1, pfns, PAYLOAD, 5),
    () => sendMultiPageBuffer(channel, 1, 1, 8192, pfns, PAYLOAD, 5),
    () => sendMultiPageBuffer(channel, 1, 0, 0, pfns, PAYLOAD, 5),
    () => sendMultiPageBuffer(channel, 1, 0, 33 * 4096, new Uint32Array(40), PAYLOAD, 5),
    () => pages.add(0, 33 * 4096),
    () => pages.add(0x5000, 0),
  ]) {
    assert.is(failure(action).name, 'BadBuffer');
  }
  rig.hv.delay(1);
  assert.is(device.packets.length, 0);
  assert.is(pages.count, 0);
});

sending.run();

const flow = suite('flow control');

/** Address of the control page of a ring: outbound first, inbound behind its data. */
function control(rig: GuestRig, inbound = false): number {
  const { address } = rig.pages.outstanding().find(({ purpose }) => purpose === 'ring')!;
  return address + (inbound ? 2 * 4096 : 0);
}

/** Fill the guest's ring with packets of 1024 bytes. Returns how many went in. */
function fill(driver: ProbeDriver): number {
  let count = 0;
  while (driver.channel.sendInband(count + 1, new Uint8Array(1000), 1000)) count++;
  return count;
}

flow('a sender that waits says for how much, and is woken when there is as much', () => {
  const { rig, device, driver } = probeSetup();
  const ring = control(rig);
  assert.is(rig.memory.u32(ring + RingControl.at.featureBits), RING_FEATURE_PENDING_SEND_SIZE);
  let woken = 0;
  driver.onWritable = () => woken++;
  device.reads = false;
  assert.is(fill(driver), 3);
  const pending = ring + RingControl.at.pendingSendSize;
  assert.is(rig.memory.u32(pending), 1024);
  rig.hv.delay(1);
  driver.channel.poll();
  assert.is(woken, 0);

  // The host reads, and is the one to signal: the flag of the channel is set
  rig.mark();
  device.read();
  assert.is(rig.seen('event-flag').length, 1);
  assert.is(dispatchEvents(rig.bus), 1);
  assert.is(woken, 1);
  assert.is(rig.memory.u32(pending), 0);
  assert.is(fill(driver), 3);
  rig.stop();
});

flow('room that the host makes just before it could know of the wait is not missed', () => {
  const { rig, device, driver } = probeSetup();
  device.reads = false;
  assert.is(fill(driver), 3);
  device.read();
  // Asked for again, the room is there at once, and nobody waits any more
  assert.ok(driver.channel.sendInband(9, new Uint8Array(1000), 1000));
  driver.channel.poll();
  assert.is(rig.memory.u32(control(rig) + RingControl.at.pendingSendSize), 0);
});

flow('room that the host makes while the sender says that it waits is seen', () => {
  const { rig, device, driver } = probeSetup();
  device.reads = false;
  assert.is(fill(driver), 3);
  // The host reads between the store of the size and the second look, and does not signal
  rig.machine.vmbus.faults = { loseSignal: () => true };
  rig.memory.barrier = () => device.read();
  assert.ok(driver.channel.sendInband(9, new Uint8Array(1000), 1000));
  assert.is(rig.memory.u32(control(rig) + RingControl.at.pendingSendSize), 0);
});

flow('a packet that comes while the ring is unmasked is handled by the same drain', () => {
  const { rig, device, driver } = probeSetup();
  const mask = control(rig, true) + RingControl.at.interruptMask;
  device.send(new Uint8Array([1]));
  let late = 1;
  rig.memory.barrier = () => {
    // Written when the host still saw the mask: nobody is told of it
    if (rig.memory.u32(mask) === 0 && late-- > 0) device.send(new Uint8Array([2]));
  };
  assert.is(driver.channel.part!.drain(100), 2);
  assert.is(rig.memory.u32(mask), 0);
});

flow('R-F3: an index that flips between two reads keeps no drain', () => {
  const { rig, driver } = probeSetup();
  const prod = control(rig, true) + RingControl.at.prod;
  const cons = rig.memory.u32(control(rig, true) + RingControl.at.cons);
  // As long as the ring is unmasked it says that there is something; masked, nothing is there
  const mask = control(rig, true) + RingControl.at.interruptMask;
  let looks = 0;
  rig.memory.barrier = () => {
    looks++;
    rig.memory.set32(prod, rig.memory.u32(mask) === 0 ? (cons + 64) & 0xfff : cons);
  };
  assert.is(driver.channel.part!.drain(100), 0);
  assert.ok(looks >= 4 && looks <= 64, `${looks} looks`);
  assert.is(rig.memory.u32(mask), 0, 'the next packet signals');
});

flow('what the ring can never hold is not waited for', () => {
  const { rig, driver } = probeSetup();
  assert.not.ok(driver.channel.sendInband(1, new Uint8Array(5000), 5000));
  assert.is(rig.memory.u32(control(rig) + RingControl.at.pendingSendSize), 0);
});

flow('without it nothing is written to the control page', () => {
  const { rig, device, driver } = probeSetup({}, { flowControl: false });
  device.reads = false;
  fill(driver);
  const ring = control(rig);
  assert.is(rig.memory.u32(ring + RingControl.at.featureBits), 0);
  assert.is(rig.memory.u32(ring + RingControl.at.pendingSendSize), 0);
});

flow('interrupts are masked while the ring is drained, and what comes meanwhile is handled', () => {
  const { rig, device, driver } = probeSetup();
  const mask = control(rig, true) + RingControl.at.interruptMask;
  const masks: number[] = [];
  driver.onPacket = () => {
    masks.push(rig.memory.u32(mask));
    if (masks.length === 1) {
      // More comes while the first is handled: no event is set for it
      rig.mark();
      device.send(new Uint8Array(8));
      assert.equal(rig.seen('event-flag'), []);
    }
  };
  device.send(new Uint8Array(8));
  assert.is(driver.channel.part!.drain(100), 2);
  assert.equal(masks, [1, 1]);
  assert.is(rig.memory.u32(mask), 0);
  // Unmasked again: the next one is an event
  rig.mark();
  device.send(new Uint8Array(8));
  assert.is(rig.seen('event-flag').length, 1);
});

flow('a drain ends at its bound with the ring masked, and handles no packet inside another', () => {
  const { rig, device, driver } = probeSetup();
  const mask = control(rig, true) + RingControl.at.interruptMask;
  for (let i = 0; i < 5; i++) device.send(new Uint8Array([i]));
  let inner = 0;
  driver.onPacket = () => void (inner += driver.channel.part!.drain(100));
  assert.is(driver.channel.part!.drain(3), 3);
  assert.is(rig.memory.u32(mask), 1);
  assert.is(driver.channel.part!.drain(100), 2);
  assert.is(rig.memory.u32(mask), 0);
  assert.is(inner, 0);
  assert.equal(
    driver.received.map((text) => text.slice(0, 2)),
    ['00', '01', '02', '03', '04'],
  );
});

flow('below 3.0 too: an OS on 2.4 has dedicated events', () => {
  const { rig, device, driver } = probeSetup({ host: 'server2012' });
  assert.is(rig.bus.connection.version, VmbusVersion.V2_4);
  rig.mark();
  driver.channel.sendInband(1, PAYLOAD, 5);
  assert.equal(rig.signals(), [driver.channel.offer.connectionId]);
  device.send(new Uint8Array(8));
  assert.is(dispatchEvents(rig.bus), 1);
  assert.is(driver.received.length, 1);
  rig.bus.remove();
  assert.ok(rig.types().includes(CLOSE_CHANNEL));
});

flow.run();
