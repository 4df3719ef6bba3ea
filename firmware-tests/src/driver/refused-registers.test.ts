// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Registers that the host refuses, and clocks that lie (robustness reports R-F1, R-F2): arm64 by a
 * status, x64 by a fault that the machine survives. Each write of a life, once and for good.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvStatus, Msr } from '../../../src/hyperv/protocol.ts';
import type { Machine, X64Machine } from '../../../src/machine.ts';
import { PassingX64 } from '../../../tools/simulator/base/passing-machine.ts';
import { Rig, fails, frame, type RigOptions } from '../../rigs/driver-rig.ts';

/** #GP as a machine tells of it that has a handler. */
class Fault extends Error {
  readonly status = undefined;
}

/** Which write of a life is refused, and whether its register is from then on. */
interface Refusal {
  readonly nth: number;
  readonly ever: boolean;
}

/** The registers that were written, while they are counted; and which of them were refused. */
class Refusals {
  readonly written: number[] = [];
  readonly #refusal: Refusal | undefined;
  #ever: number | undefined;
  off = false;

  constructor(refusal?: Refusal) {
    this.#refusal = refusal;
  }

  refuses(register: number): boolean {
    if (this.off) return false;
    const nth = this.written.push(register) - 1;
    if (nth === this.#refusal?.nth) {
      if (this.#refusal.ever) this.#ever = register;
      return true;
    }
    return register === this.#ever;
  }
}

class RefusingX64 extends PassingX64 {
  readonly #refusals: Refusals;

  constructor(machine: X64Machine, refusals: Refusals) {
    super(machine);
    this.#refusals = refusals;
  }

