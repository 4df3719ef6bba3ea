// SPDX-License-Identifier: GPL-2.0-or-later

/** Runs that are made by the thousand: audited loops, and boots in RAM of all sizes. */

import { Exploration } from '../explore/exploration.ts';
import { trustedGuests } from '../explore/explored-guest.ts';
import { Runner } from '../explore/run.ts';
import { runBootFlow } from '../flow/boot-flow.ts';
import { auditBaseline } from '../simulator/audit/audit-baseline.ts';
import { auditHandoff } from '../simulator/audit/audit.ts';
import { SimulatedMachine } from '../simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../simulator/network/index.ts';
import { DEFAULT_PROFILE, profileNamed } from '../simulator/profiles/profiles.ts';
import type { BenchFirmware } from './firmware.ts';
import { cpuMs, leastAllocated, spread } from './measure.ts';
import { short, type Section } from './section.ts';
import { snapshotRuns } from './snapshots.ts';

const MIB = 2 ** 20;
const PROFILE = profileNamed(DEFAULT_PROFILE)!;
const FILE = 'image.bin';
const IMAGE_LENGTH = 64 << 10;

/** RAM of the loop that opens and removes a device, in MiB. */
const LOOP_MIB = 4;

export interface RunsOptions {
  readonly rounds: number;
  /**
   * Rounds before those that count: whoever explores makes tens of thousands of runs, and it takes
   * some thousand until the engine has compiled what is called once in each.
   */
  readonly warmRounds: number;
  /** Runs of a round. */
  readonly runs: number;
  readonly sizesMiB: readonly number[];
}

export const RUNS_FULL: RunsOptions = {
  ...{ rounds: 5, warmRounds: 15, runs: 30 },
  sizesMiB: [4, 16, 64, 1024],
};
export const RUNS_QUICK: RunsOptions = { rounds: 1, warmRounds: 1, runs: 1, sizesMiB: [4, 16] };

export interface RunsFigure {
  readonly run: string;
  /** CPU time of one run: median of the rounds. */
  readonly ms: number;
  /** The same of the quickest round: on a loaded machine nearer to what it needs. */
  readonly leastMs: number;
  readonly perSecond: number;
  /** Its time as a multiple of that of the first one of the same kind. */
  readonly ratio: number;
  /** Bytes that a run allocates on the heap; undefined where that cannot be measured. */
  readonly garbage: number | undefined;
}

/** Single faults and walks that are made in turns: as many of each flow as there are. */
const EXPLORED = 499;

const LINK = { connect: () => undefined, transmit: () => undefined };

function loopMachine(memory: ArrayBuffer): SimulatedMachine {
  return new SimulatedMachine({ memory, profile: PROFILE, links: [LINK], seed: 1 });
}

/** Probe, open, remove and audit. */
function auditedRun(firmware: BenchFirmware, machine: SimulatedMachine): void {
  const since = auditBaseline(machine);
  const driver = firmware.createDriver(machine.bootSeam, {});
  driver.probe();
  driver.devices[0]!.open();
  driver.remove();
  requireClean(auditHandoff(machine, driver.memoryMap(), { since }).length === 0);
}

/** On a machine of its own each time. */
function auditedLoop(firmware: BenchFirmware): () => void {
  const memory = new ArrayBuffer(LOOP_MIB * MIB);
  return () => auditedRun(firmware, loopMachine(memory));
}

/** On one machine, which is reset. */
function resetLoop(firmware: BenchFirmware): () => void {
  const machine = loopMachine(new ArrayBuffer(LOOP_MIB * MIB));
  return () => {
    machine.reset();
    auditedRun(firmware, machine);
  };
}

/** Runs of an exploration, one after the other: a sample that is spread over all of its list. */
function explored(firmware: BenchFirmware, which: 'singles' | 'walks'): () => void {
  const { boot, createDriver } = firmware;
  const runner = new Runner(trustedGuests({ boot, createDriver, bootPushed: boot }), PROFILE);
  const exploration = new Exploration(runner, { seed: 1, walks: EXPLORED });
  const { singles } = exploration;
  let made = 0;
  return () => {
    const run = Math.floor((made++ % EXPLORED) * (singles / EXPLORED));
    const walk = singles + (made % EXPLORED);
    const outcome = runner.run(exploration.plan(which === 'walks' ? walk : run));
    requireClean(outcome.findings.length === 0);
  };
}

