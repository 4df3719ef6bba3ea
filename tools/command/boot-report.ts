// SPDX-License-Identifier: GPL-2.0-or-later

/** What a boot came to, as text for people. */

import { AUDIT_CHECKS, type AuditCheck, type Finding } from '../simulator/audit.ts';
import type { BootOutcome } from './boot-run.ts';

/** Pages listed for one finding. */
const PAGES_LISTED_MAX = 4;

/** Lines of the report; the last one is the verdict. */
export function bootReport(outcome: BootOutcome): string[] {
  return [
    '',
    ...imageLines(outcome),
    ...errorLines(outcome),
    ...auditLines(outcome),
    ...nextLines(outcome),
    countLine(outcome),
    '',
    verdictLine(outcome),
  ];
}

function imageLines({ served, image }: BootOutcome): string[] {
  const lines = [`image     ${served.name}, ${served.length} bytes`];
  lines.push(`  served  sha256 ${served.sha256}`);
  if (image === undefined) return [...lines, '  in RAM  nothing'];
  lines.push(`  in RAM  sha256 ${image.sha256} at 0x${image.address.toString(16)}`);
  lines.push(`          ${image.equal ? 'equal' : 'DIFFERENT'}`);
  return lines;
}

function errorLines({ error, ended }: BootOutcome): string[] {
  const lines: string[] = [];
  if (error !== undefined) {
    lines.push(`error     ${error.name}: ${error.text}`, `          ${error.advice}`);
  }
  if (ended !== undefined) lines.push(`ended     ${ended.guest}: ${ended.text}`);
  return lines;
}

function auditLines({ findings, reserved, os, secondBoot }: BootOutcome): string[] {
  const lines = ['audit'];
  for (const check of Object.keys(AUDIT_CHECKS) as AuditCheck[]) {
    const mine = findings.filter((finding) => finding.check === check);
    const skipped =
      (os === undefined && (check === 'next-os' || check === 'late-writes')) ||
      (secondBoot === undefined && check === 'second-boot');
    const state = mine.length === 0 ? (skipped ? 'not run' : 'ok') : worst(mine);
    lines.push(`  ${state.padEnd(8)}${AUDIT_CHECKS[check].text}`);
    for (const finding of mine) lines.push(...findingLines(finding));
  }
  for (const { address, length, purpose } of reserved) {
    const end = address + length;
    lines.push(`  reserved [0x${address.toString(16)},0x${end.toString(16)}) ${purpose}`);
  }
  return lines;
}

function worst(findings: readonly Finding[]): string {
  const severities = findings.map(({ severity }) => severity);
  if (severities.includes('error')) return 'ERROR';
  return severities.includes('warning') ? 'warning' : 'info';
}

function findingLines({ severity, text, pages }: Finding): string[] {
  const lines = [`            ${severity}: ${text}`];
  if (pages === undefined) return lines;
  const listed = pages.pages.slice(0, PAGES_LISTED_MAX).map((page) => `0x${page.toString(16)}`);
  const more = pages.pages.length > PAGES_LISTED_MAX ? ', …' : '';
  const when = (pages.sharedAt / 10_000).toFixed(3);
  lines.push(`              ${pages.pages.length} pages: ${listed.join(', ')}${more}`);
  lines.push(`              shared by ${pages.sharedBy} at ${when} ms`);
  lines.push(`              would have been revoked by ${pages.revokedWith}`);
  if (pages.reserved) lines.push('              reserved in the memory map: lost, but safe');
  return lines;
}

function nextLines({ os, secondBoot }: BootOutcome): string[] {
  const lines: string[] = [];
  if (os !== undefined) {
    lines.push(
      `OS        VMBus ${os.vmbusVersion}${os.error === undefined ? '' : `, ${os.error}`}`,
    );
    for (const { name, sent, received, error } of os.nics) {
      const state = error ?? `${sent} frames sent, ${received} received`;
      lines.push(`          ${name}: ${state}`);
    }
  }
  if (secondBoot !== undefined) lines.push(`again     second boot: ${secondBoot}`);
  return lines;
}

function countLine({ counts }: BootOutcome): string {
  const { handoffMs, hypercalls, framesToGuest, framesFromGuest, framesDropped } = counts;
  const frames = `${framesFromGuest} frames out, ${framesToGuest} in, ${framesDropped} dropped`;
  return `counts    handoff at ${handoffMs.toFixed(3)} ms; ${hypercalls} hypercalls, ${frames}`;
}

function verdictLine({ verdict, findings, error, ended }: BootOutcome): string {
  const count = (severity: string): number =>
    findings.filter((finding) => finding.severity === severity).length;
  switch (verdict) {
    case 'clean': {
      const warnings = count('warning');
      const but = warnings === 0 ? '' : ` (${warnings} warnings)`;
      return `verdict: clean${but}: the host has nothing of this guest any more`;
    }
    case 'refused':
      return `verdict: refused: ${error?.name ?? ''}: the firmware does not run on this host`;
    case 'findings': {
      const errors = count('error');
      const failed = error === undefined ? '' : `boot failed with ${error.name}; `;
      return `verdict: findings: ${failed}${errors} errors, ${count('warning')} warnings`;
    }
    default:
      return `verdict: ${verdict}: ${ended?.text ?? ''}`;
  }
}
