// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Memory that the host may write to: kept on every error path until the host has let go, in the
 * ledger while it is shared, and reserved in the memory map of who comes next.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HypxeError, type MemoryRange } from '../../../src/index.ts';
import { HvCall, HvStatus } from '../../../src/hyperv/protocol.ts';
import { MapAllocator } from '../../../src/memory/allocator.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import { MemoryPattern, writeLate } from '../../../tools/simulator/audit/late-writes.ts';
import { Rig, fails, frame } from '../../rigs/driver-rig.ts';

const { GPADL_CREATED, GPADL_TORNDOWN, GPADL_TEARDOWN, UNLOAD, UNLOAD_RESPONSE } = MessageType;

/** What a connection without open devices has shared. */
const CONNECTED = [
  ...['hypercall', 'simp', 'siefp'],
  ...['interrupt-page', 'monitor-in', 'monitor-out'],
];

/** Outstanding memory beyond that of the connection. */
function beyond(rig: Rig): string[] {
  return rig
    .outstanding()
    .filter((purpose) => !CONNECTED.includes(purpose))
    .sort();
}

/** IDs of the GPADLs that the guest asked back. */
function toreDown(rig: Rig): number[] {
  return rig.posted(GPADL_TEARDOWN).map((message) => message.getUint32(12, true) - 0x18ae0000);
}

/** Purposes of what a memory map reserves. */
function reserved(map: readonly MemoryRange[]): string[] {
  return map.flatMap(({ type, purpose }) => (type === 'reserved' ? [purpose!.split(' ')[0]!] : []));
}

/** The next owner's claim: the host writes to all that it holds, and hurts nobody. */
function assertUnhurt(rig: Rig): void {
  const map = rig.driver.memoryMap();
  const pattern = new MemoryPattern(rig.machine.partition.ram, map);
  writeLate(rig.machine);
  assert.equal(pattern.damaged(), []);
}

function drop(rig: Rig, ...types: number[]): void {
  rig.machine.vmbus.faults = { message: (type) => (types.includes(type) ? 'drop' : undefined) };
}

const errors = suite('memory on error paths');

errors('ring-gpadl-torn-down: an open that is refused tears down its own rings', () => {
  const rig = new Rig();
  rig.probe();
  rig.nic.open = () => 0xc0000001;
  for (const ids of [
    [4, 3],
    [6, 5],
  ]) {
    rig.mark();
    fails('OpenRefused', () => rig.device.open());
    assert.equal(toreDown(rig), ids);
    assert.equal(rig.posted(MessageType.CLOSE_CHANNEL), [], 'it was never open');
    assert.equal(rig.machine.vmbus.inspect().gpadls, []);
    assert.equal(beyond(rig), []);
  }
  rig.driver.remove();
  rig.assertClean();
});

errors('ring-gpadl-torn-down: an open without an answer closes, and keeps what stays away', () => {
  const rig = new Rig({ driver: { policy: { tries: 1 } } });
  rig.probe();
  drop(rig, MessageType.OPEN_CHANNEL_RESULT, GPADL_TORNDOWN);
  rig.mark();
  fails('NoResponse', () => rig.device.open());
  assert.equal(toreDown(rig), [4, 3]);
  assert.is(rig.posted(MessageType.CLOSE_CHANNEL).length, 1, 'it may be open');
  assert.equal(beyond(rig), ['ring', 'rx-buffer']);
  assert.equal(
    reserved(rig.driver.memoryMap())
      .filter((p) => !CONNECTED.includes(p))
      .sort(),
    ['ring', 'rx-buffer'],
  );
  drop(rig);
  rig.driver.remove();
  rig.assertClean();
});

