// SPDX-License-Identifier: GPL-2.0-or-later

/** Runs of a loader that begin at a moment before their faults come to what they come to anew. */

import { isDeepStrictEqual } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PlaceCounter } from '../../../../tools/explore/counter.ts';
import { singleFaults } from '../../../../tools/explore/enumeration.ts';
import { MEMORY } from '../../../../tools/explore/explored-guest.ts';
import { Injector } from '../../../../tools/explore/injector.ts';
import { Loader } from '../../../../tools/explore/loader.ts';
import { PageSource } from '../../../../tools/explore/memory/page-source.ts';
import { parsePlan, planText, type Place, type Plan } from '../../../../tools/explore/plan.ts';
import { record } from '../../../../tools/explore/recording.ts';
import { Runner } from '../../../../tools/explore/run.ts';
import { Walks } from '../../../../tools/explore/walks.ts';
import { machineFor } from '../../../../tools/guests/guest-machine.ts';
import { GuestPages } from '../../../../tools/guests/guest-pages.ts';
import type { GuestInstance as Guest } from '../../../../tools/guests/guest-program.ts';
import { GuestRandom } from '../../../../tools/guests/guest-random.ts';
import { WasmProgram } from '../../../../tools/guests/wasm-guest.ts';
import { WasmImports } from '../../../../tools/guests/wasm-imports.ts';
import { GuestInstance } from '../../../../tools/guests/wasm-instance.ts';
import { GuestNic } from '../../../../tools/guests/wasm-net-device.ts';
import type { LinuxName } from '../../../../tools/os/os-versions.ts';
import { Keeper, SnapshotError, type Saved } from '../../../../tools/simulator/base/snapshot.ts';
import { profileNamed } from '../../../../tools/simulator/profiles/profiles.ts';
import { missingCompiler } from '../../../rigs/guests/compiled-guest.ts';
import { example } from '../../../rigs/guests/raced-example.ts';
import { toyDriver } from '../../../rigs/guests/toy-driver.ts';
import { Op, i32 } from '../../../rigs/guests/wasm-builder.ts';

const forks = suite('explore: forks of a loader');

const PROFILE = profileNamed('server2022')!;

/** An instruction with which a module is not rewritten: i8x16.splat. */
const VECTOR = [...i32(1), 0xfd, 15, Op.DROP];

/** A runner of the toy, and how often its guests have called the seam. */
function toy({ after, hides }: { after?: LinuxName; hides?: readonly number[] } = {}) {
  const boot = new WasmProgram('toy.wasm', toyDriver(hides)).instantiate(MEMORY) as Guest;
  const calls = new Int32Array(new SharedArrayBuffer(4));
  return { boot, calls, runner: new Runner({ boot }, PROFILE, calls, 'x64', after) };
}

/** Every so many of the single faults of the loader, and walks with several. */
function plansOf(runner: Runner, every: number, walks: number): Plan[] {
  const singles = singleFaults(record(runner, 'loader'));
  const all = new Walks(1, singles);
  return [
    ...singles.filter((_, i) => i % every === 0),
    ...Array.from({ length: walks }, (_, walk) => all.plan(walk)),
  ];
}

/** What a plan comes to, and when its guest has handed over. */
function outcome(runner: Runner, plan: Plan, startsAnew: boolean) {
  let handedOver = -1;
  runner.startsAnew = startsAnew;
  try {
    return [runner.run(plan, undefined, (now) => (handedOver = now)), handedOver];
  } catch (error) {
    return [String(error)];
  }
}

/** The plans that come to something else than anew. */
function differing(runner: Runner, plans: readonly Plan[]): readonly string[] {
  const differs = (plan: Plan): boolean =>
    !isDeepStrictEqual(outcome(runner, plan, true), outcome(runner, plan, false));
  return plans.filter(differs).map(planText);
}

for (const language of ['c', 'rust'] as const) {
  forks(`the example in ${language}: the same, byte for byte`, () => {
    if (missingCompiler(language)) return;
    const runner = example(`forks ${language}`, [], language);
    assert.equal(differing(runner, plansOf(runner, 251, 20)), []);
  });
}

