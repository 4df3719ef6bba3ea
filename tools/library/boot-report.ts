// SPDX-License-Identifier: GPL-2.0-or-later

/** What a boot came to, as text for people. */

import type { StageEnd } from '../flow/stage.ts';
import { AUDIT_CHECKS, type AuditCheck, type Finding } from '../simulator/audit/audit-findings.ts';
import { hex } from '../simulator/base/hex.ts';
import {
  checkState,
  endText,
  summary,
  type Audited,
  type BootOutcome,
  type OutcomePush,
} from './boot-outcome.ts';
import { findingLines } from './finding-lines.ts';
import { plural } from './plural.ts';

/** Lines of the report; the last one is the verdict. */
export function bootReport(outcome: BootOutcome): string[] {
  return [
    '',
    ...imageLines(outcome),
    ...pushLines(outcome.pushes),
    ...linkLines(outcome),
    ...errorLines(outcome),
    ...auditLines(outcome),
    ...memoryLines(outcome),
    ...nextLines(outcome),
    ...stageLines(outcome),
    ...countLines(outcome, '-v, --trace'),
    '',
    `verdict: ${outcome.verdict}: ${summary(outcome)}`,
  ];
}

function imageLines({ served, image }: BootOutcome): string[] {
  if (served.sha256 === undefined) {
    if (image === undefined) return [];
    const what = `${image.name}, ${plural(image.length, 'byte')}`;
    const where = `at ${hex(image.address)}, over ${image.device}`;
    const unknown = `         ${where}: give FILE to compare it`;
    return [`image    ${what}`, `  in RAM sha256 ${image.sha256}`, unknown];
  }
  const lines = [
    `image    ${served.name}, ${plural(served.length, 'byte')}`,
    `  served sha256 ${served.sha256}`,
  ];
  if (image === undefined) return [...lines, '  in RAM nothing'];
  const place = `at ${hex(image.address)}, over ${image.device}`;
  const length = image.length === served.length ? '' : `, but ${plural(image.length, 'byte')}`;
  return [
    ...lines,
    `  in RAM sha256 ${image.sha256}`,
    `         ${image.equal ? 'equal' : 'DIFFERENT'}, ${place}${length}`,
  ];
}

function pushLines(pushes: readonly OutcomePush[]): string[] {
  return pushes.flatMap((push) => {
    const { name, length, outcome, reason, repeated, ms, sha256, equal } = push;
    const rate = ms === 0 ? '' : ` (${(length / 2 ** 20 / (ms / 1000)).toFixed(1)} MiB/s)`;
    const took = outcome === 'copied' ? `, in ${ms.toFixed(3)} ms of virtual time${rate}` : '';
    const again = repeated === 0 ? '' : `, ${repeated} fragments sent again`;
    const why = reason === '' ? '' : `: ${reason}`;
    const state = equal === undefined ? 'not in RAM' : equal ? 'equal in RAM' : 'DIFFERENT in RAM';
    return [
      `pushed   ${name}, ${length} bytes, ${outcome}${why}${took}${again}`,
      `         sha256 ${sha256} ${state}`,
    ];
  });
}

/** What went over a real link. */
export function linkLines({ link }: Pick<BootOutcome, 'link'>): string[] {
  if (link === undefined) return [];
  const { framesToPeer, framesToGuest, framesDropped, failure } = link;
  const lines = [
    `link     ${plural(framesToPeer, 'frame')} out, ${framesToGuest} in, ${framesDropped} dropped`,
  ];
  if (failure !== undefined) {
    lines.push(`         ${failure.name}: ${failure.text}`, `         ${failure.advice}`);
  }
  return lines;
}

function errorLines({ error, attempts, ended }: BootOutcome): string[] {
  const lines: string[] = [];
  if (error !== undefined) {
    lines.push(`error    ${error.name}: ${error.text}`);
    if (error.advice !== '') lines.push(`         ${error.advice}`);
  }
  for (const { device, name, text } of attempts) {
    if (name === error?.name && text === error.text) continue;
    lines.push(`         on ${device}: ${name}: ${text}`);
  }
  if (ended?.stack !== undefined) {
    lines.push(`ended    ${endText(ended)}`);
    for (const line of stackLines(ended.stack)) lines.push(`         ${line}`);
  }
  return lines;
}

/** A place in hypxe itself: in what is built for the worker, or in the sources. */
const OWN_PLACE = /\b(?:boot-worker|simulator|shared-[A-Z0-9]+)\.js|tools\/flow\//;

/** Places of a stack trace, down to where the simulator called the firmware. */
function stackLines(stack: string | undefined): string[] {
  const places = (stack ?? '').split('\n').filter((line) => /^ *at /.test(line));
  const called = places.findIndex((line) => OWN_PLACE.test(line));
  return places.slice(0, called < 0 ? undefined : called).map((line) => line.trim());
}

