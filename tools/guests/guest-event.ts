// SPDX-License-Identifier: GPL-2.0-or-later

/** What a guest says, field by field: an event that is none of the known kinds is left out. */

import type { FirmwareEvent } from '../../src/events.ts';
import type { Keeper, Saved } from '../simulator/base/snapshot.ts';

/** Events that a guest may tell between two calls of its machine. */
const EVENTS_MAX = 10_000;

/** Characters that a guest may say in all, in one run; each event counts as some more. */
export const SAID_MAX = 1 << 23;
const EVENT_CHARACTERS = 64;

/** Counts what a guest says: it is shown, kept and written, and shall fill no disk. */
export class Talk implements Saved {
  #events = 0;
  #characters = 0;

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#events, this.#characters], (v) => ([this.#events, this.#characters] = v));
  }

  /** A call of the machine: events count anew. */
  called(): void {
    this.#events = 0;
  }

  /**
   * An event of so many characters. Returns what is to be told in its place, if it says too much
   * in all: once that it does, then nothing. What tells of a transfer, or of what is shared for
   * it, has no words of the guest's, and a long one has many of them.
   *
   * @param what for the message: `events`, or `lines`
   * @throws Error for one too many
   */
  told(length: number, event: FirmwareEvent | undefined, what = 'events'): typeof event {
    if (++this.#events > EVENTS_MAX) {
      throw new Error(`${EVENTS_MAX} ${what} without a call of the machine`);
    }
    if (event === undefined || event.kind === 'progress' || event.kind === 'ledger') return event;
    if (this.#characters > SAID_MAX) return undefined;
    this.#characters += EVENT_CHARACTERS + length;
    if (this.#characters <= SAID_MAX) return event;
    const text = `it says more than ${SAID_MAX} characters: the rest is left out`;
    return { kind: 'log', level: 'warning', layer: 'GUEST' as 'HV', object: '', text };
  }
}

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
