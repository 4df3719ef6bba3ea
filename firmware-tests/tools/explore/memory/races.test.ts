// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A host that acts at the same time as the guest finds what is in the wrong order: each mutant, on
 * each architecture on which it is a mistake; and the firmware as it is stands every race.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../../../src/machine.ts';
import { RACES, modelsOf } from '../../../../tools/explore/memory/race-policy.ts';
import { StoreBuffer, STORES_MAX } from '../../../../tools/explore/memory/store-buffer.ts';
import type { ViolationLayer } from '../../../../tools/explore/memory/race-host.ts';
import { parsePlan } from '../../../../tools/explore/plan.ts';
import { explainsTouch, explainsViolation } from '../../../../tools/explore/memory/race-excuses.ts';
import type { RunFinding } from '../../../../tools/explore/run.ts';
import { newRunner } from '../../../rigs/explore-rig.ts';
import { mutatedFirmware } from '../../../mutants/bundle.ts';
import { RACE_MUTANTS } from '../../../mutants/race-mutants.ts';

const ARCHITECTURES = ['x64', 'arm64'] as const;

const LAYERS: readonly ViolationLayer[] = [
  ...(['hypervisor', 'vmbus', 'ring', 'nvsp', 'rndis', 'utility'] as const),
];

const races = suite('explore: races');

/** The races of an architecture, the weakest model first. */
function plansOf(architecture: 'x64' | 'arm64', flow: string): string[] {
  return [...modelsOf(architecture)]
    .reverse()
    .flatMap((model) => Array.from({ length: RACES }, (_, i) => `${flow}race.${i}/${model}`));
}

for (const architecture of ARCHITECTURES) {
  races(`the firmware stands every race (${architecture})`, async () => {
    const runner = newRunner(await mutatedFirmware([]), architecture);
    for (const flow of ['', 'push:']) {
      for (const plan of plansOf(architecture, flow))
        assert.equal(runner.run(parsePlan(plan)).findings, [], plan);
    }
  });

  for (const mutant of RACE_MUTANTS) {
    const wrong = mutant.on.includes(architecture);
    races(`${wrong ? 'found' : 'no mistake'} on ${architecture}: ${mutant.name}`, async () => {
      const runner = newRunner(await mutatedFirmware([mutant]), architecture);
      // As long as the host waits for its turn there is nothing to see
      assert.equal(runner.run(parsePlan('none')).findings, []);
      let found: readonly RunFinding[] = [];
      for (const plan of plansOf(architecture, '')) {
        found = runner.run(parsePlan(plan)).findings;
        if (found.length > 0) break;
      }
      assert.is(found.length > 0, wrong, found[0]?.text);
    });
  }
}

races('what another fault makes of a race is not laid to the guest', () => {
  const plans = {
    x64: [
      'packet.0/inject:65535+race.19/strong',
      'call.6/status:18+race.6/store-buffer+call.11/lost',
      'owner.0/left:all+race.3/strong',
    ],
    arm64: ['packet.32/inject:0+race.17/weak', 'call.16/lost+race.16/weak'],
  };
  for (const architecture of ARCHITECTURES) {
    const runner = newRunner(undefined, architecture);
    for (const plan of plans[architecture])
      assert.equal(runner.run(parsePlan(plan)).findings, [], plan);
  }
});

for (const architecture of ARCHITECTURES) {
  races(
    `a fault beside a race excuses what it explains, and no more (${architecture})`,
    async () => {
      const mutant = RACE_MUTANTS.find(
        ({ name }) => name === 'a packet is published before it is written',
      );
      const runner = newRunner(await mutatedFirmware([mutant!]), architecture);
      const seen = (plan: string): boolean =>
        runner.run(parsePlan(plan)).findings.some(({ cause }) => cause.startsWith('the host sees'));
      const race = plansOf(architecture, '').find(seen)!;
      // What is beside it has nothing to do with rings, or does not come about
      for (const other of [
        'owner.0/left:all',
        'call.2/status:19',
        'packet.9999/drop',
        'alloc.9999/fail',
      ])
        assert.ok(seen(`${race}+${other}`), other);
    },
  );
}

for (const [faults, layers] of [
  ['race.1/weak+owner.0/left:all+network.0/is:bootp+nic.0/arrives:1+alloc.1/fail', []],
  ['step.3/rescind+step.4/renumber', []],
  ['step.3/handoff', ['vmbus']],
  ['call.1/lost', ['vmbus']],
  ['packet.1/drop', ['ring', 'nvsp', 'rndis', 'utility']],
  ['rndis.1/drop+call.1/status:19', ['vmbus', 'ring', 'nvsp', 'rndis', 'utility']],
  ['register.1/refuse', ['hypervisor', 'vmbus']],
] as [string, ViolationLayer[]][])
  races(`${faults} explain: ${layers.join(', ') || 'nothing'}`, () => {
    const fired = parsePlan(faults).faults;
    assert.equal(LAYERS.filter((layer) => explainsViolation(fired, layer)).sort(), layers.sort());
    assert.is(explainsTouch(fired), /packet|rndis/.test(faults));
  });

