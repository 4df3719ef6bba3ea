// SPDX-License-Identifier: GPL-2.0-or-later

/** What a run of a PC came to, as plain data: it comes from the worker, and `--json` prints it. */

import type { PcEnd, PcReport } from '../../flow/pc-flow.ts';
import type { BootOutcome } from '../../library/boot-outcome.ts';
import { Exit, plural, type ExitCode } from '../usage.ts';

export type PcVerdict = 'clean' | 'findings' | 'refused' | 'crash' | 'hang' | 'interrupted';

export interface PcOutcome extends Pick<
  BootOutcome,
  'findings' | 'notRun' | 'memoryMap' | 'counts' | 'link' | 'traceFailure' | 'captureFailure'
> {
  readonly verdict: PcVerdict;
  readonly end: PcEnd;
  readonly text: string;
  readonly booted: boolean;
  readonly untouched: boolean;
  readonly vmbusVersions: readonly string[];
  readonly refusedVersions: readonly string[];
  readonly stages: PcReport['stages'];
  readonly endMs: number;
  /** In millions. */
  readonly instructions: number;
  /** Time of the wall. */
  readonly wallMs: number;
  readonly screen: readonly string[];
  /** All lines that the console has shown, as far as they are kept. */
  readonly console: readonly string[];
}

/** The verdict of a run. `strict`: warnings count. */
export function verdictOf(report: PcReport, strict: boolean): PcVerdict {
  const { end, booted, refusedVersions, findings } = report;
  const bad = findings.some(
    ({ severity }) => severity === 'error' || (strict && severity === 'warning'),
  );
  switch (end) {
    case 'interrupted':
      return 'interrupted';
    case 'booted':
    case 'script':
      return bad ? 'findings' : 'clean';
    case 'triple-fault':
      return 'crash';
    case 'expected':
      return 'findings';
    default:
      if (refusedVersions.length > 0 && !booted) return 'refused';
      return end === 'silent' || end === 'reset' ? 'findings' : 'hang';
  }
}

export const CODES: Readonly<Record<PcVerdict, ExitCode>> = {
  clean: Exit.CLEAN,
  findings: Exit.FINDINGS,
  refused: Exit.REFUSED,
  crash: Exit.CRASH,
  hang: Exit.CRASH,
  interrupted: Exit.INTERRUPTED,
};

const ENDS: Readonly<Record<PcEnd, string>> = {
  booted: 'the boot program runs',
  script: 'the script is at its end',
  silent: 'nothing was booted: nothing has come from the PC for',
  loop: 'the program loops: nothing has come of',
  halted: 'the processor has halted:',
  'triple-fault': 'the processor met a fault that it could not handle:',
  reset: 'nothing was booted: the PC was reset:',
  time: 'the PC runs for more than',
  expected: 'the script of --expect:',
  interrupted: 'interrupted',
};

/** The verdict in one sentence. */
export function pcSummary(outcome: PcOutcome): string {
  const { verdict, end, text, untouched, findings } = outcome;
  const count = (wanted: string): number =>
    findings.filter(({ severity }) => severity === wanted).length;
  const warnings = count('warning') === 0 ? '' : `, ${plural(count('warning'), 'warning')}`;
  const none = untouched ? 'no hypervisor interface was used, so nothing was shared' : undefined;
  if (verdict === 'clean') {
    return none ?? `the host has nothing of this guest any more${warnings}`;
  }
  if (verdict === 'refused') {
    const versions = outcome.refusedVersions.join(' and ');
    return `the program does not run on this host, which refuses VMBus ${versions}`;
  }
  const parts = [`${ENDS[end]} ${text}`.trimEnd()];
  if (none !== undefined) parts.push(none);
  else if (verdict === 'findings') {
    parts.push(`the audit has ${plural(count('error'), 'error')}${warnings}`);
  }
  return parts.join('; ');
}