  override wrmsr(msr: number, value: bigint): void {
    if (this.#refusals.refuses(msr)) throw new Fault(`#GP: ${msr.toString(16)}`);
    super.wrmsr(msr, value);
  }
}

const ARCHITECTURES: Readonly<Record<string, (refusals: Refusals) => Rig>> = {
  x64: (refusals) =>
    new Rig({ ...SHORT, wrap: (processor): Machine => new RefusingX64(processor, refusals) }),
  arm64: (refusals) => {
    const rig = new Rig({ ...SHORT, architecture: 'arm64', host: 'server2022' });
    rig.machine.partition.faults.register = (access, register) =>
      access === 'set' && refusals.refuses(register) ? HvStatus.INVALID_PARAMETER : undefined;
    return rig;
  },
};

const SHORT: RigOptions = { driver: { policy: { answerMs: 100, tries: 1 } } };

function life(rig: Rig): void {
  rig.open();
  rig.device.transmit(frame(60), 60);
  rig.poll(5);
  rig.device.close();
  rig.driver.remove();
}

const refused = suite('R-F1: registers that are refused');

for (const [name, create] of Object.entries(ARCHITECTURES)) {
  refused(`${name}: each write of a life, once: nobody notices`, () => {
    const all = new Refusals();
    life(create(all));
    assert.ok(all.written.length >= 12, `${all.written.length} writes`);
    for (let nth = 0; nth < all.written.length; nth++) {
      const rig = create(new Refusals({ nth, ever: false }));
      life(rig);
      assert.is(rig.link.frames.length, 1, `write ${nth}`);
      rig.assertClean();
      assert.is(rig.machine.partition.inspection.register(0, 'SINT2'), 0x10000n);
    }
  });

  refused(`${name}: each register for good: named, undone, and the next boot works`, () => {
    const all = new Refusals();
    life(create(all));
    for (let nth = 0; nth < all.written.length; nth++) {
      const refusals = new Refusals({ nth, ever: true });
      const rig = create(refusals);
      const where = `write ${nth} of 0x${all.written[nth]!.toString(16)}`;
      let failed = '';
      try {
        life(rig);
      } catch (error) {
        failed = (error as Error).name;
        rig.driver.remove();
      }
      assert.ok(['', 'RegisterRefused'].includes(failed), `${where}: ${failed}`);
      assert.is(rig.machine.partition.ended, undefined, where);

      // The teardown went on: what could be unmapped is, and VMBus knows that we are gone
      const { inspection } = rig.machine.partition;
      const enabled = ['SIMP', 'SIEFP'].filter((page) => inspection.register(0, page) & 1n);
      assert.ok(enabled.length <= 1, `${where}: ${enabled.join()}`);
      assert.ok(
        rig.outstanding().every((purpose) => KEPT.includes(purpose)),
        where,
      );
      refusals.off = true;
      rig.assertRecovers();
      assert.equal(rig.auditErrors(), [], where);
    }
  });
}

/** What may be reserved then: the register's page; or all, if no message gets through. */
const KEPT = [
  ...['hypercall', 'simp', 'siefp', 'reference-tsc', 'interrupt-page', 'monitor-in'],
  ...['monitor-out', 'ring', 'rx-buffer', 'tx-buffer'],
];

refused(
  'an end of message that is refused for a while: no message is lost, UNLOAD answered',
  () => {
    const rig = new Rig({ architecture: 'arm64', host: 'server2022' });
    let refusing = true;
    const EOM = 0x000a0014;
    rig.machine.partition.faults.register = (access, register) =>
      access === 'set' && register === EOM && refusing ? HvStatus.ACCESS_DENIED : undefined;
    rig.soon(() => (refusing = false), 500);
    const took = rig.elapsed(() => void rig.probe());
    assert.ok(took > 499 && took < 600, `${took} ms`);
    rig.driver.remove();
    rig.assertClean();
  },
);

refused('refused-registers-are-errors: on x64 a fault is tried again, named, undone', () => {
  const all = new Refusals();
  life(ARCHITECTURES['x64']!(all));
  const nth = all.written.indexOf(Msr.SIMP);
  const refusals = new Refusals({ nth, ever: true });
  const rig = ARCHITECTURES['x64']!(refusals);
  fails('RegisterRefused', () => rig.probe());
  const { inspection } = rig.machine.partition;
  assert.ok(refusals.written.filter((register) => register === Msr.SIMP).length >= 4);
  assert.is(inspection.register(0, 'HYPERCALL'), 0n);
  assert.is(inspection.register(0, 'GUEST_OS_ID'), 0n);
  assert.equal(rig.outstanding(), []);
});

refused.run();

const clock = suite('R-F2: clocks that lie');

/** A machine whose reference counter lies once, at its nth reading. */
function lying(nth: number, value: (true_: bigint) => bigint): { rig: Rig; count: () => number } {
  let count = 0;
  const rig = new Rig({
    driver: { clock: 'counter' },
    wrap: (processor) =>
      new (class extends PassingX64 {
        override rdmsr(msr: number): bigint {
          const now = super.rdmsr(msr);
          return msr === Msr.TIME_REF_COUNT && count++ === nth ? value(now) : now;
        }
      })(processor),
  });
  return { rig, count: () => count };
}

const LIES: Readonly<Record<string, (now: bigint) => bigint>> = {
  'all ones': () => 0xffffffffffffffffn,
  zero: () => 0n,
  'an hour later': (now) => now + 36_000_000_000n,
  'two seconds later': (now) => now + 20_000_000n,
  'just before 2^53': () => 2n ** 53n - 1n,
  '2^60': () => 2n ** 60n,
};

for (const [name, lie] of Object.entries(LIES))
  clock(`one reading of ${name}: no wait is longer or shorter for it`, () => {
    for (const nth of [0, 1, 5, 40, 200]) {
      const { rig, count } = lying(nth, lie);
      rig.probe();
      rig.machine.vmbus.faults = { message: (type) => (type === 10 ? 'drop' : undefined) };
      // Ten seconds for GPADL_CREATED, twice
      const ms = rig.elapsed(() => fails('NoResponse', () => rig.device.open()));
      assert.ok(ms >= 20_000 && ms < 20_010, `reading ${nth}: ${ms} ms`);
      assert.ok(count() > nth);
      rig.machine.vmbus.faults = {};
      rig.driver.remove();
      rig.assertClean();
    }
  });

clock('a counter that is set anew for good goes on from there', () => {
  for (const offset of [2n ** 60n, 2n ** 63n, -(10n ** 6n)]) {
    let shift = 0n;
    const rig = new Rig({
      driver: { clock: 'counter' },
      wrap: (processor) =>
        new (class extends PassingX64 {
          override rdmsr(msr: number): bigint {
            const now = super.rdmsr(msr);
            return msr === Msr.TIME_REF_COUNT ? BigInt.asUintN(64, now + shift) : now;
          }
        })(processor),
    });
    rig.probe();
    const before = rig.driver.clock.now();
    shift = offset;
    rig.machine.run(5_000_000);
    const after = rig.driver.clock.now();
    assert.ok(after >= before, `${offset}: never back`);
    rig.machine.run(5_000_000);
    assert.ok(Math.abs(rig.driver.clock.now() - after - 5_000_000) < 5000, `${offset}`);
    rig.driver.remove();
    rig.assertClean();
  }
});

clock.run();
