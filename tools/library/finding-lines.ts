// SPDX-License-Identifier: GPL-2.0-or-later

/** Findings of an audit as text for people: the same one on many processors is said once. */

import { PAGE_SIZE } from '../../src/machine.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { hex } from '../simulator/base/hex.ts';
import { plural } from './plural.ts';

/** Runs of pages, or of processors, listed for one finding. */
const RUNS_LISTED_MAX = 4;

/** Where the texts of findings begin. */
const INDENT = ' '.repeat(13);

/** Lines of findings, in their order; those that differ only in the processor are one. */
export function findingLines(findings: readonly Finding[]): string[] {
  const folded = new Map<string, Finding[]>();
  for (const finding of findings) {
    const key = finding.vp === undefined ? `${folded.size}` : withoutVp(finding);
    const same = folded.get(key);
    if (same === undefined) folded.set(key, [finding]);
    else same.push(finding);
  }
  return [...folded.values()].flatMap(foldedLines);
}

/** What findings on several processors have in common. */
function withoutVp({ severity, check, text, pages }: Finding): string {
  const general = text.replace(/\bVP [0-9]+/, 'VP').replace(/\b0x[0-9a-f]+/g, '0x');
  return `vp ${severity} ${check} ${pages?.reserved} ${general}`;
}

/** The first of them whole, and on which processors it is the same. */
function foldedLines([first, ...others]: readonly Finding[]): string[] {
  const { severity, text, pages } = first!;
  const lines = [`${INDENT}${severity}: ${text}`];
  if (pages !== undefined) lines.push(...pageLines(pages));
  if (others.length === 0) return lines;
  const vps = listed(others.map(({ vp }) => vp!));
  const shared = others.reduce((sum, other) => sum + (other.pages?.pages.length ?? 0), 0);
  const more = shared === 0 ? '' : `, ${plural(shared, 'page')}`;
  return [...lines, `${INDENT}  the same on ${plural(others.length, 'more VP')}: ${vps}${more}`];
}

function pageLines(pages: NonNullable<Finding['pages']>): string[] {
  const runs = runsOf(pages.pages, PAGE_SIZE).map(
    ({ from, to }) => `[${hex(from)},${hex(to + PAGE_SIZE)})`,
  );
  const lines = [
    `${plural(pages.pages.length, 'page')}: ${shortened(runs)}`,
    `what for: ${pages.purpose}`,
  ];
  // What only the guest has reserved nobody has shared
  if (pages.sharedBy !== '') {
    lines.push(`shared by ${pages.sharedBy} at ${(pages.sharedAt / TICKS_PER_MS).toFixed(3)} ms`);
    lines.push(`would have been revoked by ${pages.revokedWith}`);
  }
  if (pages.reserved) lines.push('reserved in the memory map: lost, but safe');
  return lines.map((line) => `${INDENT}  ${line}`);
}

/** Numbers as `1 to 3, 7`. */
function listed(numbers: readonly number[]): string {
  const runs = runsOf(numbers, 1);
  return shortened(runs.map(({ from, to }) => (from === to ? `${from}` : `${from} to ${to}`)));
}

function shortened(texts: readonly string[]): string {
  const more = texts.length > RUNS_LISTED_MAX ? ', …' : '';
  return texts.slice(0, RUNS_LISTED_MAX).join(', ') + more;
}

/** Neighbours, `step` apart, together: from the first to the last of each run. */
function runsOf(numbers: readonly number[], step: number): { from: number; to: number }[] {
  const runs: { from: number; to: number }[] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last !== undefined && last.to + step === number) last.to = number;
    else runs.push({ from: number, to: number });
  }
  return runs;
}
