// SPDX-License-Identifier: GPL-2.0-or-later

/** What a boot came to, as plain data: it crosses from the worker, and `--json` prints it. */

import type { MemoryRange } from '../../../src/machine.ts';
import type { GuestEnd, Verdict } from '../../flow/boot-flow.ts';
import type { MachineCounts } from '../../flow/counts.ts';
import type { StageEnd } from '../../flow/stage.ts';
import type { LinkCounts } from '../../links/stream-peer.ts';
import type { OsNic } from '../../os/loaded-os.ts';
import {
  AUDIT_CHECKS,
  type AuditCheck,
  type Finding,
} from '../../simulator/audit/audit-findings.ts';
import type { BootRequest } from './boot-options.ts';
import type { OutcomePush } from './push-run.ts';
import { plural } from '../usage.ts';
import { PART } from './output-file.ts';

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
}

/** The outcome of a boot whose worker is gone: all that is known is what was asked for. */
export function lostOutcome(request: BootRequest, ended: GuestEnd): BootOutcome {
  const { name, size } = request.served;
  return {
    verdict: ended.kind === 'thrown' ? 'crash' : ended.kind,
    served: { name, length: size, sha256: undefined },
    image: undefined,
    pushes: [],
    error: undefined,
    attempts: [],
    ended,
    vmbusVersions: [],
    findings: [],
    notRun: Object.keys(AUDIT_CHECKS) as AuditCheck[],
    memoryMap: [],
    stages: [],
    os: undefined,
    secondBoot: undefined,
    counts: undefined,
    link: undefined,
    handoffMs: undefined,
    endMs: undefined,
    traceFailure: undefined,
    captureFailure: undefined,
  };
}

/** The outcome of a boot that somebody has interrupted, after some time of the wall. */
export function interruptedOutcome(
  request: BootRequest,
  ms: number,
  received: number,
): BootOutcome {
  const ended = { guest: 'firmware', kind: 'hang', text: '', stack: undefined } as const;
  const { trace, pcap } = request;
  const files = [trace, pcap].filter((file) => file !== undefined);
  const parts = files.map((file) => file + PART).join(' and ');
  const cut = files.length === 0 ? '' : `; what there is of it is in ${parts}`;
  const got = received === 0 ? 'nothing received' : `${plural(received, 'byte')} received`;
  return {
    ...lostOutcome(request, ended),
    verdict: 'interrupted',
    interrupted: `after ${(ms / 1000).toFixed(1)} s, ${got}${cut}`,
    ended: undefined,
  };
}

/** `ok`, the worst severity of its findings, or `not run`. */
export type CheckState = 'ok' | 'info' | 'warning' | 'error' | 'not run';

/** How a check of the audit ended. */
export function checkState(outcome: BootOutcome, check: AuditCheck): CheckState {
  const severities = outcome.findings
    .filter((finding) => finding.check === check)
    .map(({ severity }) => severity);
  for (const severity of ['error', 'warning', 'info'] as const) {
    if (severities.includes(severity)) return severity;
  }
  return outcome.notRun.includes(check) ? 'not run' : 'ok';
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
