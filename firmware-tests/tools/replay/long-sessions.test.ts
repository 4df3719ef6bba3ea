// SPDX-License-Identifier: GPL-2.0-or-later

/** Long sessions: the time of a replay grows with the session, and not with its square. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { OpenAnchors } from '../../../tools/replay/host/open-anchors.ts';
import type { Anchor } from '../../../tools/replay/host/script-types.ts';
import { asFirmware } from '../../../tools/replay/index.ts';
import { MESSAGE_QUEUE_MAX } from '../../../tools/replay/message-slots.ts';
import { replayMemoryBytes } from '../../../tools/replay/replay-machine.ts';
import { ReplaySession } from '../../../tools/replay/session.ts';
import { readRecording } from '../../../tools/replay/recording.ts';
import { guestRam } from '../../../tools/guests/guest-ram.ts';
import { assertLinear } from '../../rigs/bench/linear.ts';
import { hostMessage, otherHost, stepBegin } from '../../rigs/lab/lab-rig.ts';

const long = suite('long sessions');

long('300 000 actions alike', () => {
  assertLinear(300_000, (steps) => {
    const anchors = Array.from(
      { length: steps },
      (_, step) => ({ key: 'step begin', step }) as Anchor,
    );
    const open = new OpenAnchors(anchors);
    for (let step = 0; step < steps; step++) assert.is(open.take('step begin', step)?.step, step);
    assert.is(open.take('step begin', steps - 1), undefined);
  });
});

long('20 000 messages at once', () => {
  assertLinear(20_000, (number) => {
    const messages = Array.from({ length: number }, () => hostMessage('0c000000'.padEnd(64, '0')));
    const host = otherHost('01-boot', (events) => {
      events.splice(stepBegin(events, 'close'), 0, ...messages);
    });
    const session = new ReplaySession(asFirmware(sources), host, guestRam(replayMemoryBytes(host)));
    for (const step of readRecording(host).steps) session.run(step);
    session.end();
    // All of them came, whether there was room for them or not
    const full = session.machine.notes.filter((note) => note.startsWith('no room for a message'));
    // One is in the slot
    assert.is(full.length, Math.max(0, number - MESSAGE_QUEUE_MAX - 1));
  });
});

long.run();
