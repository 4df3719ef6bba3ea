// SPDX-License-Identifier: GPL-2.0-or-later

/** A mistake of the tool in the middle of a guest is thrown, and never the guest's end. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { Msr } from '../../../src/hyperv/protocol.ts';
import type { X64Machine } from '../../../src/machine.ts';
import type { Firmware } from '../../../tools/flow/boot-flow.ts';
import { GuestRuns } from '../../../tools/flow/guest-run.ts';
import { parsePlan } from '../../../tools/explore/plan.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { Watchdog } from '../../../tools/simulator/hypervisor/watchdog.ts';
import type { HostEvent } from '../../../tools/simulator/ledger/events.ts';
import type { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import { makeMachine } from '../../../tools/scenarios/rig.ts';
import { runBoot, type Setting } from '../../rigs/boot-rig.ts';
import { newRunner } from '../../rigs/explore-rig.ts';

class Mistake extends TypeError {}

function mistake(): never {
  throw new Mistake('broken here');
}

const isMistake = (error: unknown): boolean => error instanceof Mistake;

/** What goes wrong, and where. */
const MISTAKES: readonly [where: string, break_: (machine: SimulatedMachine) => void][] = [
  ['in an alarm', ({ clock }) => void clock.schedule(3 * TICKS_PER_MS, mistake)],
  ['in a hypercall', ({ partition }) => (partition.faults.hypercall = mistake)],
  ['in who listens', ({ events }) => void events.listen(mistake)],
];

/** A firmware that catches whatever is thrown, and returns as if nothing had been. */
const CATCHING: Firmware = {
  boot(machine, options) {
    try {
      return sources.boot(machine, options);
    } catch {
      return { status: 'failed', memoryMap: machine.memoryMap, error: new Error('caught') };
    }
  },
};

const flows = suite('a mistake of the tool: flows');

for (const [where, prepare] of MISTAKES) {
  for (const architecture of ['x64', 'arm64'] as const) {
    const setting: Setting = { prepare, machine: { architecture } };
    flows(`${where}, on ${architecture}`, () => {
      assert.throws(() => runBoot(setting), isMistake);
    });
    flows(`${where}, on ${architecture}, and the guest catches it`, () => {
      assert.throws(() => runBoot({ ...setting, firmware: CATCHING }), isMistake);
    });
  }
}

flows('in who is told what the firmware says', () => {
  assert.throws(() => runBoot({ flow: { events: mistake } }), isMistake);
  assert.throws(() => runBoot({ firmware: CATCHING, flow: { events: mistake } }), isMistake);
});

flows('in the second boot', () => {
  let boots = 0;
  const prepare = (machine: SimulatedMachine): void => {
    machine.partition.faults.hypercall = () => (boots === 2 ? mistake() : undefined);
  };
  const firmware: Firmware = { boot: (...args) => (boots++, CATCHING.boot(...args)) };
  assert.throws(() => runBoot({ prepare, firmware }), isMistake);
});

flows('a guest that leaves no room on the stack has crashed, and the tool has not', () => {
  const firmware: Firmware = {
    boot(machine, options) {
      const dive = (): void => {
        (machine as X64Machine).cpuid(0, 0);
        dive();
      };
      try {
        dive();
      } catch {
        // ... and goes on
      }
      return sources.boot(machine, options);
    },
  };
  const { report } = runBoot({ firmware });
  assert.ok(['crash', 'clean'].includes(report.verdict), report.verdict);
});

/** Values that are no numbers, or no bigints. */
const WRONG: readonly [what: string, call: (cpu: X64Machine) => unknown][] = [
  ['wrmsr of a number', (cpu) => cpu.wrmsr(Msr.GUEST_OS_ID, 1 as unknown as bigint)],
  ['rdmsr of a bigint', (cpu) => cpu.rdmsr(1n as unknown as number)],
  ['cpuid of a bigint', (cpu) => cpu.cpuid(1n as unknown as number, 0)],
  ['cpuid with a bigint', (cpu) => cpu.cpuid(0x4000_0000, 1n as unknown as number)],
  ['a call of a number', (cpu) => cpu.callHypercallPage(0, 1 as unknown as bigint, 0n, 0n)],
  ['a call at a bigint', (cpu) => cpu.callHypercallPage(1n as unknown as number, 1n, 0n, 0n)],
  ['a delay of a bigint', (cpu) => cpu.delay!(1n as unknown as number)],
];

