// SPDX-License-Identifier: GPL-2.0-or-later

/** Complete simulated boots: how many in a second, and how the time grows with the image. */

import { runBootFlow, type FlowReport } from '../flow/boot-flow.ts';
import { SimulatedMachine } from '../simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../simulator/network/index.ts';
import { DEFAULT_PROFILE, profileNamed } from '../simulator/profiles/profiles.ts';
import { CountingMachine, type WorkCounts } from './counting-machine.ts';
import type { BenchFirmware } from './firmware.ts';
import { spread, timeMs, type Spread } from './measure.ts';
import { count, short, type Section } from './section.ts';
import { WORK_TITLES, workCells } from './work.ts';

const MIB = 2 ** 20;

/** Guest RAM beside the image, in MiB. */
const MEMORY_MIB = 15;

const FILE = 'image.bin';

/** How much is measured: sizes of images in MiB, and rounds of each, after some that warm up. */
export interface BootsOptions {
  readonly warmRounds: number;
  readonly sizesMiB: readonly number[];
  readonly rounds: number;
}

export const BOOTS_FULL: BootsOptions = { warmRounds: 15, sizesMiB: [1, 4, 16, 64], rounds: 5 };
export const BOOTS_QUICK: BootsOptions = { warmRounds: 1, sizesMiB: [1], rounds: 1 };

/** One boot, timed. */
export interface TimedBoot {
  readonly report: FlowReport;
  /** Until the handoff, and in all. */
  readonly handoffMs: number;
  readonly totalMs: number;
  /** What the firmware asked of its machine. */
  readonly work: WorkCounts;
  readonly framesToGuest: number;
  readonly framesFromGuest: number;
}

/** Boots of one size. */
export interface BootsFigure {
  readonly imageMiB: number;
  readonly memoryMiB: number;
  readonly handoffMs: Spread;
  readonly totalMs: Spread;
  /** Total time as a multiple of the time of copying the image once. */
  readonly copies: Spread;
  /** What the last one asked of its machine, and its frames. */
  readonly work: WorkCounts;
  readonly framesToGuest: number;
  readonly framesFromGuest: number;
}

/**
 * Boot once: a new machine and network, download, handoff, audit, OS; no second boot.
 *
 * @throws Error if it was not clean: a figure of a boot that fails means nothing
 */
export function bootOnce(firmware: BenchFirmware, image: Uint8Array): TimedBoot {
  const begin = performance.now();
  let handoffMs = 0;
  let seam: CountingMachine | undefined;
  const network = new Network({ files: memoryFiles({ [FILE]: image }), bootFile: FILE });
  const machine = new SimulatedMachine({
    memory: new ArrayBuffer(memoryMiB(image.length) * MIB),
    profile: profileNamed(DEFAULT_PROFILE)!,
    links: [network.link(0)],
    seed: 1,
  });
  const report = runBootFlow({
    machine,
    firmware: {
      boot(guest, options) {
        if (guest.architecture !== 'x64') throw new Error('the bench counts x64 alone');
        seam = new CountingMachine(guest);
        return firmware.boot(seam, options);
      },
    },
    secondBoot: false,
    onHandoff: () => (handoffMs = performance.now() - begin),
  });
  if (report.verdict !== 'clean') throw new Error(`a boot of the bench ended as ${report.verdict}`);
  const { framesToGuest, framesFromGuest } = machine.nics[0]!.statistics;
  const totalMs = performance.now() - begin;
  return { report, handoffMs, totalMs, work: seam!.counts, framesToGuest, framesFromGuest };
}

function memoryMiB(imageLength: number): number {
  return MEMORY_MIB + Math.ceil(imageLength / MIB);
}

export function measureBoots(firmware: BenchFirmware, options: BootsOptions): BootsFigure[] {
  // Let the engine compile
  const warm = syntheticImage(options.sizesMiB[0]! * MIB, 1);
  for (let i = 0; i < options.warmRounds; i++) bootOnce(firmware, warm);

  return options.sizesMiB.map((imageMiB) => {
    const image = syntheticImage(imageMiB * MIB, 1);
    const into = new Uint8Array(image.length);
    into.set(image);
    const boots: TimedBoot[] = [];
    const copies: number[] = [];
    for (let round = 0; round < options.rounds; round++) {
      const copyMs = timeMs(() => into.set(image));
      const boot = bootOnce(firmware, image);
      boots.push(boot);
      copies.push(boot.totalMs / copyMs);
    }
    const { work, framesToGuest, framesFromGuest } = boots.at(-1)!;
    return {
      imageMiB,
      memoryMiB: memoryMiB(image.length),
      handoffMs: spread(boots.map((boot) => boot.handoffMs)),
      totalMs: spread(boots.map((boot) => boot.totalMs)),
      copies: spread(copies),
      work,
      framesToGuest,
      framesFromGuest,
    };
  });
}

export function bootsSection(figures: readonly BootsFigure[]): Section {
  return {
    name: 'boots',
    title: 'Complete simulated boots (download, handoff, audit, late writes, OS)',
    data: figures,
    tables: [
      {
        columns: [
          'image',
          'memory',
          'boots/s',
          'ms',
          'min–max',
          'to handoff',
          'ms/MiB',
          '× copy',
          'frames',
        ],
        rows: figures.map((figure) => {
          const { imageMiB, totalMs, handoffMs, copies } = figure;
          return [
            `${imageMiB} MiB`,
            `${figure.memoryMiB} MiB`,
            short(1000 / totalMs.median),
            short(totalMs.median),
            `${short(totalMs.min)}–${short(totalMs.max)}`,
            short(handoffMs.median),
            short(handoffMs.median / imageMiB),
            short(copies.median),
            count(figure.framesToGuest + figure.framesFromGuest),
          ];
        }),
      },
      {
        columns: ['image', ...WORK_TITLES],
        rows: figures.map(({ imageMiB, work }) => [`${imageMiB} MiB`, ...workCells(work)]),
      },
    ],
    notes: [
      'ms/MiB: time until the handoff for each MiB of the image. × copy: the whole time as a ' +
        'multiple of the time of copying the image once. What comes after the handoff is mostly ' +
        'the trial that fills and compares all of the memory. The second table is what the ' +
        'firmware asks of its machine in one boot, from detection to handoff (preset default).',
    ],
  };
}
