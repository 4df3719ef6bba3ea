// SPDX-License-Identifier: GPL-2.0-or-later

/** What was there before a guest got the machine: none of it is the guest's doing. */

import type { SimulatedMachine } from '../machine.ts';

/** Received packets of a NIC that nobody has ever completed, as its statistics have them. */
export interface Uncompleted {
  readonly atClose: number;
  readonly skipped: number;
  readonly otherwise: number;
}

/** The machine at the moment at which a guest got it. */
export interface AuditBaseline {
  /** In ticks: what came at this tick came before. */
  readonly at: number;
  /** By NIC. */
  readonly uncompleted: readonly Uncompleted[];
}

/** Nothing was there. */
export const NO_BASELINE: AuditBaseline = { at: -1, uncompleted: [] };

/** Take down what there is, before a guest gets the machine. */
export function auditBaseline({ clock, nics }: SimulatedMachine): AuditBaseline {
  return {
    at: clock.now,
    uncompleted: nics.map(({ statistics }) => ({
      atClose: statistics.uncompletedAtClose,
      skipped: statistics.uncompletedSkipped,
      otherwise: statistics.uncompletedOtherwise,
    })),
  };
}
