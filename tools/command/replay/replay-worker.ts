// SPDX-License-Identifier: GPL-2.0-or-later

/** The worker in which sessions are replayed: a firmware that hangs is ended from outside. */

import { basename } from 'node:path';
import { DEFECTS } from '../../reference/index.ts';
import { cellJob, post as tell } from '../../guests/cell/cell-port.ts';
import { BadGuest, type GuestProgram } from '../../guests/guest-program.ts';
import { loadGuest } from '../../guests/load-guest.ts';
import type { Firmware } from '../../replay/firmware.ts';
import { replayMemoryBytes } from '../../replay/replay-machine.ts';
import { replayTrace } from '../../replay/replay.ts';
import { failureText, reportJson, reportText } from '../../replay/report.ts';
import type { WantedFiles } from '../boot/run-files.ts';
import { withoutDrivers } from '../guest-options.ts';
import { textParts } from '../shape.ts';
import { UsageError } from '../usage.ts';
import { readTrace } from './read-session.ts';
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
  /** The firmware's module has been loaded: from now on the time is the firmware's. */
  | { readonly kind: 'loaded' }
  | {
      readonly kind: 'replayed';
      readonly ok: boolean;
      readonly text: string;
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
  if (program.drives) return program;
  const driver = 'Replay a driver: it exports hypxe_probe.';
  const instead = program.kind === 'wasm' ? driver : advice;
  throw new UsageError('BadFirmware', withoutDrivers(program), instead);
}

try {
  const program = await loadFirmware();
  post({ kind: 'loaded' });
  for (const trace of traces) {
    const recorded = readTrace(trace);
    const guest = await program.instantiate(replayMemoryBytes(recorded));
    const writes = wanted.trace !== undefined || wanted.pcap !== undefined;
    const named = [recorded.scenario, basename(file), guest.memory] as const;
    const files = writes ? new ReplayFiles(wanted, ...named) : undefined;
    const result = replayTrace(guest as Firmware, recorded, guest.memory, DEFECTS, files?.watch);
    const failures = files?.end(result.failures.map(failureText));
    const parts = json ? textParts(JSON.stringify(reportJson(result))) : [];
    const text = reportText(result, { verbose });
    post({ kind: 'replayed', ok: result.ok, text, json: parts, ...failures });
  }
  post({ kind: 'done' });
} catch (error) {
  post(workerFailure(error));
}
