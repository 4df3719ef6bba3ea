// SPDX-License-Identifier: GPL-2.0-or-later

/** What a boot came to, as plain data: it crosses from the worker, and `--json` prints it. */

import type { MemoryRange } from '../../src/machine.ts';
import type { GuestEnd, Verdict } from '../flow/boot-flow.ts';
import type { MachineCounts } from '../flow/counts.ts';
import type { StageEnd } from '../flow/stage.ts';
import type { LinkCounts } from '../links/link-counts.ts';
import type { OsNic } from '../os/loaded-os.ts';
import type { AuditCheck, Finding } from '../simulator/audit/audit-findings.ts';
import type { PushOutcome } from '../simulator/services/index.ts';
import { Exit, type ExitCode } from './exit.ts';
import { plural } from './plural.ts';

/** An error of the firmware: its name, what was seen, and what to do. */
export interface OutcomeError {
  readonly name: string;
  readonly text: string;
  readonly advice: string;
}

/** An OS: what it agreed on with the host, and what it could do. */
export interface OutcomeOs {
  readonly vmbusVersion: string | undefined;
  readonly error: string | undefined;
  readonly nics: readonly OsNic[];
  /** Processor that it started on, and those that it used. */
  readonly vp: number;
  readonly processors: readonly number[];
}

/** What became of a pushed file: plain data. */
export interface OutcomePush {
  /** Path in the guest. */
  readonly name: string;
  readonly length: number;
  /** `waiting`: the guest never asked for it. */
  readonly outcome: PushOutcome | 'waiting';
  /** Why it was not copied, or ''. */
  readonly reason: string;
  /** Fragments that were sent more than once. */
  readonly repeated: number;
  /** Virtual time that it took, in ms. */
  readonly ms: number;
  readonly sha256: string;
  /** Whether what lies in guest RAM is the same; undefined if it does not lie there any more. */
  readonly equal: boolean | undefined;
}

/** One owner of the machine. */
export interface OutcomeStage {
  readonly name: string;
  readonly end: StageEnd;
  /** When it ended, in ms of virtual time. */
  readonly endedMs: number;
  readonly findings: readonly Finding[];
  readonly os: OutcomeOs | undefined;
}

export interface BootOutcome {
  readonly verdict: Verdict | 'interrupted';
  /** Of a boot that was interrupted: what was done until then. */
  readonly interrupted?: string;
  readonly served: {
    readonly name: string;
    readonly length: number;
    /** Undefined if it never came to serving, or somebody else has served it. */
    readonly sha256: string | undefined;
  };
  /** What lies in guest RAM after the handoff; undefined if nothing was booted. */
  readonly image:
    | {
        readonly name: string;
        readonly address: number;
        readonly length: number;
        /** The network device that it came over. */
        readonly device: string;
        readonly sha256: string;
        /** Whether it is what was served; undefined if nobody here knows what was. */
        readonly equal: boolean | undefined;
      }
    | undefined;
  /** What became of the files that the host pushed. */
  readonly pushes: readonly OutcomePush[];
  /** Why nothing was booted, and what went wrong on each device that was tried. */
  readonly error: OutcomeError | undefined;
  readonly attempts: readonly ({ readonly device: string } & OutcomeError)[];
  readonly ended: GuestEnd | undefined;
  /** VMBus versions that the firmware agreed on, in order. */
  readonly vmbusVersions: readonly string[];
  readonly findings: readonly Finding[];
  readonly notRun: readonly AuditCheck[];
  /** The memory map that was handed on. */
  readonly memoryMap: readonly MemoryRange[];
  /** The owners of the machine, in order, without the second boot. */
  readonly stages: readonly OutcomeStage[];
  /** The first OS. */
  readonly os: OutcomeOs | undefined;
  readonly secondBoot: 'booted' | 'failed' | undefined;
  /** What had happened up to the handoff. */
  readonly counts: MachineCounts | undefined;
  /** What went over a real link, and why it was lost; undefined without one. */
  readonly link: (LinkCounts & { readonly failure: OutcomeError | undefined }) | undefined;
  /** Virtual time of the handoff and of the end, in ms. */
  readonly handoffMs: number | undefined;
  readonly endMs: number | undefined;
  /** Why the trace file is incomplete. */
  readonly traceFailure: string | undefined;
  /** Why the capture is incomplete. */
  readonly captureFailure: string | undefined;
  /** Why the session is not there. */
  readonly sessionFailure: string | undefined;
}

/** `ok`, the worst severity of its findings, or `not run`. */
export type CheckState = 'ok' | 'info' | 'warning' | 'error' | 'not run';

/** What an audit came to. */
export type Audited = Pick<BootOutcome, 'findings' | 'notRun'>;

/** How a check of the audit ended. */
export function checkState(outcome: Audited, check: AuditCheck): CheckState {
  const severities = outcome.findings
    .filter((finding) => finding.check === check)
    .map(({ severity }) => severity);
  for (const severity of ['error', 'warning'] as const) {
    if (severities.includes(severity)) return severity;
  }
  // Why it had no occasion is information
  if (outcome.notRun.includes(check)) return 'not run';
  return severities.includes('info') ? 'info' : 'ok';
}

/** The verdict in one sentence. */
export function summary(outcome: BootOutcome): string {
  const { verdict, findings, error, ended, image } = outcome;
  const count = (severity: string): number =>
    findings.filter((finding) => finding.severity === severity).length;
  const warnings = count('warning') === 0 ? '' : `, ${plural(count('warning'), 'warning')}`;
  switch (verdict) {
    case 'clean':
      return `the host has nothing of this guest any more${warnings}`;
    case 'refused':
      return `the firmware does not run on this host (${error?.name ?? 'no reason given'})`;
    case 'findings': {
      const parts: string[] = [];
      if (image === undefined)
        parts.push(`nothing was booted (${error?.name ?? 'no reason given'})`);
      else if (image.equal === false) parts.push('the image in RAM is not what was served');
      const bad = outcome.pushes.find((p) => p.outcome !== 'copied' || p.equal === false);
      if (bad?.equal === false) parts.push(`${bad.name} in RAM is not what was pushed`);
      else if (bad !== undefined) parts.push(`${bad.name} was pushed in vain (${bad.outcome})`);
      parts.push(`the audit has ${plural(count('error'), 'error')}${warnings}`);
      return parts.join('; ');
    }
    case 'interrupted':
      return outcome.interrupted ?? '';
    default:
      return ended === undefined ? '' : endText(ended);
  }
}

/** How a guest ended, in words. */
export function endText({ guest, kind, text }: GuestEnd): string {
  const said = { crash: 'crashed:', hang: 'hangs:', thrown: 'threw' };
  const did = kind === 'out-of-memory' ? 'is out of memory:' : said[kind];
  return `the ${guest} ${did} ${text}`;
}

const EXIT_CODES: Readonly<Record<BootOutcome['verdict'], ExitCode>> = {
  clean: Exit.CLEAN,
  findings: Exit.FINDINGS,
  crash: Exit.CRASH,
  hang: Exit.CRASH,
  'out-of-memory': Exit.CRASH,
  refused: Exit.REFUSED,
  interrupted: Exit.INTERRUPTED,
};

/** The exit code of a boot. */
export function bootExit({ verdict }: Pick<BootOutcome, 'verdict'>): ExitCode {
  return EXIT_CODES[verdict];
}
