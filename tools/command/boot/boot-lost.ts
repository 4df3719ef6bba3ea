// SPDX-License-Identifier: GPL-2.0-or-later

/** Outcomes of boots that nobody could tell of to the end. */

import type { GuestEnd } from '../../flow/boot-flow.ts';
import type { BootOutcome } from '../../library/boot-outcome.ts';
import { AUDIT_CHECKS, type AuditCheck } from '../../simulator/audit/audit-findings.ts';
import { plural } from '../usage.ts';
import type { BootRequest } from './boot-options.ts';
import { PART } from './output-file.ts';

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
    sessionFailure: request.record === undefined ? undefined : LOST_SESSION,
  };
}

const LOST_SESSION =
  'the firmware was ended from outside, and what it did is lost with its process. ' +
  'explore --record writes runs of a firmware down that it ends by itself';

/**
 * The outcome of a boot that somebody has interrupted, after some time of the wall.
 *
 * @param outputs the files that were asked for, and of which there is a part
 */
export function interruptedOutcome(
  request: BootRequest,
  ms: number,
  received: number,
  outputs: readonly string[],
): BootOutcome {
  const ended = { guest: 'firmware', kind: 'hang', text: '', stack: undefined } as const;
  const parts = outputs.map((file) => file + PART).join(' and ');
  const cut = outputs.length === 0 ? '' : `; what there is of it is in ${parts}`;
  const got = received === 0 ? 'nothing received' : `${plural(received, 'byte')} received`;
  return {
    ...lostOutcome(request, ended),
    verdict: 'interrupted',
    interrupted: `after ${(ms / 1000).toFixed(1)} s, ${got}${cut}`,
    ended: undefined,
  };
}
