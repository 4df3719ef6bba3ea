// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Whatever the host does of its own accord, in flows of any length: a guest that forgets nothing is
 * not blamed, and one that forgets something is. `SEED` and `FLOWS` choose others.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Msr } from '../../../src/hyperv/protocol.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import type { FlowStage } from '../../../tools/flow/stage.ts';
import { makeMachine } from '../../../tools/scenarios/rig.ts';
import { auditHandoff } from '../../../tools/simulator/audit/audit.ts';
import type { Finding } from '../../../tools/simulator/audit/audit-findings.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { badFirmware, type Manners } from '../../rigs/audit-rig.ts';
import { randomFlow } from '../../rigs/blame-rig.ts';
import { chain, errorChecks } from '../../rigs/flow-rig.ts';
import * as firmware from '../../../src/os.ts';
import { runOmission, type WholeFirmware } from '../../rigs/omission-rig.ts';

const FIRST = Number(process.env['SEED'] ?? 1);
const FLOWS = Number(process.env['FLOWS'] ?? 24);

const blame = suite('flows: whom the audit blames');

const isFirmware = ({ name }: FlowStage): boolean => /^(firmware|chainload)/.test(name);

/**
 * A kernel that dies between emptying a slot and its EOM, with messages behind it: nobody writes
 * that EOM, and the host reads no more. It is an error, and no mistake of the audit.
 */
const diedBeforeEom = (findings: readonly Finding[]): boolean =>
  findings.some(({ check, text }) => check === 'leftovers' && /behind SINT2/.test(text));

/** What a guest is blamed for in a flow in which no guest forgets anything. */
function blamed(stages: readonly FlowStage[]): string[] {
  const texts: string[] = [];
  let dead = false;
  for (const stage of stages) {
    dead ||= diedBeforeEom(stage.findings);
    for (const { severity, check, text, known } of stage.findings) {
      // What a kernel meets in its own life is told there: `next-os` blames nobody
      const told = severity === 'error' || (severity === 'warning' && isFirmware(stage));
      const met = check === 'next-os' || check === 'second-boot' || known !== undefined;
      if (told && !met && check !== 'scontrol' && !dead)
        texts.push(`${stage.name}: ${check} ${severity}: ${text}`);
    }
  }
  return texts;
}

for (let seed = FIRST; seed < FIRST + FLOWS; seed++) {
  blame(`a flow in which nobody forgets anything, seed ${seed}`, () => {
    const { text, report } = randomFlow(seed);
    assert.equal(blamed(report.stages), [], text);
    assert.is(report.ended, undefined, text);
  });
}

/** What is forgotten, and the check that tells it. */
const FORGOTTEN: readonly (readonly [check: string, manners: Manners])[] = [
  ['unload', { messages: (type) => type === MessageType.UNLOAD }],
  ['sints', { registers: [Msr.SINT0 + 2] }],
  ['hypercall', { registers: [Msr.GUEST_OS_ID] }],
  ['synic-pages', { registers: [Msr.SIMP] }],
  ['synic-pages', { registers: [Msr.SIEFP] }],
  ['omissions', { messages: (type) => type === MessageType.CLOSE_CHANNEL }],
];

for (const [index, [check, manners]] of FORGOTTEN.entries()) {
  blame(
    `a firmware that forgets something is told, whatever the host does: ${index} ${check}`,
    () => {
      let judged = 0;
      for (let seed = FIRST; judged < 3; seed++) {
        const { text, report } = randomFlow(seed, {
          firmware: badFirmware(manners),
          hosts: ['server2012r2', 'server2016', 'server2022'],
          x64: true,
          stepsMax: 2,
        });
        // It forgets from the moment at which the image is there
        if (report.boot?.status !== 'booted') continue;
        judged++;
        const told = report.stages
          .filter(isFirmware)
          .flatMap(({ findings }) => findings)
          .filter((finding) => finding.check === check && finding.severity !== 'info');
        assert.ok(told.length > 0, text);
      }
    },
  );
}

