// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The replay: runs a firmware on a recorded session and compares. Each difference is on the list of
 * deliberate differences, or it is a failure.
 */

import { compareSteps } from './compare.ts';
import type { Difference, KindCount, StepItems } from './compare.ts';
import { DIFFERENCES } from './differences.ts';
import type { DeliberateDifference, ReplayContext } from './differences.ts';
import type { Firmware } from './firmware.ts';
import { readRecording } from './recording.ts';
import { ReplaySession } from './session.ts';
import type { SessionLog } from './session.ts';
import type { TraceFile } from './trace-file.ts';

/** A deliberate difference as it was met in a replay. */
export interface MetDifference {
  readonly entry: DeliberateDifference;
  readonly differences: readonly Difference[];
}

/** A difference that nothing explains, or that more than one entry claims. */
export interface Failure {
  readonly difference: Difference;
  /** Entries that claim it, if several do. */
  readonly claims: readonly string[];
}

/** What a replay found. */
export interface ReplayResult {
  readonly scenario: string;
  readonly description: string;
  readonly driver: string;
  /** No failures, and every step could be driven. */
  readonly ok: boolean;
  /** The recording holds only the beginning: what comes after was not compared. */
  readonly truncated: boolean;
  readonly steps: number;
  readonly counts: readonly KindCount[];
  readonly deliberate: readonly MetDifference[];
  readonly failures: readonly Failure[];
  /** Steps that the replay cannot drive. */
  readonly unsupported: readonly string[];
  /** Of the file: counts or digest do not match. */
  readonly warnings: readonly string[];
  /** Of the host: what it could not repeat. */
  readonly notes: readonly string[];
  /** What the driver logged. */
  readonly log: readonly SessionLog[];
}

/** Sort differences into deliberate ones and failures. */
function judge(
  differences: readonly Difference[],
  trace: TraceFile,
): Pick<ReplayResult, 'deliberate' | 'failures'> {
  const met = new Map<DeliberateDifference, Difference[]>();
  const failures: Failure[] = [];
  const context: ReplayContext = { trace, differences };
  for (const difference of differences) {
    const claims = DIFFERENCES.filter((entry) => entry.matches?.(difference, context) === true);
    const [entry] = claims;
    if (entry === undefined || claims.length > 1) {
      failures.push({ difference, claims: claims.map((claim) => claim.id) });
      continue;
    }
    const list = met.get(entry) ?? [];
    if (list.length === 0) met.set(entry, list);
    list.push(difference);
  }
  const deliberate = [...met].map(([entry, list]) => ({ entry, differences: list }));
  return { deliberate, failures };
}

/**
 * Replay a recorded session.
 *
 * @param firmware the sources or a bundle: whatever exports `createDriver`.
 */
export function replayTrace(firmware: Firmware, trace: TraceFile): ReplayResult {
  const recording = readRecording(trace);
  const session = new ReplaySession(firmware, trace);
  const steps: StepItems[] = [];
  for (const step of recording) {
    const { index, name, items: expected } = step;
    const over = session.machine.stopped !== undefined;
    steps.push({ index, name, expected, actual: over ? [] : session.run(step) });
  }
  const { counts, differences } = compareSteps(steps);
  const { deliberate, failures } = judge(differences, trace);
  const { unsupported, log } = session;
  return {
    scenario: trace.scenario,
    description: trace.description,
    driver: trace.driver,
    ok: failures.length === 0 && unsupported.length === 0,
    truncated: trace.truncated,
    steps: recording.length,
    counts,
    deliberate,
    failures,
    unsupported,
    warnings: trace.warnings,
    notes: session.machine.notes,
    log,
  };
}
