// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Packets of the host that are no good: whatever they are, the ring goes on, the host has its
 * packet completed if it waits for that, and the error has a name.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PacketType, RingControl } from '../../../src/vmbus/protocol.ts';
import type { OutgoingPacket } from '../../../tools/simulator/netvsp/faults.ts';
import { changeBytes, changeNext, receiving } from '../../rigs/driver-faults.ts';
import { frame, hex, viewOf, type Rig } from '../../rigs/driver-rig.ts';

const { DATA_XFER_PAGES } = PacketType;

/** Offsets in a ring packet, and in the type-specific header of a transfer-page packet. */
const HEADER_QLEN = 2;
const QLEN = 4;
const COUNT = 4;
const RANGE_LENGTH = 8;
const RANGE_OFFSET = 12;

/** Everything that the host has written was consumed. */
function assertDrained(rig: Rig): void {
  const ring = rig.ring('in');
  const prod = rig.view.getUint32(ring + RingControl.at.prod, true);
  assert.is(rig.view.getUint32(ring + RingControl.at.cons, true), prod);
}

/** A transfer-page packet that is changed, what it is called, and whether the host gets it back. */
interface BadPacket {
  readonly name: string;
  readonly error: string;
  readonly bytes?: (view: DataView) => Uint8Array | void;
  readonly packet?: (packet: OutgoingPacket) => void;
  /** The framing is lost: nothing can be completed. */
  readonly lost?: boolean;
}

const BAD_PACKETS: readonly BadPacket[] = [
  {
    name: 'a header of no bytes',
    error: 'PacketHeaderTooShort',
    bytes: (view) => view.setUint16(HEADER_QLEN, 0, true),
  },
  {
    name: 'a header of 8 bytes',
    error: 'PacketHeaderTooShort',
    bytes: (view) => view.setUint16(HEADER_QLEN, 1, true),
  },
  {
    name: 'a header that is longer than the packet',
    error: 'PacketLengthMismatch',
    bytes: (view) => view.setUint16(HEADER_QLEN, view.getUint16(QLEN, true) + 1, true),
  },
  {
    name: 'a header of 524280 bytes',
    error: 'PacketLengthMismatch',
    bytes: (view) => view.setUint16(HEADER_QLEN, 0xffff, true),
  },
  {
    name: 'a packet of no bytes',
    error: 'PacketLengthMismatch',
    bytes: (view) => view.setUint16(QLEN, 0, true),
    lost: true,
  },
  {
    name: 'a packet that ends beyond what was produced',
    error: 'PacketLengthMismatch',
    bytes: (view) => view.setUint16(QLEN, view.getUint16(QLEN, true) + 1, true),
    lost: true,
  },
  {
    name: 'a packet of 524280 bytes',
    error: 'PacketLengthMismatch',
    bytes: (view) => view.setUint16(QLEN, 0xffff, true),
    lost: true,
  },
  {
    name: 'sixteen bytes that are no packet',
    error: 'PacketLengthMismatch',
    bytes: (view) => new Uint8Array(view.buffer.slice(0, 16)),
    lost: true,
  },
  {
    name: 'an unknown page set',
    error: 'UnknownPageSet',
    packet: ({ extra }) => viewOf(extra).setUint16(0, 0xbeac, true),
  },
  {
    name: 'a range that ends outside of the receive buffer',
    error: 'RangeOutsideBuffer',
    packet: ({ extra }) => viewOf(extra).setUint32(RANGE_LENGTH, 262145, true),
  },
  {
    name: 'a range that begins outside of the receive buffer',
    error: 'RangeOutsideBuffer',
    packet: ({ extra }) => viewOf(extra).setUint32(RANGE_OFFSET, 262144, true),
  },
  {
    name: 'a range whose end wraps around',
    error: 'RangeOutsideBuffer',
    packet({ extra }) {
      viewOf(extra).setUint32(RANGE_LENGTH, 0xfffffff0, true);
      viewOf(extra).setUint32(RANGE_OFFSET, 0x20, true);
    },
  },
  {
    name: 'an NVSP message of another type',
    error: 'UnsupportedMessage',
    packet: ({ payload }) => viewOf(payload).setUint32(0, 106, true),
  },
  {
    name: 'an NVSP message that is cut',
    error: 'BadNvspMessage',
    packet: (packet) => void (packet.payloadLength = 8),
  },
  {
    name: 'no NVSP message',
    error: 'BadNvspMessage',
    packet: (packet) => void (packet.payloadLength = 0),
  },
];

