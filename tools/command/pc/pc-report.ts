// SPDX-License-Identifier: GPL-2.0-or-later

/** What a run of a PC came to, as text for people and as a document. */

import { TICKS_PER_MS } from '../../simulator/base/clock.ts';
import { AUDIT_CHECKS, type AuditCheck } from '../../simulator/audit/audit-findings.ts';
import { findingJson } from '../../library/boot-json.ts';
import { checkState, type BootOutcome } from '../../library/boot-outcome.ts';
import {
  STAGE_ENDS,
  checkLines,
  countLines,
  linkLines,
  memoryLines,
} from '../../library/boot-report.ts';
import { plural } from '../usage.ts';
import { isAudited, type PcStage } from '../../flow/pc-stages.ts';
import type { PcRequest } from './pc-options.ts';
import { pcSummary, type PcOutcome } from '../../library/pc-outcome.ts';

/** How an owner of the PC has ended, in words. */
const ENDS: Readonly<Record<PcStage['end'], string>> = {
  ...STAGE_ENDS,
  running: 'still has the PC',
};

/** What the command knows besides: its files, its link, and the time of the wall. */
export interface PcRunOutcome
  extends PcOutcome, Pick<BootOutcome, 'link' | 'traceFailure' | 'captureFailure'> {
  readonly wallMs: number;
}

/** An owner of the PC has gone, or was there at the end. */
export function stageText({ name, end, findings }: PcStage): string {
  if (!isAudited({ end })) return `${name} ${ENDS[end]}`;
  const count = (wanted: string): number =>
    findings.filter(({ severity }) => severity === wanted).length;
  const warnings = plural(count('warning'), 'warning');
  return `${name} ${ENDS[end]}: ${plural(count('error'), 'error')}, ${warnings}`;
}

/** Lines of the report; the last one is the verdict. */
export function pcReport(outcome: PcRunOutcome): string[] {
  const { verdict, stages, endMs, instructions, wallMs, screen } = outcome;
  const audited = stages.some(isAudited);
  const times = `${(endMs / 1000).toFixed(3)} s of the PC, ${(wallMs / 1000).toFixed(1)} s here`;
  return [
    '',
    ...(verdict === 'clean' ? [] : screenLines(screen)),
    ...linkLines(outcome),
    ...(audited ? ['audit    of all handoffs', ...checkLines(outcome)] : []),
    ...memoryLines(outcome),
    ...stages.map((stage, i) => {
      const at = (stage.endedAt / TICKS_PER_MS).toFixed(3);
      return `${(i === 0 ? 'stages ' : '').padEnd(9)}${stageText(stage)}, at ${at} ms`;
    }),
    // Without a look at the hypervisor all that counts is what the emulator does for itself
    ...(outcome.untouched ? [] : countLines(outcome)),
    `         ${times}, ${instructions.toFixed(0)} million instructions`,
    '',
    `verdict: ${verdict}: ${pcSummary(outcome)}`,
  ];
}

/** The last that a console showed. */
export function screenLines(screen: readonly string[]): string[] {
  if (screen.length === 0) return ['screen   empty'];
  return screen.map((line, i) => `${(i === 0 ? 'screen ' : '').padEnd(9)}${line}`);
}

/** The document as text. What is not known is null. */
export function pcJson(request: PcRequest, outcome: PcRunOutcome, exitCode: number): string {
  const { program, host, knobs, seed, nics, memoryMiB, faults, served, link } = request;
  const { verdict, findings, notRun, stages, ...rest } = outcome;
  const document = {
    verdict,
    summary: pcSummary(outcome),
    exitCode,
    request: { program, host, knobs, seed, nics, memoryMiB, faults, bootFile: served.name, link },
    ...rest,
    stages: stages.map(({ endedAt, ...stage }) => ({
      ...stage,
      endedMs: endedAt / TICKS_PER_MS,
      findings: stage.findings.map(findingJson),
    })),
    checks: (Object.keys(AUDIT_CHECKS) as AuditCheck[]).map((name) => ({
      ...{ name, ...AUDIT_CHECKS[name], state: checkState({ findings, notRun }, name) },
      findings: findings.filter(({ check }) => check === name).map(findingJson),
    })),
  };
  return JSON.stringify(document, (_, value: unknown) => value ?? null, 2);
}
