// SPDX-License-Identifier: GPL-2.0-or-later

/** The clock of the tool's loader on top of a driver guest: of the machine, not of the guest. */

import { HypxeError } from '../../src/error.ts';
import { Msr } from '../../src/hyperv/protocol.ts';
import type { Machine } from '../../src/machine.ts';
import type { Clock } from '../../src/time.ts';

/** Ticks of 100 ns in a second. */
const TICKS_PER_S = 10_000_000n;

/** @param cancelled whether the loader shall end: its waits do */
export function guestClock(machine: Machine, cancelled: () => boolean): Clock {
  return {
    now: () => ticks(machine),
    pause: () => {
      if (cancelled()) throw new HypxeError('Cancelled', 'the boot was cancelled');
      machine.pause();
    },
  };
}

function ticks(machine: Machine): number {
  if (machine.architecture === 'x64') return Number(machine.rdmsr(Msr.TIME_REF_COUNT));
  return Number((machine.readCounter() * TICKS_PER_S) / BigInt(machine.counterFrequency));
}
