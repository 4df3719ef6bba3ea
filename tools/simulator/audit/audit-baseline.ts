// SPDX-License-Identifier: GPL-2.0-or-later

/** What was there before a guest got the machine: none of it is the guest's doing. */

import type { Grant } from '../ledger/grants.ts';
import type { SimulatedMachine } from '../machine.ts';
import type { Finding } from './audit-findings.ts';
import { fullSlots, leftMessage, leftovers } from './audit-leftovers.ts';
import { describeGrant } from './audit-pages.ts';
import { auditRegisters, auditScontrol, auditTimers } from './audit-registers.ts';

/** What is said of what an earlier owner has left. */
const LEFT_BEFORE = 'left by who had the machine before';

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
  /** Calls of the seam that had been made on each virtual processor. */
  readonly calls: readonly number[];
  /** What could be said of a virtual processor then, each as {@link keyOf} has it. */
  readonly ofProcessors: ReadonlySet<string>;
}

/** Nothing was there. */
export const NO_BASELINE: AuditBaseline = {
  ...{ at: -1, uncompleted: [], calls: [] },
  ofProcessors: new Set(),
};

/** Take down what there is, before a guest gets the machine. */
export function auditBaseline(machine: SimulatedMachine): AuditBaseline {
  const { clock, nics, partition } = machine;
  const processors = Array.from({ length: partition.inspection.processorCount }, (_, vp) => vp);
  return {
    at: clock.now,
    uncompleted: nics.map(({ statistics, state }) => ({
      atClose: statistics.uncompletedAtClose,
      skipped: statistics.uncompletedSkipped + state.skipped,
      otherwise: statistics.uncompletedOtherwise,
    })),
    calls: processors.map((vp) => partition.inspection.calls(vp)),
    ofProcessors: new Set(heritage(machine, processors).map(keyOf)),
  };
}

/**
 * What may be inherited. A guest runs on the only processor, whatever it does: there it is nothing
 * but SCONTROL, which is left as it was found.
 */
function heritage(machine: SimulatedMachine, processors: readonly number[]): Finding[] {
  return processors.length > 1
    ? auditProcessors(machine)
    : processors.flatMap((vp) => auditScontrol(machine, vp, 'shutdown', true));
}

/** All that can be said of virtual processors, whatever is handed on. */
function auditProcessors(machine: SimulatedMachine): Finding[] {
  const describe = (grant: Grant) => describeGrant(grant, [], []);
  return [
    ...auditRegisters(machine, 'shutdown', describe, true),
    ...auditTimers(machine),
    ...leftovers(machine, []),
    // Those of VMBus, too: whose they are depends on who has the connection
    ...fullSlots(machine).map(leftMessage),
  ].filter(({ vp }) => vp !== undefined);
}

function keyOf({ check, text, vp }: Finding): string {
  // What is said of SCONTROL depends on who comes next
  const what = check === 'scontrol' ? '' : text;
  return `${vp} ${check} ${what}`;
}

/**
 * A finding about a virtual processor that the guest never ran on, and of which the same could be
 * said before it got the machine: it is whoever's was there before. So is a SCONTROL that was found
 * as it is, wherever the guest ran. All others stay as they are.
 */
export function unlessInherited(
  finding: Finding,
  machine: SimulatedMachine,
  since: AuditBaseline,
): Finding {
  return finding.severity !== 'info' && wasThere(finding, machine, since)
    ? inherited(finding)
    : finding;
}

/** Whether what is found at a virtual processor was there before the guest, which left it alone. */
export function wasThere(
  finding: Finding,
  { partition }: SimulatedMachine,
  since: AuditBaseline,
): boolean {
  const { vp, check } = finding;
  if (vp === undefined || !since.ofProcessors.has(keyOf(finding))) return false;
  return check === 'scontrol' || partition.inspection.calls(vp) <= since.calls[vp]!;
}

/** A finding that is laid to nobody who is audited here. */
export function inherited(finding: Finding): Finding {
  return { ...finding, severity: 'info', text: `${finding.text} (${LEFT_BEFORE})` };
}
