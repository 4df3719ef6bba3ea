// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The events of a recorded session as data: which fields each `op` has and of which type. The
 * reader checks files against this table, and the types of the events follow from it. The format is
 * that of the golden iPXE traces.
 */

import { HvCall, PostMessage, SignalEvent } from '../../src/hyperv/protocol.ts';
import { PacketHeader } from '../../src/vmbus/protocol.ts';
import { fromHex } from './hex.ts';

/**
 * Type of a field. `hex`: "0x…" text; `bytes`: hexadecimal text without prefix; `pair`: two
 * numbers; `pairs`: list of number pairs; `words`: list of "0x…" texts; `counts`: list of
 * [name, count]; a type with `?` may be missing.
 */
type FieldType =
  | 'number'
  | 'text'
  | 'hex'
  | 'bytes'
  | 'flag'
  | 'pair'
  | 'words'
  | 'pairs?'
  | 'counts'
  | 'number?'
  | 'flag?'
  | 'text?'
  | 'bytes?';

/** The fields of each event that a guest, the host or the harness leaves. */
export const TRACE_EVENTS = {
  // Guest
  cpuid: { leaf: 'hex', out: 'words' },
  rdmsr: { msr: 'hex', value: 'hex', reads: 'number?' },
  wrmsr: { msr: 'hex', value: 'hex', refused: 'flag?' },
  hypercall: { code: 'hex', inputGpa: 'hex', outputGpa: 'hex', input: 'bytes', status: 'number' },
  'message-received': { sint: 'number', type: 'hex', payload: 'bytes' },
  'ring-write': {
    channel: 'number',
    offset: 'number',
    bytes: 'bytes',
    prod: 'pair',
    gpaData: 'bytes?',
    stale: 'pairs?',
  },
  'ring-read': { channel: 'number', offset: 'number', bytes: 'bytes', cons: 'pair' },
  'guest-mem-write': { purpose: 'text', gpa: 'hex', offset: 'number', bytes: 'bytes' },
  page: { purpose: 'text', gpa: 'hex', len: 'number', align: 'number' },
  'page-free': { purpose: 'text', gpa: 'hex', len: 'number' },
  random: { value: 'hex' },
  delay: { ms: 'number', by: 'text?' },
  netdev: { what: 'text', name: 'text', hwAddr: 'bytes', llAddr: 'bytes' },
  'netdev-rx': { frame: 'bytes' },
  above: { does: 'text' },
  'netdev-rx-err': { err: 'text', data: 'bytes' },
  'netdev-tx-complete': { frameNo: 'number', err: 'text' },
  'netdev-tx-defer': { frameNo: 'number', len: 'number' },
  link: { up: 'flag' },
  'netdev-stats': {
    txGood: 'number',
    txBad: 'number',
    rxGood: 'number',
    rxBad: 'number',
    txErrors: 'counts',
    rxErrors: 'counts',
  },
  step: {
    name: 'text',
    phase: 'text',
    err: 'text?',
    device: 'text?',
    gone: 'flag?',
    frameNo: 'number?',
    len: 'number?',
    frame: 'bytes?',
  },
  'vmbus-poll': { err: 'text', consumed: 'flag' },
  'wait-failed': { function: 'text', err: 'text' },
  log: { text: 'text' },
  assert: { text: 'text' },
  // Host and harness
  'host-message': {
    sint: 'number',
    type: 'hex',
    payload: 'bytes',
    pending: 'number?',
    via: 'text',
    gpa: 'hex',
  },
  'host-message-queued': { sint: 'number', type: 'hex', payload: 'bytes', reason: 'text' },
  'host-mem-write': { purpose: 'text', gpa: 'hex', bytes: 'bytes' },
  'host-ring-write': {
    channel: 'number',
    type: 'number',
    offset: 'number',
    bytes: 'bytes',
    prod: 'pair',
  },
  'host-ring-read': { channel: 'number', type: 'number', xid: 'hex', cons: 'pair' },
  'host-frame': { frame: 'bytes' },
  'host-drop': {},
  violation: { text: 'text' },
  livelock: { where: 'text' },
  'harness-ring-reset': { prod: 'number' },
  'guest-fault': {},
  cancel: { acts: 'number', asked: 'number' },
  'alloc-fail': { purpose: 'text', len: 'number' },
  note: { text: 'text' },
} as const satisfies Readonly<Record<string, Readonly<Record<string, FieldType>>>>;

