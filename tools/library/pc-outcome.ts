// SPDX-License-Identifier: GPL-2.0-or-later

/** What a run of a PC came to, as plain data: it comes from the worker, and `--json` prints it. */

import { isAudited } from '../flow/pc-stages.ts';
import type { PcReport } from '../flow/pc-flow.ts';
import type { PcEnd, PcVerdict } from '../flow/pc-verdict.ts';
import type { BootOutcome } from './boot-outcome.ts';
import { Exit, type ExitCode } from './exit.ts';
import { plural } from './plural.ts';

export interface PcOutcome extends Pick<
  BootOutcome,
  'findings' | 'notRun' | 'memoryMap' | 'counts'
> {
  readonly verdict: PcVerdict;
  readonly end: PcEnd;
  /** More of it, in words. */
  readonly text: string;
  /** The boot program runs. */
  readonly booted: boolean;
  /** Nobody has used the hypervisor's interface. */
  readonly untouched: boolean;
  readonly vmbusVersions: readonly string[];
  /** Versions of VMBus that were asked for, if the host has refused all of them; else none. */
  readonly refusedVersions: readonly string[];
  readonly stages: PcReport['stages'];
  /** Time of the PC. */
  readonly endMs: number;
  /** In millions. */
  readonly instructions: number;
  /** Accesses to registers of the hypervisor, but for its clock, and hypercalls. */
  readonly touches: number;
  readonly screen: readonly string[];
  /** All lines that the console has shown, as far as they are kept. */
  readonly console: readonly string[];
}

const CODES: Readonly<Record<PcVerdict, ExitCode>> = {
  clean: Exit.CLEAN,
  findings: Exit.FINDINGS,
  refused: Exit.REFUSED,
  crash: Exit.CRASH,
  hang: Exit.CRASH,
  interrupted: Exit.INTERRUPTED,
};

/** The exit code of `hypxe pc`. */
export function pcExit({ verdict }: Pick<PcOutcome, 'verdict'>): ExitCode {
  return CODES[verdict];
}

const ENDS: Readonly<Record<PcEnd, string>> = {
  booted: 'the boot program runs',
  script: 'the script is at its end',
  silent: 'nothing was booted: nothing has come from the PC for',
  loop: 'the program loops: nothing has come of',
  repeats: 'the program repeats itself: it has shown nothing new for',
  halted: 'the processor has halted:',
  'triple-fault': 'the processor met a triple fault',
  fault: 'the processor met a fault that the emulator does not raise,',
  emulator: 'the emulator cannot go on:',
  reset: 'nothing was booted: the PC was reset:',
  time: 'the PC runs for more than',
  wall: 'the PC still ran',
  expected: 'the script of --expect:',
  interrupted: 'the PC still ran',
};

const NOTHING = 'nothing of this guest any more';
const NOTHING_OLD = 'nothing of those that have gone any more';

/** The verdict in one sentence. */
export function pcSummary(outcome: PcOutcome): string {
  const { verdict, end, text, untouched, findings, stages } = outcome;
  const count = (wanted: string): number =>
    findings.filter(({ severity }) => severity === wanted).length;
  const warnings = count('warning') === 0 ? '' : `, ${plural(count('warning'), 'warning')}`;
  const none = untouched ? 'no hypervisor interface was used, so nothing was shared' : undefined;
  if (verdict === 'clean') {
    if (none !== undefined) return none;
    const last = stages.at(-1);
    const running = last?.end === 'running' ? `, and ${last.name} still has the PC` : '';
    if (!stages.some(isAudited)) return `${ENDS[end]}${running}: nothing was audited`;
    const kept = last?.end === 'quiesce' ? 'only what the guest keeps on purpose' : NOTHING;
    return `the host has ${running === '' ? kept : NOTHING_OLD}${warnings}${running}`;
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
