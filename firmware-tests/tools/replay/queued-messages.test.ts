// SPDX-License-Identifier: GPL-2.0-or-later

/** Messages that have waited behind another one: since when. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Msr } from '../../../src/hyperv/protocol.ts';
import { QueuedMessages } from '../../../tools/replay/host/queued-messages.ts';
import type { TraceEvent } from '../../../tools/replay/trace-events.ts';

const message = (pending: number, sint = 2): TraceEvent =>
  ({ op: 'host-message', sint, type: '0x1', payload: '', via: 'direct', pending }) as TraceEvent;
const wrmsr = (msr: number): TraceEvent =>
  ({ op: 'wrmsr', msr: `0x${msr.toString(16)}`, value: '0x0', refused: undefined }) as TraceEvent;
const EOM = wrmsr(Msr.EOM);

/** Since when each event has waited; one a millisecond. */
const since = (...events: readonly TraceEvent[]): (number | undefined)[] => {
  const queued = new QueuedMessages();
  return events.map((event, time) => queued.take(event, time));
};

const messages = suite('messages that have waited');

messages('one that comes with the end of another has waited since that one came', () => {
  const none = undefined;
  assert.equal(since(message(1), EOM, message(0)), [none, none, 0]);
  assert.equal(since(message(1), EOM, message(1), EOM, message(0)), [none, none, 0, none, 0]);
});
messages('one that comes later, unannounced or in another slot has not', () => {
  for (const events of [
    [message(0), EOM, message(0)],
    [message(1), EOM, wrmsr(Msr.SINT0), message(0)],
    [message(1), EOM, message(0, 3)],
    [message(1), EOM, message(0), EOM, message(0)].slice(2),
  ])
    assert.is(since(...events).at(-1), undefined);
});

messages.run();
