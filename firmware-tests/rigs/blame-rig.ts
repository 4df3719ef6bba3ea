// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Random flows in which the host does something of its own: devices go, come back under another
 * number, messages and signals are lost, links change. One seed decides a whole flow.
 */

import * as firmware from '../../src/index.ts';
import { MessageHeader, MessageType } from '../../src/vmbus/protocol.ts';
import { runBootFlow, type Firmware, type FlowReport } from '../../tools/flow/boot-flow.ts';
import type { FlowStage } from '../../tools/flow/stage.ts';
import type { FlowStep } from '../../tools/flow/flow-steps.ts';
import { LINUX_VERSIONS, type LinuxName } from '../../tools/os/os-versions.ts';
import type { GuestInstance } from '../../tools/guests/guest-program.ts';
import { makeMachine } from '../../tools/scenarios/rig.ts';
import type { Finding } from '../../tools/simulator/audit/audit-findings.ts';
import { TICKS_PER_MS, TICKS_PER_US } from '../../tools/simulator/base/clock.ts';
import { Random } from '../../tools/simulator/base/random.ts';
import type { SimulatedMachine } from '../../tools/simulator/machine.ts';

/** Hosts of these flows: all that firmware and Linux run on. */
const HOSTS = [
  ...(['server2012r2', 'server2016', 'server2019', 'server2022'] as const),
  ...(['copper', 'qemu', 'openvmm'] as const),
];

/** Guest RAM of these flows, in bytes: each crash leaves half of it to the crash kernel. */
export const MEMORY = 64 << 20;

/** Kernels of a flow: one more than steps. */
const STEPS_MAX = 6;

/** What the host does of its own accord, and what it loses. */
const ACTS = ['rescind', 'reoffer', 'link', 'network', 'keepalive', 'message'] as const;
const LOSSES = ['lose-signal', 'withhold', 'lose-packet'] as const;

export interface RandomFlow {
  /** What was run, as a text for the message of a failure. */
  readonly text: string;
  readonly report: FlowReport;
  readonly machine: SimulatedMachine;
}

export interface RandomFlowOptions {
  readonly firmware?: Firmware;
  /** A guest that lies in RAM, in place of a firmware. */
  readonly guest?: GuestInstance;
  /** Only x64. */
  readonly x64?: boolean;
  /** Only these hosts. */
  readonly hosts?: readonly string[];
  /** Most steps behind the first OS; default six. */
  readonly stepsMax?: number;
}

export const isFirmware = ({ name }: FlowStage): boolean => /^(firmware|chainload)/.test(name);

/**
 * A kernel that dies between emptying a slot and its EOM, with messages behind it: nobody writes
 * that EOM, and the host reads no more. It is an error, and no mistake of the audit.
 */
export const diedBeforeEom = (findings: readonly Finding[]): boolean =>
  findings.some(({ check, text }) => check === 'leftovers' && /behind SINT2/.test(text));

