// SPDX-License-Identifier: GPL-2.0-or-later

/** Kernels that end at any time, in any order: connection state, panics while they come up. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import { kernelsFor, type KernelPlan } from '../../../tools/flow/os-chain.ts';
import type { KernelStep } from '../../../tools/flow/flow-steps.ts';
import type { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import type { OsBug } from '../../../tools/os/os-bugs.ts';
import { makeMachine } from '../../../tools/scenarios/rig.ts';
import { chain, errorChecks, recordWrites } from '../../rigs/flow-rig.ts';

/** More exits than a kernel needs to come up: past the end it crashes when it is up. */
const EXITS_MAX = 1200;

const state = suite('kernels: connection state');

const AFTER = ['REQUEST_OFFERS', 'GPADL_HEADER', 'OPEN_CHANNEL'] as const;

// On QEMU the EOM of one processor lets no message of another through: its own test below
for (const host of ['server2012r2', 'server2016', 'server2019', 'server2022', 'openvmm']) {
  for (const name of AFTER) {
    state(`H-H1 lis-next#122: on ${host} a crash on VP 1 right after ${name} unloads`, () => {
      const panicAt = { after: MessageType[name] };
      const { machine, stages, ended } = chain({
        ...{ host, processors: 2 },
        kernels: [{ end: 'crash', crashVp: 1, panicAt }, { end: 'power-off' }],
      });
      assert.is(ended, undefined);
      assert.is(machine.vmbus.inspect().unloadsSeen, 1);
      assert.equal(errorChecks(stages[0]!.findings), []);
      const { os } = stages[1]!;
      assert.is(os!.error, undefined);
      assert.is(os!.nics[0]!.error, undefined);
    });
  }
}

state('while it connects, a kernel that crashes unloads nothing: a known hole', () => {
  const panicAt = { after: MessageType.INITIATE_CONTACT };
  const { machine, stages } = chain({
    processors: 2,
    kernels: [{ end: 'crash', crashVp: 1, panicAt }, { end: 'power-off' }],
  });
  assert.is(machine.vmbus.inspect().unloadsSeen, 0);
  assert.equal(errorChecks(stages[0]!.findings), []);
  const known = stages[0]!.findings.filter(({ text }) => /does not unload while/.test(text));
  assert.ok(known.some(({ check }) => check === 'unload'));
  assert.is(stages[1]!.os!.nics[0]!.error, undefined);
});

state(
  'H-H2: a kernel whose kexec has unloaded and that crashes then sends no second UNLOAD',
  () => {
    let seen: string[] = [];
    const { machine, stages, ended } = chain({
      processors: 2,
      kernels: [
        {
          end: 'crash',
          crashVp: 1,
          kexecFirst: true,
          beforeEnd: (each) => (seen = recordWrites(each)),
        },
        { end: 'power-off' },
      ],
    });
    assert.is(ended, undefined);
    assert.equal(seen.filter((line) => line === 'message 16').length, 1);
    assert.equal(errorChecks(stages[0]!.findings), []);
    assert.ok(stages[0]!.endedAt < 100_000_000, 'nobody waits for an answer that never comes');
    assert.is(stages[1]!.os!.nics[0]!.error, undefined);
    assert.is(machine.vmbus.inspect().unloadsSeen, 1);
  },
);

state('L13 Linux: a kernel whose driver is removed without UNLOAD is connected: an error', () => {
  // vmbus_exit sets the state to disconnected before it disconnects, and so says nothing
  const removed = (bugs: readonly OsBug[]) => {
    const { machine, stages } = chain({ kernels: [{ end: 'kexec', bugs }] });
    const texts = stages[0]!.findings.map(({ severity, text }) => `${severity}: ${text}`);
    const error = texts.find((text) => /^error: no UNLOAD was sent/.test(text));
    return [machine.vmbus.inspect().unloadsSeen, error !== undefined];
  };
  assert.equal(removed(['no-unload']), [0, true]);
  assert.equal(removed([]), [1, false]);
});

