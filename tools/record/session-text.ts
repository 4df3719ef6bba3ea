// SPDX-License-Identifier: GPL-2.0-or-later

/** A recorded session as the text of its file. */

import { hexNumber } from '../replay/hex.ts';
import { sha256 } from '../replay/sha256.ts';
import type { TraceEvent } from '../replay/trace-events.ts';

import { EVENTS_MAX } from './tap.ts';

/** Version of the format: the one of the golden traces has none. */
export const RECORD_VERSION = 1;

/** Memory that a recorded guest is given: below it lies what a machine keeps for itself. */
export const RECORD_BASE = 0x100000;

/** What a session says of itself. */
export interface SessionHead {
  readonly name: string;
  readonly description: string;
  /** What is recorded: `hypxe 1.0`, `reference guest (iPXE)`. */
  readonly driver: string;
  /** Facts about the host. */
  readonly host?: object | undefined;
  /** What the guest was told to do, as plain data: how the replay makes its guest. */
  readonly options?: object | undefined;
}

/** The text of a session. `memoryBytes`: of the guest's RAM. */
export function sessionText(
  { name, description, driver, host = {}, options }: SessionHead,
  events: readonly TraceEvent[],
  memoryBytes: number,
): string {
  // As they will be read again
  const lines = events.map((event) => JSON.stringify(event));
  const size = memoryBytes - RECORD_BASE;
  const digest = sha256(new TextEncoder().encode(lines.join('\n')));
  const head = {
    version: RECORD_VERSION,
    scenario: name,
    description,
    driver,
    ram: { base: hexNumber(RECORD_BASE), size: hexNumber(size) },
    host,
    ...(options === undefined ? {} : { options }),
    ...(events.length < EVENTS_MAX ? {} : { truncatedTo: events.length }),
    eventCount: events.length,
    digest: { events: digest },
  };
  const fields = Object.entries(head).map(
    ([field, value]) => `${JSON.stringify(field)}:${JSON.stringify(value)},`,
  );
  return ['{', ...fields, '"events":[', lines.join(',\n'), ']', '}', ''].join('\n');
}
