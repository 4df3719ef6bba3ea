// SPDX-License-Identifier: GPL-2.0-or-later

/** A rig for the tests of flows: kernels one after the other on one machine. */

import { Msr } from '../../src/hyperv/protocol.ts';
import { runOsChain, type KernelPlan } from '../../tools/flow/os-chain.ts';
import type { LinuxName } from '../../tools/os/os-versions.ts';
import { guestsOf, makeMachine, type HostSetup } from '../../tools/scenarios/rig.ts';
import type { Finding } from '../../tools/simulator/audit/audit-findings.ts';
import type { SimulatedMachine } from '../../tools/simulator/machine.ts';

export interface Chain extends HostSetup {
  readonly kernels: readonly KernelPlan[];
  readonly machine?: SimulatedMachine;
  /** Which Linux the kernels are. */
  readonly linux?: LinuxName;
}

/** Run kernels; what became of each, and of the machine. */
export function chain(setup: Chain) {
  const machine = setup.machine ?? makeMachine(setup);
  const guests = guestsOf(machine);
  const stages = runOsChain({
    machine,
    memoryMap: machine.bootSeam.memoryMap,
    kernels: setup.kernels,
    linux: setup.linux,
    guest: (name, run) => guests.run(name, run),
  });
  return { machine, stages, ended: guests.ended };
}

/** Checks that have errors, each once, in order. */
export function errorChecks(findings: readonly Finding[]): string[] {
  const checks = findings.filter(({ severity }) => severity === 'error').map(({ check }) => check);
  return [...new Set(checks)];
}

/**
 * SCONTROL is off and was on at reset: Linux and iPXE leave it so, and hypxe's firmware does until
 * it gives back what it found (P-M2). Expected by name; every other complaint counts.
 */
export function leftScontrolOff({ check, severity, text }: Finding): boolean {
  return check === 'scontrol' && severity === 'warning' && /is off, and was on at reset/.test(text);
}

/** What is worse than an info and not {@link leftScontrolOff}, as `check: text`. */
export function complaints(findings: readonly Finding[]): string[] {
  return findings
    .filter((finding) => finding.severity !== 'info' && !leftScontrolOff(finding))
    .map(({ check, text }) => `${check}: ${text}`);
}

const NAMES = new Map(Object.entries(Msr).map(([name, msr]) => [msr as number, name]));
NAMES.set(Msr.SINT0 + 2, 'SINT2');

/** From when this is called: the registers written and the messages posted, in order. */
export function recordWrites(machine: SimulatedMachine): string[] {
  const seen: string[] = [];
  machine.events.listen((event) => {
    if (event.kind === 'wrmsr') {
      seen.push(`${NAMES.get(event.msr) ?? event.msr} ${event.value === 0n ? '0' : 'value'}`);
    } else if (event.kind === 'hypercall' && event.name === 'HvPostMessage') {
      seen.push(`message ${event.input[16]}`);
    }
  });
  return seen;
}
