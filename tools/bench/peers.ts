// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Frames beside drivers in C: on the same simulated host, compiled to WebAssembly, in turns with
 * ours. A driver of our own is the template of `hypxe guest new c`; iPXE's are compiled from a
 * checkout that is named.
 */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PresetName } from '../../src/netvsc/policy.ts';
import { WasmProgram } from '../guests/wasm-guest.ts';
import { compileExample } from './example-guest.ts';
import type { BenchFirmware } from './firmware.ts';
import { WholeRig, type FrameRig } from './frame-rigs.ts';
import { cpuMs, spread, type Spread } from './measure.ts';
import { count, type Section } from './section.ts';

/** Frames in a batch, as in the part `frames`. */
const BATCH = 16;

/** Frame lengths: the shortest that a link carries, one in the middle, the longest. */
const LENGTHS = [64, 512, 1514];

/** Longest time that a compiler may take, in ms. */
const COMPILE_MAX_MS = 400_000;

const TEMPLATE = 'C template';
const IPXE = 'iPXE';

export interface PeersOptions {
  readonly preset: PresetName;
  readonly frames: number;
  readonly rounds: number;
}

export const PEERS_FULL: PeersOptions = { preset: 'default', frames: 4_000, rounds: 51 };
export const PEERS_QUICK: PeersOptions = { preset: 'default', frames: 160, rounds: 1 };

/** A driver that is compared. */
export interface Peer {
  readonly name: string;
  readonly program: WasmProgram;
}

/** Frames of both, measured in turns. */
export interface PeersFigure {
  readonly guest: string;
  readonly direction: 'transmit' | 'receive';
  readonly length: number;
  /** Frames in a second of CPU time on this machine: ours, and the guest's. */
  readonly ours: number;
  readonly theirs: number;
  /** Ours for each of theirs, round by round: above 1 ours are faster. */
  readonly ratio: Spread;
}

/** What there is to compare with, and why something is not. */
export interface PeersFound {
  readonly guests: readonly Peer[];
  readonly missing: readonly string[];
}

/**
 * Compile what is compared.
 *
 * @param root directory of the project, built
 * @param ipxe a checkout of iPXE
 */
export function compilePeers(root: string, ipxe?: string): PeersFound {
  const guests: Peer[] = [];
  const missing: string[] = [];
  const example = compileExample(root);
  if ('missing' in example) missing.push(`left out: ${example.missing.join('; ')}`);
  else guests.push({ name: TEMPLATE, program: new WasmProgram(TEMPLATE, example.bytes) });
  if (ipxe === undefined) return { guests, missing };
  const folder = fs.mkdtempSync(join(tmpdir(), 'hypxe-bench-'));
  try {
    const file = join(folder, 'ipxe.wasm');
    const args = [join(root, 'dist/cli.js'), 'guest', 'ipxe', ipxe, '-o', file];
    const options = { encoding: 'utf8', timeout: COMPILE_MAX_MS } as const;
    const { status, stderr, error } = spawnSync(process.execPath, args, options);
    if (status === 0)
      guests.push({ name: IPXE, program: new WasmProgram(IPXE, fs.readFileSync(file)) });
    else missing.push(`left out: ${IPXE}: ${(error?.message ?? stderr).trim()}`);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
  return { guests, missing };
}

export function measurePeers(
  firmware: BenchFirmware,
  guests: readonly Peer[],
  options: PeersOptions,
): PeersFigure[] {
  return guests.flatMap(({ name, program }) => {
    const [ours, theirs] = [WholeRig.of(firmware, options.preset), WholeRig.ofGuest(program)];
    return (['transmit', 'receive'] as const).flatMap((direction) =>
      LENGTHS.map((length) => ({
        guest: name,
        direction,
        length,
        ...compare(ours, theirs, direction, length, options),
      })),
    );
  });
}

function compare(
  ours: FrameRig,
  theirs: FrameRig,
  direction: PeersFigure['direction'],
  length: number,
  { frames, rounds }: PeersOptions,
): Pick<PeersFigure, 'ours' | 'theirs' | 'ratio'> {
  const batches = Math.ceil(frames / BATCH);
  const move = (rig: FrameRig) => (): void => {
    for (let i = 0; i < batches; i++) rig[direction](BATCH);
  };
  // Let the engine compile, then take turns
  for (const rig of [ours, theirs]) {
    rig.prepare(length);
    move(rig)();
  }
  const times: [number[], number[]] = [[], []];
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const [ourMs, theirMs] = [cpuMs(move(ours)), cpuMs(move(theirs))];
    times[0].push(ourMs);
    times[1].push(theirMs);
    ratios.push(theirMs / ourMs);
  }
  const perSecond = (ms: readonly number[]) => ((batches * BATCH) / spread(ms).median) * 1000;
  return { ours: perSecond(times[0]), theirs: perSecond(times[1]), ratio: spread(ratios) };
}

export function peersSection(figures: readonly PeersFigure[], missing: readonly string[]): Section {
  return {
    name: 'peers',
    title: 'Frames beside drivers in C, on the same simulated host',
    data: figures,
    tables: [
      {
        columns: ['beside', 'direction', 'bytes', 'frames/s', 'its', 'ours / its', 'min–max'],
        rows: figures.map(({ guest, direction, length, ours, theirs, ratio }) => [
          guest,
          direction,
          `${length}`,
          count(ours),
          count(theirs),
          ratio.median.toFixed(2),
          `${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}`,
        ]),
      },
    ],
    notes: [
      'ours / its: frames in a second of CPU time of our drivers for each of theirs, measured in ' +
        'turns, median of the rounds; above 1 ours are faster. The host is part of both. ' +
        'C template: what "hypxe guest new c" makes; iPXE: --ipxe TREE, a checkout.',
      ...missing,
    ],
  };
}
