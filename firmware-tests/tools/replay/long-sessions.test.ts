// SPDX-License-Identifier: GPL-2.0-or-later

/** Long sessions: the time of a replay grows with the session, and not with its square. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { OpenAnchors } from '../../../tools/replay/host/open-anchors.ts';
import type { Anchor } from '../../../tools/replay/host/script-types.ts';
import { asFirmware } from '../../../tools/replay/index.ts';
import { replayMemoryBytes } from '../../../tools/replay/replay-machine.ts';
import { ReplaySession } from '../../../tools/replay/session.ts';
import { readRecording } from '../../../tools/replay/recording.ts';
import { guestRam } from '../../../tools/guests/guest-ram.ts';
import { hostMessage, otherHost, stepBegin } from '../../rigs/lab/lab-rig.ts';

/** Time of the processor that a call takes, in ms. */
function processorMs(call: () => void): number {
  const before = process.cpuUsage();
  call();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const long = suite('long sessions');

long('300 000 actions alike', () => {
  const steps = 300_000;
  const anchors = Array.from(
    { length: steps },
    (_, step) => ({ key: 'step begin', step }) as Anchor,
  );
  const open = new OpenAnchors(anchors);
  const ms = processorMs(() => {
    for (let step = 0; step < steps; step++) assert.is(open.take('step begin', step)?.step, step);
  });
  assert.ok(ms < 2500, `${ms} ms`);
  assert.is(open.take('step begin', steps - 1), undefined);
});

long('20 000 messages at once', () => {
  const messages = Array.from({ length: 20_000 }, () => hostMessage('0c000000'.padEnd(64, '0')));
  const host = otherHost('01-boot', (events) => {
    events.splice(stepBegin(events, 'close'), 0, ...messages);
  });
  const memory = guestRam(replayMemoryBytes(host));
  const session = new ReplaySession(asFirmware(sources), host, memory);
  const ms = processorMs(() => {
    for (const step of readRecording(host).steps) session.run(step);
    session.end();
  });
  assert.ok(ms < 7000, `${ms} ms`);
  // All of them came, whether there was room for them or not
  const full = session.machine.notes.filter((note) => note.startsWith('no room for a message'));
  assert.ok(full.length > 10_000, `${full.length}`);
});

long.run();
