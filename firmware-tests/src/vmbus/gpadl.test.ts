// SPDX-License-Identifier: GPL-2.0-or-later

/** GPADLs and rings of any size, at the bytes: what the host is told is what the firmware has. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../../src/machine.ts';
import { MapAllocator } from '../../../src/memory/allocator.ts';
import {
  GPADL_BODY_PFNS,
  GPADL_HEADER_PFNS,
  MessageType,
  OpenChannel,
} from '../../../src/vmbus/protocol.ts';
import { Rig, fails, frame, hex, type RigOptions } from '../../rigs/driver-rig.ts';

interface Allocation {
  readonly purpose: string;
  readonly address: number;
  readonly length: number;
}

/** A rig that knows what its drivers have allocated. */
function allocating(options: RigOptions = {}): { rig: Rig; allocations: Allocation[] } {
  const allocations: Allocation[] = [];
  let allocator: MapAllocator;
  const rig = new Rig({
    ...options,
    wrap(processor) {
      allocator = new MapAllocator(processor.memoryMap);
      return processor;
    },
    driver: {
      ...options.driver,
      allocator: {
        allocate(length, align, purpose) {
          const address = allocator.allocate(length, align);
          if (address !== undefined) allocations.push({ purpose, address, length });
          return address;
        },
        free: (address, length) => allocator.free(address, length),
      },
    },
  });
  return { rig, allocations };
}

/** The messages of a GPADL as they must be, as hexadecimal. */
function expected(channel: number, id: number, address: number, pages: number): string[] {
  const words = (...values: number[]): string =>
    hex(new Uint8Array(Uint32Array.from(values).buffer));
  const pfns = Array.from({ length: pages }, (_, i) => words(address / PAGE_SIZE + i, 0));
  const inHeader = pfns.splice(0, GPADL_HEADER_PFNS).join('');
  const lengths = 8 + 8 * pages + 0x10000;
  const messages = [words(8, 0, channel, id, lengths, pages * PAGE_SIZE, 0) + inHeader];
  for (let number = 1; pfns.length > 0; number++)
    messages.push(words(9, 0, number, id) + pfns.splice(0, GPADL_BODY_PFNS).join(''));
  return messages;
}

/** The GPADL messages that the guest posted, by ID. */
function gpadls(rig: Rig): Map<number, string[]> {
  const messages = new Map<number, string[]>();
  for (const message of rig.posted()) {
    const type = message.getUint32(0, true);
    if (type !== MessageType.GPADL_HEADER && type !== MessageType.GPADL_BODY) continue;
    const id = message.getUint32(12, true);
    const bytes = new Uint8Array(message.buffer, message.byteOffset, message.byteLength);
    messages.set(id, [...(messages.get(id) ?? []), hex(bytes)]);
  }
  return messages;
}

/** The network card's: the heartbeat and the disk controller sort before it. */
const CHANNEL = 3;

const gpadl = suite('GPADLs');

for (const pages of [1, 26, 27, 54, 55, 256])
  gpadl(`a receive buffer of ${pages} pages`, () => {
    const { rig, allocations } = allocating({
      driver: { policy: { receiveBufferLength: pages * PAGE_SIZE } },
    });
    rig.probe();
    const buffer = allocations.find(({ purpose }) => purpose === 'rx-buffer')!;
    assert.is(buffer.length, pages * PAGE_SIZE);
    const messages = gpadls(rig).get(0x18ae0001)!;
    assert.equal(messages, expected(CHANNEL, 0x18ae0001, buffer.address, pages));
    assert.is(messages.length, 1 + Math.ceil(Math.max(0, pages - 26) / 28));
    rig.device.open();
    rig.watch();
    rig.link.host.deliver(frame(1514));
    rig.poll();
    assert.equal(rig.received, [hex(frame(1514))]);
    rig.driver.remove();
    rig.assertClean();
  });

