// SPDX-License-Identifier: GPL-2.0-or-later

/** Accesses are judged by each of their bytes, not by where they begin or end. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../../../src/machine.ts';
import { PlaceCounter } from '../../../../tools/explore/counter.ts';
import { RaceHost } from '../../../../tools/explore/memory/race-host.ts';
import { RacePolicy } from '../../../../tools/explore/memory/race-policy.ts';
import { ReadHistory, ReadWatch } from '../../../../tools/explore/memory/read-watch.ts';
import { StaleLoads } from '../../../../tools/explore/memory/stale-loads.ts';
import { parsePlan } from '../../../../tools/explore/plan.ts';
import { makeMachine } from '../../../../tools/scenarios/rig.ts';
import { GuestRam } from '../../../../tools/simulator/base/guest-ram.ts';
import { GrantLedger, type Grant } from '../../../../tools/simulator/ledger/grants.ts';
import type { SimulatedMachine } from '../../../../tools/simulator/machine.ts';

const PAGE = 0x200;
const AT = PAGE * PAGE_SIZE;

/** A grant of pages that follow each other. */
function share(grants: GrantLedger, pages: number, access: 'read' | 'write' = 'write'): Grant {
  return grants.grant({
    ...{ kind: 'gpadl', purpose: 'a buffer', access, grantedBy: 'test', revokedWith: '' },
    pfns: Array.from({ length: pages }, (_, i) => PAGE + i),
    ...{ offset: 0, length: pages * PAGE_SIZE },
  });
}

const reads = suite('explore: second reads');

/** How often something was read twice that the host may write to. */
function readsAgain(...accesses: [address: number, length: number][]): number {
  const machine = makeMachine({});
  const { size } = machine.partition.ram;
  const counter = new PlaceCounter(parsePlan('none'), () => undefined);
  const pages = new Uint8Array(size / PAGE_SIZE).fill(1);
  const watch = new ReadWatch(new ReadHistory(size), machine, counter, pages, []);
  share(machine.partition.grants, 2);
  for (const [address, length] of accesses) watch.load(address, length);
  return counter.counts.read;
}

for (const [what, first, second, count] of [
  ['the same word', [AT, 4], [AT, 4], 1],
  ['a field of what was copied', [AT, 64], [AT + 20, 4], 1],
  ['a piece that has a field in its middle', [AT + 20, 2], [AT, 64], 1],
  ['a piece that begins in the middle', [AT, 16], [AT + 8, 16], 1],
  ['what lies beside it', [AT, 16], [AT + 16, 16], 0],
  ['bytes of the next page', [AT + PAGE_SIZE - 8, 16], [AT + PAGE_SIZE, 4], 1],
  ['a page that is not shared', [AT - 64, 64], [AT - 64, 64], 0],
  ['the end of a piece that is shared', [AT - 8, 16], [AT - 8, 16], 1],
] as [string, [number, number], [number, number], number][])
  reads(`${what}: ${count}`, () => {
    assert.is(readsAgain(first, second), count);
  });

reads('quiet is what is allocated and the host may not write to, and what was given', () => {
  const machine = makeMachine({});
  const { size } = machine.partition.ram;
  const counter = new PlaceCounter(parsePlan('none'), () => undefined);
  const pages = new Uint8Array(size / PAGE_SIZE).fill(1);
  const map = [{ address: AT, length: 2 * PAGE_SIZE, type: 'usable' } as const];
  const watch = new ReadWatch(new ReadHistory(size), machine, counter, pages, map);
  const quiet = (): boolean[] => [-1, 0, 1, 2].map((page) => watch.quietLoads(PAGE + page));
  assert.equal(quiet(), [true, true, true, true]);
  share(machine.partition.grants, 1, 'read');
  assert.equal(quiet(), [true, true, true, true]);
  const grant = share(machine.partition.grants, 2);
  assert.equal(quiet(), [true, false, false, true]);
  pages[PAGE - 1] = 0;
  machine.partition.grants.revoke(grant, 'test');
  assert.equal(quiet(), [false, true, true, true]);
  assert.equal(
    [-1, 0, 1, 2].map((page) => watch.quietStores(PAGE + page)),
    [false, true, true, false],
  );
});

