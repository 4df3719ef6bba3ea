// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A flow looks for damage where the host is known to write, or in all of memory. Both say the same:
 * report and trace, byte for byte; of sound firmware, of mutants, and of a host that writes to what
 * it has let go of.
 */

import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Firmware, FlowReport } from '../../../tools/flow/boot-flow.ts';
import type { FlowStep } from '../../../tools/flow/flow-steps.ts';
import type { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { mutatedFirmware } from '../../mutants/bundle.ts';
import { MUTANTS } from '../../mutants/mutants.ts';
import { OMISSION_MUTANTS } from '../../mutants/omission-mutants.ts';
import { runBoot, type Setting } from '../../rigs/boot-rig.ts';

const ways = suite('flow: ways to look for damage');

interface Result {
  readonly report: FlowReport;
  readonly trace: string;
  readonly tracked: boolean;
}

function run(setting: Setting, searchesAll: boolean): Result {
  const flow = { ...setting.flow, searchesAll };
  const { report, trace, machine } = runBoot({ trace: true, ...setting, flow });
  const sha256 = createHash('sha256').update(trace.join('\n')).digest('hex');
  return { report, trace: sha256, tracked: machine.partition.ram.isTracked };
}

/** Run both ways and compare. */
function both(setting: Setting, what: string): FlowReport {
  const plain = run(setting, true);
  const fast = run(setting, false);
  assert.ok(fast.tracked, `${what}: nobody has a plain view`);
  assert.is(json(fast.report), json(plain.report), what);
  assert.is(fast.trace, plain.trace, `${what}: the trace`);
  return plain.report;
}

function json(report: FlowReport): string {
  return JSON.stringify(report, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
}

const STEPS: readonly (readonly FlowStep[])[] = [
  [],
  ['chainload', 'san', 'kexec', 'crash'],
  ['crash', 'crash@150', 'kexec'],
];

for (const host of ['server2012r2', 'server2016', 'server2022', 'openvmm', 'qemu']) {
  ways(`sound firmware on ${host}`, () => {
    for (const steps of STEPS) {
      for (const processors of [1, 4]) {
        const setting = { host, size: 20_000, memoryMiB: 16, machine: { processors } };
        both({ ...setting, flow: { steps } }, `${steps.join()} on ${processors} VPs`);
      }
    }
  });
}

ways('each mutant of the firmware', async () => {
  for (const { name, ...patch } of MUTANTS) {
    const firmware = (await mutatedFirmware([patch])) as unknown as Firmware;
    both({ firmware }, name);
  }
});

ways('each forgotten step', async () => {
  for (const { name, patches, host = 'server2022' } of OMISSION_MUTANTS) {
    const firmware = (await mutatedFirmware(patches)) as unknown as Firmware;
    const report = both({ firmware, host, flow: { strict: true } }, name);
    assert.is.not(report.verdict, 'clean', name);
  }
});

/** Where a host writes that has let go of everything, and how. */
const STRAY: Readonly<Record<string, (machine: SimulatedMachine, page: number) => void>> = {
  'a byte': ({ partition }, page) => partition.ram.setU8(page + 5, 1),
  'the end of a page and the next one': ({ partition }, page) =>
    partition.ram.fill(0xee, page + 4090, page + 4102),
  'a word of 64 bits': ({ partition }, page) => partition.ram.setU64(page + 8, 7n),
  'a copy': ({ partition }, page) => partition.ram.write(page, new Uint8Array(6000).fill(9)),
};

for (const [what, write] of Object.entries(STRAY)) {
  ways(`a host writes ${what} where it must not`, () => {
    for (const page of [0x5000, 0x180000, 0x200000]) {
      const prepare = (machine: SimulatedMachine): void => {
        machine.events.listen((event) => {
          if (event.kind !== 'vmbus' || event.change !== 'unloaded') return;
          machine.clock.schedule(400 * TICKS_PER_MS, () => write(machine, page));
        });
      };
      const report = both({ prepare }, `at ${page.toString(16)}`);
      assert.ok(report.findings.some(({ check }) => check === 'late-writes'));
    }
  });
}

ways('a plain view is written through unseen: all of memory is searched then', () => {
  const prepare = (machine: SimulatedMachine): void => {
    machine.events.listen((event) => {
      if (event.kind !== 'vmbus' || event.change !== 'unloaded') return;
      const { ram } = machine.partition;
      machine.clock.schedule(400 * TICKS_PER_MS, () => ram.bytes.fill(3, 0x180000, 0x180100));
    });
  };
  const plain = run({ prepare }, true);
  const other = run({ prepare }, false);
  assert.is(json(other.report), json(plain.report));
  assert.is(other.trace, plain.trace);
  assert.ok(other.report.findings.some(({ check }) => check === 'late-writes'));
});

ways('firmware that takes its memory unseen finds the same in it', async () => {
  const unseen: Firmware = (await mutatedFirmware([]).then(({ boot }) => ({
    boot: (machine: Parameters<typeof boot>[0], { pages: _, ...options }: { pages?: unknown }) =>
      boot(machine, options),
  }))) as unknown as Firmware;
  both({ firmware: unseen }, 'without the hook');
});

ways.run();
