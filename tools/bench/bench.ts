// SPDX-License-Identifier: GPL-2.0-or-later

/** The bench as a function: which parts there are, and what each measures. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseTrace } from '../replay/trace-file.ts';
import { BOOTS_FULL, BOOTS_QUICK, bootsSection, measureBoots } from './boots.ts';
import { compileExample } from './example-guest.ts';
import {
  EXPLORATION_FULL,
  EXPLORATION_QUICK,
  explorationSection,
  measureExploration,
} from './exploration.ts';
import type { BenchFirmware } from './firmware.ts';
import { FRAMES_FULL, FRAMES_QUICK, frameRigs, framesSection, measureFrames } from './frames.ts';
import {
  GUESTS_FULL,
  GUESTS_QUICK,
  guestsSection,
  leftOutSection,
  measureGuests,
} from './guests.ts';
import { PEERS_FULL, PEERS_QUICK, compilePeers, measurePeers, peersSection } from './peers.ts';
import { PUSH_FULL, PUSH_QUICK, measurePush, pushSection } from './push.ts';
import { measureHalves, measureReplays, readSessions, replaysSection } from './replays.ts';
import { RUNS_FULL, RUNS_QUICK, measureRuns, runsSection } from './runs.ts';
import type { Section } from './section.ts';
import {
  SIMULATOR_FULL,
  SIMULATOR_QUICK,
  measureSimulator,
  simulatorSection,
} from './simulator.ts';
import { bundleSizes, sizeSection } from './size.ts';
import { TFTP_FULL, TFTP_QUICK, measureTftp, missingForTftp, tftpSection } from './tftp.ts';
import { compareWork, hostWork, workSection } from './work.ts';

/** The recorded session whose work is compared. */
const TRACE = 'firmware-tests/golden/ipxe-traces/01-boot.json';

export interface BenchOptions {
  /** What is measured. */
  readonly firmware: BenchFirmware;
  /** The one that takes what the host pushes. */
  readonly os: BenchFirmware;
  /** Directory of the project. */
  readonly root: string;
  /** Short runs: figures that are counts are as good, times are not. */
  readonly quick: boolean;
  /** A checkout of iPXE to compare with. */
  readonly ipxe?: string | undefined;
}

/** One part. */
type Part = (options: BenchOptions) => Section | Promise<Section>;

/** The parts, in order. */
export const PARTS: Readonly<Record<string, Part>> = {
  size: async ({ root }) => sizeSection(await bundleSizes(root)),
  work: ({ firmware, root }) => {
    const trace = parseTrace(readFileSync(join(root, TRACE), 'utf8'));
    return workSection(compareWork(firmware, trace), hostWork(firmware, trace));
  },
  replays: ({ firmware, root }) => {
    const sessions = readSessions(root);
    const { times, results } = measureReplays(firmware, sessions);
    return replaysSection(times, measureHalves(firmware, sessions, results));
  },
  frames: ({ firmware, quick }) => {
    const options = quick ? FRAMES_QUICK : FRAMES_FULL;
    return framesSection(measureFrames(frameRigs(firmware, options.preset), options));
  },
  peers: ({ firmware, root, quick, ipxe }) => {
    const { guests, missing } = compilePeers(root, ipxe);
    const figures = measurePeers(firmware, guests, quick ? PEERS_QUICK : PEERS_FULL);
    return peersSection(figures, missing);
  },
  boots: ({ firmware, quick }) =>
    bootsSection(measureBoots(firmware, quick ? BOOTS_QUICK : BOOTS_FULL)),
  runs: ({ os, quick }) => runsSection(measureRuns(os, quick ? RUNS_QUICK : RUNS_FULL)),
  push: ({ os, quick }) => pushSection(measurePush(os, quick ? PUSH_QUICK : PUSH_FULL)),
  simulator: ({ quick }) =>
    simulatorSection(measureSimulator(quick ? SIMULATOR_QUICK : SIMULATOR_FULL)),
  guests: ({ firmware, root, quick }) => {
    const example = compileExample(root);
    if ('missing' in example) return leftOutSection('guests', 'Guests', example.missing);
    const options = quick ? GUESTS_QUICK : GUESTS_FULL;
    return guestsSection(measureGuests(firmware, example.bytes, options));
  },
  exploration: ({ root, quick }) => {
    const example = compileExample(root);
    if ('missing' in example) return leftOutSection('exploration', 'Exploration', example.missing);
    const options = quick ? EXPLORATION_QUICK : EXPLORATION_FULL;
    return explorationSection(measureExploration(example.bytes, options));
  },
  tftp: ({ root, quick }) => {
    const missing = missingForTftp();
    if (missing.length > 0) return leftOutSection('tftp', 'TFTP', missing);
    const options = quick ? TFTP_QUICK : TFTP_FULL;
    return tftpSection(measureTftp(root, options), options);
  },
};

/** Parts that take minutes: only who names them gets them. */
export const LONG_PARTS: readonly string[] = ['exploration', 'tftp'];

/** Run one part. @throws RangeError for a part that there is not */
export async function runPart(name: string, options: BenchOptions): Promise<Section> {
  const part = Object.hasOwn(PARTS, name) ? PARTS[name] : undefined;
  if (part === undefined) throw new RangeError(`no part ${name}`);
  return part(options);
}
