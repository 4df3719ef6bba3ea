// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Sessions that are made to show a mistake: the reference guest, with all defects of iPXE, recorded
 * on a golden session's host that is changed.
 */

import * as sources from '../../src/os.ts';
import type { Firmware, TraceFile } from '../../tools/replay/index.ts';
import {
  hostPacket,
  isMessage,
  otherHost,
  put,
  recordOn,
  reference,
  stepBegin,
} from '../rigs/lab/lab-rig.ts';
import type { LooseEvent } from '../rigs/replay-rig.ts';

/** Whether the guest posts a message of a type. */
function posts(event: LooseEvent, type: string): boolean {
  return event.op === 'hypercall' && String(event['input']).startsWith(type, 32);
}

/** Take out the last event that a test is true of. */
function takeLast(events: LooseEvent[], test: (event: LooseEvent) => boolean): LooseEvent {
  const at = events.map(test).lastIndexOf(true);
  return events.splice(at, 1)[0]!;
}

const CONTACT = '0e000000';
const UNLOADED = '1100000000000000';

/** The host takes no more messages of the guest from an event on. */
function refuseFrom(events: readonly LooseEvent[], from: number): void {
  for (const event of events.slice(from))
    if (event.op === 'hypercall' && event['code'] === '0x5c') event['status'] = 5;
}

/** Answer the first contact with the end of an earlier connection, and refuse all that follows. */
function secondContactRefused(events: LooseEvent[]): void {
  const answer = events.find((event) => isMessage(event, '0f000000'))!;
  answer['payload'] = UNLOADED;
  const [first, second] = events.filter((event) => posts(event, CONTACT));
  second!['input'] = first!['input'];
  const from = events.indexOf(first!) + 1;
  refuseFrom(events, from);
  const rest = events.slice(from).filter((event) => event === answer || !isMessage(event, '11'));
  events.splice(from, Infinity, ...rest);
}

type Change = (events: LooseEvent[]) => void;

/** `own`: what is recorded is the firmware as it is, because iPXE does not get there. */
type Made = readonly [session: string, change: Change, own?: 'own'];

const HOSTS: Readonly<Record<string, Made>> = {
  'removed while quiesced': [
    '04c-quiesce-closed',
    (events) => {
      const [from, to] = [stepBegin(events, 'unquiesce'), stepBegin(events, 'remove')];
      events.splice(from, to - from);
    },
  ],
  'a late GPADL_TORNDOWN, and no answer to UNLOAD': [
    '01-boot',
    (events) => {
      const answer = takeLast(events, (event) => isMessage(event, '0c000000'));
      takeLast(events, (event) => isMessage(event, '11000000'));
      events.splice(stepBegin(events, 'remove'), 0, answer);
    },
  ],
  'no answer to the last teardown, nor to UNLOAD': [
    '01-boot',
    (events) => {
      takeLast(events, (event) => isMessage(event, '0c000000'));
      takeLast(events, (event) => isMessage(event, '11000000'));
    },
  ],
  'a contact that is refused while another is out': ['01-boot', secondContactRefused, 'own'],
  'a contact that is refused behind a lost connection': [
    '04c-quiesce-closed',
    (events) => refuseFrom(events, stepBegin(events, 'unquiesce')),
  ],
  'frames in flight at the close': [
    '07-tx-exhaustion',
    (events) => {
      const isTaken = (event: LooseEvent): boolean =>
        event.op === 'host-ring-write' && event['type'] === 11;
      const [from, to] = [stepBegin(events, 'transmit'), stepBegin(events, 'close')];
      const rest = events.slice(from, to).filter((event) => !isTaken(event));
      events.splice(from, to - from, ...rest);
    },
  ],
  'more completions than the ring has room for': [
    '01-boot',
    (events) => {
      const poll = (['begin', 'end'] as const).map((phase) => ({
        op: 'step',
        name: 'poll',
        phase,
      }));
      const nvsp = '6b00000001000000ffffffff'.padEnd(64, '0');
      const packets = Array.from({ length: 200 }, (_, i) => {
        const id = put('00'.repeat(8), 0, 4, 0x2000 + i);
        return hostPacket(`0700030007000100${id}adbe000000000000${nvsp}`.padEnd(128, '0'));
      });
      const end = events.findIndex(
        (event) => event.op === 'step' && event['name'] === 'open' && event['phase'] === 'end',
      );
      const polls = [0, 50, 100, 150].flatMap((from) => [
        ...packets.slice(from, from + 50),
        ...poll,
      ]);
      events.splice(end + 1, 0, ...polls, ...poll, ...poll);
    },
  ],
};

const made = new Map<string, TraceFile>();

/** Names of the sessions. */
export const MADE: readonly string[] = Object.keys(HOSTS);

/** A session by its name. */
export function madeSession(name: string): TraceFile {
  const [golden, change, own] = HOSTS[name]!;
  const host = otherHost(golden, change);
  const known =
    made.get(name) ??
    (own === undefined
      ? recordOn(host, reference(), 'reference guest (iPXE)')
      : recordOn(host, sources as unknown as Firmware, 'hypxe'));
  made.set(name, known);
  return known;
}