const bad = suite('bad packets');

for (const { name, error, bytes, packet, lost } of BAD_PACKETS)
  bad(`${name}: ${error}, consumed, completed, and the next is received`, () => {
    const rig = receiving();
    if (bytes !== undefined) changeBytes(rig, bytes);
    if (packet !== undefined) changeNext(rig, packet);
    rig.link.host.deliver(frame(70, 1));
    rig.machine.run(100);
    // Without the framing whatever lies behind is lost too: it comes after the poll
    if (lost) rig.device.poll();
    rig.link.host.deliver(frame(71, 2));
    rig.poll();
    assert.equal(rig.errors, [error]);
    assert.equal(rig.received, [hex(frame(71, 2))]);
    assert.equal(rig.completed(), rig.sent(DATA_XFER_PAGES).slice(lost ? 1 : 0));
    assert.is(rig.device.statistics.rxBad, 1);
    assertDrained(rig);
    rig.driver.remove();
    assert.equal(rig.violations(), []);
    rig.assertClean();
  });

bad('bad-packets-are-consumed: bad ones between good ones, in one poll, also while closing', () => {
  const rig = receiving();
  let count = 0;
  rig.nic.faults.packet = (packet) => {
    if (packet.type !== DATA_XFER_PAGES) return 'send';
    if (count++ % 2 === 1) return 'send';
    if (count % 4 === 1) viewOf(packet.extra).setUint16(0, 1, true);
    else changeBytes(rig, (view) => view.setUint16(HEADER_QLEN, 1, true));
    return 'send';
  };
  for (let i = 0; i < 40; i++) {
    rig.link.host.deliver(frame(60 + i, i));
    rig.machine.run(10);
  }
  rig.device.poll();
  assert.is(rig.received.length, 20);
  assert.equal(
    rig.errors,
    Array.from({ length: 20 }, (_, i) => (i % 2 ? 'PacketHeaderTooShort' : 'UnknownPageSet')),
  );
  assertDrained(rig);

  // More of them before the answers that a close waits for
  for (let i = 0; i < 10; i++) rig.link.host.deliver(frame(60, i));
  assert.ok(rig.elapsed(() => rig.device.close()) < 3);
  assert.is(rig.nic.statistics.uncompletedAtClose, 0);
  rig.driver.remove();
  rig.assertClean();
});

bad('a range outside of the buffer spoils only itself', () => {
  const rig = receiving();
  changeNext(rig, ({ extra }) => viewOf(extra).setUint32(RANGE_OFFSET + 8, 0x7fffffff, true));
  for (let i = 0; i < 4; i++) rig.link.host.deliver(frame(60 + i, i));
  rig.poll();
  assert.equal(rig.errors, ['RangeOutsideBuffer']);
  assert.equal(
    rig.received,
    [0, 2, 3].map((i) => hex(frame(60 + i, i))),
  );
  assert.is(rig.completed().length, 1);
});

bad('range-count-checked: the ranges must fill the header, neither more nor less', () => {
  for (const [count, extraLength] of [
    [2, 16],
    [0, 16],
    [0xffffffff, 16],
    [0x20000000, 16],
    [1, 24],
    [1, 8],
    [1, 0],
  ] as const) {
    const rig = receiving();
    changeNext(rig, (packet) => {
      const extra = new Uint8Array(extraLength);
      extra.set(packet.extra.subarray(0, extraLength));
      packet.extra = extra;
      packet.extraLength = extraLength;
      if (extraLength >= 8) viewOf(packet.extra).setUint32(COUNT, count, true);
    });
    rig.link.host.deliver(frame(70));
    rig.poll();
    assert.equal(rig.errors, ['RangeCountMismatch'], `${count} in ${extraLength} bytes`);
    assert.equal(rig.received, []);
    assert.equal(rig.completed(), rig.sent(DATA_XFER_PAGES));
  }
});

