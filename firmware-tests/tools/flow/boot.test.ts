// SPDX-License-Identifier: GPL-2.0-or-later

/** Flows that begin with firmware: chain-loading, SAN boot, kexec, crash, and their order. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { checkSteps, type FlowStep } from '../../../tools/flow/flow-steps.ts';
import type { Firmware } from '../../../tools/flow/boot-flow.ts';
import { auditOs, osStart } from '../../../tools/flow/os-findings.ts';
import { FIRMWARES, runBoot } from '../../rigs/boot-rig.ts';
import { complaints, errorChecks } from '../../rigs/flow-rig.ts';

const ALL: readonly FlowStep[] = ['chainload', 'san', 'kexec', 'crash'];

/** Names of the stages of {@link ALL}. */
const ALL_STAGES = [
  'firmware',
  'firmware',
  'firmware, serving',
  'loader',
  'firmware, once more',
  'OS',
  'kexec 1',
  'crash kernel',
];

function flow(host: string, processors: number, steps: readonly FlowStep[]) {
  const size = 60_000;
  return runBoot({ host, size, memoryMiB: 16, machine: { processors }, flow: { steps } });
}

const flows = suite('flow: boots');

for (const host of ['server2012r2', 'server2016', 'server2022', 'copper', 'qemu', 'openvmm']) {
  for (const processors of [1, 4]) {
    flows(`everything on ${host} with ${processors} VPs is clean`, () => {
      const { report } = flow(host, processors, ALL);
      assert.is(report.verdict, 'clean');
      assert.equal(
        report.stages.map(({ name }) => name),
        ALL_STAGES,
      );
      assert.equal(errorChecks(report.findings), []);
      assert.is(report.secondBoot!.status, 'booted');
      assert.equal(report.notRun, []);
    });
  }
}

flows('without steps there are firmware, OS and second boot', () => {
  const { report } = flow('server2022', 2, []);
  assert.equal(
    report.stages.map(({ name, end }) => `${name} ${end}`),
    ['firmware handoff', 'OS shutdown'],
  );
  assert.equal(complaints(report.findings), []);
  assert.is(report.os, report.stages[1]!.os);
});

flows('kexec after kexec, and every kernel has a network', () => {
  const { report } = flow('server2022', 2, ['kexec', 'kexec', 'kexec']);
  assert.is(report.verdict, 'clean');
  const kernels = report.stages.slice(1);
  assert.equal(
    kernels.map(({ name }) => name),
    ['OS', 'kexec 1', 'kexec 2', 'kexec 3'],
  );
  assert.ok(kernels.every(({ os }) => os!.nics[0]!.received > 0));
});

flows('chain-loading boots the firmware again on what the first has left', () => {
  const { report, image, machine } = flow('server2022', 1, ['chainload', 'chainload']);
  assert.is(report.verdict, 'clean');
  const names = report.stages.map(({ name }) => name);
  assert.equal(names, ['firmware', 'chainload 1', 'chainload 2', 'OS']);
  // Each connection of firmware is two contacts, 3.0 and 0.13
  const accepted = machine.vmbus.inspect().history.filter(({ outcome }) => outcome === 'accepted');
  assert.ok(accepted.length >= 6);
  assert.is(image.length, report.boot!.image!.length);
});

flows('a SAN boot keeps the connection and gives back the rest', () => {
  const { report } = flow('server2022', 1, ['san']);
  const [first] = report.stages;
  const infos = first!.findings.filter(({ check }) => check === 'unload' || check === 'channels');
  assert.ok(infos.length > 0 && infos.every(({ severity }) => severity === 'info'));
  for (const check of ['synic-pages', 'sints', 'scontrol', 'hypercall']) {
    const errors = first!.findings.filter((f) => f.check === check && f.severity === 'error');
    assert.equal(errors, [], check);
  }
  const resident = report.boot!.memoryMap.find(({ purpose }) => /resident/.test(purpose ?? ''));
  assert.is(resident!.type, 'reserved');
});