reads('the word that changes is one that was read before', () => {
  const machine = makeMachine({});
  const { ram, grants } = machine.partition;
  const counter = new PlaceCounter(parsePlan('read.0/value:max'));
  const pages = new Uint8Array(ram.size / PAGE_SIZE).fill(1);
  const watch = new ReadWatch(new ReadHistory(ram.size), machine, counter, pages, []);
  share(grants, 1);
  watch.load(AT + 8, 8);
  watch.load(AT, 64);
  assert.is(counter.fired.size, 1);
  assert.equal(
    [...ram.contents.slice(AT + 4, AT + 16)],
    [0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0],
  );
});

reads.run();

const races = suite('explore: races, by byte');

/** What a host on another processor says of some accesses. */
function raced(accesses: (host: RaceHost, machine: SimulatedMachine) => void): string[] {
  const machine = makeMachine({});
  const told: string[] = [];
  const host = new RaceHost({
    machine,
    ...{ model: 'strong', policy: new RacePolicy('strong', 0) },
    watch: { load: () => undefined },
    touches: (cause) => void told.push(cause),
    violates: () => undefined,
  });
  accesses(host, machine);
  host.stop();
  return told;
}

for (const [what, address, length, wrong] of [
  ['its first byte', AT + 100, 4, true],
  ['its last byte', AT + 60, 41, true],
  ['all of it, and more around it', AT, 512, true],
  ['what lies before it', AT, 100, false],
  ['what lies behind it', AT + 108, 64, false],
] as const)
  races(`a section that was given back: ${what} is read`, () => {
    const told = raced((host, machine) => {
      machine.nics[0]!.faults.section!('returned', AT + 100, 8);
      host.load(address, length);
    });
    assert.is(told.includes('a received message is read after it was completed'), wrong);
  });

races('a packet in flight: the second page of a store', () => {
  const flight = {
    ...{ purpose: 'a packet', pfns: [PAGE], pfnCount: 1, offset: 0, length: 64 },
    ...{ grantedBy: 'test', revokedWith: '', channel: 1 },
  };
  const touch = (address: number, length: number): string[] =>
    raced((host, { partition }) => {
      partition.grants.grantPacket(flight);
      host.storing(address, length);
    });
  assert.equal(touch(AT - 4, 8), ['a packet is written to while the host has it']);
  assert.equal(touch(AT - 8, 8), []);
  assert.equal(touch(AT + 60, 4), ['a packet is written to while the host has it']);
  assert.equal(touch(AT + 64, 4), []);
});

races.run();

const stale = suite('explore: early loads');

/** Rings of which the first has `outPages`, and a host that writes to some bytes of them. */
function rings(pages: number, outPages: number, ...written: number[]) {
  const ram = new GuestRam(new ArrayBuffer(AT + pages * PAGE_SIZE));
  const grants = new GrantLedger(ram, () => 0);
  const loads = new StaleLoads(ram);
  const grant = share(grants, pages);
  grants.entitle(grant, 'rings of channel 1', outPages);
  loads.follow('grant', grant);
  loads.begin();
  for (const at of written) ram.setU8(AT + at, 1);
  loads.end();
  /** What an early load of a byte finds. */
  return (at: number): number => {
    loads.load(AT + at, 1, true);
    const found = ram.contents[AT + at]!;
    loads.restore();
    return found;
  };
}

for (const [pages, outPages] of [
  [4, 2],
  [6, 2],
  [6, 4],
  [9, 2],
] as const)
  stale(
    `rings of ${outPages} and ${pages - outPages} pages: indices are new, packets may be old`,
    () => {
      const index = outPages * PAGE_SIZE;
      const packets = Array.from(
        { length: pages - outPages - 1 },
        (_, i) => index + (i + 1) * PAGE_SIZE,
      );
      const load = rings(pages, outPages, 0, index, ...packets);
      assert.is(load(index), 1);
      assert.is(load(0), 1);
      for (const packet of packets) assert.is(load(packet), 0, String(packet));
    },
  );

stale.run();
