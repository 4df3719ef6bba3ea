// SPDX-License-Identifier: GPL-2.0-or-later

/** What a snapshot has and what it refuses. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Keeper, SnapshotError } from '../../../../tools/simulator/base/snapshot.ts';
import { MemoryKeeper } from '../../../../tools/guests/pc/pc-snapshot.ts';
import { SimulatedMachine } from '../../../../tools/simulator/machine.ts';
import type { Link } from '../../../../tools/simulator/network/link.ts';
import { profileNamed } from '../../../../tools/simulator/profiles/profiles.ts';

const LINK: Link = { connect: () => undefined, transmit: () => undefined };

function machineOf(link = LINK): SimulatedMachine {
  const memory = new ArrayBuffer(2 << 20);
  const profile = profileNamed('server2022')!;
  return new SimulatedMachine({ memory, profile, links: [link], seed: 1 });
}

const rules = suite('snapshots: rules');

rules('one of another machine is refused, and changes nothing', () => {
  const [one, other] = [machineOf(), machineOf()];
  const snapshot = one.snapshot();
  other.run(1000);
  assert.throws(
    () => other.restore(snapshot),
    (error: unknown) =>
      error instanceof SnapshotError && /another|this machine/.test(error.message),
  );
  assert.is(other.clock.now, 1000);
});

rules('a machine on a real link has none', () => {
  let now = 0;
  const wall = { now: () => now++, poll: () => false, wait: () => undefined };
  const machine = machineOf({ ...LINK, wall });
  assert.throws(
    () => machine.snapshot(),
    (error: unknown) => error instanceof SnapshotError && /wall/.test(error.message),
  );
});

rules('they are put back in any order, as often as one likes', () => {
  const machine = machineOf();
  const words = new Int32Array(machine.bootSeam.memory);
  const taken = [1, 2, 3].map((value) => {
    words.fill(value, 1024 * value, 1024 * value + 1024);
    machine.run(100);
    return { value, now: machine.clock.now, snapshot: machine.snapshot() };
  });
  for (const index of [0, 2, 2, 1, 0, 1]) {
    const { value, now, snapshot } = taken[index]!;
    words.fill(-1, 0, 5000);
    machine.run(12_345);
    machine.restore(snapshot);
    assert.is(machine.clock.now, now);
    assert.is(snapshot.now, now);
    const pages = [0, 1, 2, 3, 4].map((page) => words[1024 * page]);
    assert.equal(pages, [0, 1, value > 1 ? 2 : 0, value > 2 ? 3 : 0, 0]);
  }
});

rules('pages that two have in common are kept once', () => {
  const machine = machineOf();
  const words = new Int32Array(machine.bootSeam.memory);
  assert.is(machine.snapshot().memoryBytes, 0);
  words[5000] = 1;
  words[9000] = 1;
  assert.is(machine.snapshot().memoryBytes, 2 * 4096);
  words[5000] = 2;
  assert.is(machine.snapshot().memoryBytes, 4096);
});

rules('alarms go off again, in their order, and those that were set later do not', () => {
  const machine = machineOf();
  const said: string[] = [];
  machine.clock.schedule(50, () => said.push('b'));
  machine.clock.schedule(20, () => said.push('a'));
  const cancelled = machine.clock.schedule(30, () => said.push('c'));
  const snapshot = machine.snapshot();
  machine.clock.cancel(cancelled);
  machine.clock.schedule(10, () => said.push('later'));
  machine.run(100);
  assert.equal(said.splice(0), ['later', 'a', 'b']);
  machine.restore(snapshot);
  machine.run(100);
  assert.equal(said, ['a', 'c', 'b']);
});

rules('plain objects, lists, maps, sets and bytes are put back whole; functions stay', () => {
  const call = (): number => 1;
  const inner = { n: 1 };
  const all = {
    ...{ text: 'a', list: [1, inner], map: new Map([['k', inner]]), set: new Set([inner]) },
    ...{ bytes: Uint8Array.of(1, 2, 3), call, later: undefined as unknown },
  };
  const was = structuredClone({ ...all, call: undefined });
  const keeper = new Keeper();
  keeper.keep(all);
  const restore = keeper.finish();
  for (let turn = 0; turn < 2; turn++) {
    inner.n = 2;
    all.list.push(7);
    all.map.set('l', { n: 3 });
    all.set.clear();
    all.bytes.fill(9);
    all.later = { n: 4 };
    Object.assign(all, { text: 'b', added: 1 });
    restore();
    assert.equal({ ...all, call: undefined }, was);
    assert.is(all.call, call);
    assert.is(all.list[1], inner);
    assert.is(all.map.get('k'), inner);
  }
});

rules('fields that nobody may write to stay, and those that were not there go', () => {
  const all: Record<string, unknown> = { n: 1 };
  Object.defineProperty(all, 'fixed', { value: 2, enumerable: true });
  Object.defineProperty(all, 'once', { value: 3, enumerable: true, configurable: true });
  const keeper = new Keeper();
  keeper.keep(all);
  const restore = keeper.finish();
  restore();
  assert.equal({ ...all }, { n: 1, fixed: 2, once: 3 });
  Object.assign(all, { n: 5, added: 1 });
  restore();
  assert.equal({ ...all }, { n: 1, fixed: 2, once: 3 });
  // As many as before, and others
  delete all['once'];
  Object.assign(all, { added: 1 });
  restore();
  assert.equal({ ...all }, { n: 1, fixed: 2 });
});

rules('one that cannot be put back any more is refused before anything is', () => {
  const memory = { buffer: new ArrayBuffer(4096) };
  const machine = machineOf();
  const part = {
    count: 0,
    saveTo(keeper: Keeper): void {
      keeper.put([this.count], (v) => ([this.count] = v));
      new MemoryKeeper(memory).take(keeper);
    },
  };
  const restore = machine.saveState(part);
  machine.run(1000);
  new Uint8Array(memory.buffer)[5] = 1;
  restore();
  assert.is(machine.clock.now, 0);
  assert.is(new Uint8Array(memory.buffer)[5], 0);
  machine.run(1000);
  part.count = 1;
  memory.buffer = new ArrayBuffer(8192);
  assert.throws(restore, (error: unknown) => error instanceof SnapshotError);
  assert.equal([machine.clock.now, part.count], [1000, 1]);
});

rules('who goes with the machine is put back with it, others are left alone', () => {
  const machine = machineOf();
  const part = {
    count: 0,
    saveTo(keeper: Keeper): void {
      keeper.put([this.count], (v) => ([this.count] = v));
    },
  };
  const other = { count: 0 };
  machine.events.listen(() => other.count++);
  const snapshot = machine.snapshot(part);
  part.count = other.count = 5;
  machine.restore(snapshot);
  assert.is(part.count, 0);
  assert.is(other.count, 5);
});

rules.run();
