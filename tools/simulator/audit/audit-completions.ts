// SPDX-License-Identifier: GPL-2.0-or-later

/** Check 13: received packets that were never completed. */

import type { SimulatedMachine } from '../machine.ts';
import type { AuditBaseline } from './audit-baseline.ts';
import type { Finding, Severity } from './audit-findings.ts';

/**
 * A packet that was left out for a later one is forgotten, and so is one that the guest had read
 * when it closed the channel. What ended with the connection, or had not been read, the guest may
 * still have completed: nobody can tell.
 */
export function auditCompletions(machine: SimulatedMachine, since: AuditBaseline): Finding[] {
  const findings: Finding[] = [];
  for (const [index, { nic, statistics, state }] of machine.nics.entries()) {
    const before = since.uncompleted[index];
    const report = (count: number, severity: Severity, what: string): void => {
      if (count === 0) return;
      const packets = `${count} received packet${count === 1 ? '' : 's'}`;
      findings.push({ check: 'completions', severity, text: `NIC ${nic}: ${packets} ${what}` });
    };
    const { uncompletedAtClose, uncompletedSkipped, uncompletedOtherwise } = statistics;
    const skipped = uncompletedSkipped - (before?.skipped ?? 0) + state.skipped;
    report(skipped, 'error', 'never completed, though a later one was');
    const atClose = uncompletedAtClose - (before?.atClose ?? 0);
    report(atClose, 'error', 'not completed when the guest closed the channel');
    const otherwise = uncompletedOtherwise - (before?.otherwise ?? 0);
    report(otherwise, 'info', 'not completed when the channel ended');
    report(state.outstanding - state.skipped, 'info', 'not completed yet');
  }
  return findings;
}
