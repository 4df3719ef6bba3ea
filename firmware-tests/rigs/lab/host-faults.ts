// SPDX-License-Identifier: GPL-2.0-or-later

/** Hosts with faults: recorded sessions in which what the host does is changed at random. */

import type { TraceFile } from '../../../tools/replay/index.ts';
import { hostMessage, hostPacket, otherHost, put, transmit } from './lab-rig.ts';
import type { LooseEvent } from '../replay-rig.ts';

/** Sessions that are changed. */
const SESSIONS = [
  '01-boot',
  '03-rndis-indications',
  '04-quiesce-unquiesce',
  '06-message-queueing',
  '07-tx-exhaustion',
  '14-monitored',
  '17-zero-latency',
  '18-reopen-reprobe',
];

/** A number below `n`. */
type Below = (n: number) => number;

/** One fault: changes the events. */
type HostFault = (events: LooseEvent[], below: Below) => void;

/** Change one of the events that a test is true of. */
function one(
  test: (event: LooseEvent) => boolean,
  change: (event: LooseEvent, below: Below, events: LooseEvent[]) => void,
): HostFault {
  return (events, below) => {
    const found = events.filter(test);
    if (found.length > 0) change(found[below(found.length)]!, below, events);
  };
}

const isMessage = ({ op }: LooseEvent): boolean => op.startsWith('host-message');
const isPacket = ({ op }: LooseEvent): boolean => op === 'host-ring-write';
const isAnswer = (event: LooseEvent): boolean =>
  isMessage(event) && /^(06|0a)/.test(String(event['payload']));

const isLaterStep = (event: LooseEvent): boolean =>
  event.op === 'step' && event['phase'] === 'begin' && event['name'] !== 'probe';

function pick<T>(below: Below, of: readonly T[]): T {
  return of[below(of.length)]!;
}

const FAULTS: readonly HostFault[] = [
  // Messages: lost, refused, of another ID, cut, of another type, too many
  one(isMessage, (event, _below, events) => void events.splice(events.indexOf(event), 1)),
  one(isAnswer, (event, below) => {
    event['payload'] = put(event['payload'], 16, 4, pick(below, [1, 0xc0000001]));
  }),
  one(isAnswer, (event, below) => {
    event['payload'] = put(event['payload'], pick(below, [8, 12]), 4, 0x777);
  }),
  one(
    (event) => isMessage(event) && String(event['payload']).startsWith('0f'),
    (event, below) => {
      event['payload'] = put(event['payload'], 8, 2, pick(below, [0, 0x101, 0x201]));
    },
  ),
  one(isMessage, (event, below) => {
    event['payload'] = String(event['payload']).slice(0, 2 * pick(below, [0, 4, 8, 12, 16]));
  }),
  one(isMessage, (event) => (event['type'] = '0x80000000')),
  one(isMessage, (event, below, events) => {
    const payloads = ['020000000000000005000000', '0c000000000000000100ae18', '6300000000000000'];
    events.splice(events.indexOf(event), 0, hostMessage(pick(below, payloads)));
  }),
  one(
    isLaterStep,
    (event, _below, events) =>
      void events.splice(events.indexOf(event), 0, hostMessage('020000000000000005000000')),
  ),
  // Hypercalls that are refused, or for later
  one(
    ({ op }) => op === 'hypercall',
    (event, below) => (event['status'] = pick(below, [0x33, 0x13, 0x12, 5])),
  ),
  // Packets: lost, of another header, with other ranges; answers of RNDIS
  one(isPacket, (event, _below, events) => void events.splice(events.indexOf(event), 1)),
  one(isPacket, (event, below) => {
    const [at, length, ...values] = pick(below, [
      [0, 2, 6, 10, 12],
      [2, 2, 0, 1, 3, 20],
      [4, 2, 0, 1, 63, 600],
      [12, 4, 1],
      [16, 2, 0x1234],
      [20, 4, 0, 2, 1000],
      [24, 4, 0, 3, 70000],
      [28, 4, 65530, 0x20000],
    ]);
    event['bytes'] = put(event['bytes'], at!, length!, pick(below, values));
  }),
  one(isPacket, (event, below, events) => {
    const odd = ['0a000200020000000000000000000000', '0600020002000100111111110000000000'];
    const bytes = pick(below, odd).slice(0, 32).padEnd(48, '0');
    events.splice(events.indexOf(event), 0, hostPacket(bytes));
  }),
  one(
    (event) => event['purpose'] === 'receive-buffer',
    (event, below) => {
      const [at, ...values] = pick(below, [
        [12, 0xc0000001],
        [16, 0, 4, 100],
        [20, 0, 1000],
        [8, 0x55],
        [0, 8, 7, 3, 0x80000005, 0x80000006],
        [24, 1],
      ]);
      event['bytes'] = put(event['bytes'], at!, 4, pick(below, values));
    },
  ),
  // Messages that come twice; a ring index that is none, or says another length than the packet
  one(isMessage, (event, _below, events) => {
    events.splice(events.indexOf(event), 0, structuredClone(event));
  }),
  one(isPacket, (event, below) => {
    const [from = 0, to = 0] = event['prod'] as readonly number[];
    event['prod'] = [from, pick(below, [4096, 65536, to + 4, to + 8, from, (from + 8) % 4096])];
  }),
  // No memory; steps that come too often, or not at all
  one(
    (event) => event.op === 'page' && event['purpose'] !== 'tx-frame',
    (event, _below, events) => {
      const { purpose, len } = event;
      events[events.indexOf(event)] = { op: 'alloc-fail', purpose, len };
    },
  ),
  one(isLaterStep, (event, below, events) => {
    const name = pick(below, ['open', 'close', 'poll', 'quiesce', 'unquiesce', 'remove']);
    const more = [
      { op: 'step', name, phase: 'begin' },
      { op: 'step', name, phase: 'end', ...(name === 'open' ? { err: 'OK' } : {}) },
    ];
    const frame = `${'ff'.repeat(12)}88b5`.padEnd(120, '0');
    events.splice(events.indexOf(event), 0, ...(below(4) === 0 ? transmit(77, frame) : more));
  }),
  one(isLaterStep, (event, _below, events) => {
    const at = events.indexOf(event);
    const isEnd = ({ op, phase }: LooseEvent, i: number): boolean =>
      i > at && op === 'step' && phase === 'end';
    events.splice(at, events.findIndex(isEnd) - at + 1);
  }),
  // Answers that take longer
  one(
    (event) => event.op === 'delay' && event['by'] !== 'harness',
    (event, below) => (event['ms'] = pick(below, [2, 50, 1500])),
  ),
];

/** Random numbers of a seed. */
export function randomBelow(seed: number): Below {
  let state = seed | 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

/** A random host. The same seed always makes the same one. */
export function randomHost(seed: number): { readonly host: TraceFile; readonly text: string } {
  const below = randomBelow(seed);
  const name = pick(below, SESSIONS);
  const faults = Array.from({ length: 1 + below(2) }, () => below(FAULTS.length));
  const host = otherHost(name, (events) => {
    for (const fault of faults) FAULTS[fault]!(events, below);
  });
  return { host, text: `${name}, faults ${faults.join(', ')}` };
}