bad('packet-limit-is-policy: 57 ranges are too many for iPXE, and not for us', () => {
  /** Name the one range of the next packet 57 times: 24 + 57 * 8 + 32 + 8 bytes. */
  const manyRanges = (packet: OutgoingPacket): void => {
    const extra = new Uint8Array(8 + 57 * 8);
    extra.set(packet.extra.subarray(0, 8));
    viewOf(extra).setUint32(COUNT, 57, true);
    for (let i = 0; i < 57; i++) extra.set(packet.extra.subarray(8, 16), 8 + i * 8);
    packet.extra = extra;
    packet.extraLength = extra.length;
  };
  for (const preset of ['ipxe', 'default'] as const) {
    const rig = receiving({ driver: { preset } });
    changeNext(rig, manyRanges);
    rig.link.host.deliver(frame(70, 1));
    rig.machine.run(100);
    rig.link.host.deliver(frame(71, 2));
    rig.poll();
    const many = preset === 'default';
    assert.equal(rig.errors, many ? [] : ['PacketTooLong']);
    assert.is(rig.received.length, many ? 58 : 1);
    assert.is(rig.received.at(-1), hex(frame(71, 2)));
    assert.equal(rig.completed(), rig.sent(DATA_XFER_PAGES));
  }
});

bad('ranges that together exceed the receive buffer are cut off, not read', () => {
  const rig = receiving();
  changeNext(rig, (packet) => {
    const extra = new Uint8Array(8 + 3 * 8);
    extra.set(packet.extra.subarray(0, 16));
    viewOf(extra).setUint32(COUNT, 3, true);
    viewOf(extra).setUint32(16, 262144, true);
    viewOf(extra).setUint32(24, 200, true);
    packet.extra = extra;
    packet.extraLength = extra.length;
  });
  rig.link.host.deliver(frame(70));
  rig.poll();
  assert.equal(rig.received, [hex(frame(70))]);
  assert.ok(rig.errors.includes('RangesTooLong'), rig.errors.join());
  assert.is(rig.completed().length, 1);
});

bad(
  'ring-indices-checked: the host’s indices out of range or crooked end the channel by name',
  () => {
    const size = 16 * 4096;
    for (const [side, field] of [
      ['in', 'prod'],
      ['out', 'cons'],
    ] as const)
      for (const value of [size, size + 8, 4, 0xffffffff, 0x80000000]) {
        const rig = receiving();
        rig.view.setUint32(rig.ring(side) + RingControl.at[field], value, true);
        rig.device.poll();
        rig.device.transmit(frame(60), 60);
        const text = side === 'in' ? 'producer index' : 'consumer index';
        assert.ok(
          rig.logged().some((line) => line.startsWith(`channel given up: ${text}`)),
          `${side} ${value}`,
        );
        assert.is(rig.device.transmit(frame(60), 60), 'dropped');
        rig.device.close();
        assert.not(rig.device.isOpen);
        // The next open has new rings
        rig.device.open();
        rig.link.host.deliver(frame(60, 9));
        rig.poll();
        assert.is(rig.received.at(-1), hex(frame(60, 9)));
        rig.driver.remove();
        rig.assertClean();
      }
  },
);

bad('ring-indices-checked: the consumer index never passes the producer index', () => {
  // iPXE goes on with what an earlier round has left in the ring
  const rig = receiving({ driver: { policy: { inPages: 1 } } });
  for (let i = 0; i < 100; i++) {
    rig.link.host.deliver(frame(60, i));
    rig.poll(0.1);
  }
  rig.received.length = 0;
  changeBytes(rig, (view) => view.setUint16(QLEN, view.getUint16(QLEN, true) + 100, true));
  rig.link.host.deliver(frame(99));
  rig.poll();
  assert.equal(rig.received, []);
  assertDrained(rig);
});

bad.run();