/** What a guest is blamed for in a flow in which no guest forgets anything. */
export function blamed(stages: readonly FlowStage[]): string[] {
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

/** Kernels that found no NIC or no bus, in stages without an error there or before. */
export function deadWithoutError(stages: readonly FlowStage[]): string[] {
  const texts: string[] = [];
  let told = false;
  for (const { name, os, findings } of stages) {
    told ||= findings.some(({ severity }) => severity === 'error');
    // What the host has taken away, or refused, is told as that
    const known = findings.some(({ check }) => check === 'next-os');
    if (os?.error !== undefined && !told && !known) texts.push(`${name}: ${os.error}`);
  }
  return texts;
}

/** Make and run the flow of a seed. */
export function randomFlow(seed: number, options: RandomFlowOptions = {}): RandomFlow {
  const random = new Random(seed);
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!;
  const host = pick(options.hosts ?? HOSTS);
  const processors = 1 + random.below(4);
  const architecture = random.chance(0.3) && options.x64 !== true ? 'arm64' : 'x64';
  const linux = pick(Object.keys(LINUX_VERSIONS) as LinuxName[]);
  const steps = Array.from({ length: random.below((options.stepsMax ?? STEPS_MAX) + 1) }, () =>
    step(random, host),
  );
  if (random.chance(0.2)) steps.unshift('chainload');
  const { guest } = options;
  const machine =
    guest === undefined
      ? makeMachine({ host, processors }, { architecture, memory: new ArrayBuffer(MEMORY) })
      : makeMachine({ host, processors }, { architecture }, guest);
  const acts = Array.from({ length: random.below(5) }, () => {
    const act = pick([...ACTS, ...LOSSES]);
    // Counted in hypercalls, from the first of the firmware on
    const at = random.below(300 * (steps.length + 2));
    return { at, act, ticks: 1 + random.below(5 * TICKS_PER_MS) };
  });
  schedule(machine, acts);
  const report = runBootFlow({
    machine,
    firmware: (guest as Firmware | undefined) ?? options.firmware ?? (firmware as Firmware),
    ...{ steps, linux, secondBoot: false },
  });
  const text = [
    `seed ${seed}: ${host}, ${architecture}, ${processors} VPs, ${linux}`,
    steps.join(),
    ...acts.map(({ at, act }) => `${act}@${at}`),
  ].join(' ');
  return { text, report, machine };
}

function step(random: Random, host: string): FlowStep {
  // QEMU hears the EOM of one processor for that alone: crashes are its own test
  if (host === 'qemu' || random.chance(0.4)) return 'kexec';
  return random.chance(0.5) ? 'crash' : `crash@${random.below(1200)}`;
}

interface Act {
  readonly at: number;
  readonly act: (typeof ACTS)[number] | (typeof LOSSES)[number];
  readonly ticks: number;
}

/** Do each act right after the hypercall that it waits for. */
function schedule(machine: SimulatedMachine, acts: readonly Act[]): void {
  let calls = 0;
  machine.events.listen((event) => {
    if (event.kind !== 'hypercall') return;
    for (const act of acts)
      if (act.at === calls) machine.clock.schedule(1, () => perform(machine, act));
    calls++;
  });
}

function perform(machine: SimulatedMachine, { act, ticks }: Act): void {
  const { vmbus, clock } = machine;
  const nic = machine.nics[0]!;
  const offered = (): boolean => {
    const { channels } = vmbus.inspect();
    return channels.some(
      ({ instanceId, state }) => instanceId === nic.instanceId && state !== 'revoked',
    );
  };
  switch (act) {
    case 'rescind':
      if (offered()) vmbus.rescind(nic);
      return;
    case 'reoffer':
      if (!offered()) return;
      vmbus.rescind(nic);
      return void clock.schedule(ticks, () => vmbus.hotAdd(nic));
    case 'link':
      nic.setLinkState(false);
      return void clock.schedule(ticks, () => nic.setLinkState(true));
    case 'network':
      return void nic.changeNetwork();
    case 'keepalive':
      return void nic.sendKeepalive();
    case 'message': {
      const message = new Uint8Array(MessageHeader.size);
      message[0] = MessageType.ALL_OFFERS_DELIVERED;
      return vmbus.postUnsolicited(message);
    }
    case 'lose-signal':
      vmbus.faults = { ...vmbus.faults, loseSignal: () => true };
      return void clock.schedule(100 * TICKS_PER_US, () => {
        vmbus.faults = { ...vmbus.faults, loseSignal: () => false };
      });
    case 'lose-packet': {
      let lost = false;
      nic.faults.message = () => (lost ? 'send' : ((lost = true), 'drop'));
      return;
    }
    case 'withhold':
      nic.faults.withhold = () => true;
      return void clock.schedule(ticks, () => {
        nic.faults.withhold = undefined;
        nic.releaseTransmits();
      });
  }
}
