// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Whatever the host does of its own accord, in flows of any length: a guest that forgets nothing is
 * not blamed, and one that forgets something is. `SEED` and `FLOWS` choose others.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Msr } from '../../../src/hyperv/protocol.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import type { Firmware } from '../../../tools/flow/boot-flow.ts';
import type { FlowStage } from '../../../tools/flow/stage.ts';
import { makeMachine } from '../../../tools/scenarios/rig.ts';
import type { Finding } from '../../../tools/simulator/audit/audit-findings.ts';
import { auditHandoff } from '../../../tools/simulator/audit/audit.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { badFirmware, type Manners } from '../../rigs/audit-rig.ts';
import { runBoot } from '../../rigs/boot-rig.ts';
import {
  blamed,
  deadWithoutError,
  diedBeforeEom,
  isFirmware,
  randomFlow,
} from '../../rigs/blame-rig.ts';
import { chain, errorChecks } from '../../rigs/flow-rig.ts';
import * as firmware from '../../../src/os.ts';
import { runOmission, type WholeFirmware } from '../../rigs/omission-rig.ts';

const FIRST = Number(process.env['SEED'] ?? 1);
const FLOWS = Number(process.env['FLOWS'] ?? 24);

const blame = suite('flows: whom the audit blames');

for (let seed = FIRST; seed < FIRST + FLOWS; seed++) {
  blame(`a flow in which nobody forgets anything, seed ${seed}`, () => {
    const { text, report } = randomFlow(seed);
    assert.equal(blamed(report.stages), [], text);
    assert.equal(deadWithoutError(report.stages), [], text);
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

/** What is said of a flow in which the host fails once, if it is not what a kernel met. */
function laid(stages: readonly FlowStage[], findings: readonly Finding[]): string[] {
  const all = [...stages.flatMap((stage) => stage.findings), ...findings];
  const isMet = ({ check, text }: Finding): boolean =>
    check === 'next-os' && /^(?:\w[\w ]*: )?the OS (?:could not come up|found)/.test(text);
  return all
    .filter((each) => each.severity !== 'info' && each.check !== 'scontrol' && !isMet(each))
    .map(({ check, severity, text }) => `${check} ${severity}: ${text}`);
}

/** One message of the host, or one post of the guest, by its number among its like in a stage. */
function withoutOne(what: keyof typeof MessageType | 'post', nth: number, stage = 'firmware') {
  let count = -1;
  let came = false;
  const hit = (): boolean => count >= 0 && count++ === nth && (came = true);
  return {
    came: () => came,
    prepare({ events, partition, vmbus }: ReturnType<typeof makeMachine>): void {
      events.listen((event) => {
        if (event.kind === 'stage' && event.stage === stage) count = 0;
      });
      if (what === 'post')
        partition.faults.hypercall = (code) => (code === 0x5c && hit() ? 0x33 : undefined);
      else
        vmbus.faults = {
          message: (type) => (type === MessageType[what] && hit() ? 'drop' : undefined),
        };
    },
  };
}

/** Messages of a SAN boot, from the first unquiesce on, and posts, each lost or refused alone. */
const SAN_LOSSES = [
  ...[2, 3, 4].map((nth) => ['VERSION_RESPONSE', nth] as const),
  ...[1, 3].map((nth) => ['UNLOAD_RESPONSE', nth] as const),
  ...[5, 11].map((nth) => ['OFFER_CHANNEL', nth] as const),
  ...[6, 8].map((nth) => ['GPADL_CREATED', nth] as const),
  ...[19, 22, 24, 27, 29, 33, 40, 43, 46, 66].map((nth) => ['post', nth] as const),
];

for (const [what, nth] of SAN_LOSSES) {
  blame(`a SAN boot in which the host fails once: ${what} ${nth}`, () => {
    const fault = withoutOne(what, nth);
    const { report } = runBoot({
      ...{ firmware: firmware as Firmware, size: 20_000, memoryMiB: 16, prepare: fault.prepare },
      flow: { steps: ['san'], strict: true, secondBoot: false },
    });
    assert.ok(fault.came());
    assert.is(report.ended, undefined, report.ended?.text);
    assert.equal(laid(report.stages, report.findings), []);
  });
}

for (const what of ['UNLOAD_RESPONSE', 'post'] as const) {
  blame(`firmware that does not boot once more since the host fails: ${what}`, () => {
    for (const stage of ['chainload 1', 'second boot']) {
      const fault = withoutOne(what, what === 'post' ? 1 : 0, stage);
      const { report } = runBoot({
        ...{ firmware: firmware as Firmware, memoryMiB: 16, prepare: fault.prepare },
        flow: { steps: stage === 'second boot' ? [] : ['chainload'], strict: true },
      });
      assert.ok(fault.came());
      assert.equal(laid(report.stages, report.findings), [], stage);
      const texts = report.findings.map(({ text }) => text).join('\n');
      assert.match(texts, /boot.* \(the host has (?:lost UNLOAD_RESPONSE|refused messages)\)/);
    }
  });
}

blame('what a refused UNLOAD leaves says whose doing it is', () => {
  const machine = makeMachine({});
  const driver = firmware.createDriver(machine.bootSeam);
  driver.probe();
  driver.devices[0]!.open();
  machine.partition.faults.hypercall = (code) => (code === 0x5c ? 0x33 : undefined);
  driver.remove();
  machine.run(TICKS_PER_MS);
  const left = auditHandoff(machine, driver.memoryMap()).filter(
    ({ check, severity }) => severity !== 'info' && /^(?:channels|shared-pages)$/.test(check),
  );
  assert.ok(left.length > 3);
  for (const { text } of left) assert.match(text, / \(the host has refused UNLOAD\)$/);
});

/** Answers that say that nothing was done, though it was: which byte is what then. */
const CHANGED = [
  ['VERSION_RESPONSE', 8, 0],
  ['GPADL_CREATED', 16, 1],
  ['OPEN_CHANNEL_RESULT', 16, 1],
] as const;

for (const [answer, at, byte] of CHANGED) {
  blame(`whoever hears another ${answer} than was sent is not blamed for what it then does`, () => {
    for (const flow of ['driver', 'resumed'] as const) {
      for (let nth = 0; nth < 4; nth++) {
        const { findings } = runOmission(firmware as WholeFirmware, {
          ...{ flow, host: 'server2022' },
          prepare: (machine) => changeOne(machine, MessageType[answer], nth, at, byte),
        });
        const told = findings.filter(({ severity }) => severity !== 'info');
        const laid = told.filter(({ check }) => check === 'omissions' || check === 'freed');
        assert.equal(laid, [], `${flow} ${nth}`);
        // A connection that is left is an error all the same, and says whose doing it is
        const [left] = told.filter(({ check }) => check === 'unload');
        if (told.length > 0) assert.match(left?.text ?? '', /VERSION_RESPONSE did not come as/);
      }
    }
  });
}

function changeOne(
  machine: ReturnType<typeof makeMachine>,
  wanted: number,
  nth: number,
  at: number,
  byte: number,
): void {
  let count = 0;
  machine.vmbus.faults = {
    message: (type, payload) => {
      if (type !== wanted || count++ !== nth) return undefined;
      const changed = payload.slice();
      changed[at] = byte;
      return changed;
    },
  };
}

blame('a kernel that waits for an answer that the host has lost is told with it', () => {
  const machine = makeMachine({});
  machine.vmbus.faults = {
    message: (type) => (type === MessageType.UNLOAD_RESPONSE ? 'drop' : undefined),
  };
  const { ended } = chain({ machine, kernels: [{ end: 'kexec' }, { end: 'shutdown' }] });
  assert.is(ended?.kind, 'hang');
  assert.match(ended?.text ?? '', /; the host has lost UNLOAD_RESPONSE$/);
});

blame.run();
