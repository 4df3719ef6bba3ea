// SPDX-License-Identifier: GPL-2.0-or-later

/** A boot for a CI: its verdict, and each check of the audit. */

import { checkState, type Audited } from '../../library/boot-outcome.ts';
import { findingLines } from '../../library/finding-lines.ts';
import { AUDIT_CHECKS, type AuditCheck } from '../../simulator/audit/audit-findings.ts';
import type { TestCase, TestSuite } from '../test-results.ts';
import { Exit, type ExitCode } from '../usage.ts';

/**
 * A case for each check, and one for the whole: of a boot that is not clean, one of them at least
 * has failed.
 *
 * @param verdict the verdict and its reason, as the report's last line has them
 * @param strict whether a warning is a failure
 */
export function auditSuite(
  name: string,
  outcome: Audited,
  { verdict, code, strict }: { verdict: string; code: ExitCode; strict: boolean },
): TestSuite {
  const cases = (Object.keys(AUDIT_CHECKS) as AuditCheck[]).map((check): TestCase => {
    const { number, text } = AUDIT_CHECKS[check];
    const state = checkState(outcome, check);
    const findings = outcome.findings.filter((finding) => finding.check === check);
    const failed = state === 'error' || (strict && state === 'warning');
    return {
      name: `${number} ${text}`,
      outcome: failed ? 'failed' : state === 'not run' ? 'skipped' : 'passed',
      lines: state === 'not run' ? [state] : findingLines(findings).map((line) => line.trim()),
    };
  });
  const whole = code === Exit.CLEAN ? 'passed' : 'failed';
  return {
    name,
    cases: [{ name: 'the verdict is clean', outcome: whole, lines: [verdict] }, ...cases],
  };
}