flows(
  'a resident firmware finds in its memory what the host has said, not what a trial wrote',
  () => {
    const memory = new ArrayBuffer(16 << 20);
    const bytes = new Uint8Array(memory);
    const found: string[] = [];
    const firmware: Firmware = {
      ...sources,
      createDriver(seam, options) {
        const driver = sources.createDriver(seam, options);
        const unquiesce = driver.unquiesce.bind(driver);
        // It is asked three times: by the loader, by one that has the machine, and by one that left
        driver.unquiesce = () => {
          const pages = Array.from({ length: 16 << 8 }, (_, pfn) => bytes[pfn << 12]);
          found.push(`${pages.filter((byte) => byte === 0xa5).length} pages`);
          return unquiesce();
        };
        return driver;
      },
    };
    const { report } = runBoot({ firmware, machine: { memory }, flow: { steps: ['san'] } });
    assert.is(report.verdict, 'clean');
    assert.equal(found, ['0 pages', '0 pages', '0 pages']);
  },
);

flows('a SAN boot runs on the bundle, whose errors are of another class', () => {
  const { report } = runBoot({
    firmware: FIRMWARES.bundle,
    memoryMiB: 16,
    flow: { steps: ['san'] },
  });
  assert.is(report.verdict, 'clean');
});

flows('a network that loses everything is not the fault of a handoff', () => {
  const lost = runBoot({
    memoryMiB: 16,
    network: { faults: { toGuest: { loss: 1 }, fromGuest: { loss: 1 } } },
  }).report;
  const [finding, ...others] = lost.findings.filter(({ check }) => check === 'next-os');
  assert.equal(others, []);
  assert.is(finding!.severity, 'info');
  assert.match(
    finding!.text,
    /^nothing came to net0 over the network, which got what the OS sent$/,
  );

  // One that answers, and whose answers do not reach the OS, is
  const { report, machine } = runBoot({ memoryMiB: 16 });
  const [nic] = report.os!.nics;
  const deaf = { ...report.os!, nics: [{ ...nic!, received: 0 }] };
  const traffic = new Map([[machine.nics[0]!.instanceId, { sent: 0, came: 0 }]]);
  const start = { ...osStart(machine), traffic };
  assert.equal(errorChecks(auditOs(deaf, machine, start)), ['next-os']);
});

flows('a host that the firmware refuses gets no further steps', () => {
  const { report } = flow('server2012', 1, ['kexec']);
  assert.is(report.verdict, 'refused');
  assert.equal(
    report.stages.map(({ name }) => name),
    ['firmware', 'OS'],
  );
});

flows('a firmware that crashes ends the flow, and says where', () => {
  const firmware = {
    boot: (machine: { wrmsr?: (msr: number, value: bigint) => void }): never => {
      machine.wrmsr!(0x40000081, 1n);
      throw new Error('not reached');
    },
  };
  const { report } = runBoot({ firmware: firmware as never, flow: { steps: ['chainload'] } });
  assert.is(report.verdict, 'crash');
  assert.is(report.ended!.guest, 'firmware');
  assert.is(report.stages.length, 1);
});

flows.run();

const order = suite('flow: order of the steps');

for (const steps of [
  [],
  ['kexec'],
  ['crash'],
  ['chainload', 'chainload', 'kexec', 'kexec'],
  ['san', 'crash'],
  ['chainload', 'san', 'kexec', 'crash'],
  ['crash', 'kexec', 'crash', 'crash@100', 'kexec'],
] as FlowStep[][]) {
  order(`can be ${steps.join(',') || 'nothing'}`, () => {
    assert.is(checkSteps(steps), undefined);
  });
}

for (const [steps, text] of [
  [['crash', 'san'], 'san cannot come after crash: the firmware is gone then'],
  [['crash@7', 'chainload'], 'chainload cannot come after crash@7: the firmware is gone then'],
  [['san', 'san'], 'san comes twice'],
  [['kexec', 'chainload'], 'chainload cannot come after kexec: the firmware is gone then'],
  [['kexec', 'san'], 'san cannot come after kexec: the firmware is gone then'],
  [['san', 'chainload'], 'chainload cannot come after san: the firmware is gone then'],
  [new Array(17).fill('kexec'), '17 steps, at most 16'],
] as [FlowStep[], string][]) {
  order(`cannot be ${steps.slice(0, 3).join(',')}`, () => {
    assert.is(checkSteps(steps), text);
  });
}

order.run();
