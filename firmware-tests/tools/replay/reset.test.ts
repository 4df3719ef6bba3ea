// SPDX-License-Identifier: GPL-2.0-or-later

/** For every way in which a reset can fail, then a removal: kept is what the host still has. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { asFirmware } from '../../../tools/replay/index.ts';
import { effectsOn, isMessage, otherHost, put, stepBegin } from '../../rigs/lab/lab-rig.ts';
import type { LooseEvent } from '../../rigs/replay-rig.ts';

const SOURCES = asFirmware(sources);

const RESCIND = '020000000000000005000000';

type Way = (event: LooseEvent) => LooseEvent | undefined;

/** Whether a message about a GPADL is about the receive buffer: of the two it comes first. */
function isBuffer(event: LooseEvent, first: boolean): boolean {
  const at = event.op === 'hypercall' ? 28 : 12;
  const hex = String(event[event.op === 'hypercall' ? 'input' : 'payload']);
  return (Buffer.from(hex, 'hex').readUInt8(at) % 2 === 1) === first;
}

/** A message of the host, cut. */
function cut(event: LooseEvent, type: string, length: number): LooseEvent {
  if (!isMessage(event, type)) return event;
  return { ...event, payload: String(event['payload']).slice(0, 2 * length) };
}

/** The ways in which a request by message fails. */
function steps(
  what: string,
  answer: string,
  request: string,
  is: (event: LooseEvent) => boolean,
): Readonly<Record<string, Way>> {
  const ours = (event: LooseEvent, change: () => LooseEvent | undefined): LooseEvent | undefined =>
    isMessage(event, answer) && is(event) ? change() : event;
  return {
    [`${what} is refused by a message`]: (event) =>
      ours(event, () => ({ ...event, payload: put(event['payload'], 16, 4, 0xc0000001) })),
    [`${what} is not answered`]: (event) => ours(event, () => undefined),
    [`${what} is answered with a short message`]: (event) =>
      ours(event, () => cut(event, answer, 14)),
    [`${what} is answered for somebody else`]: (event) =>
      ours(event, () => ({ ...event, payload: put(event['payload'], 12, 4, 0x777) })),
    [`${what} is answered with a rescind`]: (event) =>
      ours(event, () => ({ ...event, payload: RESCIND })),
    [`${what} cannot be asked for`]: (event) => {
      const posts = event.op === 'hypercall' && String(event['input']).startsWith(request, 32);
      return posts && is(event) ? { ...event, status: 5 } : event;
    },
  };
}

/** The ways in which a request by packet fails: its completion begins with `start`. */
function packets(
  what: string,
  start: string,
  type: string,
  status: number,
): Readonly<Record<string, Way>> {
  const ours = (event: LooseEvent, change: () => LooseEvent | undefined): LooseEvent | undefined =>
    event.op === 'host-ring-write' && String(event['bytes']).startsWith(start) ? change() : event;
  const bytes = (event: LooseEvent, at: number, value: number): LooseEvent => ({
    ...event,
    bytes: put(event['bytes'], at, 4, value),
  });
  return {
    [`${what} is not completed`]: (event) => ours(event, () => undefined),
    [`${what} is completed for somebody else`]: (event) =>
      ours(event, () => bytes(event, 8, 0x777)),
    ...(type === ''
      ? {}
      : {
          [`${what} is refused`]: (event) => ours(event, () => bytes(event, 16 + status, 2)),
          [`${what} is completed with another message`]: (event) =>
            ours(event, () => bytes(event, 16, 0x99)),
        }),
  };
}

/** The ways in which an RNDIS request fails. */
function responses(what: string, type: string): Readonly<Record<string, Way>> {
  const ours = (event: LooseEvent, change: () => LooseEvent): LooseEvent =>
    event.op === 'host-mem-write' && String(event['bytes']).startsWith(type) ? change() : event;
  const bytes = (event: LooseEvent, at: number, value: number): LooseEvent => ({
    ...event,
    bytes: put(event['bytes'], at, 4, value),
  });
  return {
    [`${what} is refused`]: (event) => ours(event, () => bytes(event, 12, 0xc0000001)),
    [`${what} is answered with something else`]: (event) => ours(event, () => bytes(event, 0, 7)),
    [`${what} is answered for another request`]: (event) => ours(event, () => bytes(event, 8, 0x5)),
  };
}

/** What happens to the messages of the host in the step `unquiesce`. */
const WAYS: Readonly<Record<string, Way>> = {
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
  'the contact is malformed': (event) => cut(event, '0f', 8),
  'the second contact is not answered': (event) =>
    isMessage(event, '0f') && String(event['payload']).endsWith('0d000000') ? undefined : event,
  'the second contact cannot be posted': (event) => posted(event, '0e000000000000000d000000'),
  'the unload is malformed': (event) => cut(event, '11', 4),
  'the device is taken away among the offers': (event) =>
    isMessage(event, '04') ? { ...event, payload: RESCIND } : event,
  'the offers do not end': (event) => (isMessage(event, '04') ? undefined : event),
  'the receive buffer is refused': (event) => answered(event, '', 16, 1, '0a'),
  ...steps('the receive buffer', '0a', '08000000', (event) => isBuffer(event, true)),
  ...steps('the ring', '0a', '08000000', (event) => isBuffer(event, false)),
  ...steps('the channel', '06', '05000000', () => true),
  ...packets('INIT', '0b000200060000002000ae18', '02000000', 12),
  ...packets('the NDIS version', '0b000200020000002100ae18', '', 0),
  ...packets('the receive buffer of NVSP', '0b000200060000002200ae18', '66000000', 4),
  ...responses('INITIALISE', '02000080'),
  ...responses('SET', '05000080'),
  ...responses('QUERY', '04000080'),
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
      // What the host does not have any more is not asked for
      assert.equal(
        items.filter(({ needless }) => needless === true).map(({ key }) => key),
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