for (const [what, call] of WRONG) {
  // With a listener, and without
  for (const trace of [false, true]) {
    flows(`${what} is the guest's mistake, with its place (trace: ${trace})`, () => {
      const boot = (machine: object): never => {
        call(machine as X64Machine);
        throw new Error('it came to nothing');
      };
      const { report } = runBoot({ firmware: { boot } as Firmware, trace });
      assert.match(report.ended!.text, /^TypeError: /);
      assert.match(report.ended!.stack!, 'tool-failure.test');
      assert.is(report.ended!.kind, 'thrown');
    });
    flows(`${what}, caught: the guest goes on (trace: ${trace})`, () => {
      const firmware: Firmware = {
        boot(machine, options) {
          assert.throws(() => call(machine as X64Machine), TypeError);
          return sources.boot(machine, options);
        },
      };
      assert.is(runBoot({ firmware, trace }).report.verdict, 'clean');
    });
  }
}

/** Calls whose events somebody listens to who fails at them. */
const TOLD: readonly [what: string, is: (event: HostEvent) => boolean, call: Calls][] = [
  ['cpuid', ({ kind }) => kind === 'cpuid', (cpu) => cpu.cpuid(0, 0)],
  ['sub-leaf', ({ kind }) => kind === 'unmodelled', (cpu) => cpu.cpuid(0x4000_0000, 1)],
  ['wrmsr', ({ kind }) => kind === 'wrmsr', (cpu) => cpu.wrmsr(Msr.GUEST_OS_ID, 0n)],
  ['no such MSR', ({ kind }) => kind === 'unmodelled', (cpu) => cpu.rdmsr(0x1234_5678)],
  ['the crash', ({ kind }) => kind === 'crash', (cpu) => cpu.rdmsr(0x1234_5678)],
];
type Calls = (cpu: X64Machine) => unknown;

for (const [what, is, call] of TOLD) {
  flows(`in who listens to ${what}: of the tool, whatever the guest does with it`, () => {
    for (const caught of [false, true]) {
      const firmware: Firmware = {
        boot(machine, options) {
          try {
            call(machine as X64Machine);
          } catch (error) {
            if (!caught) throw error;
          }
          return CATCHING.boot(machine, options);
        },
      };
      const prepare = ({ events }: SimulatedMachine): void =>
        void events.listen((event) => is(event) && mistake());
      assert.throws(() => runBoot({ prepare, firmware }), isMistake);
    }
  });
}

flows("a mistake of ours in the tool's own kernel, in the middle of a call, stays one", () => {
  const machine = makeMachine({});
  const run = (call: Calls): unknown =>
    new GuestRuns(machine).run('OS', () => call(machine.bootProcessor));
  assert.throws(() => run((cpu) => cpu.wrmsr(Msr.GUEST_OS_ID, 1 as unknown as bigint)), TypeError);
  // Somewhere that nobody has thought of: neither recorded, nor is the guest ended
  const { leave } = Watchdog.prototype;
  Watchdog.prototype.leave = mistake;
  try {
    assert.throws(() => run((cpu) => cpu.rdtsc!()), isMistake);
  } finally {
    Watchdog.prototype.leave = leave;
  }
});

flows('what a guest throws itself is its own crash, still', () => {
  const { report } = runBoot({ firmware: { boot: mistake } });
  assert.is(report.verdict, 'crash');
  assert.match(report.ended!.text, 'broken here');
});

flows.run();

const explored = suite('a mistake of the tool: explorations');

explored('in who counts the places', () => {
  const plan = parsePlan('message.4/drop');
  assert.throws(() => newRunner().run(plan, mistake), isMistake);
});

explored.run();