const LOSSES = ['message', 'partition', 'rndis', 'packet', 'signal', 'refused'] as const;

/** Losses of each kind that are tried in each flow: others for each. */
const TRIES = 5;

for (const [index, flow] of (['boot', 'os', 'driver', 'services', 'resumed'] as const).entries()) {
  for (const host of ['server2022', 'qemu'] as const) {
    if (flow === 'services' && host === 'qemu') continue;
    blame(`a host that loses or refuses one thing: ${flow} on ${host}`, () => {
      for (const what of LOSSES) {
        for (let i = 0; i < TRIES; i++) {
          const nth = 8 * i + ((FIRST + 3 * index) % 8);
          const { findings } = runOmission(firmware as WholeFirmware, {
            ...{ flow, host },
            prepare: (machine) => loseOne(machine, what, nth),
          });
          // An UNLOAD that the host refuses leaves the connection: that is an error, and said so
          if (findings.some(({ text }) => /the host has refused UNLOAD/.test(text))) continue;
          const wrong = findings.filter(
            ({ severity, check }) => severity !== 'info' && check !== 'next-os',
          );
          assert.equal(wrong, [], `${what} ${nth}`);
        }
      }
    });
  }
}

function loseOne(
  machine: ReturnType<typeof makeMachine>,
  what: (typeof LOSSES)[number],
  nth: number,
): void {
  let count = 0;
  const hit = (): boolean => count++ === nth;
  const { partition, vmbus } = machine;
  const nic = machine.nics[0]?.faults;
  if (what === 'message') vmbus.faults = { message: () => (hit() ? 'drop' : undefined) };
  else if (what === 'signal') vmbus.faults = { loseSignal: hit };
  else if (what === 'partition')
    partition.faults.message = () => (hit() ? { drop: true } : undefined);
  else if (what === 'refused')
    partition.faults.hypercall = (code) => (code === 0x5c && hit() ? 0x33 : undefined);
  else if (nic !== undefined && what === 'packet') nic.packet = () => (hit() ? 'drop' : 'send');
  else if (nic !== undefined) nic.message = () => (hit() ? 'drop' : 'send');
}

for (const [host, processors] of [
  ['qemu', 1],
  ['server2019', 2],
  ['server2022', 1],
] as const) {
  blame(`P-Q1 ${host}: a crash between emptying a slot and the EOM is an error`, () => {
    let dead = 0;
    for (let exit = 25; exit < 60; exit++) {
      const { stages, ended } = chain({
        ...{ host, processors },
        kernels: [{ end: 'crash', crashVp: 0, panicAt: { exit } }, { end: 'power-off' }],
      });
      const [crashed, next] = stages;
      const isDead = ended !== undefined || next?.os?.error !== undefined;
      if (isDead) dead++;
      // Never without an error, where it happened and where it is met
      assert.is(errorChecks(crashed!.findings).includes('unload'), isDead, `exit ${exit}`);
      assert.is(errorChecks(next!.findings).includes('next-os'), isDead, `exit ${exit}`);
      if (isDead) assert.ok(diedBeforeEom(crashed!.findings) || host === 'qemu', `exit ${exit}`);
    }
    assert.ok(dead > 0 && dead < 8, `${dead} of 35`);
  });
}

blame('a host that refuses UNLOAD: the connection is left, and whose fault it is is said', () => {
  const machine = makeMachine({});
  let count = 0;
  const { createDriver } = firmware;
  const driver = createDriver(machine.bootSeam);
  driver.probe();
  machine.partition.faults.hypercall = (code) => (code === 0x5c && ++count > 0 ? 0x33 : undefined);
  driver.remove();
  machine.run(TICKS_PER_MS);
  const found = auditHandoff(machine, driver.memoryMap()).filter(({ check }) => check === 'unload');
  assert.equal(
    found.map(({ text }) => text),
    ['the host has refused UNLOAD, and believes that the guest is connected'],
  );
});

blame.run();
