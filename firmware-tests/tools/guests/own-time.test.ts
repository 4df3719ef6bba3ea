// SPDX-License-Identifier: GPL-2.0-or-later

/** The watch over guests: a machine that stood still for a while has kept nobody waiting. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  OwnTime,
  STEP_MAX_MS,
  STEP_MS,
  afterOwnTime,
} from '../../../tools/guests/cell/own-time.ts';
import { CLI, lastLine, shell, write } from '../../rigs/cli-rig.ts';

const time = suite('time of a process');

time('what lies between two looks is counted, up to a bound', () => {
  let wall = 5000;
  const own = new OwnTime(() => wall);
  assert.is(own.now, 0);
  wall += STEP_MS;
  assert.is(own.look(), STEP_MS);
  // Suspended for an hour
  wall += 3_600_000;
  assert.is(own.look(), STEP_MS + STEP_MAX_MS);
  assert.is(own.look(), own.now);
  assert.is(own.now, STEP_MS + STEP_MAX_MS);
});

time('what is to happen after some of it happens, once, and not if it was called off', async () => {
  const happened: string[] = [];
  clearInterval(afterOwnTime(0, () => happened.push('called off')));
  await new Promise<void>((resolve) => {
    afterOwnTime(STEP_MS, () => happened.push('first'));
    afterOwnTime(3 * STEP_MS, () => happened.push('second'));
    afterOwnTime(6 * STEP_MS, resolve);
  });
  assert.equal(happened, ['first', 'second']);
});

time.run();

const watch = suite('watch over a guest');

/** The clocks of a cell go an hour on, every so often: as on a machine that is suspended. */
const JUMPS = write(
  'jumps.mjs',
  `import { isMainThread } from 'node:worker_threads';
  let [reads, hours] = [0, 0];
  const jumping = (read) => () => {
    if (++reads % 5 === 0) hours++;
    return read() + hours * 3_600_000;
  };
  if (isMainThread && process.send !== undefined) {
    Date.now = jumping(Date.now);
    performance.now = jumping(performance.now.bind(performance));
  }`,
);

watch('a guest that the machine has not let run for an hour has not hung', async () => {
  // Some time without a sign of life, again and again
  const guest = write(
    'slow.mjs',
    `export function boot(machine) {
      for (let n = 0; n < 20; n++, machine.rdmsr(0x40000000)) for (let i = 0; i < 1e8; i++);
      return { status: 'failed', error: new Error('its end') };
    }
    export const createDriver = boot;`,
  );
  const node = `"${process.execPath}" --import ./${JUMPS} "${CLI}"`;
  const run = await shell(`${node} boot --size 1 --firmware ${guest} --watchdog 60`);
  assert.match(run.out, /its end/);
  assert.match(lastLine(run), /^verdict: findings/);
});

watch.run();