races('a race is the same run each time', async () => {
  const [mutant] = RACE_MUTANTS;
  const runner = newRunner(await mutatedFirmware([mutant!]));
  const plan = parsePlan('race.9/store-buffer');
  assert.equal(runner.run(plan), runner.run(plan));
});

races.run();

const buffer = suite('explore: store buffer');

function stored(): {
  memory: Uint8Array;
  stores: StoreBuffer;
  store: (at: number, value: number) => void;
} {
  const memory = new Uint8Array(1024);
  const stores = new StoreBuffer(memory);
  const store = (at: number, value: number): void => {
    stores.enter(at, 1);
    memory[at] = value;
  };
  return { memory, stores, store };
}

buffer('what waits is not seen, and is there again afterwards', () => {
  const { memory, stores, store } = stored();
  store(1, 10);
  store(2, 20);
  stores.hide((index) => index < 1);
  assert.equal([memory[1], memory[2]], [10, 0]);
  stores.show();
  assert.equal([memory[1], memory[2]], [10, 20]);
  // What was seen once stays so
  stores.hide(() => false);
  assert.equal([memory[1], memory[2]], [10, 0]);
  stores.show();
});

buffer('stores to one place stay in order', () => {
  const { memory, stores, store } = stored();
  store(5, 1);
  store(5, 2);
  stores.hide((index) => index === 1);
  assert.is(memory[5], 0, 'the newer one is not seen before the older one');
  stores.show();
  assert.is(memory[5], 2);
});

buffer('what the host writes meanwhile is stored over by what waited', () => {
  const { memory, stores, store } = stored();
  store(7, 1);
  stores.hide(() => false);
  memory[7] = 99;
  memory[8] = 98;
  stores.show();
  assert.equal([memory[7], memory[8]], [1, 98]);
});

buffer('it holds no more than a processor does', () => {
  const { memory, stores, store } = stored();
  for (let i = 0; i <= STORES_MAX; i++) store(i, 1);
  assert.is(stores.count, STORES_MAX);
  stores.hide(() => false);
  assert.equal([memory[0], memory[1], memory[STORES_MAX]], [1, 0, 0]);
  stores.show();
  stores.drain();
  assert.is(stores.count, 0);
});

buffer('whoever sees a store behind a barrier of stores sees all in front of it', () => {
  const { memory, stores, store } = stored();
  store(1, 10);
  store(2, 20);
  stores.fence();
  store(3, 30);
  store(4, 40);
  const seen = (visible: readonly number[]): number[] => {
    stores.hide((index) => visible.includes(index));
    const all = [...memory.subarray(1, 5)];
    stores.show();
    return all;
  };
  assert.equal(seen([]), [0, 0, 0, 0]);
  assert.equal(seen([1]), [0, 20, 0, 0]);
  // The first and the last two wait, and the barrier still stands between them
  assert.equal(seen([2]), [10, 20, 0, 40]);
  assert.equal(seen([]), [10, 20, 0, 40]);
});

buffer('a barrier of stores with none in front of it orders nothing', () => {
  const { memory, stores, store } = stored();
  store(1, 10);
  stores.drain();
  stores.fence();
  store(2, 20);
  store(3, 30);
  stores.hide((index) => index === 1);
  assert.equal([...memory.subarray(1, 4)], [10, 0, 30]);
  stores.show();
});

buffer('it knows what one more store makes visible', () => {
  const { stores, store } = stored();
  assert.is(stores.pushedOut(1), 0);
  for (let i = 0; i < STORES_MAX; i++) store(i, 1);
  assert.is(stores.pushedOut(1), 1, 'the oldest');
  assert.is(stores.pushedOut(1000), STORES_MAX, 'all in front of a long one');
  const oldest: number[] = [];
  stores.each((address) => void oldest.push(address), 2);
  assert.equal(oldest, [0, 1]);
});

buffer('an index is apart from the packet in front of it, whatever was seen between them', () => {
  const stores = new StoreBuffer(new Uint8Array(3 * PAGE_SIZE));
  const apart = [PAGE_SIZE, PAGE_SIZE + 4, 0, 2 * PAGE_SIZE, 2 * PAGE_SIZE + 4].map((address) => {
    stores.enter(address, 4);
    stores.hide((index, count) => index === count - 1);
    stores.show();
    return stores.isNewestApart;
  });
  assert.equal(apart, [true, false, true, true, false]);
});

buffer.run();