for (const [architecture, mapped] of [
  ['x64', true],
  ['arm64', false],
] as const) {
  state(`L14 Linux: a VP assist page for each VP on x64, none on arm64: ${architecture}`, () => {
    const machine = makeMachine({ processors: 2 }, { architecture });
    let assist: boolean[] = [];
    const beforeEnd = ({ partition }: SimulatedMachine) => {
      const page = (vp: number) => partition.inspection.register(vp, 'VP_ASSIST_PAGE') ?? 0n;
      assist = [0, 1].map((vp) => (page(vp) & 1n) === 1n);
    };
    const { stages, ended } = chain({
      machine,
      kernels: [{ end: 'kexec', beforeEnd }, { end: 'power-off' }],
    });
    assert.is(ended, undefined);
    assert.equal(assist, [mapped, mapped]);

    // Nobody cleans up in a kexec on arm64: the contact of the first kernel is there
    const known = stages[0]!.findings.some(({ text }) => /arm64 has no handler/.test(text));
    assert.is(known, architecture === 'arm64');
    assert.is(stages[1]!.os!.nics[0]!.error, undefined);
  });
}

state.run();

const starts = suite('kernels: panics while they come up');

/** Exits that are tried on each setup: spread over the start, others for each. */
const TRIES = 14;

for (const [index, [host, architecture, processors]] of (
  [
    ['server2012r2', 'x64', 2],
    ['server2016', 'x64', 1],
    ['server2022', 'x64', 4],
    ['copper', 'x64', 2],
    ['qemu', 'x64', 3],
    ['openvmm', 'x64', 2],
    ['server2022', 'arm64', 2],
    ['openvmm', 'arm64', 3],
  ] as const
).entries()) {
  starts(`${architecture} on ${host} with ${processors} VPs: the crash kernel comes up`, () => {
    for (let i = 0; i < TRIES; i++) {
      const exit = Math.floor((EXITS_MAX * (i + index / 8)) / TRIES / 3) * (i % 3 === 0 ? 1 : 2);
      const crashVp = host === 'qemu' ? 0 : i % processors;
      const machine = makeMachine({ host, processors }, { architecture });
      const { stages, ended } = chain({
        machine,
        kernels: [{ end: 'crash', crashVp, panicAt: { exit } }, { end: 'power-off' }],
      });
      const where = `exit ${exit}, VP ${crashVp}`;
      assert.is(ended, undefined, where);
      assert.equal(errorChecks(stages[0]!.findings), [], where);
      assert.is(stages[1]!.os?.error, undefined, where);
      assert.is(stages[1]!.os!.nics.length, 1, where);
      assert.is(stages[1]!.os!.nics[0]!.error, undefined, where);
      assert.equal(errorChecks(stages[1]!.findings), [], where);
    }
  });
}

starts.run();

const orders = suite('kernels: any order');

const ORDERS: readonly (readonly KernelStep[])[] = [
  ['crash', 'kexec'],
  ['crash', 'crash'],
  ['kexec', 'crash', 'kexec'],
  ['crash', 'kexec', 'crash'],
  ['crash@300', 'crash@200', 'kexec', 'kexec'],
  ['crash', 'crash', 'crash', 'kexec', 'crash@150'],
];

for (const steps of ORDERS) {
  for (const [host, architecture, processors] of [
    ['server2012r2', 'x64', 2],
    ['server2022', 'x64', 4],
    ['qemu', 'x64', 1],
    ['openvmm', 'arm64', 2],
  ] as const) {
    orders(`${steps.join(',')} on ${host}, ${architecture}, ${processors} VPs`, () => {
      const memory = new ArrayBuffer(32 << 20);
      const machine = makeMachine({ host, processors }, { architecture, memory });
      const kernels: KernelPlan[] = kernelsFor(steps);
      const { stages, ended } = chain({ machine, kernels });
      assert.is(ended, undefined);
      assert.is(stages.length, steps.length + 1);
      for (const { name, findings, os } of stages) {
        assert.equal(errorChecks(findings), [], name);
        assert.is(os?.error, undefined, name);
      }
      assert.is(stages.at(-1)!.os!.nics[0]!.error, undefined);
    });
  }
}

orders('a kernel without room for a crash kernel is followed by a reset', () => {
  const memory = new ArrayBuffer(8 << 20);
  const machine = makeMachine({}, { memory });
  const { stages } = chain({ machine, kernels: kernelsFor(['crash', 'crash', 'crash', 'crash']) });
  const names = stages.map(({ name }) => name);
  assert.ok(names.includes('OS after the reset'), names.join());
  for (const { findings } of stages) assert.equal(errorChecks(findings), []);
});

orders.run();