errors('buffer-kept-without-answer: a GPADL that was not confirmed may have been accepted', () => {
  const rig = new Rig({ driver: { policy: { tries: 1 } } });
  rig.probe();
  drop(rig, GPADL_CREATED, GPADL_TORNDOWN);
  fails('NoResponse', () => rig.device.open());
  assert.equal(toreDown(rig).slice(-1), [3], 'a teardown was tried');
  assert.equal(beyond(rig), ['rx-buffer']);
  const [region] = rig.driver.outstanding().filter(({ purpose }) => purpose === 'rx-buffer');
  const range = rig.driver.memoryMap().find(({ purpose }) => purpose?.startsWith('rx-buffer'))!;
  assert.equal([range.address, range.length], [region!.address, region!.length]);

  // The next open has other memory; the host's answer to UNLOAD gives the first back
  drop(rig);
  rig.device.open();
  assert.equal(beyond(rig), ['ring', 'rx-buffer', 'rx-buffer']);
  rig.driver.remove();
  rig.assertClean();
});

errors('a GPADL of which only the header could be posted is asked back too', () => {
  const rig = new Rig();
  rig.probe();
  let bodies = 0;
  rig.machine.partition.faults.hypercall = (code) => {
    const buffer = rig.driver.outstanding().some(({ purpose }) => purpose === 'rx-buffer');
    return code === HvCall.POST_MESSAGE && buffer && bodies++ === 2 ? 0x33 : undefined;
  };
  fails('PostFailed', () => rig.device.open());
  assert.ok(bodies > 2);
  rig.machine.partition.faults.hypercall = undefined;
  rig.driver.remove();
  rig.assertClean();
});

errors(
  'close-leaves-nothing-behind: a close that is not confirmed leaves the device closed',
  () => {
    const rig = new Rig();
    rig.open();
    rig.nic.faults.withhold = () => true;
    rig.device.transmit(frame(60), 60);
    rig.poll();
    drop(rig, GPADL_TORNDOWN);
    rig.device.close();
    assert.not(rig.device.isOpen);
    assert.equal(beyond(rig), ['ring', 'rx-buffer', 'tx-buffer']);
    assert.is(rig.device.transmit(frame(60), 60), 'dropped');

    // It can be opened again, on other memory, and closed in order
    drop(rig);
    rig.nic.faults.withhold = undefined;
    rig.device.open();
    rig.device.transmit(frame(60, 7), 60);
    rig.poll();
    assert.is(rig.link.frames.length, 2);
    rig.device.close();
    assert.equal(beyond(rig), ['ring', 'rx-buffer', 'tx-buffer']);
    rig.driver.remove();
    rig.assertClean();
  },
);

errors('pages-kept-without-unload: an UNLOAD that cannot be posted keeps everything', () => {
  const rig = new Rig();
  rig.open();
  rig.machine.partition.faults.hypercall = (code) =>
    code === HvCall.POST_MESSAGE ? HvStatus.ACCESS_DENIED : undefined;
  rig.driver.remove();
  assert.equal(rig.outstanding().sort(), [
    'interrupt-page',
    'monitor-in',
    'monitor-out',
    'ring',
    'rx-buffer',
  ]);
  rig.assertContained();
  assertUnhurt(rig);
});

errors('pages-kept-without-unload: also between the two contacts, and after a silent one', () => {
  const silent = new Rig();
  drop(silent, MessageType.VERSION_RESPONSE, UNLOAD_RESPONSE);
  fails('NoResponse', () => silent.driver.probe());
  assert.is(silent.posted(UNLOAD).length, 1, 'a late host would be connected: UNLOAD is sent');

  const refused = new Rig();
  let posts = 0;
  refused.machine.partition.faults.hypercall = (code) =>
    code === HvCall.POST_MESSAGE && posts++ >= 1 ? 0x33 : undefined;
  fails('PostFailed', () => refused.driver.probe());

  for (const rig of [silent, refused]) {
    assert.equal(rig.outstanding(), ['interrupt-page', 'monitor-in', 'monitor-out']);
    assert.equal(reserved(rig.driver.memoryMap()).sort(), rig.outstanding().sort());
    rig.assertContained();
    assertUnhurt(rig);
  }
});

errors('a host that does not answer the last UNLOAD gets nothing of the next owner', () => {
  const rig = new Rig({ knobs: { unloadAnswer: 10_000_000_000 } });
  fails('NoResponse', () => rig.driver.probe());
  rig.assertContained();
  assertUnhurt(rig);
});

errors.run();

const shortage = suite('allocation failures');

