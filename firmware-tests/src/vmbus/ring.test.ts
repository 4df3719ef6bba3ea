// SPDX-License-Identifier: GPL-2.0-or-later

/** Rings and memory by themselves: random packets, hostile indices, and an allocator's accounts. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Log, type FirmwareEvent } from '../../../src/events.ts';
import type { MemoryRange } from '../../../src/machine.ts';
import { MapAllocator } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { SharedMemory } from '../../../src/memory/shared-memory.ts';
import { RingControl } from '../../../src/vmbus/protocol.ts';
import { InboundRing, OutboundRing, ringLength } from '../../../src/vmbus/ring.ts';
import { Random } from '../../../tools/simulator/base/random.ts';
import { hex } from '../../rigs/driver-rig.ts';

/** Seed of the random tests; in the message of whatever fails. */
const SEED = 20_150_304;

/** A ring at the start of memory, and what lies behind it. */
function ringMemory(length: number): { memory: GuestMemory; view: DataView; end: number } {
  const buffer = new ArrayBuffer(4096 + length + 4096);
  const memory = new GuestMemory(buffer);
  return { memory, view: new DataView(buffer), end: 4096 + length };
}

function bytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256));
}

const rings = suite('rings by themselves');

for (const length of [4096, 16384])
  rings(`${length} bytes: random packets arrive as they were written, wrapping anywhere`, () => {
    const random = new Random(SEED + length);
    const { memory, view, end } = ringMemory(length);
    const out = new OutboundRing(memory, 0, length);
    const host = new InboundRing(memory, 0, length);
    const waiting: Uint8Array[] = [];
    let written = 0;
    for (let step = 0; step < 3000; step++) {
      const where = `seed ${SEED}, step ${step}`;
      const payload = bytes(random, random.below(300));
      const total = ringLength(8, payload.length);
      assert.is(total % 8, 0);
      if (random.below(3) > 0 && total <= out.writable) {
        const old = view.getUint32(RingControl.at.prod, true);
        out.put64(0x11223344, payload.length);
        out.putBytes(payload, payload.length);
        assert.is(view.getUint32(RingControl.at.prod, true), old, 'nothing is published yet');
        assert.is(out.publish(), waiting.length === 0, where);
        waiting.push(payload);
        written += total;
      } else if (waiting.length > 0) {
        const expected = waiting.shift()!;
        const size = ringLength(8, expected.length);
        const copy = new DataView(new ArrayBuffer(size));
        const before = view.getUint32(RingControl.at.cons, true);
        host.copy(0, copy, size);
        host.consume(size);
        const got = new Uint8Array(copy.buffer);
        assert.is(copy.getUint32(0, true), 0x11223344, where);
        assert.is(hex(got.subarray(8, 8 + expected.length)), hex(expected), where);
        // Padding is zero; the footer says where the packet began
        const padding = got.subarray(8 + expected.length, size - 8);
        assert.ok(padding.length < 8 && padding.every((byte) => byte === 0), where);
        assert.is(copy.getUint32(size - 8, true), 0);
        assert.is(copy.getUint32(size - 4, true), before, where);
      }
      const fill = waiting.reduce((sum, packet) => sum + ringLength(8, packet.length), 0);
      assert.is(host.readable, fill, where);
      assert.is(out.writable, length - 1 - fill, where);
    }
    assert.ok(written > 5 * length, 'many times around');
    for (let i = end; i < memory.bytes.length; i++) assert.is(memory.bytes[i], 0, 'beyond the end');
  });

rings('a ring is never full: equal indices mean that it is empty', () => {
  const { memory } = ringMemory(4096);
  const out = new OutboundRing(memory, 0, 4096);
  out.putBytes(new Uint8Array(4096 - 16), 4096 - 16);
  out.publish();
  assert.is(out.writable, 7);
  assert.not(ringLength(0, 0) <= out.writable);
});

rings('indices of the other side are believed only if they can be', () => {
  const { memory } = ringMemory(4096);
  const out = new OutboundRing(memory, 0, 4096);
  const into = new InboundRing(memory, 0, 4096);
  for (const index of [4096, 4104, 1, 4, 7, 0x80000000, 0xffffffff]) {
    memory.set32(RingControl.at.cons, index);
    memory.set32(RingControl.at.prod, index);
    assert.is(out.writable, -1, `${index}`);
    assert.is(into.readable, -1, `${index}`);
  }
  memory.set32(RingControl.at.cons, 4088);
  memory.set32(RingControl.at.prod, 8);
  assert.is(out.writable, 4087);
  assert.is(into.readable, 8);
  into.consume(into.readable);
  assert.equal([into.readable, memory.u32(RingControl.at.cons)], [0, 8]);
});

