// SPDX-License-Identifier: GPL-2.0-or-later

/** Runs of a PC from moments of another run beside the same from the start. */

import * as assert from 'uvu/assert';
import { PcRunner, type PcExplored } from '../../../tools/explore/pc-runner.ts';
import { samplePc, type PcSampleOptions } from '../../../tools/explore/pc-sample.ts';
import { parsePlan } from '../../../tools/explore/plan.ts';
import { text } from '../snapshot/scripted-guest.ts';

/** What both have taken, in ms of CPU time, and how many runs there were. */
export interface Forked {
  readonly runs: number;
  readonly forkedMs: number;
  readonly wholeMs: number;
}

/**
 * Make a sample of runs both ways. Outcomes are the same, and so is what happened, event by event,
 * from the moment on that the one begins at.
 *
 * @param between instructions between two moments
 */
export async function compareForks(
  explored: PcExplored,
  between: number | undefined,
  options: PcSampleOptions,
): Promise<Forked> {
  const forked = listened(explored, between);
  const whole = listened(explored, Infinity);
  const { plans } = await samplePc(forked.runner, options);
  await whole.runner.run(parsePlan('none'));
  let [forkedMs, wholeMs] = [0, 0];
  for (const plan of plans) {
    const [short, shortMs] = await forked.run(plan);
    const [long, longMs] = await whole.run(plan);
    assert.equal(short.outcome, long.outcome, plan);
    assert.ok(short.events.length <= long.events.length, plan);
    assert.equal(short.events, long.events.slice(-short.events.length), plan);
    forkedMs += shortMs;
    wholeMs += longMs;
  }
  return { runs: plans.length, forkedMs, wholeMs };
}

/** A runner whose machines are listened to. */
function listened(explored: PcExplored, between: number | undefined) {
  const events: string[] = [];
  const runner = new PcRunner(
    {
      ...explored,
      onMachine: (machine) =>
        void machine.events.listen((event, now) => events.push(`${now} ${text(event)}`)),
    },
    between,
  );
  const run = async (plan: string) => {
    // What an emulator in place of one that is used up does is no part of the run
    await runner.ready();
    events.length = 0;
    const begin = process.cpuUsage();
    const outcome = await runner.run(parsePlan(plan));
    const { user, system } = process.cpuUsage(begin);
    return [{ outcome, events: [...events] }, (user + system) / 1000] as const;
  };
  return { runner, run };
}
