// SPDX-License-Identifier: GPL-2.0-or-later

/** Completions: those that the host waits for, and those that say what became of our packets. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PacketType } from '../../../src/vmbus/protocol.ts';
import { changeBytes, changeNext, receiving } from '../../rigs/driver-faults.ts';
import { frame, viewOf } from '../../rigs/driver-rig.ts';

const { DATA_INBAND, DATA_XFER_PAGES, COMPLETION, CANCELLATION } = PacketType;

/** Offsets in a ring packet. */
const HEADER_QLEN = 2;
const FLAGS = 6;

const asking = suite('packets that ask for a completion');

/** High half of the transaction ID of what the device sends of its own accord. */
const OWN = 0x80000000_00000000n;

asking('every-packet-completed: also bad data, and in-band data that asks', () => {
  const rig = receiving();
  const association = Uint8Array.from([128, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
  rig.nic.injectPacket(DATA_INBAND, 1, OWN, new Uint8Array(0), association);
  rig.nic.injectPacket(DATA_INBAND, 1, OWN + 1n, new Uint8Array(0), new Uint8Array(0));
  rig.nic.injectPacket(DATA_INBAND, 0, OWN + 2n, new Uint8Array(0), association);
  rig.poll();
  assert.equal(rig.completed(), [OWN, OWN + 1n]);
  assert.equal(rig.errors, Array<string>(3).fill('UnsupportedMessage'));

  // Data with an NVSP message that nobody understands: the section comes back
  changeNext(rig, ({ payload }) => viewOf(payload).setUint32(0, 999, true));
  rig.link.host.deliver(frame(60));
  rig.poll();
  assert.is(rig.nic.state.sectionsInUse, 0);
  rig.driver.remove();
  rig.assertClean();
});

asking('packets of other types: named, and completed if they ask', () => {
  const rig = receiving();
  rig.nic.injectPacket(3, 1, OWN, new Uint8Array(0), new Uint8Array(8));
  rig.nic.injectPacket(3, 0, OWN + 1n, new Uint8Array(0), new Uint8Array(8));
  rig.nic.injectPacket(CANCELLATION, 0, OWN + 2n, new Uint8Array(0), new Uint8Array(0));
  rig.poll();
  assert.equal(rig.errors, ['PacketTypeUnknown', 'PacketTypeUnknown', 'UnsupportedMessage']);
  assert.equal(rig.completed(), [OWN]);
  // A completion is never completed, whatever its flags say
  changeBytes(rig, (view) => {
    view.setUint16(HEADER_QLEN, 0, true);
    view.setUint16(FLAGS, 1, true);
  });
  rig.nic.injectPacket(COMPLETION, 0, OWN, new Uint8Array(0), new Uint8Array(8));
  rig.poll();
  assert.is(rig.completed().length, 1);
});

asking('every-packet-completed: as soon as the ring has room, in order, and none is lost', () => {
  // The outbound ring is full of frames that the host does not read
  const rig = receiving({
    driver: { policy: { outPages: 1, deferredFrames: 64 } },
    knobs: { rangesPerPacket: 1, ppiEvery: 0, ringLatencyTicks: 50_000 },
  });
  rig.poll(20);
  rig.mark();
  for (let i = 0; i < 40; i++) rig.device.transmit(frame(60, i), 60);
  for (let i = 0; i < 60; i++) rig.link.host.deliver(frame(60 + i, i));
  rig.machine.run(10);
  rig.device.poll();
  assert.is(rig.received.length, 60, 'frames are received although nothing can be completed');
  rig.poll(30);
  assert.equal(rig.completed(), rig.sent(DATA_XFER_PAGES));
  assert.is(rig.link.frames.length, 40);
  assert.is(rig.nic.state.sectionsInUse, 0);
  rig.driver.remove();
  assert.equal(rig.violations(), []);
  rig.assertClean();
});

asking('a ring that empties while a packet is handled: what waits goes first', () => {
  // As above; a bad packet is told of before it is completed, and the host reads the ring then
  const rig = receiving({
    driver: { policy: { outPages: 1, deferredFrames: 64 } },
    knobs: { rangesPerPacket: 1, ppiEvery: 0, ringLatencyTicks: 50_000 },
  });
  rig.poll(20);
  rig.mark();
  rig.device.observer!.receiveError = () => rig.machine.run(100_000);
  for (let i = 0; i < 40; i++) rig.device.transmit(frame(60, i), 60);
  for (let i = 0; i < 60; i++) rig.link.host.deliver(frame(60 + i, i));
  rig.machine.run(10);
  rig.nic.injectPacket(3, 1, OWN, new Uint8Array(0), new Uint8Array(8));
  rig.device.poll();
  rig.poll(30);
  const asked = rig.seen('ring-packet').filter(({ from, type }) => {
    return from === 'host' && (type === 3 || type === DATA_XFER_PAGES);
  });
  assert.ok(asked.length > 1);
  assert.equal(
    rig.completed(),
    asked.map(({ transactionId }) => transactionId),
  );
  rig.driver.remove();
  rig.assertClean();
});

asking.run();
