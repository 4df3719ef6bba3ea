// SPDX-License-Identifier: GPL-2.0-or-later

/** The boot log: the firmware's events as lines that people read. */

import type { FirmwareEvent } from '../../../src/events.ts';
import { wallTimeMs, type WallClock } from '../../../src/services/time-sync.ts';
import { utcText } from '../../../src/services/utc.ts';

/** Ticks of 100 ns in a millisecond. */
const TICKS_PER_MS = 10_000;

/** What a step of the boot is, in words. */
const STEPS: Readonly<Record<string, string>> = {
  detect: 'look for Hyper-V',
  connect: 'connect to VMBus, probe the devices',
  receive: 'take the files that the host pushes',
  open: 'open the network device',
  configure: 'ask for an address',
  download: 'fetch the image',
  shutdown: 'close, disconnect, give everything back',
  handoff: 'hand over',
};

/** The time that a line begins with; `wall` as for {@link logLine}. */
export function logTime(now: number, wall?: WallClock): string {
  const utc = wall === undefined ? '' : ` ${utcText(wallTimeMs(wall, now))}`;
  return `[${(now / TICKS_PER_MS).toFixed(3).padStart(11)}${utc}]`;
}

/**
 * The line of an event, or undefined if it has none. `verbose` shows all there is.
 *
 * @param wall what time it is, if the host has told the firmware
 */
export function logLine(
  event: FirmwareEvent,
  now: number,
  verbose: boolean,
  wall?: WallClock,
): string | undefined {
  const time = logTime(now, wall);
  switch (event.kind) {
    case 'boot-step':
      if (event.phase === 'end') return undefined;
      return `${time} ${event.step}: ${STEPS[event.step] ?? ''}`;
    case 'log': {
      if (event.level === 'debug' && !verbose) return undefined;
      const mark = event.level === 'error' || event.level === 'warning' ? `${event.level}: ` : '';
      const object = event.object === '' ? '' : ` ${event.object}`;
      return `${time}   ${event.layer}${object} ${mark}${event.text}`;
    }
    case 'ledger': {
      // Frames come and go by the thousand
      if (!verbose || event.purpose === 'tx-buffer') return undefined;
      const end = event.address + event.length;
      const place = `[0x${event.address.toString(16)},0x${end.toString(16)})`;
      return `${time}   ledger: ${event.change} ${event.purpose} ${place}: ${event.by}`;
    }
    case 'netdev':
      return verbose ? `${time}   ${event.change} ${event.name}` : undefined;
    default:
      return undefined;
  }
}
