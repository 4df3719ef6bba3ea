// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Frames per second, as a ratio to copying the same bytes, and what each frame costs: hypercalls,
 * signals, garbage.
 */

import type { PresetName } from '../../src/netvsc/policy.ts';
import type { BenchFirmware } from './firmware.ts';
import { DriverRig, WholeRig, testFrame, type FrameRig } from './frame-rigs.ts';
import { leastAllocated, spread, timeMs, type Spread } from './measure.ts';
import { count, short, type Section } from './section.ts';

/** Frames in a batch: of a window of a download, and half of the transmit slots. */
const BATCH = 16;

/** Frame lengths: the shortest and the longest. */
const LENGTHS = [60, 1514];

/** How much is measured. */
export interface FramesOptions {
  /** Frames of a round for the time, and for the allocation. */
  readonly frames: number;
  readonly allocationFrames: number;
  readonly rounds: number;
  readonly allocationRounds: number;
  readonly preset: PresetName;
}

export const FRAMES_FULL: FramesOptions = {
  frames: 100_000,
  allocationFrames: 200_000,
  rounds: 5,
  allocationRounds: 3,
  preset: 'default',
};

export const FRAMES_QUICK: FramesOptions = {
  frames: 1_600,
  allocationFrames: 16_000,
  rounds: 3,
  allocationRounds: 2,
  preset: 'default',
};

/** What frames cost on one path. */
export interface FramesFigure {
  readonly path: 'driver' | 'whole';
  readonly direction: 'transmit' | 'receive';
  readonly length: number;
  readonly batch: number;
  /** Frames per second on this machine. */
  readonly perSecond: number;
  /** Time of a frame as a multiple of the time that copying its bytes takes. */
  readonly copies: Spread;
  readonly hypercalls: number;
  /** Bytes of garbage; undefined where they cannot be measured. */
  readonly allocated: number | undefined;
}

/** The rigs are passed in so that a test can measure one alone. */
export function measureFrames(
  rigs: Readonly<Partial<Record<FramesFigure['path'], FrameRig>>>,
  options: FramesOptions,
): FramesFigure[] {
  const figures: FramesFigure[] = [];
  for (const path of ['whole', 'driver'] as const) {
    const rig = rigs[path];
    if (rig === undefined) continue;
    for (const direction of ['transmit', 'receive'] as const) {
      for (const length of LENGTHS) {
        figures.push({ path, ...measure(rig, direction, length, BATCH, options) });
      }
    }
  }
  return figures;
}

function measure(
  rig: FrameRig,
  direction: FramesFigure['direction'],
  length: number,
  batch: number,
  options: FramesOptions,
): Omit<FramesFigure, 'path'> {
  const move = (frames: number) => {
    for (let i = 0; i < frames; i += batch) rig[direction](batch);
  };
  const copy = copier(length);
  const { frames, rounds, allocationFrames, allocationRounds } = options;
  rig.prepare(length);

  // Let the engine compile, then take turns
  move(frames);
  copy(frames);
  const times: number[] = [];
  const ratios: number[] = [];
  const before = rig.hypercalls;
  for (let round = 0; round < rounds; round++) {
    const copyMs = timeMs(() => copy(frames));
    const ms = timeMs(() => move(frames));
    times.push(ms);
    ratios.push(ms / copyMs);
  }
  const moved = Math.ceil(frames / batch) * batch;
  const hypercalls = (rig.hypercalls - before) / (rounds * moved);
  const allocated = leastAllocated(allocationRounds, () => move(allocationFrames));
  return {
    direction,
    length,
    batch,
    perSecond: (moved / spread(times).median) * 1000,
    copies: spread(ratios),
    hypercalls,
    allocated: allocated === undefined ? undefined : Math.max(0, allocated / allocationFrames),
  };
}

/** Copies frames of a length into a buffer of a few of them, one after the other. */
function copier(length: number): (frames: number) => void {
  const from = testFrame(length);
  const slots = 64;
  const into = new Uint8Array(slots * length);
  return (frames) => {
    for (let i = 0; i < frames; i++) into.set(from, (i % slots) * length);
  };
}

/** Both rigs, brought up. */
export function frameRigs(firmware: BenchFirmware, preset: PresetName) {
  return { whole: WholeRig.of(firmware, preset), driver: new DriverRig(firmware, preset) };
}

export function framesSection(figures: readonly FramesFigure[]): Section {
  return {
    name: 'frames',
    title: 'Frames',
    data: figures,
    tables: [
      {
        columns: [
          'path',
          'direction',
          'bytes',
          'frames/s',
          '× copy',
          'min–max',
          'hypercalls',
          'garbage',
        ],
        rows: figures.map((figure) => {
          const { path, direction, length, perSecond, copies, hypercalls, allocated } = figure;
          return [
            path,
            direction,
            `${length}`,
            count(perSecond),
            short(copies.median),
            `${short(copies.min)}–${short(copies.max)}`,
            hypercalls.toFixed(4),
            allocated === undefined ? '-' : `${allocated.toFixed(2)} B`,
          ];
        }),
      },
    ],
    notes: [
      'whole: device, RNDIS, rings, and the simulated host with its network device. driver: ' +
        'device, RNDIS and rings on a host of a few lines that writes the rings.',
      '× copy: time of a frame as a multiple of the time of copying its bytes with ' +
        'Uint8Array.set, measured in turns; median of the rounds. Hypercalls (all of them ' +
        `signals) and bytes of garbage are for each frame, in batches of ${BATCH}; garbage is ` +
        'the least of the rounds, what the engine itself allocates included.',
      ...(figures.some(({ allocated }) => allocated === undefined)
        ? ['Garbage is not measured: run node with --expose-gc.']
        : []),
    ],
  };
}
