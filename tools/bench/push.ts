// SPDX-License-Identifier: GPL-2.0-or-later

/** Pushing files into the firmware over VMBus: throughput of the whole path, host and guest. */

import { SimulatedMachine } from '../simulator/machine.ts';
import { syntheticImage } from '../simulator/network/index.ts';
import { DEFAULT_PROFILE, profileNamed } from '../simulator/profiles/profiles.ts';
import { FileCopyHost, type FileContents } from '../simulator/services/index.ts';
import type { BenchFirmware } from './firmware.ts';
import { spread, timeMs, type Spread } from './measure.ts';
import { count, short, type Section } from './section.ts';

const MIB = 2 ** 20;

/** Guest RAM beside the file, in MiB. */
const MEMORY_MIB = 15;

/** Sizes in MiB, and rounds of each after some that warm up. */
export interface PushBenchOptions {
  readonly sizesMiB: readonly number[];
  readonly warmRounds: number;
  readonly rounds: number;
}

export const PUSH_FULL: PushBenchOptions = { sizesMiB: [1, 4, 16, 64], warmRounds: 4, rounds: 5 };
export const PUSH_QUICK: PushBenchOptions = { sizesMiB: [1], warmRounds: 1, rounds: 1 };

/** Pushes of one size. */
export interface PushFigure {
  readonly sizeMiB: number;
  /** From the first byte that the host reads to the answer to COMPLETE. */
  readonly ms: Spread;
  /** The same, as a multiple of copying the bytes once with `Uint8Array.set`. */
  readonly copies: Spread;
  readonly fragments: number;
  /** Virtual time that a push takes, in ms. */
  readonly virtualMs: number;
}

/** Push a file once and boot it. @throws Error if it was not booted as it is */
function pushOnce(
  { boot }: BenchFirmware,
  image: Uint8Array,
): { ms: number; virtualMs: number; fragments: number } {
  let begin = 0;
  let ms = 0;
  let virtualTicks = 0;
  const contents: FileContents = {
    size: image.length,
    read(offset, into, at, length) {
      if (offset === 0) begin = performance.now();
      into.set(image.subarray(offset, offset + length), at);
    },
  };
  const host = new FileCopyHost({
    atOpen: [{ name: 'image', contents }],
    onReport: ({ startedAt, endedAt }) => {
      ms = performance.now() - begin;
      virtualTicks = endedAt - startedAt;
    },
  });
  const machine = new SimulatedMachine({
    memory: new ArrayBuffer(image.length + MEMORY_MIB * MIB),
    profile: profileNamed(DEFAULT_PROFILE)!,
    links: [],
    seed: 1,
    devices: [host],
  });
  const push = { limit: image.length, quietMs: 1 };
  const result = boot(machine.bootProcessor, { services: ['file-copy'], push });

  // A figure of something else means nothing
  const { address = 0, length = 0 } = result.image ?? {};
  const copy = machine.partition.ram.bytes.subarray(address, address + length);
  if (result.status !== 'booted' || Buffer.compare(copy, image) !== 0) {
    throw new Error(`the push came to nothing: ${result.error?.message ?? 'other bytes'}`);
  }
  return { ms, virtualMs: virtualTicks / 10_000, fragments: host.requests - 2 };
}

/** Measure: in turns with copying the same bytes. */
export function measurePush(firmware: BenchFirmware, options: PushBenchOptions): PushFigure[] {
  const { sizesMiB, warmRounds, rounds } = options;
  const small = syntheticImage(MIB, 1);
  for (let i = 0; i < warmRounds; i++) pushOnce(firmware, small);
  return sizesMiB.map((sizeMiB) => {
    const image = syntheticImage(sizeMiB * MIB, 1);
    const target = new Uint8Array(image.length);
    const times: number[] = [];
    const ratios: number[] = [];
    let fragments = 0;
    let virtualMs = 0;
    for (let i = 0; i < rounds; i++) {
      const copyMs = timeMs(() => target.set(image));
      const once = pushOnce(firmware, image);
      times.push(once.ms);
      ratios.push(once.ms / copyMs);
      ({ fragments, virtualMs } = once);
    }
    return { sizeMiB, ms: spread(times), copies: spread(ratios), fragments, virtualMs };
  });
}

export function pushSection(figures: readonly PushFigure[]): Section {
  return {
    name: 'push',
    title: 'Pushing a file over VMBus, from the host’s first byte to its last answer',
    data: figures,
    tables: [
      {
        columns: ['', 'fragments', 'ms', 'MiB/s', 'copies', 'virtual ms'],
        rows: figures.map(({ sizeMiB, fragments, ms, copies, virtualMs }) => [
          `${sizeMiB} MiB`,
          count(fragments),
          short(ms.median),
          short(sizeMiB / (ms.median / 1000)),
          short(copies.median),
          short(virtualMs),
        ]),
      },
    ],
    notes: [
      'copies: time as a multiple of copying the bytes once with Uint8Array.set. Each fragment ' +
        'of 6 KiB goes out through a ring, is checked and stored, and comes back with its answer.',
    ],
  };
}
