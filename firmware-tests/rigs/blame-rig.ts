// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Random flows in which the host does something of its own: devices go, come back under another
 * number, messages and signals are lost, links change. One seed decides a whole flow.
 */

import * as firmware from '../../src/index.ts';
import { MessageHeader, MessageType } from '../../src/vmbus/protocol.ts';
import { runBootFlow, type Firmware, type FlowReport } from '../../tools/flow/boot-flow.ts';
import type { FlowStep } from '../../tools/flow/flow-steps.ts';
import { LINUX_VERSIONS, type LinuxName } from '../../tools/os/os-versions.ts';
import { makeMachine } from '../../tools/scenarios/rig.ts';
import { TICKS_PER_MS, TICKS_PER_US } from '../../tools/simulator/base/clock.ts';
import { Random } from '../../tools/simulator/base/random.ts';
import type { SimulatedMachine } from '../../tools/simulator/machine.ts';

/** Hosts of these flows: all that firmware and Linux run on. */
const HOSTS = [
  ...(['server2012r2', 'server2016', 'server2019', 'server2022'] as const),
  ...(['copper', 'qemu', 'openvmm'] as const),
];

/** Guest RAM: each crash leaves half of it to the crash kernel. */
const MEMORY = 64 << 20;

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
  /** Only x64. */
  readonly x64?: boolean;
  /** Only these hosts. */
  readonly hosts?: readonly string[];
  /** Most steps behind the first OS; default six. */
  readonly stepsMax?: number;
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
  const memory = new ArrayBuffer(MEMORY);
  const machine = makeMachine({ host, processors }, { architecture, memory });
  const acts = Array.from({ length: random.below(5) }, () => {
    const act = pick([...ACTS, ...LOSSES]);
    // Counted in hypercalls, from the first of the firmware on
    const at = random.below(300 * (steps.length + 2));
    return { at, act, ticks: 1 + random.below(5 * TICKS_PER_MS) };
  });
  schedule(machine, acts);
  const report = runBootFlow({
    machine,
    firmware: options.firmware ?? (firmware as Firmware),
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
