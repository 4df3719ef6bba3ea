// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The known hole of a crash: the processor that crashes can clean up nobody but itself, so that the
 * SynIC's pages, the VP assist pages, the SINTs and the timers of all others stay as they were. The
 * crash kernel lives with that, since it runs in memory of its own and on that one processor (Linux
 * Documentation/virt/hyperv; `hv_crash_handler`).
 */

import type { AuditCheck, Finding } from './audit-findings.ts';

/** What a processor can clean up only for itself. */
const OWN_CHECKS: readonly AuditCheck[] = [
  'synic-pages',
  'sints',
  'clock-pages',
  'timers',
  'leftovers',
];

/** What the audit says of the VP assist page of a processor. */
const ASSIST_PAGE = /^VP_ASSIST_PAGE of VP \d+ is enabled/;

/**
 * A finding of the audit of a crash as it is to be judged: part of the hole, or as it is. Pages
 * that the crash kernel uses itself are never part of it.
 *
 * @param vp the processor that crashed
 */
export function crashHole(finding: Finding, vp: number): Finding {
  const { check, severity, pages } = finding;
  const elsewhere = finding.vp !== undefined && finding.vp !== vp;
  const harmless = pages === undefined || pages.reserved;

  // Linux's crash handler leaves the VP assist page: it lies in memory that nobody uses any more
  if (!elsewhere && harmless && ASSIST_PAGE.test(finding.text)) {
    const text = `${finding.text} (known hole of a crash: Linux leaves it)`;
    return { ...finding, severity: 'info', known: 'crash-hole', text };
  }
  if (severity === 'info' || !elsewhere || !harmless || !OWN_CHECKS.includes(check)) {
    return finding;
  }
  const text = `${finding.text} (known hole of a crash: only VP ${vp} could clean up)`;
  return { ...finding, severity: 'warning', known: 'crash-hole', text };
}
