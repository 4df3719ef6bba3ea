// SPDX-License-Identifier: GPL-2.0-or-later

/** What the arguments of faults may be: a grammar for each kind, and what is wrong with a text. */

import { SynicMessage } from '../../src/hyperv/protocol.ts';
import { NETWORK_CONDITIONS } from '../simulator/network/index.ts';
import { LEFTOVERS } from '../os/previous-owner.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { OPERATIONS, isOperation } from './mutation.ts';
import { MESSAGE_FIELDS, PACKET_FIELDS, RNDIS_FIELDS } from './wire-fields.ts';

/** What is wrong with an argument, in words; undefined if nothing is. */
type Check = (argument: string) => string | undefined;

/** An hour in ticks: longer than any guest waits. */
const TICKS_MAX = 36_000_000_000;
/** Longer than any message or packet. */
const LENGTH_MAX = 0x100000;
/** Exits of the guest that something may be put off for. */
const EXITS_MAX = 1_000_000;
const BYTE_MAX = 0xff;
const STATUS_MAX = 0xffff;
const WORD_MAX = 0xffffffff;

/** A packet in a ring has whole units of 8 bytes. */
const RING_UNIT = 8;

const NUMBER = /^(?:0x[0-9a-f]{1,8}|[0-9]{1,11})$/i;

/** A whole number, decimal or hexadecimal. */
function number(least: number, most: number, unit = 1): Check {
  return (text) => {
    const value = NUMBER.test(text) ? Number(text) : NaN;
    if (value >= least && value <= most && value % unit === 0) return undefined;
    const of = unit === 1 ? '' : `, a multiple of ${unit}`;
    return `"${text}" is no number from ${least} to ${most}${of}`;
  };
}

/** `NAME=VALUE`, with a name out of a list. */
function assignment(names: readonly string[], value: Check): Check {
  return (text) => {
    const [name = '', given, ...more] = text.split('=');
    if (!names.includes(name)) return `there is no field "${name}": ${names.join(', ')}`;
    if (given === undefined || more.length > 0) return `"${text}" is not ${name}=VALUE`;
    return value(given);
  };
}

const operation: Check = (text) =>
  isOperation(text) ? undefined : `no operation "${text}": ${OPERATIONS.join(', ')}`;

const word = number(0, WORD_MAX);
const ticks = number(0, TICKS_MAX);
const exits = number(1, EXITS_MAX);

const leftover: Check = (text) =>
  text === 'all' || Object.hasOwn(LEFTOVERS, text)
    ? undefined
    : `no owner leaves "${text}": all, ${Object.keys(LEFTOVERS).join(', ')}`;

const condition: Check = (text) =>
  Object.hasOwn(NETWORK_CONDITIONS, text)
    ? undefined
    : `no network is "${text}": ${Object.keys(NETWORK_CONDITIONS).join(', ')}`;

const milliseconds = number(0, TICKS_MAX / TICKS_PER_MS);

/** The kinds with an argument; a kind that is not here takes none. */
const CHECKS: ReadonlyMap<string, ReadonlyMap<string, Check>> = new Map([
  [
    'call',
    new Map([
      ['status', number(0, STATUS_MAX)],
      ['status-ever', number(0, STATUS_MAX)],
    ]),
  ],
  [
    'message',
    new Map([
      ['late', ticks],
      ['field', assignment(MESSAGE_FIELDS, operation)],
      ['cut', number(0, LENGTH_MAX)],
      ['pad', number(0, BYTE_MAX)],
      ['before', word],
      ['after', word],
      ['synic-type', word],
      ['slot', assignment(Object.keys(SynicMessage.at), word)],
    ]),
  ],
  [
    'packet',
    new Map([
      ['late', ticks],
      ['field', assignment(PACKET_FIELDS, operation)],
      ['cut', number(0, LENGTH_MAX, RING_UNIT)],
      ['index', assignment(['prod', 'cons'], word)],
      ['inject', number(0, STATUS_MAX)],
      ['scribble', exits],
    ]),
  ],
  [
    'rndis',
    new Map([
      ['late', ticks],
      ['field', assignment(RNDIS_FIELDS, operation)],
      ['cut', number(0, LENGTH_MAX)],
      ['after', word],
      ['scribble', exits],
    ]),
  ],
  ['owner', new Map([['left', leftover]])],
  ['network', new Map([['is', condition]])],
  [
    'nic',
    new Map([
      ['arrives', milliseconds],
      ['unplugged', milliseconds],
    ]),
  ],
  ['read', new Map([['value', operation]])],
]);

/** What is wrong with the argument of a fault, in words; undefined if nothing is. */
export function argumentFault(place: string, kind: string, argument: string): string | undefined {
  return CHECKS.get(place)?.get(kind)?.(argument);
}