function auditLines(outcome: BootOutcome): string[] {
  // A guest whose worker is gone left nothing to look at
  if (outcome.handoffMs === undefined) return [];
  const when = outcome.ended?.guest === 'firmware' ? 'what was left' : 'the handoff';
  return [`audit    of ${when} at ${outcome.handoffMs.toFixed(3)} ms`, ...checkLines(outcome)];
}

/** All checks of the audit, each with its findings. */
export function checkLines(outcome: Audited): string[] {
  const lines: string[] = [];
  for (const check of Object.keys(AUDIT_CHECKS) as AuditCheck[]) {
    const { number, text } = AUDIT_CHECKS[check];
    const state = checkState(outcome, check);
    // A check is named by what must hold: where it does not, the line must not say that it does
    const failed = state === 'error' || state === 'warning';
    const [shown, not] = failed ? [state.toUpperCase(), 'not so: '] : [state, ''];
    lines.push(`  ${shown.padEnd(7)} ${String(number).padStart(2)} ${not}${text}`);
    lines.push(...findingLines(outcome.findings.filter((finding) => finding.check === check)));
  }
  return lines;
}

/** The memory map that was handed on. */
export function memoryLines({ memoryMap }: Pick<BootOutcome, 'memoryMap'>): string[] {
  return memoryMap.map(({ address, length, type, purpose }, i) => {
    const head = i === 0 ? 'memory ' : '';
    const what = purpose === undefined ? '' : `: ${purpose}`;
    return `${head.padEnd(9)}[${hex(address)},${hex(address + length)}) ${type}${what}`;
  });
}

function nextLines({ os, secondBoot }: BootOutcome): string[] {
  const lines: string[] = [];
  if (os !== undefined) {
    const version = os.vmbusVersion === undefined ? 'no connection' : `VMBus ${os.vmbusVersion}`;
    lines.push(`OS       ${version}${os.error === undefined ? '' : `: ${os.error}`}`);
    for (const { name, sent, received, error } of os.nics) {
      const state = error ?? `${plural(sent, 'frame')} sent, ${received} received`;
      lines.push(`         ${name}: ${state}`);
    }
  }
  if (secondBoot !== undefined) lines.push(`again    second boot: ${secondBoot}`);
  return lines;
}

/** How an owner of the machine has ended, in words. */
export const STAGE_ENDS: Readonly<Record<StageEnd, string>> = {
  handoff: 'handed over',
  quiesce: 'quiesced',
  kexec: 'handed over',
  crash: 'crashed',
  panic: 'panicked',
  'power-off': 'was reset',
  shutdown: 'shut down',
};

/** Who had the machine, one after the other: only of flows that go beyond the usual one. */
function stageLines({ stages }: BootOutcome): string[] {
  if (stages.length <= 2) return [];
  return stages.map(({ name, end, endedMs, findings, os }, i) => {
    const count = (of: (finding: Finding) => boolean): number => findings.filter(of).length;
    const known = count((finding) => finding.known !== undefined);
    const parts = [
      os?.vmbusVersion === undefined ? '' : `VMBus ${os.vmbusVersion}`,
      os === undefined || os.processors.length < 2 ? '' : `${os.processors.length} processors`,
      plural(
        count(({ severity }) => severity === 'error'),
        'error',
      ),
      known === 0 ? '' : `${known} findings of the known hole of a crash`,
    ];
    const head = i === 0 ? 'stages ' : '';
    const what = parts.filter((part) => part !== '').join(', ');
    return `${head.padEnd(9)}${name} ${STAGE_ENDS[end]} at ${endedMs.toFixed(3)} ms: ${what}`;
  });
}

/** What had happened. @param tells options with which the command tells of each violation */
export function countLines(
  { counts, vmbusVersions }: Pick<BootOutcome, 'counts' | 'vmbusVersions'>,
  tells = '--trace',
): string[] {
  if (counts === undefined) return [];
  const { hypercalls, registerAccesses, pauses, framesFromGuest, framesToGuest } = counts;
  const accesses = plural(registerAccesses, 'register access', 'register accesses');
  const lines = [
    `counts   up to the handoff: ${accesses}, ${plural(hypercalls, 'hypercall')}, ` +
      plural(pauses, 'pause'),
    `         ${plural(framesFromGuest, 'frame')} out, ${framesToGuest} in, ` +
      `${counts.framesDropped} dropped`,
  ];
  if (counts.violations > 0) {
    const text = plural(counts.violations, 'violation');
    lines.push(`         ${text} of the protocols that the host put up with (see ${tells})`);
  }
  if (vmbusVersions.length > 0) lines.push(`         VMBus ${vmbusVersions.join(', then ')}`);
  return lines;
}
