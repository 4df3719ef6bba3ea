// SPDX-License-Identifier: GPL-2.0-or-later

/** What a machine has done so far, in numbers. */

import type { SimulatedMachine } from '../simulator/machine.ts';

export interface MachineCounts {
  /** Hypercalls. */
  readonly hypercalls: number;
  /** Exits that are neither hypercalls nor pauses: CPUID and registers. */
  readonly registerAccesses: number;
  /** Turns of polling loops. */
  readonly pauses: number;
  /** Frames of all NICs: from the guest, to the guest, and lost on either way. */
  readonly framesFromGuest: number;
  readonly framesToGuest: number;
  readonly framesDropped: number;
  /** Things that the guest did against the protocol, and that the host put up with. */
  readonly violations: number;
}

/** Count. */
export function countMachine(machine: SimulatedMachine): MachineCounts {
  const { seamCalls, pauses, hypercalls } = machine.partition.inspection.counts;
  const counts = {
    hypercalls,
    registerAccesses: seamCalls - pauses - hypercalls,
    pauses,
    framesFromGuest: 0,
    framesToGuest: 0,
    framesDropped: 0,
    violations: machine.vmbus.inspect().violations,
  };
  for (const { statistics } of machine.nics) {
    counts.framesFromGuest += statistics.framesFromGuest;
    counts.framesToGuest += statistics.framesToGuest;
    counts.framesDropped += statistics.framesDropped;
    counts.violations += statistics.violations;
  }
  return counts;
}
