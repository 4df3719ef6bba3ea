// SPDX-License-Identifier: GPL-2.0-or-later

/** What a guest says, field by field: an event that is none of the known kinds is left out. */

import type { FirmwareEvent } from '../../src/events.ts';

/** Events that a guest may tell between two calls of its machine. */
export const EVENTS_MAX = 10_000;

type Fields = Readonly<Record<string, unknown>>;

const LEVELS = ['error', 'warning', 'info', 'debug'] as const;
const PHASES = ['begin', 'end'] as const;
const CHANGES = ['share', 'revoke', 'reserve'] as const;
const REGISTRATIONS = ['register', 'unregister'] as const;
const STEPS = [
  ...(['detect', 'connect', 'receive', 'open', 'configure', 'download'] as const),
  ...(['shutdown', 'handoff'] as const),
];

/** An event from plain data; undefined for what is none. */
export function readEvent(data: unknown): FirmwareEvent | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  const fields = data as Fields;
  switch (own(fields, 'kind')) {
    case 'log': {
      const level = oneOf(LEVELS, own(fields, 'level'));
      if (level === undefined) return undefined;
      // The layer is a word of the guest's: a guest may have layers of its own
      const layer = text(fields, 'layer') as 'HV';
      return {
        kind: 'log',
        level,
        layer,
        object: text(fields, 'object'),
        text: text(fields, 'text'),
      };
    }
    case 'boot-step': {
      const step = oneOf(STEPS, own(fields, 'step'));
      const phase = oneOf(PHASES, own(fields, 'phase'));
      return step && phase && { kind: 'boot-step', step, phase };
    }
    case 'ledger': {
      const change = oneOf(CHANGES, own(fields, 'change'));
      const [address, length] = [count(fields, 'address'), count(fields, 'length')];
      if (change === undefined || address === undefined || length === undefined) return undefined;
      const by = text(fields, 'by');
      return { kind: 'ledger', change, purpose: text(fields, 'purpose'), address, length, by };
    }
    case 'netdev': {
      const change = oneOf(REGISTRATIONS, own(fields, 'change'));
      return change && { kind: 'netdev', change, name: text(fields, 'name') };
    }
    case 'link':
      return { kind: 'link', name: text(fields, 'name'), up: own(fields, 'up') === true };
    case 'wall-clock': {
      const [unixMs, ticks] = [finite(fields, 'unixMs'), finite(fields, 'ticks')];
      return unixMs === undefined || ticks === undefined
        ? undefined
        : { kind: 'wall-clock', unixMs, ticks };
    }
    case 'progress': {
      const received = count(fields, 'received');
      return received === undefined
        ? undefined
        : { kind: 'progress', received, total: count(fields, 'total') };
    }
    default:
      return undefined;
  }
}

function own(fields: Fields, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

function text(fields: Fields, name: string): string {
  const value = own(fields, name);
  return typeof value === 'string' ? value : '';
}

function finite(fields: Fields, name: string): number | undefined {
  const value = own(fields, name);
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function count(fields: Fields, name: string): number | undefined {
  const value = finite(fields, name);
  return Number.isSafeInteger(value) && value! >= 0 ? value : undefined;
}

function oneOf<T>(words: readonly T[], value: unknown): T | undefined {
  return words.find((word) => word === value);
}