gpadl('gpadl-of-any-size: the most that the messages can say, and one page more', () => {
  // The length of the ranges is 16 bits: 8 + 8 * 8190 bytes
  const memory = new ArrayBuffer(36 << 20);
  const most = allocating({
    memory,
    driver: { policy: { receiveBufferLength: 8190 * PAGE_SIZE } },
  });
  most.rig.probe();
  const buffer = most.allocations.find(({ purpose }) => purpose === 'rx-buffer')!;
  const messages = gpadls(most.rig).get(0x18ae0001)!;
  assert.equal(messages, expected(CHANNEL, 0x18ae0001, buffer.address, 8190));
  assert.is(messages.length, 293);
  most.rig.driver.remove();
  most.rig.assertClean();

  const more = new Rig({ memory, driver: { policy: { receiveBufferLength: 8191 * PAGE_SIZE } } });
  fails('GpadlTooLarge', () => more.probe());
  assert.equal(more.posted(MessageType.GPADL_HEADER), []);
  more.assertClean();
});

gpadl('IDs count up over closes, removes and probes: never the same twice', () => {
  const rig = new Rig();
  rig.open();
  rig.driver.remove();
  rig.open();
  rig.driver.remove();
  const ids = [...gpadls(rig).keys()];
  assert.equal(
    ids,
    Array.from({ length: 8 }, (_, i) => 0x18ae0001 + i),
  );
  rig.assertClean();
});

gpadl('the receive buffer comes before the rings, and goes after them', () => {
  // Hosts keep the receive buffer until the channel is closed (iPXE cd68d93b6)
  const rig = new Rig();
  rig.probe();
  const about = rig
    .posted()
    .filter((message) => [5, 7, 8, 11].includes(message.getUint32(0, true)))
    .map((message) => {
      const type = message.getUint32(0, true);
      return type === 8 || type === 11
        ? `${type}:${message.getUint32(12, true) & 0xffff}`
        : `${type}`;
    });
  assert.equal(about, ['8:1', '8:2', '5', '7', '11:2', '11:1']);
});

gpadl.run();

const rings = suite('rings');

for (const pages of [1, 2, 4, 8, 16, 32, 64])
  rings(`${pages} data pages each way: packets of all kinds go round and round`, () => {
    const { rig, allocations } = allocating({
      driver: { policy: { outPages: pages, inPages: pages } },
    });
    const device = rig.open();
    const opened = rig.posted(MessageType.OPEN_CHANNEL).at(-1)!;
    const id = opened.getUint32(OpenChannel.at.gpadl, true);
    const ring = allocations.filter(({ purpose }) => purpose === 'ring').at(-1)!;
    assert.is(ring.length, 2 * (1 + pages) * PAGE_SIZE);
    assert.is(opened.byteLength, 148);
    assert.is(opened.getUint32(OpenChannel.at.outPages, true), 1 + pages);
    assert.equal(gpadls(rig).get(id), expected(CHANNEL, id, ring.address, 2 * (1 + pages)));

    // More than once around both rings: 80 bytes or more for each frame, sent or received
    const rounds = Math.ceil((1.3 * pages * PAGE_SIZE) / (80 * 16));
    const lost: number[] = [];
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < 16; i++) {
        const sent = frame(60 + i, round);
        assert.is(device.transmit(sent, sent.length), 'sent');
        rig.link.host.deliver(sent);
      }
      rig.poll(0.2);
      for (let i = 0; i < 16; i++) {
        const text = hex(frame(60 + i, round));
        if (rig.received[i] !== text || hex(rig.link.frames[i]!) !== text) lost.push(round);
      }
      rig.received.length = rig.link.frames.length = 0;
    }
    assert.equal(lost, []);
    assert.equal(rig.errors, []);
    rig.driver.remove();
    assert.equal(rig.violations(), []);
    rig.assertClean();
  });

rings('the two rings need not have the same size', () => {
  const rig = new Rig({ driver: { policy: { outPages: 1, inPages: 8 } } });
  rig.open();
  const opened = rig.posted(MessageType.OPEN_CHANNEL).at(-1)!;
  assert.is(opened.getUint32(OpenChannel.at.outPages, true), 2);
  rig.link.host.deliver(frame(200));
  rig.poll();
  assert.equal(rig.received, [hex(frame(200))]);
  rig.driver.remove();
  rig.assertClean();
});

rings.run();
