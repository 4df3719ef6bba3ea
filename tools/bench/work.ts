// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a session asks of the machine, iPXE's beside ours: the recorded session drives our drivers,
 * the recorded host answers, and both sides are counted step by step.
 */

import type { NetDevice } from '../../src/net/device.ts';
import type { PresetName } from '../../src/netvsc/policy.ts';
import type { Firmware } from '../replay/firmware.ts';
import { fromHex } from '../replay/hex.ts';
import { readRecording, type RecordedStep } from '../replay/recording.ts';
import { guestRam } from '../guests/guest-ram.ts';
import { replayMemoryBytes } from '../replay/replay-machine.ts';
import { ReplaySession } from '../replay/session.ts';
import type { TraceEvent } from '../replay/trace-events.ts';
import type { TraceFile } from '../replay/trace-file.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import {
  CountingMachine,
  addWork,
  countHypercall,
  countRegister,
  noWork,
  type WorkCounts,
} from './counting-machine.ts';
import type { BenchFirmware } from './firmware.ts';
import { BenchLink, benchMachine } from './frame-rigs.ts';
import { count, type Section, type Table } from './section.ts';

/** Turns of 1 ms in which the simulated host does what it has to do. */
const SETTLE_TURNS = 3;

/** One step of the session, or several of the same name together. */
export interface StepWork {
  readonly name: string;
  readonly recorded: WorkCounts;
  readonly ours: WorkCounts;
}

export interface WorkComparison {
  readonly scenario: string;
  readonly steps: readonly StepWork[];
  readonly recorded: WorkCounts;
  readonly ours: WorkCounts;
}

/** Drive our drivers (preset `ipxe`) through a recorded session, and count. */
export function compareWork(firmware: BenchFirmware, trace: TraceFile): WorkComparison {
  const recording = readRecording(trace);
  const machines: CountingMachine[] = [];
  const counted: Firmware = {
    createDriver(machine, options) {
      const counting = new CountingMachine(machine);
      machines.push(counting);
      return firmware.createDriver(counting, options);
    },
  };
  const session = new ReplaySession(counted, trace, guestRam(replayMemoryBytes(trace)));
  const steps = new Map<string, StepWork>();
  const total = { recorded: noWork(), ours: noWork() };
  recording.forEach((step) => {
    const { name } = step;
    const work = steps.get(name) ?? { name, recorded: noWork(), ours: noWork() };
    steps.set(name, work);
    for (const machine of machines) machine.counts = noWork();
    session.run(step);
    const recorded = recordedWork(trace.events, step);
    addWork(work.recorded, recorded);
    addWork(total.recorded, recorded);
    for (const { counts } of machines) {
      addWork(work.ours, counts);
      addWork(total.ours, counts);
    }
  });
  return { scenario: trace.scenario, steps: [...steps.values()], ...total };
}

/** What the recorded driver asked of its machine in one step. */
function recordedWork(events: readonly TraceEvent[], step: RecordedStep): WorkCounts {
  const counts = noWork();
  for (const event of events.slice(step.begin, step.end)) {
    if (event.op === 'cpuid') counts.cpuids++;
    else if (event.op === 'rdmsr') countRegister(counts, Number(event.msr), false);
    else if (event.op === 'wrmsr') countRegister(counts, Number(event.msr), true);
    else if (event.op === 'hypercall') countHypercall(counts, Number(event.code));
    else if (event.op === 'delay') counts.pauses++;
  }
  return counts;
}

/**
 * The same steps on the simulated host, with either preset: what the sizes of `default` cost. The
 * frames are those of the recording.
 */
export function hostWork(
  firmware: BenchFirmware,
  trace: TraceFile,
): Readonly<Record<PresetName, WorkCounts>> {
  const sent = trace.events.flatMap((event) =>
    event.op === 'step' && event.frame !== undefined ? [fromHex(event.frame)] : [],
  );
  const received = trace.events.flatMap((event) =>
    event.op === 'netdev-rx' ? [fromHex(event.frame)] : [],
  );
  const run = (preset: PresetName) => sessionWork(firmware, preset, sent, received);
  return { ipxe: run('ipxe'), default: run('default') };
}

