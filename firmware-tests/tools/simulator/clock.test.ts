// SPDX-License-Identifier: GPL-2.0-or-later

/** The virtual clock: a poll that finds nothing is skipped, and nobody can tell. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VirtualClock, type Alarm } from '../../../tools/simulator/base/clock.ts';
import { Random } from '../../../tools/simulator/base/random.ts';

const EVERY = 7;

/** Of what is drawn; SEED=N tries others. */
const SEED = Number(process.env['SEED'] ?? 1);

const test = suite('simulator: clock');

/** What happens, and when: polls that find something, and other alarms. */
function timeline(seed: number, known: boolean): { seen: string[]; turns: number } {
  const random = new Random(seed);
  const clock = new VirtualClock();
  const seen: string[] = [];
  let turns = 0;
  let work = 0;
  const action = (): void => {
    turns++;
    if (work > 0) seen.push(`${clock.now}: poll finds ${work}`);
    work = 0;
    clock.reschedule(poll, EVERY);
  };
  const look = { everyTicks: EVERY, idle: () => work === 0 };
  const poll: Alarm = {
    ...{ at: 0, action, next: undefined, state: 'cancelled' },
    ...(known ? { poll: look } : {}),
  };
  clock.reschedule(poll, EVERY);
  for (let i = 0; i < 200; i++) {
    const delay = random.below(40);
    clock.schedule(delay, () => {
      seen.push(`${clock.now}: alarm ${i}`);
      if (random.chance(0.3)) work++;
    });
    clock.advanceTo(clock.now + random.below(60));
    seen.push(`${clock.now}, next ${clock.nextAlarm}`);
    if (random.chance(0.1)) work++;
  }
  return { seen, turns };
}

test('whatever is skipped, the same things happen at the same times', () => {
  for (let seed = SEED; seed < SEED + 20; seed++) {
    const all = timeline(seed, false);
    const skipping = timeline(seed, true);
    assert.equal(skipping.seen, all.seen, `seed ${seed}`);
    assert.ok(skipping.turns < all.turns / 2, `seed ${seed}`);
  }
});

test('the next event is the first alarm that is no idle poll', () => {
  const clock = new VirtualClock();
  let idle = true;
  const look = { everyTicks: EVERY, idle: () => idle };
  const poll: Alarm = { at: 0, action: () => {}, poll: look, next: undefined, state: 'fired' };
  clock.reschedule(poll, EVERY);
  assert.is(clock.nextEvent, undefined);
  clock.schedule(50, () => {});
  assert.is(clock.nextEvent, 50);
  idle = false;
  assert.is(clock.nextEvent, EVERY);
  assert.is(clock.nextAlarm, EVERY);
});

test.run();
