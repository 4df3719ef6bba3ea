// SPDX-License-Identifier: GPL-2.0-or-later

/** The worker in which sessions are replayed: a firmware that hangs is ended from outside. */

import { basename } from 'node:path';
import { cellJob, post as tell } from '../../guests/cell/cell-port.ts';
import { BadGuest, type GuestProgram } from '../../guests/guest-program.ts';
import { loadGuest } from '../../guests/load-guest.ts';
import { DEFECTS } from '../../reference/index.ts';
import type { Firmware } from '../../replay/firmware.ts';
import { replayMemoryBytes } from '../../replay/replay-machine.ts';
import { replayTrace } from '../../replay/replay.ts';
import { failureText, reportJson, reportText } from '../../replay/report.ts';
import type { TraceFile } from '../../replay/trace-file.ts';
import type { WantedFiles } from '../boot/run-files.ts';
import { withoutDrivers } from '../guest-options.ts';
import { textParts } from '../../guests/cell/cell-text.ts';
import { UsageError } from '../usage.ts';
import { isBoot, readTrace } from './read-session.ts';
import { ReplayFiles } from './replay-files.ts';
import { workerFailure, type WorkerFailure } from '../worker-failure.ts';

/** What the worker is given. */
export interface ReplayWorkerData {
  readonly firmware: string;
  readonly traces: readonly string[];
  readonly verbose: boolean;
  /** Whether JSON is wanted. */
  readonly json: boolean;
  /** What is written of the run: of one trace. */
  readonly files: WantedFiles;
}

/** What the worker posts: each replay as soon as it is over. */
export type ReplayMessage =
  /** The firmware's module has been loaded, and a session is read: that is our own time. */
  | { readonly kind: 'reads' }
  /** It is read: from now on the time is the firmware's. */
  | { readonly kind: 'read' }
  /** The firmware is through a session: what follows is our own time. */
  | { readonly kind: 'ran' }
  | {
      readonly kind: 'replayed';
      readonly ok: boolean;
      /** The report, in parts. */
      readonly text: readonly string[];
      /** If it is wanted, in parts: there may be many failures. */
      readonly json: readonly string[];
      /** Why a file of it is incomplete. */
      readonly traceFailure?: string | undefined;
      readonly captureFailure?: string | undefined;
    }
  | { readonly kind: 'done' }
  | WorkerFailure;

const { firmware: file, traces, verbose, json, files: wanted } = cellJob<ReplayWorkerData>();

function post(message: ReplayMessage): void {
  tell(message);
}

/** @throws UsageError BadFirmware */
async function loadFirmware(): Promise<GuestProgram> {
  const advice = 'Run npm run build, or give --firmware a bundle that exports createDriver.';
  let program: GuestProgram;
  try {
    program = await loadGuest(file);
  } catch (error) {
    if (!(error instanceof BadGuest)) throw error;
    throw new UsageError('BadFirmware', error.message, error.advice || advice);
  }
  return program;
}

/** A whole firmware is for sessions of a boot; for others it takes drivers. @throws UsageError */
function checkFits(program: GuestProgram, trace: TraceFile): void {
  if (program.drives || (isBoot(trace) && program.boots)) return;
  const driver = 'Replay a driver, which exports hypxe_probe, or a session of `boot --record`.';
  const advice = 'Give --firmware a bundle that exports createDriver.';
  const instead = program.kind === 'wasm' ? driver : advice;
  throw new UsageError('BadFirmware', withoutDrivers(program), instead);
}

try {
  const program = await loadFirmware();
  for (const trace of traces) {
    // It may come out of a pipe, in which there is nothing yet
    post({ kind: 'reads' });
    const recorded = readTrace(trace);
    post({ kind: 'read' });
    checkFits(program, recorded);
    const guest = await program.instantiate(replayMemoryBytes(recorded));
    const ran = (): void => post({ kind: 'ran' });
    const writes = wanted.trace !== undefined || wanted.pcap !== undefined;
    const named = [recorded.scenario, basename(file), guest.memory] as const;
    const files = writes ? new ReplayFiles(wanted, ...named) : undefined;
    const result = replayTrace(guest as Firmware, recorded, guest.memory, DEFECTS, {
      watch: files?.watch,
      ran,
    });
    const failures = files?.end(result.failures.map(failureText));
    const parts = json ? textParts(JSON.stringify(reportJson(result))) : [];
    const text = textParts(reportText(result, { verbose }));
    post({ kind: 'replayed', ok: result.ok, text, json: parts, ...failures });
  }
  post({ kind: 'done' });
} catch (error) {
  post(workerFailure(error));
}
