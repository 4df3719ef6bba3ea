// SPDX-License-Identifier: GPL-2.0-or-later

/** How what takes time grows with what there is to do: a ratio, so that any machine will do. */

import * as assert from 'uvu/assert';
import { cpuMs } from '../../../tools/bench/measure.ts';

/** The whole and the part: what is linear takes as many times as long, what is quadratic 256. */
const TIMES = 16;
const RATIO_MAX = 64;

/**
 * Rounds: in one that is disturbed (the engine compiles or collects, others want the caches) the
 * ratio says nothing, and what is quadratic is so in each.
 */
const ROUNDS = 3;

/** The same call for a part of a number, and for all of it: it takes no more than its share. */
export function assertLinear(number: number, call: (number: number) => void): void {
  const part = (): void => call(number / TIMES);
  // What it takes to compile is no part of it
  part();
  const rounds: string[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const [partMs, allMs] = [cpuMs(part), cpuMs(() => call(number))];
    if (allMs < RATIO_MAX * partMs) return;
    rounds.push(`${allMs} ms, and ${partMs} ms for 1/${TIMES}`);
  }
  assert.unreachable(rounds.join('; '));
}
