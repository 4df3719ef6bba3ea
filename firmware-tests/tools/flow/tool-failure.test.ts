// SPDX-License-Identifier: GPL-2.0-or-later

/** A mistake of the tool in the middle of a guest is thrown, and never the guest's end. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import type { X64Machine } from '../../../src/machine.ts';
import type { Firmware } from '../../../tools/flow/boot-flow.ts';
import { parsePlan } from '../../../tools/explore/plan.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import type { SimulatedMachine } from '../../../tools/simulator/machine.ts';
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