/** A whole boot over the network, with the loaded OS and the late-write trial. */
function wholeBoot(firmware: BenchFirmware, memoryMiB: number, searchesAll: boolean): () => void {
  const memory = new ArrayBuffer(memoryMiB * MIB);
  const image = syntheticImage(IMAGE_LENGTH, 1);
  return () => {
    const network = new Network({ files: memoryFiles({ [FILE]: image }), bootFile: FILE });
    const links = [network.link(0)];
    const machine = new SimulatedMachine({ memory, profile: PROFILE, links, seed: 1 });
    const report = runBootFlow({ machine, firmware, secondBoot: false, searchesAll });
    requireClean(report.verdict === 'clean');
  };
}

/** @throws Error: a figure of a run that fails means nothing */
export function requireClean(clean: boolean): void {
  if (!clean) throw new Error('a run of the bench was not clean');
}

export function measureRuns(firmware: BenchFirmware, options: RunsOptions): RunsFigure[] {
  const { runs, sizesMiB } = options;
  const boots = sizesMiB.map(
    (size) => [`boot, ${size} MiB`, wholeBoot(firmware, size, false)] as const,
  );
  const plain = wholeBoot(firmware, sizesMiB[1]!, true);
  return [
    ...inTurns(
      [
        ['probe, open, remove, audit', auditedLoop(firmware)],
        ['the same, machine reset', resetLoop(firmware)],
      ],
      { ...options, runs: runs * 10 },
    ),
    ...inTurns([...boots, [`boot, ${sizesMiB[1]} MiB, all searched`, plain]], options),
    ...sizesMiB.slice(0, 2).flatMap((size) => inTurns(snapshotRuns(firmware, size), options)),
    ...inTurns(
      [
        ['explore, a single fault', explored(firmware, 'singles')],
        ['explore, a walk', explored(firmware, 'walks')],
      ],
      options,
    ),
  ];
}

/** What is compared is measured in turns: rounds of so many runs of each. */
export function inTurns(
  all: readonly (readonly [name: string, run: () => void])[],
  { rounds, warmRounds, runs }: Omit<RunsOptions, 'sizesMiB'>,
): RunsFigure[] {
  const times = all.map((): number[] => []);
  const repeat = (run: () => void) => (): void => {
    for (let i = 0; i < runs; i++) run();
  };
  for (let round = 0; round < warmRounds; round++) for (const [, run] of all) repeat(run)();
  for (let round = 0; round < rounds; round++)
    for (const [i, [, run]] of all.entries()) times[i]!.push(cpuMs(repeat(run)) / runs);
  const first = spread(times[0]!).median;
  return all.map(([name, run], i) => {
    const { median: ms, min: leastMs } = spread(times[i]!);
    const bytes = leastAllocated(1, repeat(run));
    const garbage = bytes === undefined ? undefined : Math.round(bytes / runs);
    return { run: name, ms, leastMs, perSecond: 1000 / ms, ratio: ms / first, garbage };
  });
}

export function runsSection(figures: readonly RunsFigure[]): Section {
  return {
    name: 'runs',
    title: 'Runs by the thousand, on one core',
    data: figures,
    tables: [
      {
        columns: ['run', 'runs/s', 'ms', '× first', 'KB garbage'],
        rows: figures.map(({ run, perSecond, ms, ratio, garbage }) => [
          run,
          short(perSecond),
          short(ms),
          short(ratio),
          garbage === undefined ? '-' : short(garbage / 1000),
        ]),
      },
    ],
    notes: [
      'A boot is one of a 64 KiB image over the network, with handoff, audit, late-write trial ' +
        'and loaded OS; "all searched" fills and compares all of its RAM. Runs of an exploration ' +
        'are a sample of hypxe explore, each with a second boot. Times are CPU time, of all ' +
        'threads. × first: time as a multiple of the first run of the same kind, in turns.',
    ],
  };
}
