// SPDX-License-Identifier: GPL-2.0-or-later

/** What a run of a PC comes to, from how it ended and what the audit found. */

import type { Finding } from '../simulator/audit/audit-findings.ts';

/** Why a run ended. */
export type PcEnd =
  /** The boot program of the network runs, or the script is at its end. */
  | 'booted'
  | 'script'
  /** For a long time nothing has come from the PC, though time went on. */
  | 'silent'
  /** It computes, and nothing comes of it; or it shows the same again and again. */
  | 'loop'
  | 'repeats'
  /** The processor has halted, has met a fault that it cannot handle, was reset. */
  | 'halted'
  | 'triple-fault'
  | 'reset'
  /** A fault that the emulator does not raise; what else it does not have. */
  | 'fault'
  | 'emulator'
  /** The time is over: that of the PC, or that of the wall's clock, which no two runs share. */
  | 'time'
  | 'wall'
  /** A text of the script has not come, or cannot be typed. */
  | 'expected'
  /** Somebody has interrupted it. */
  | 'interrupted';

export type PcVerdict = 'clean' | 'findings' | 'refused' | 'crash' | 'hang' | 'interrupted';

/** What the verdict is made of. */
export interface PcJudged {
  readonly end: PcEnd;
  /** The boot program runs. */
  readonly booted: boolean;
  /** Versions of VMBus that were asked for, if the host has refused all of them; else none. */
  readonly refusedVersions: readonly number[];
  readonly findings: readonly Finding[];
}

/** The verdict of a run. `strict`: warnings count. */
export function pcVerdict(judged: PcJudged, strict: boolean): PcVerdict {
  const { end, booted, refusedVersions, findings } = judged;
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
    case 'fault':
    case 'emulator':
      return 'crash';
    case 'expected':
      return 'findings';
    default:
      if (refusedVersions.length > 0 && !booted) return 'refused';
      return end === 'silent' || end === 'reset' ? 'findings' : 'hang';
  }
}
