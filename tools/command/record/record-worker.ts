// SPDX-License-Identifier: GPL-2.0-or-later

/** The worker in which a session is recorded: a guest that hangs is ended from outside. */

import * as path from 'node:path';
import { cellJob, post as tell } from '../../guests/cell/cell-port.ts';
import { BadGuest } from '../../guests/guest-program.ts';
import { guestRam } from '../../guests/guest-ram.ts';
import { loadGuest } from '../../guests/load-guest.ts';
import { RECORD_MEMORY, recordHostSession } from '../../record/host-session.ts';
import { DEFECTS, referenceFirmware, type Defect } from '../../reference/index.ts';
import type { Firmware } from '../../replay/firmware.ts';
import type { HostProfile } from '../../simulator/profiles/profile.ts';
import { withoutDrivers } from '../guest-options.ts';
import { textParts } from '../../guests/cell/cell-text.ts';
import { UsageError } from '../usage.ts';
import { workerFailure, type WorkerFailure } from '../worker-failure.ts';

/** What the worker is given. */
export interface RecordJob {
  /** A bundle, or a driver in WebAssembly: an absolute path. */
  readonly firmware: string;
  /** Those of the reference guest that is recorded instead. */
  readonly defects: readonly Defect[] | undefined;
  readonly profile: HostProfile;
  /** Decides the steps. */
  readonly seed: number;
}

/** What the worker posts. */
export type RecordMessage =
  /** The firmware's module has been loaded: from now on the time is the firmware's. */
  | { readonly kind: 'loaded' }
  | {
      readonly kind: 'recorded';
      /** The session, in parts: a text may be long. */
      readonly parts: readonly string[];
      readonly events: number;
      readonly driver: string;
      /** How the guest ended, if it did not return. */
      readonly ended: string | undefined;
    }
  | WorkerFailure;

interface Driver {
  readonly firmware: Firmware;
  readonly memory: ArrayBufferLike;
  readonly driver: string;
}

const { firmware: file, defects, profile, seed } = cellJob<RecordJob>();

function post(message: RecordMessage): void {
  tell(message);
}

function referenceGuest(which: readonly Defect[]): Driver {
  const names = which.length === DEFECTS.length ? 'iPXE' : which.join(', ');
  const firmware = referenceFirmware(which) as Firmware;
  return { firmware, memory: guestRam(RECORD_MEMORY), driver: `reference guest (${names})` };
}

/** @throws UsageError BadFirmware */
async function loadDriver(): Promise<Driver> {
  const advice = 'Run npm run build, or give --firmware a bundle that exports createDriver.';
  try {
    const program = await loadGuest(file);
    if (!program.drives) {
      const driver = 'Record a driver: it exports hypxe_probe.';
      const instead = program.kind === 'wasm' ? driver : advice;
      throw new UsageError('BadFirmware', withoutDrivers(program), instead);
    }
    const guest = await program.instantiate(RECORD_MEMORY);
    return { firmware: guest as Firmware, memory: guest.memory, driver: path.basename(file) };
  } catch (error) {
    if (!(error instanceof BadGuest)) throw error;
    throw new UsageError('BadFirmware', error.message, error.advice || advice);
  }
}

try {
  const guest = defects === undefined ? await loadDriver() : referenceGuest(defects);
  post({ kind: 'loaded' });
  const { text, events, ended } = recordHostSession({ ...guest, profile, seed });
  const { length } = events;
  const why = ended === undefined ? undefined : String(ended);
  const parts = textParts(text);
  post({ kind: 'recorded', parts, events: length, driver: guest.driver, ended: why });
} catch (error) {
  post(workerFailure(error));
}
