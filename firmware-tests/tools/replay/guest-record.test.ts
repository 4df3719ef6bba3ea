// SPDX-License-Identifier: GPL-2.0-or-later

/** Boots and explored runs that are written down replay without a difference, whatever the plan. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { trustedGuests } from '../../../tools/explore/explored-guest.ts';
import { parsePlan } from '../../../tools/explore/plan.ts';
import type { RunOutcome } from '../../../tools/explore/run.ts';
import { GuestRecorder, NotRecordable } from '../../../tools/record/guest-recorder.ts';
import { parseTrace, replayTrace, reportText, type Firmware } from '../../../tools/replay/index.ts';
import { randomBelow } from '../../rigs/lab/host-faults.ts';
import { RunRecordings, type RecordedRun } from '../../rigs/lab/recorded-run.ts';

const SOURCES = sources as unknown as Firmware;

const recordings = new RunRecordings(sources);
const { runner } = recordings;

const recorded = (text: string): RecordedRun => recordings.record(text);

function replays(text: string): RunOutcome {
  const { file, outcome } = recorded(text);
  const result = replayTrace(SOURCES, parseTrace(file));
  assert.ok(result.ok, `${text}\n${reportText(result)}`);
  assert.equal(result.warnings, []);
  return outcome;
}

const guests = suite('recorded guests');

guests('a tap changes nothing of what a run comes to', () => {
  for (const text of ['call.7/status:19', 'loader:message.9/drop'])
    assert.equal(recorded(text).outcome, runner.run(parsePlan(text)), text);
});
guests('a boot that is cancelled is cancelled at the same place', () => {
  for (const text of [
    'step.10/handoff',
    'step.34/handoff',
    'step.90/handoff',
    'loader:step.100/give-up',
  ])
    assert.ok(replays(text).fired > 0, text);
});
guests('a register that the host refuses is refused', () => {
  assert.is(replays('register.3/refuse').fired, 1);
  assert.match(recorded('register.3/refuse').file, /"op":"wrmsr",.*"refused":true/);
});

/** Faults that a random plan has one of, by place; how many of each are there. */
const FAULTS: readonly (readonly [place: string, count: number, ...kinds: string[]])[] = [
  ['call', 20, 'status:18', 'status:19', 'status:2', 'lost'],
  ['message', 14, 'drop', 'twice'],
  ['packet', 30, 'drop', 'twice', 'index:prod=65528'],
  ['alloc', 12, 'fail'],
  ['register', 10, 'refuse'],
];

/** Always the same in a test run; SEED=N tries others. */
const SEED = Number(process.env['SEED'] ?? 1);

/** Plans of one test. */
const PLANS = 8;

guests('random plans', () => {
  const seed = SEED;
  const below = randomBelow(seed);
  for (let i = 0; i < PLANS; i++) {
    const [place, count, ...kinds] = FAULTS[below(FAULTS.length)]!;
    const text = `${place}.${below(count)}/${kinds[below(kinds.length)]}`;
    try {
      replays(text);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
});
guests('another firmware is told apart', () => {
  const { file } = recorded('message.3/drop');
  const other: Firmware = {
    ...SOURCES,
    boot: (machine, options) => {
      const { events, ...rest } = options;
      return SOURCES.boot!(machine, { ...rest, ...{ preset: 'ipxe' }, ...(events && { events }) });
    },
  };
  const result = replayTrace(other, parseTrace(file));
  assert.not(result.ok);
  assert.match(reportText(result), /step 0 boot: /);
});
guests('a firmware that boots nothing skips the boot', () => {
  const { createDriver } = SOURCES;
  const { file } = recorded('message.3/drop');
  const result = replayTrace({ createDriver }, parseTrace(file));
  assert.match(result.unsupported.join(), /step 0 "boot": the guest is no whole firmware/);
});
guests('a guest of another architecture is refused by name', () => {
  const recorder = new GuestRecorder();
  assert.throws(
    () => recorder.wrap(trustedGuests(sources).boot).boot!({ architecture: 'arm64' } as never, {}),
    (error: Error) => error instanceof NotRecordable,
  );
});

guests.run();