/** Fail the nth allocation; keeps account of everything. */
function starve(nth: number): { rig: Rig; purposes: string[]; live: Map<number, string> } {
  const purposes: string[] = [];
  const live = new Map<number, string>();
  let allocator: MapAllocator;
  const rig = new Rig({
    memory: new ArrayBuffer(2 << 20),
    wrap(processor) {
      allocator = new MapAllocator(processor.memoryMap);
      return processor;
    },
    driver: {
      allocator: {
        allocate(length, align, purpose) {
          purposes.push(purpose);
          if (purposes.length - 1 === nth) return undefined;
          const address = allocator.allocate(length, align)!;
          live.set(address, purpose);
          return address;
        },
        free(address, length) {
          assert.ok(live.delete(address), 'freed twice, or never allocated');
          allocator.free(address, length);
        },
      },
    },
  });
  return { rig, purposes, live };
}

shortage('a life allocates what it says, and gives all of it back', () => {
  const { rig, purposes, live } = starve(-1);
  rig.open();
  rig.driver.remove();
  assert.equal(purposes, [
    ...['hypercall', 'simp', 'siefp', 'message-buffer'],
    ...['interrupt-page', 'monitor-in', 'monitor-out'],
    ...['rx-buffer', 'tx-buffer', 'ring', 'rx-buffer', 'tx-buffer', 'ring'],
  ]);
  assert.is(live.size, 0);
});

for (let nth = 0; nth < 13; nth++)
  shortage(`allocation ${nth} fails: everything is undone, and the next try succeeds`, () => {
    const { rig, purposes, live } = starve(nth);
    const error = fails('OutOfMemory', () => rig.open());
    assert.ok(error.message.includes(purposes[nth]!), error.message);
    rig.driver.remove();
    assert.equal([...live.values()], []);
    rig.assertClean();
    rig.assertRecovers();
    assert.equal([...live.values()], []);
    rig.assertClean();
  });

shortage('a machine without memory is refused before anything is shared', () => {
  const rig = new Rig({
    memoryMap: [{ address: 0, length: 0x1000, type: 'usable' }],
    wrap: (processor) => processor,
  });
  const error = fails('OutOfMemory', () => rig.driver.probe());
  assert.ok(error instanceof HypxeError);
  // Whatever an earlier owner was called
  assert.equal(rig.writes(), ['GUEST_OS_ID=0x0']);
  rig.assertClean();
});

shortage.run();

const ledger = suite('the ledger of shared memory');

ledger('every piece that is shared is revoked, once, and nothing is freed in between', () => {
  const rig = new Rig({ cards: 2 });
  rig.driver.probe();
  for (const device of rig.driver.devices) {
    device.open();
    device.transmit(frame(60), 60);
    rig.poll(2, device);
  }
  rig.driver.quiesce();
  rig.driver.unquiesce();
  rig.driver.remove();
  const shared = new Map<number, string>();
  let changes = 0;
  for (const event of rig.events) {
    if (event.kind !== 'ledger') continue;
    const { change, purpose, address, by } = event;
    assert.ok(by.length > 5, `${change} of ${purpose} says by what`);
    if (change === 'share') {
      assert.not(shared.has(address), `${purpose} is shared twice`);
      shared.set(address, purpose);
      changes++;
    } else {
      assert.is(shared.get(address), purpose);
      if (change === 'revoke') shared.delete(address);
    }
  }
  assert.ok(changes > 30, `${changes}`);
  assert.equal([...shared.values()], []);
  rig.assertClean();
});

ledger('at each moment it has at least what the host has', () => {
  const rig = new Rig();
  const missing: string[] = [];
  rig.machine.events.listen((event) => {
    if (event.kind !== 'grant') return;
    const { pfns, purpose } = event.grant;
    const regions = rig.driver.outstanding();
    for (const pfn of pfns) {
      const address = pfn * 4096;
      const known = regions.some(
        (r) => address < r.address + r.length && r.address < address + 4096,
      );
      if (!known) missing.push(purpose);
    }
  });
  rig.open();
  for (let i = 0; i < 40; i++) rig.device.transmit(frame(1514, i), 1514);
  rig.poll();
  rig.driver.remove();
  assert.equal(missing, []);
});

ledger.run();
