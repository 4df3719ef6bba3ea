// SPDX-License-Identifier: GPL-2.0-or-later

/** The document that `hypxe boot --json` prints: the same members whatever the verdict. */

import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { AUDIT_CHECKS, type AuditCheck, type Finding } from '../simulator/audit/audit-findings.ts';
import { checkState, summary, type BootOutcome } from './boot-outcome.ts';
import type { BootPlan } from './boot-plan.ts';

/** What the document tells of a request, besides its plan. */
export interface BootRequested {
  /** The guest that was booted; by default hypxe's own firmware, which has no name there. */
  readonly firmware?: string | undefined;
  /** Paths of what the host pushed. */
  readonly pushes?: readonly string[];
  /** The real network, if there was one. */
  readonly link?: object | undefined;
}

/**
 * The document as text. What is not known is null; addresses and lengths are numbers.
 *
 * @param exitCode that of the command; see {@link bootExit}
 */
export function bootJson(
  plan: BootPlan,
  outcome: BootOutcome,
  exitCode: number,
  requested: BootRequested = {},
): string {
  const { host, knobs, seed, nics, processors, memoryMiB, preset, faults, steps, linux } = plan;
  const { verdict, findings, notRun, stages, ...rest } = outcome;
  const document = {
    verdict,
    summary: summary(outcome),
    exitCode,
    request: {
      ...{ host, knobs, seed, nics, processors, memoryMiB, preset, faults, steps, linux },
      firmware: requested.firmware,
      pushes: requested.pushes ?? [],
      services: plan.services,
      devices: plan.devices,
      link: requested.link,
      bootFile: plan.bootFile,
      nextServer: plan.nextServer,
    },
    ...rest,
    stages: stages.map((stage) => ({ ...stage, findings: stage.findings.map(findingJson) })),
    checks: (Object.keys(AUDIT_CHECKS) as AuditCheck[]).map((name) => ({
      ...{ name, ...AUDIT_CHECKS[name], state: checkState(outcome, name) },
      findings: findings.filter(({ check }) => check === name).map(findingJson),
    })),
  };
  return JSON.stringify(document, (_, value: unknown) => value ?? null, 2);
}

/** A finding, without what only the report needs. */
export function findingJson({ severity, text, pages, vp, known }: Finding) {
  const where = { ...(vp === undefined ? {} : { vp }), ...(known === undefined ? {} : { known }) };
  if (pages === undefined) return { severity, text, ...where, pages: null };
  const { sharedAt, ...rest } = pages;
  return { severity, text, ...where, pages: { ...rest, sharedAtMs: sharedAt / TICKS_PER_MS } };
}
