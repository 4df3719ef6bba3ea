// SPDX-License-Identifier: GPL-2.0-or-later

/** What `hypxe record` writes is a session that replays, whatever the host and the plan. */

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import type { X64Machine } from '../../../src/machine.ts';
import { guestRam } from '../../../tools/guests/guest-ram.ts';
import { RECORD_MEMORY, recordHostSession } from '../../../tools/record/host-session.ts';
import { asFirmware, parseTrace, replayTrace, reportText } from '../../../tools/replay/index.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { PassingX64 } from '../../../tools/simulator/base/passing-machine.ts';
import { PROFILES } from '../../../tools/simulator/profiles/profiles.ts';
import { otherHost, recordOn, reference, stepBegin } from '../../rigs/lab/lab-rig.ts';

const SOURCES = asFirmware(sources);

/** Random sessions of one test, the first of this seed; SEED=N and RUNS=N try others. */
const SEED = Number(process.env['SEED'] ?? 1);
const RUNS = Number(process.env['RUNS'] ?? 6);

function record(seed: number, driver: string, firmware = SOURCES) {
  const profile = PROFILES[seed % PROFILES.length]!;
  const memory = guestRam(RECORD_MEMORY);
  return recordHostSession({ firmware, memory, profile, seed, driver });
}

/** Fields that the README has in its table of the format. */
function documentedFields(): readonly string[] {
  const readme = readFileSync(new URL('../../../tools/record/README.md', import.meta.url), 'utf8');
  const [, table = ''] = readme.split('| field | what |');
  return table
    .split('\n\n')[0]!
    .split('\n')
    .flatMap((line) =>
      [...(line.split('|')[1] ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name!),
    );
}

/** Those of them that a session has only with a reason. */
const OPTIONAL: readonly string[] = ['options', 'truncatedTo'];

const recording = suite('recording');

recording('the table of the format has every field that is written, and no other', () => {
  const fields = documentedFields();
  const written = Object.keys(JSON.parse(record(1, 'hypxe').text));
  assert.equal(
    written.filter((name) => !fields.includes(name)),
    [],
  );
  assert.equal(
    fields.filter((name) => !written.includes(name) && !OPTIONAL.includes(name)),
    [],
  );
});

recording('a fresh recording replays without a difference, on any host', () => {
  for (let i = 0; i < RUNS; i++) {
    const { text, ended } = record(SEED + i, 'hypxe');
    assert.is(ended, undefined, `SEED=${SEED + i}`);
    const result = replayTrace(SOURCES, parseTrace(text));
    assert.ok(result.ok, `SEED=${SEED + i}\n${reportText(result)}`);
    assert.equal(result.warnings, [], `SEED=${SEED + i}`);
    for (const { recorded, guest, same } of result.counts)
      assert.equal([guest, same], [recorded, recorded], `SEED=${SEED + i}`);
  }
});
recording('a recording of iPXE’s behaviour is explained by the rules, on any host', () => {
  for (let i = 0; i < RUNS; i++) {
    const { text } = record(SEED + i, 'reference guest (iPXE)', reference());
    const result = replayTrace(SOURCES, parseTrace(text));
    assert.ok(result.ok, `SEED=${SEED + i}\n${reportText(result)}`);
  }
});

/** A guest that waits without an access: a delay instead of pauses. */
class Waiting extends PassingX64 {
  override pause(): void {
    this.delay(TICKS_PER_MS);
  }
}

recording('what comes while a guest waits is recorded, too', () => {
  const waits = asFirmware({
    createDriver: (machine: X64Machine, options: object) =>
      sources.createDriver(new Waiting(machine), options),
  });
  const seed = PROFILES.findIndex(({ name }) => name === 'server2022');
  const { text, ended } = record(seed, 'hypxe', waits);
  assert.is(ended, undefined);
  const result = replayTrace(SOURCES, parseTrace(text));
  assert.ok(result.ok, reportText(result));
  const packets = result.counts.find(({ kind }) => kind === 'packet');
  assert.ok(packets !== undefined && packets.recorded > 0);
});

for (const beyond of [4096, 65536, 0x7ffffff8, 268, 200])
  recording(`a ring index of ${beyond} that the host sets is in the recording`, () => {
    const host = otherHost('14-monitored', (events) => {
      const packets = events.filter(({ op }) => op === 'host-ring-write');
      const event = packets.filter((each) => each['offset'] === 192).at(-1)!;
      event['prod'] = [192, beyond];
    });
    for (const [guest, driver] of [
      [SOURCES, 'hypxe'],
      [reference(), 'reference guest (iPXE)'],
    ] as const) {
      const result = replayTrace(SOURCES, recordOn(host, guest, driver));
      assert.ok(result.ok, reportText(result));
    }
  });
recording('a guest that dies has left nothing to compare at its end', () => {
  const host = otherHost('17-zero-latency', (events) => {
    events.splice(
      stepBegin(events, 'transmit'),
      0,
      { op: 'step', name: 'quiesce', phase: 'begin' },
      { op: 'step', name: 'quiesce', phase: 'end' },
    );
  });
  const session = recordOn(host, reference(), 'reference guest (iPXE)');
  assert.is(session.events.at(-1)!.op, 'guest-fault');
  const result = replayTrace(SOURCES, session);
  assert.ok(result.ok, reportText(result));
});
recording('the same seed makes the same file', () => {
  assert.is(record(5, 'hypxe').text, record(5, 'hypxe').text);
});

recording.run();
