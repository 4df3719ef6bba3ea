// SPDX-License-Identifier: GPL-2.0-or-later

/** Throughput of the simulator's seam: pauses, register reads and hypercalls of a guest. */

import { GuestOsId, HV_ENABLE, HvCall, HvControl, Msr } from '../../src/hyperv/protocol.ts';
import type { X64Machine } from '../../src/machine.ts';
import { SimulatedMachine } from '../simulator/machine.ts';
import { DEFAULT_PROFILE, profileNamed } from '../simulator/profiles/profiles.ts';
import { spread, timeMs } from './measure.ts';
import { count, short, type Section } from './section.ts';

/** Where the guest of the bench has its hypercall page. */
const HYPERCALL_PAGE = 0x10000;

/** A connection that nobody has: the call goes all the way, and comes back with a status. */
const NO_CONNECTION = 0x7fffffn;

export interface SimulatorOptions {
  readonly calls: number;
  readonly rounds: number;
}

export const SIMULATOR_FULL: SimulatorOptions = { calls: 500_000, rounds: 5 };
export const SIMULATOR_QUICK: SimulatorOptions = { calls: 5_000, rounds: 2 };

export interface SimulatorFigure {
  readonly call: string;
  readonly perSecond: number;
  readonly ns: number;
}

/** What is called, with a machine on which a hypercall page is mapped. */
const CALLS: Readonly<Record<string, (machine: X64Machine) => void>> = {
  pause: (machine) => machine.pause(),
  'rdmsr TIME_REF_COUNT': (machine) => void machine.rdmsr(Msr.TIME_REF_COUNT),
  'wrmsr EOM': (machine) => machine.wrmsr(Msr.EOM, 0n),
  'hypercall HvSignalEvent': (machine) =>
    void machine.callHypercallPage(HYPERCALL_PAGE, SIGNAL_FAST, NO_CONNECTION, 0n),
};

const SIGNAL_FAST = BigInt(HvCall.SIGNAL_EVENT) | HvControl.FAST;

export function measureSimulator(options: SimulatorOptions): SimulatorFigure[] {
  return Object.entries(CALLS).map(([call, perform]) => {
    const machine = idleMachine();
    const run = () => {
      for (let i = 0; i < options.calls; i++) perform(machine);
    };
    run();
    const times = Array.from({ length: options.rounds }, () => timeMs(run));
    const ns = (spread(times).median * 1e6) / options.calls;
    return { call, perSecond: 1e9 / ns, ns };
  });
}

/** A machine with one NIC that nobody uses. */
function idleMachine(): X64Machine {
  const link = { connect: () => undefined, transmit: () => undefined };
  const { bootProcessor } = new SimulatedMachine({
    memory: new ArrayBuffer(4 << 20),
    profile: profileNamed(DEFAULT_PROFILE)!,
    links: [link],
    seed: 1,
  });
  bootProcessor.wrmsr(Msr.GUEST_OS_ID, GuestOsId.IPXE);
  bootProcessor.wrmsr(Msr.HYPERCALL, BigInt(HYPERCALL_PAGE) | HV_ENABLE);
  return bootProcessor;
}

export function simulatorSection(figures: readonly SimulatorFigure[]): Section {
  return {
    name: 'simulator',
    title: 'Seam of the simulator, idle',
    data: figures,
    tables: [
      {
        columns: ['call', 'calls/s', 'ns'],
        rows: figures.map(({ call, perSecond, ns }) => [call, count(perSecond), short(ns)]),
      },
    ],
    notes: ['Times of this machine, medians of the rounds: compare them with each other only.'],
  };
}
