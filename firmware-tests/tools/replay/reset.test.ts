// SPDX-License-Identifier: GPL-2.0-or-later

/** For every way in which a reset can fail, then a removal: kept is what the host still has. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { asFirmware } from '../../../tools/replay/index.ts';
import { effectsOn, isMessage, otherHost, put, stepBegin } from '../../rigs/lab/lab-rig.ts';
import type { LooseEvent } from '../../rigs/replay-rig.ts';

const SOURCES = asFirmware(sources);

/** What happens to the messages of the host in the step `unquiesce`. */
const WAYS: Readonly<Record<string, (event: LooseEvent) => LooseEvent | undefined>> = {
  'version 3.0 is refused': (event) => answered(event, '00000300', 8, 0),
  'version 3.0 fails': (event) => answered(event, '00000300', 8, 0x101),
  'version 0.13 is refused': (event) => answered(event, '0d000000', 8, 0),
  'the contact is not answered': (event) => (isMessage(event, '0f') ? undefined : event),
  'the unload is not answered': (event) => (isMessage(event, '11') ? undefined : event),
  'no offers come': (event) =>
    isMessage(event, '0100') || isMessage(event, '04') ? undefined : event,
  'the contact cannot be posted': (event) => posted(event, '0e000000'),
  'the unload cannot be posted': (event) => posted(event, '10000000'),
  'the offers cannot be asked for': (event) => posted(event, '03000000'),
  'the receive buffer is refused': (event) => answered(event, '', 16, 1, '0a'),
};

/** A VERSION_RESPONSE for a version, or another message, with a field changed. */
function answered(
  event: LooseEvent,
  version: string,
  at: number,
  value: number,
  type = '0f',
): LooseEvent {
  const payload = String(event['payload']);
  if (!isMessage(event, type) || !payload.endsWith(version)) return event;
  return { ...event, payload: put(payload, at, 2, value) };
}

function posted(event: LooseEvent, start: string): LooseEvent {
  const is = event.op === 'hypercall' && String(event['input']).startsWith(start, 32);
  return is ? { ...event, status: 5 } : event;
}

const reset = suite('a reset that fails, then a removal');

for (const [way, change] of Object.entries(WAYS)) {
  for (const name of ['04-quiesce-unquiesce', '04c-quiesce-closed'])
    reset(`${way}: ${name}`, () => {
      const host = otherHost(name, (events) => {
        const from = stepBegin(events, 'unquiesce');
        const to = events.findIndex(
          (event, i) => i > from && event.op === 'step' && event['phase'] === 'end',
        );
        const step = events.splice(from, to - from).map(change);
        events.splice(from, 0, ...step.filter((event) => event !== undefined));
      });
      const { effects } = effectsOn(host, SOURCES);
      const items = effects.flat();
      assert.equal(
        items.filter(({ kind }) => kind === 'violation'),
        [],
      );
      const memory = items.filter(({ kind }) => kind === 'memory');
      const [allocated, granted] = memory.map(({ fields }) =>
        fields
          .filter((field) => ['ring', 'rx-buffer'].includes(field.name))
          .map((field) => `${field.name} ${field.text}`),
      );
      assert.equal(allocated, granted);
    });
}
reset.run();