rings('the host is told of room when there is more than it waits for, and was not before', () => {
  const { memory } = ringMemory(4096);
  memory.set32(RingControl.at.prod, 1000);
  // Free: 3096 now, 3196 afterwards
  for (const [wanted, told] of [
    [0, false],
    [3088, false],
    [3096, true],
    [3192, true],
    [3200, false],
    [3103, true],
    [0xffffffff, false],
  ] as const) {
    memory.set32(RingControl.at.cons, 0);
    memory.set32(RingControl.at.pendingSendSize, wanted);
    assert.is(new InboundRing(memory, 0, 4096).consume(104), told, `${wanted}`);
  }
});

rings.run();

const allocator = suite('the allocator');

const MAP: readonly MemoryRange[] = [
  { address: 0, length: 0x3000, type: 'usable' },
  { address: 0x3000, length: 0x1000, type: 'reserved' },
  { address: 0x4000, length: 0x14000, type: 'usable' },
  { address: 0x100000000, length: 0x10000, type: 'usable' },
];

allocator('takes from the top, aligned, never page 0, never reserved, never above 4 GiB', () => {
  const pages = new MapAllocator(MAP);
  assert.is(pages.allocate(0x1000, 0x1000), 0x17000);
  assert.is(pages.allocate(0x800, 0x1000), 0x16000);
  assert.is(pages.allocate(0x10000, 0x4000), 0x4000);
  assert.is(pages.allocate(0x1000, 0x1000), 0x15000);
  assert.is(pages.allocate(0x2000, 0x1000), 0x1000);
  assert.is(pages.allocate(0x1000, 0x1000), 0x14000);
  assert.is(pages.allocate(0x1000, 0x1000), undefined);
});

allocator('what is given back is whole again, in whatever order', () => {
  const random = new Random(SEED);
  for (let round = 0; round < 20; round++) {
    const pages = new MapAllocator(MAP);
    const largest = pages.largest(0);
    const taken: { address: number; length: number }[] = [];
    for (let i = 0; i < 40; i++) {
      const length = 256 * (1 + random.below(20));
      const align = 256 << random.below(5);
      const address = pages.allocate(length, align);
      if (address === undefined) continue;
      assert.is(address % align, 0);
      for (const other of taken) {
        const apart = address + length <= other.address || other.address + other.length <= address;
        assert.ok(apart, `seed ${SEED}, round ${round}: overlap`);
      }
      taken.push({ address, length });
    }
    assert.ok(taken.length > 5);
    while (taken.length > 0) {
      const [piece] = taken.splice(random.below(taken.length), 1);
      pages.free(piece!.address, piece!.length);
    }
    assert.is(pages.largest(0), largest, `seed ${SEED}, round ${round}`);
  }
});

allocator.run();

const shared = suite('the ledger by itself');

function ledger(): { pages: SharedMemory; events: FirmwareEvent[]; memory: GuestMemory } {
  const memory = new GuestMemory(new ArrayBuffer(0x18000));
  const events: FirmwareEvent[] = [];
  const log = new Log((event) => events.push(event));
  return { pages: new SharedMemory(memory, new MapAllocator(MAP), log), events, memory };
}

shared('receive-buffer-zeroed: new memory is zero; what is private is free at once', () => {
  const { pages, memory } = ledger();
  memory.bytes.fill(0x5a);
  const region = pages.allocate('ring', 0x2000);
  const { address } = region;
  assert.ok(memory.bytes.subarray(address, address + 0x2000).every((byte) => byte === 0));
  pages.free(region);
  assert.is(region.state, 'freed');
  assert.is(pages.allocate('ring', 0x2000).address, address);
});

shared('what is shared is not freed but reserved, in whole pages, until it is revoked', () => {
  const { pages, events } = ledger();
  const region = pages.allocate('message-buffer', 256, 256);
  pages.share(region, 'a test of sharing');
  pages.share(region, 'a second time: nothing');
  pages.free(region);
  assert.is(region.state, 'reserved');
  assert.equal(pages.outstanding(), [region]);
  const page = region.address & ~0xfff;
  const reserved = pages.memoryMap(MAP).filter(({ address }) => address === page);
  assert.equal(reserved, [
    {
      address: page,
      length: 0x1000,
      type: 'reserved',
      purpose: 'message-buffer (a test of sharing not revoked)',
    },
  ]);
  // The rest of the map is what it was
  const usable = (map: readonly MemoryRange[]): number =>
    map.reduce((sum, { type, length }) => sum + (type === 'usable' ? length : 0), 0);
  assert.is(usable(pages.memoryMap(MAP)), usable(MAP) - 0x1000);

  pages.revoke(region, 'the end of the test');
  pages.revoke(region, 'a second time: nothing');
  assert.is(region.state, 'freed');
  assert.equal(pages.memoryMap(MAP), MAP);
  assert.equal(
    events.map((event) => event.kind === 'ledger' && event.change),
    ['share', 'reserve', 'revoke'],
  );
});

shared.run();
