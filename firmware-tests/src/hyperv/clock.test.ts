// SPDX-License-Identifier: GPL-2.0-or-later

/** The clock over a counter that does what it likes: time goes on, and never back. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ReferenceClock } from '../../../src/hyperv/clock.ts';
import type { Platform } from '../../../src/hyperv/platform.ts';
import { Random } from '../../../tools/simulator/base/random.ts';

const clock = suite('clock: never back');

/** A clock, and the counter that it reads. */
function counting(): { time: ReferenceClock; counter: { now: number } } {
  const counter = { now: 0 };
  const platform: Pick<Platform, 'read'> = { read: () => BigInt(counter.now) };
  return { time: new ReferenceClock(platform as Platform), counter };
}

clock('a counter that goes back: time stands, and goes on from there', () => {
  const { time, counter } = counting();
  const seen = [50_000, 50_100, 200, 250, 250, 240, 1240].map((now) => {
    counter.now = now;
    return time.now();
  });
  assert.equal(seen, [50_000, 50_100, 50_100, 50_150, 50_150, 50_150, 51_150]);
});

clock('a counter of any values', () => {
  const SEED = 7;
  const random = new Random(SEED);
  const { time, counter } = counting();
  let last = time.now();
  for (let i = 0; i < 2000; i++) {
    counter.now = random.below(2 ** (1 + random.below(32)));
    const now = time.now();
    assert.ok(now >= last, `seed ${SEED}, turn ${i}: ${now} after ${last}`);
    last = now;
  }
});

clock.run();