/** Name of an event. */
export type TraceOp = keyof typeof TRACE_EVENTS;

type ValueOf<T> = T extends 'number'
  ? number
  : T extends 'text' | 'hex' | 'bytes'
    ? string
    : T extends 'flag'
      ? boolean
      : T extends 'pair'
        ? readonly [number, number]
        : T extends 'words'
          ? readonly string[]
          : T extends 'pairs?'
            ? readonly (readonly [number, number])[] | undefined
            : T extends 'counts'
              ? readonly (readonly [string, number])[]
              : T extends 'number?'
                ? number | undefined
                : T extends 'flag?'
                  ? boolean | undefined
                  : string | undefined;

/** The event of one `op`. */
export type TraceEventOf<O extends TraceOp> = { readonly op: O } & {
  readonly [F in keyof (typeof TRACE_EVENTS)[O]]: ValueOf<(typeof TRACE_EVENTS)[O][F]>;
};

/** Any event. */
export type TraceEvent = { [O in TraceOp]: TraceEventOf<O> }[TraceOp];

const HEX_NUMBER = /^0x[0-9a-f]+$/;
const HEX_BYTES = /^([0-9a-f]{2})*$/;

function isPair(value: unknown): boolean {
  return Array.isArray(value) && value.length === 2 && value.every(isCount);
}

/** Lengths, offsets, indices, statuses: whole numbers of up to 32 bits. */
function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}

/** Whether `value` is of field type `type` (with the `?` already taken off). */
function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case 'number':
      return isCount(value);
    case 'text':
      return typeof value === 'string';
    case 'hex':
      return typeof value === 'string' && HEX_NUMBER.test(value);
    case 'bytes':
      return typeof value === 'string' && HEX_BYTES.test(value);
    case 'flag':
      return typeof value === 'boolean';
    case 'pair':
      return isPair(value);
    case 'words':
      return Array.isArray(value) && value.every((word) => isOfType(word, 'hex'));
    case 'pairs':
      return Array.isArray(value) && value.every(isPair);
    default:
      return (
        Array.isArray(value) &&
        value.every((entry) => Array.isArray(entry) && isOfType(entry[0], 'text'))
      );
  }
}

/** What is wrong with `event`, or undefined if it is an event of this format. */
export function eventFault(event: unknown): string | undefined {
  if (typeof event !== 'object' || event === null || Array.isArray(event))
    return 'it is not an object';
  const record = event as Readonly<Record<string, unknown>>;
  const op = record['op'];
  if (typeof op !== 'string') return 'it has no "op"';
  if (!Object.hasOwn(TRACE_EVENTS, op)) return `its op "${op}" is unknown`;
  for (const [name, type] of Object.entries(
    TRACE_EVENTS[op as TraceOp] as Record<string, string>,
  )) {
    const value = record[name];
    const optional = type.endsWith('?');
    if (value === undefined) {
      if (!optional) return `its "${name}" is missing`;
    } else if (!isOfType(value, optional ? type.slice(0, -1) : type)) {
      return `its "${name}" is not of type ${type}`;
    }
  }
  // What a guest has written is a packet; a host may write what is none
  if (op === 'ring-write' && String(record['bytes']).length < 2 * PacketHeader.size)
    return 'its "bytes" are no packet';
  return op === 'hypercall' ? hypercallFault(record) : undefined;
}

/** What the host took it had whole: what it refused may have been anything. */
function hypercallFault(event: Readonly<Record<string, unknown>>): string | undefined {
  const { code, status } = event as TraceEventOf<'hypercall'>;
  const input = fromHex(String(event['input']));
  if (status !== 0) return undefined;
  if (Number(code) === HvCall.SIGNAL_EVENT && input.length < SignalEvent.size)
    return 'its "input" is no signal';
  if (Number(code) !== HvCall.POST_MESSAGE) return undefined;
  const { data, length } = PostMessage.at;
  const isWhole =
    input.length >= data &&
    input.length >= data + new DataView(input.buffer).getUint32(length, true);
  return isWhole ? undefined : 'its "input" is no message';
}
