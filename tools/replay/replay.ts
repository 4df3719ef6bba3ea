// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The replay: runs a firmware on a recorded session and compares. Each difference is on the list of
 * deliberate differences, or it is a failure.
 */

import { compareSteps } from './compare.ts';
import type { KindCount, StepItems } from './compare.ts';
import { ReplayContext } from './differences/entry.ts';
import type { Firmware } from './firmware.ts';
import { judge } from './judge.ts';
import type { Failure, MetDifference } from './judge.ts';
import { readRecording } from './recording.ts';
import { guestRam } from '../guests/guest-ram.ts';
import { replayMemoryBytes } from './replay-machine.ts';
import { ReplaySession } from './session.ts';
import type { SessionLog } from './session.ts';
import type { TraceFile } from './trace-file.ts';

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

/**
 * Replay a recorded session.
 *
 * @param firmware the sources or a bundle: whatever exports `createDriver`.
 * @param memory the guest's RAM, of {@link replayMemoryBytes}
 */
export function replayTrace(
  firmware: Firmware,
  trace: TraceFile,
  memory: ArrayBufferLike = guestRam(replayMemoryBytes(trace)),
): ReplayResult {
  const recording = readRecording(trace);
  const session = new ReplaySession(firmware, trace, memory);
  const steps: StepItems[] = [];
  for (const step of recording) {
    const { index, name, items: expected } = step;
    const over = session.machine.stopped !== undefined;
    steps.push({ index, name, expected, actual: over ? [] : session.run(step) });
  }
  const { counts, differences } = compareSteps(steps);
  const { machine } = session;
  const context = new ReplayContext(trace.events, recording, differences, machine.written);
  const deferredUpTo = (last: number): number =>
    recording
      .slice(0, last + 1)
      .flatMap((step) => step.items)
      .filter((item) => item.kind === 'completion' && item.fields[1]!.text === 'deferred').length;
  const { deliberate, failures } = judge(differences, context, deferredUpTo);
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
    notes: machine.notes,
    log,
  };
}
