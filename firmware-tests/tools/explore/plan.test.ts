// SPDX-License-Identifier: GPL-2.0-or-later

/** Plans as texts, the list of runs, its division into shards, and the parts put together. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Exploration, runAt, shardSize } from '../../../tools/explore/exploration.ts';
import { effective, mutate, OPERATIONS } from '../../../tools/explore/mutation.ts';
import { PART_FORMAT, PART_VERSION, mergeParts, parsePart } from '../../../tools/explore/part.ts';
import type { Part } from '../../../tools/explore/part.ts';
import { FAULT_KINDS, PlanError, parsePlan, planText } from '../../../tools/explore/plan.ts';
import { Tally } from '../../../tools/explore/tally.ts';
import { allRuns, newRunner } from '../../rigs/explore-rig.ts';

const texts = suite('explore: plans as texts');

const options = { seed: 7, walks: 300 };
const exploration = new Exploration(newRunner(), options);
const runs = allRuns(exploration);

texts('every run of an exploration is the same again when its text is read', () => {
  for (const text of runs) assert.is(planText(parsePlan(text)), text);
});

texts('what names no run is refused with the reason', () => {
  const refused = (text: string, reason: RegExp, advice = /^hypxe explore --help/): void => {
    assert.throws(
      () => parsePlan(text),
      (error: Error) =>
        error instanceof PlanError && reason.test(error.message) && advice.test(error.advice),
      text,
    );
  };
  refused('', /no fault/);
  refused('message/drop', /no fault/);
  refused('message.x/drop', /no fault/);
  refused('mesage.1/drop', /^there is no place "mesage"$/, /^Did you mean message\?$/);
  refused('message.1/drap', /^there is no fault "drap" at a message$/, /^Did you mean drop\?$/);
  refused('message.1/lose', /^there is no fault "lose" at a message$/, /^Choose one of drop, /);
  refused('message.1/drop:7', /takes no argument/);
  refused('message.1/late', /needs an argument: ticks/);
  refused('message.1/drop+', /no fault/);

  // R-C1: arguments by a grammar, and nothing that an object has from birth
  refused('call.1/status:abc', /call\.1\/status: "abc" is no number from 0 to 65535/);
  refused('call.1/status:65536', /is no number/);
  refused('message.1/field:__proto__=max', /no field "__proto__": type/);
  refused('message.4/field:status=constructor', /no operation "constructor": 0, 1, max/);
  refused('message.4/field:status', /is not status=VALUE/);
  refused('message.4/field:status=max=0', /is not status=VALUE/);
  refused('message.1/late:NaN', /"NaN" is no number/);
  refused('message.1/late:1e3', /is no number/);
  refused('packet.5/index:prod=abc', /"abc" is no number/);
  refused('packet.5/index:toString=1', /no field "toString": prod, cons/);
  refused('packet.5/cut:7', /a multiple of 8/);
  refused('message.1/before:zzz', /"zzz" is no number/);
  refused('message.3/slot:length=abc', /"abc" is no number/);
  refused('message.3/slot:constructor=1', /no field "constructor"/);
  refused('message.1/pad:256', /from 0 to 255/);
  refused('packet.5/scribble:-3', /"-3" is no number/);
  refused('packet.5/scribble:0', /from 1/);
  refused('rndis.5/field:nvsp.type=max', /no field "nvsp\.type"/);
  refused('read.5/value:valueOf', /no operation "valueOf"/);
  refused('step.5/constructor', /no fault "constructor" at a step/, /^Choose one of handoff, /);
  refused('step.5/constructor:x', /no fault "constructor" at a step/, /^Choose one of handoff, /);
  refused('constructor.5/drop', /no place "constructor"/, /^Choose one of step, /);
});

texts.run();

const list = suite('explore: the list of runs');

list('it is the same for every recording of the same firmware', () => {
  const again = new Exploration(newRunner(), options);
  assert.equal(allRuns(again), runs);
  assert.is(again.fingerprint, exploration.fingerprint);
});

list('no run is there twice', () => {
  const singles = runs.slice(0, exploration.singles);
  assert.is(new Set(singles).size, singles.length);
});

list('every kind of fault occurs, and a cut after every step of both flows', () => {
  for (const [place, kinds] of Object.entries(FAULT_KINDS)) {
    for (const kind of Object.keys(kinds)) {
      // Stores in any order are arm64's
      if (kind === 'weak') continue;
      assert.ok(
        runs.some((text) => new RegExp(`\\b${place}\\.\\d+/${kind}(:|$)`).test(text)),
        `${place}/${kind}`,
      );
    }
  }
  for (let step = 0; step < exploration.places.boot.step!; step++) {
    assert.ok(runs.includes(`step.${step}/handoff`));
  }
  for (let step = 0; step < exploration.places.loader.step!; step++) {
    assert.ok(runs.includes(`loader:step.${step}/give-up`));
  }
});

list('every field of a message gets every operation that changes it', () => {
  const fields = runs.filter((text) => text.startsWith('message.0/field:'));
  // VERSION_RESPONSE of version 3.0: supported is 1, the state 0
  for (const field of ['type', 'reserved', 'supported', 'connectionState', 'version']) {
    assert.ok(fields.includes(`message.0/field:${field}=max`), field);
  }
  assert.ok(fields.includes('message.0/field:supported=0'));
  assert.ok(fields.includes('message.0/field:version=dec'));
  assert.not.ok(fields.includes('message.0/field:supported=1'));
});

list('another seed gives other walks and another fingerprint', () => {
  const other = new Exploration(newRunner(), { ...options, seed: 8 });
  assert.is(other.total, exploration.total);
  assert.not.equal(allRuns(other).slice(other.singles), runs.slice(exploration.singles));
  assert.is.not(other.fingerprint, exploration.fingerprint);
});

list('walks are of the boot: kinds that only a loader has make none', () => {
  const none = new Exploration(newRunner(), { ...options, only: 'step/give-up' });
  assert.ok(none.singles > 0);
  assert.is(none.total, none.singles);
  assert.is(allRuns(none).length, none.total);
});

list('in each walk some kinds are off, and there are several faults', () => {
  const walks = runs.slice(exploration.singles).map(parsePlan);
  assert.ok(walks.every(({ faults }) => faults.length >= 2 && faults.length <= 6));
  assert.ok(new Set(walks.map((walk) => walk.faults.length)).size > 3);
});

list('shards of any number are the whole, each run once', () => {
  for (const count of [1, 2, 3, 7, 64]) {
    const numbers: number[] = [];
    for (let index = 1; index <= count; index++) {
      const shard = { index, count };
      const size = shardSize(exploration.total, shard);
      for (let n = 0; n < size; n++) numbers.push(runAt(n, exploration.total, shard));
    }
    numbers.sort((a, b) => a - b);
    assert.equal(
      numbers,
      runs.map((_, run) => run),
      `${count} shards`,
    );
  }
});

list('wherever it is stopped, each tenth of the list has its share of the runs', () => {
  for (const total of [1, 2, 10, 97, 48_607, 1_000_054_321]) {
    const all = { index: 1, count: 1 };
    for (const made of [20, 200, 2000].filter((n) => n <= total)) {
      const tenths = new Array<number>(10).fill(0);
      for (let n = 0; n < made; n++) tenths[Math.floor((10 * runAt(n, total, all)) / total)]!++;
      assert.ok(Math.max(...tenths) - Math.min(...tenths) <= 3, `${made} of ${total}: ${tenths}`);
    }
  }
});

list.run();

const bytes = suite('explore: operations on fields');

bytes('off by one carries, and wraps', () => {
  const field = { name: 'f', offset: 1, length: 2 };
  const apply = (value: number[], operation: (typeof OPERATIONS)[number]): number[] => [
    ...mutate(Uint8Array.from(value), field, operation),
  ];
  assert.equal(apply([9, 0xff, 0, 9], 'inc'), [9, 0, 1, 9]);
  assert.equal(apply([9, 0xff, 0xff, 9], 'inc'), [9, 0, 0, 9]);
  assert.equal(apply([9, 0, 1, 9], 'dec'), [9, 0xff, 0, 9]);
  assert.equal(apply([9, 5, 0, 9], 'top'), [9, 5, 0x80, 9]);
  assert.equal(apply([9, 5, 0, 9], 'big'), [9, 0, 0x10, 9]);
});

bytes('operations that change nothing, or the same as another, are left out', () => {
  const field = { name: 'f', offset: 0, length: 1 };
  assert.equal(effective(Uint8Array.of(0), field), ['1', 'max', 'top', 'big']);
});

bytes.run();

const parts = suite('explore: parts');

function part(index: number, count: number, change: Partial<Part> = {}): Part {
  const tally = new Tally();
  const plan = parsePlan(`step.${index}/handoff`);
  const finding = { kind: 'finding', cause: 'leak', text: 'a leak' } as const;
  const outcome = {
    findings: [finding],
    fired: 1,
    status: 'failed',
    error: 'X',
    steps: 9,
  } as const;
  tally.add(index, plan, outcome);
  return {
    format: PART_FORMAT,
    version: PART_VERSION,
    host: 'server2022',
    seed: 1,
    walks: 0,
    only: undefined,
    options: '',
    firmware: 'f',
    fingerprint: 'abc',
    total: count,
    singles: count,
    places: { boot: {}, loader: {}, push: {} },
    shard: { index, count },
    complete: true,
    seconds: 2,
    tally: tally.data,
    ...change,
  };
}

const files = (...all: Part[]): Map<string, Part> =>
  new Map(all.map((one, i) => [`${i + 1}.json`, one]));

parts('merged they count all runs, and keep the smallest reproduction', () => {
  const whole = mergeParts(files(part(2, 3), part(3, 3), part(1, 3)));
  assert.is(whole.tally.runs, 3);
  assert.equal(whole.tally.outcomes, { X: 3 });
  assert.is(whole.tally.groups.length, 1);
  assert.is(whole.tally.groups[0]!.runs, 3);
  assert.is(whole.tally.groups[0]!.reproduction, 'step.1/handoff');
  assert.equal(whole.shard, { index: 1, count: 1 });
});

parts('what does not belong together is refused', () => {
  const refused = (reason: RegExp, ...all: Part[]): void => {
    assert.throws(() => mergeParts(files(...all)), reason);
  };
  refused(/shard 2\/2 is missing/, part(1, 2));
  refused(/both shard 1\/2/, part(1, 2), part(1, 2));
  refused(/one of 2 shards, 2.json one of 3/, part(1, 2, { total: 2 }), part(2, 3, { total: 2 }));
  refused(/differ in the seed: 1 and 2/, part(1, 2), part(2, 2, { seed: 2 }));
  refused(/differ in the firmware/, part(1, 2), part(2, 2, { firmware: 'g' }));
  refused(/differ in the list of runs/, part(1, 2), part(2, 2, { fingerprint: 'd' }));
});

parts('a file that is no part is refused by its name', () => {
  assert.throws(() => parsePart('a.json', '{'), /a.json is no JSON/);
  assert.throws(() => parsePart('a.json', 'null'), /a.json is no result of hypxe explore/);
  assert.throws(() => parsePart('a.json', '{"verdict":"clean"}'), /no result of hypxe explore/);
  const old = JSON.stringify({ ...part(1, 1), version: 99 });
  assert.throws(() => parsePart('a.json', old), /version 99/);
  const damaged = JSON.stringify({ ...part(1, 1), shard: undefined });
  assert.throws(() => parsePart('a.json', damaged), /damaged/);

  // R-C2: each field is checked, and named
  const whole = part(1, 1);
  for (const [field, values] of Object.entries({
    host: [1, null],
    seed: ['1', -1, 1.5, null],
    walks: [null],
    only: [5],
    firmware: [[]],
    fingerprint: [0],
    total: [-1, '9'],
    singles: [{}],
    places: [null, 5, { boot: { step: 'x' } }, { boot: null }],
    shard: [null, { index: 0, count: 1 }, { index: 2, count: 1 }, { index: 1 }],
    complete: ['yes'],
    seconds: [null, -1],
    tally: [
      null,
      { ...whole.tally, runs: 'x' },
      { ...whole.tally, outcomes: null },
      { ...whole.tally, outcomes: { booted: null } },
      { ...whole.tally, groups: {} },
      { ...whole.tally, groups: [null] },
      { ...whole.tally, groups: [{}] },
    ],
  })) {
    for (const value of values) {
      const text = JSON.stringify({ ...whole, [field]: value });
      const damage = new RegExp(`a\\.json is damaged: its ${field}$`);
      assert.throws(() => parsePart('a.json', text), damage, text);
    }
  }
  assert.equal(parsePart('a.json', JSON.stringify(part(1, 1))).shard, { index: 1, count: 1 });
});

parts.run();
