// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Measuring time and allocation. Times on a shared machine mean little by themselves: what counts
 * are ratios of two things measured in turns, and the medians of several rounds.
 */

import { GCProfiler } from 'node:v8';

/** Median and extremes of several rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @throws RangeError for no values */
export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('no values');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >>> 1;
  const median =
    sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

/** Milliseconds that `run` takes. */
export function timeMs(run: () => void): number {
  const begin = performance.now();
  run();
  return performance.now() - begin;
}

/**
 * Milliseconds of CPU that `run` takes, of all threads of this process: what the engine does beside
 * the program counts, and what others do on a shared machine counts less.
 */
export function cpuMs(run: () => void): number {
  const begin = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1000;
}

/**
 * Bytes that `run` allocates on the heap, whether or not they are collected meanwhile: the growth
 * of the heap, and what each collection during the run has freed. Includes what the engine itself
 * allocates (compiled code), so that small figures want long runs.
 *
 * @returns undefined where the process cannot collect on demand (no `--expose-gc`)
 */
export function allocatedBytes(run: () => void): number | undefined {
  const { gc } = globalThis;
  if (gc === undefined) return undefined;
  gc();
  const profiler = new GCProfiler();
  profiler.start();
  const before = process.memoryUsage().heapUsed;
  run();
  const after = process.memoryUsage().heapUsed;
  let freed = 0;
  for (const { beforeGC, afterGC } of profiler.stop()?.statistics ?? []) {
    freed += beforeGC.heapStatistics.usedHeapSize - afterGC.heapStatistics.usedHeapSize;
  }
  return after - before + freed;
}

/** The least of several rounds of {@link allocatedBytes}: what is really needed. */
export function leastAllocated(rounds: number, run: () => void): number | undefined {
  let least: number | undefined;
  for (let i = 0; i < rounds; i++) {
    const bytes = allocatedBytes(run);
    if (bytes === undefined) return undefined;
    least = Math.min(least ?? Infinity, bytes);
  }
  return least;
}
