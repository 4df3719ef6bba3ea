// SPDX-License-Identifier: GPL-2.0-or-later

/** The document that `hypxe boot --json` prints: the same members whatever the verdict. */

import { TICKS_PER_MS } from '../../simulator/base/clock.ts';
import {
  AUDIT_CHECKS,
  type AuditCheck,
  type Finding,
} from '../../simulator/audit/audit-findings.ts';
import type { BootRequest } from './boot-options.ts';
import { checkState, summary, type BootOutcome } from './boot-outcome.ts';

/** The document as text. What is not known is null; addresses and lengths are numbers. */
export function bootJson(request: BootRequest, outcome: BootOutcome, exitCode: number): string {
  const { host, knobs, seed, nics, processors, memoryMiB, preset, faults, steps, linux } = request;
  const { verdict, findings, notRun, stages, ...rest } = outcome;
  const document = {
    verdict,
    summary: summary(outcome),
    exitCode,
    request: {
      ...{ host, knobs, seed, nics, processors, memoryMiB, preset, faults, steps, linux },
      firmware: request.ownFirmware ? null : request.firmware,
      pushes: request.pushes.map(({ path }) => path),
      services: request.services,
      devices: request.devices,
      link: request.link,
      bootFile: request.bootFile,
      nextServer: request.nextServer,
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