function sessionWork(
  firmware: BenchFirmware,
  preset: PresetName,
  sent: readonly Uint8Array[],
  received: readonly Uint8Array[],
): WorkCounts {
  const link = new BenchLink();
  const machine = benchMachine(link);
  const seam = new CountingMachine(machine.bootProcessor);
  const driver = firmware.createDriver(seam, { preset });
  driver.probe();
  const device = driver.devices[0]!;
  device.open();
  for (const frame of sent) device.transmit(frame, frame.length);
  turns(machine, device);
  for (const frame of received) link.host!.deliver(frame);
  turns(machine, device);
  const { txGood, rxGood } = device.statistics;
  if (txGood !== sent.length || rxGood !== received.length) throw new Error('frames were lost');
  device.close();
  driver.remove();
  return seam.counts;
}

/** Let the host do what it has to do, and look at it. */
function turns(machine: SimulatedMachine, device: NetDevice): void {
  for (let i = 0; i < SETTLE_TURNS; i++) {
    machine.run(TICKS_PER_MS);
    device.poll();
  }
}

/** What counts against us: all that a guest of a hypervisor pays an exit for. */
const COLUMNS: readonly (readonly [key: keyof WorkCounts, title: string])[] = [
  ['hypercalls', 'hypercalls'],
  ['messages', 'messages'],
  ['signals', 'signals'],
  ['reads', 'reads'],
  ['writes', 'writes'],
  ['cpuids', 'CPUID'],
  ['eoms', 'EOM'],
  ['clockReads', 'clock'],
  ['pauses', 'pauses'],
];

/** The kinds of work of which we may do no more than iPXE. */
export const COMPARED: readonly (keyof WorkCounts)[] = [
  'hypercalls',
  'messages',
  'signals',
  'reads',
  'writes',
  'cpuids',
];

/** Titles of the columns of {@link workCells}. */
export const WORK_TITLES: readonly string[] = COLUMNS.map(([, title]) => title);

/** Counts as cells of a table. */
export function workCells(counts: WorkCounts): string[] {
  return COLUMNS.map(([key]) => count(counts[key]));
}

function comparisonTable(comparison: WorkComparison): Table {
  const rows = [...comparison.steps, { name: 'all', ...comparison }].flatMap(
    ({ name, recorded, ours }) => [
      [name, 'iPXE', ...workCells(recorded)],
      ['', 'hypxe', ...workCells(ours)],
    ],
  );
  return { columns: ['step', '', ...WORK_TITLES], rows };
}

function hostTable(host: Readonly<Record<PresetName, WorkCounts>>): Table {
  return {
    columns: ['simulated host', ...WORK_TITLES],
    rows: Object.entries(host).map(([name, counts]) => [`preset ${name}`, ...workCells(counts)]),
  };
}

export function workSection(
  comparison: WorkComparison,
  host: Readonly<Record<PresetName, WorkCounts>>,
): Section {
  const { recorded, ours } = comparison;
  const more = COMPARED.filter((key) => ours[key] > recorded[key]);
  return {
    name: 'work',
    title: `Work of a session (${comparison.scenario}: probe to remove, 3 frames out, 4 in)`,
    data: { comparison, host, more },
    tables: [comparisonTable(comparison), hostTable(host)],
    notes: [
      more.length === 0
        ? 'The same steps, frames and recorded host for both (preset ipxe): we need no more than ' +
          'iPXE of anything that can be compared, that is all columns up to CPUID.'
        : `MORE than iPXE: ${more.join(', ')}.`,
      'EOM: iPXE writes it in every idle turn of a wait, we only where the host has set the ' +
        'pending flag. clock (reads of TIME_REF_COUNT) cannot be compared: the recording has ' +
        'replaced the delay loop in which iPXE reads its clock, so its clock reads are not in ' +
        'it; ours are one or two for each turn of a wait. pauses: turns of 1 ms in the recording.',
      'The larger rings and buffers of the preset default take more messages to describe: GPADLs ' +
        'of more than 26 pages have body messages.',
    ],
  };
}