forks('a guest whose variables nobody sees: the same, with less of the guest run', () => {
  const { runner, calls } = toy();
  const plans = plansOf(runner, 3, 10);
  const made = [true, false].map((startsAnew) => {
    runner.startsAnew = startsAnew;
    runner.run(plans[0]!);
    const before = calls[0]!;
    const outcomes = plans.map((plan) => outcome(runner, plan, startsAnew));
    return { outcomes, took: calls[0]! - before };
  });
  const [anew, forked] = made as [(typeof made)[0], (typeof made)[0]];
  assert.equal(forked.outcomes, anew.outcomes);
  assert.ok(forked.took < 0.8 * anew.took, `${forked.took} of ${anew.took} calls of the seam`);
});

forks('one that crashes: in the same words, stack and all', () => {
  const { runner } = toy({ hides: [Op.UNREACHABLE] });
  const plans = ['alloc.0/fail', 'step.0/rescind', 'step.2/rescind', 'step.9/give-up'];
  const all = plans.map((text) => parsePlan(`loader:${text}`));
  assert.equal(differing(runner, all), []);
  const texts = runner.run(all[3]!).findings.map(({ text }) => text);
  assert.match(texts.join(), /unreachable at [0-9a-f]+:wasm-function[^<]*, after step/);
});

forks('after an OS, too', () => {
  const { runner } = toy({ after: 'linux-6.1' });
  const plans = ['step.30/give-up', 'owner.0/left:all', 'step.45/rescind', 'nic.0/arrives:0'];
  const all = [...plans, ...plans].map((text) => parsePlan(`loader:${text}`));
  assert.equal(differing(runner, all), []);
});

forks('who looks sees a run from its start', () => {
  const { runner } = toy();
  const plan = parsePlan('loader:step.40/give-up');
  const seen = [true, false].map((startsAnew) => {
    runner.startsAnew = startsAnew;
    runner.run(plan);
    const places: [Place, number][] = [];
    runner.run(plan, (place, index) => places.push([place, index]));
    let machines = 0;
    runner.run(plan, undefined, undefined, { onMachine: () => machines++ });
    assert.is(machines, 1);
    return places;
  });
  assert.equal(seen[1], seen[0]);
  assert.ok(seen[0]!.length > 40);
});

forks('a module that is not rewritten does not fork, and says why', () => {
  const { boot, calls, runner } = toy({ hides: VECTOR });
  assert.is(boot.canCopy, false);
  const machine = machineFor(boot, { profile: PROFILE, links: [], seed: 1 });
  const driver = boot.createDriver!(machine.bootSeam, {});
  assert.throws(
    () => machine.snapshot(driver as Saved),
    (error: unknown) => error instanceof SnapshotError && /not rewritten/.test(error.message),
  );
  const plan = parsePlan('loader:step.40/give-up');
  const took = [true, false, false].map((startsAnew) => {
    const before = calls[0]!;
    outcome(runner, plan, startsAnew);
    return calls[0]! - before;
  });
  assert.is(took[2], took[1]);
});

/** What is left out of a moment makes a difference. */
const PARTS: readonly { readonly name: string; readonly prototype: Saved }[] = [
  ...[GuestInstance, WasmImports, GuestNic, GuestPages, GuestRandom],
  ...[PlaceCounter, Injector, PageSource, Loader],
];

for (const { name, prototype } of PARTS) {
  forks(`without what ${name} saves runs come to something else`, () => {
    const { runner } = toy();
    const { saveTo } = prototype;
    prototype.saveTo = () => undefined;
    try {
      const texts = ['alloc.0/fail-ever', ...[1, 20, 12, 45, 3].map((at) => `step.${at}/give-up`)];
      const plans = texts.map((text) => parsePlan(`loader:${text}`));
      assert.ok(differing(runner, [...plans, ...plansOf(runner, 5, 0)]).length > 0);
    } finally {
      prototype.saveTo = saveTo;
    }
  });
}

forks('without the variables of a module they do, too', () => {
  const { runner } = toy();
  const { also } = Keeper.prototype;
  const { saveTo } = GuestInstance.prototype;
  GuestInstance.prototype.saveTo = function (keeper) {
    saveTo.call(this, Object.assign(keeper, { also: () => undefined }));
    Object.assign(keeper, { also });
  };
  try {
    assert.ok(differing(runner, plansOf(runner, 5, 0)).length > 0);
  } finally {
    GuestInstance.prototype.saveTo = saveTo;
  }
});

forks.run();
