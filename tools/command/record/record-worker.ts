// SPDX-License-Identifier: GPL-2.0-or-later

/** The worker in which a session is recorded: a guest that hangs is ended from outside. */

import * as path from 'node:path';
import { cellJob, post as tell } from '../../guests/cell/cell-port.ts';
import { BadGuest } from '../../guests/guest-program.ts';
import { guestRam } from '../../guests/guest-ram.ts';
import { loadGuest } from '../../guests/load-guest.ts';
import { parsePlan } from '../../explore/plan.ts';
import { withFaults } from '../../explore/recorded-faults.ts';
import type { LinuxName } from '../../os/os-versions.ts';
import { recordBootSession } from '../../record/boot-session.ts';
import { RECORD_MEMORY, recordHostSession } from '../../record/host-session.ts';
import { recordOsSession } from '../../record/os-session.ts';
import type { RecordedSession } from '../../record/record.ts';
import type { SessionNetworkOptions } from '../../record/session-network.ts';
import type { SessionSurroundings } from '../../record/session-surroundings.ts';
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
  /** The loaded OS that is recorded instead. */
  readonly linux: LinuxName | undefined;
  readonly nics: number;
  readonly processors: number;
  /** What the network is like. */
  readonly network: SessionNetworkOptions;
  /** What goes wrong. */
  readonly plan: string | undefined;
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

const { firmware: file, defects, linux, plan, ...host } = cellJob<RecordJob>();

function post(message: RecordMessage): void {
  tell(message);
}

function referenceGuest(which: readonly Defect[]): Driver {
  const names = which.length === DEFECTS.length ? 'iPXE' : which.join(', ');
  const firmware = referenceFirmware(which) as Firmware;
  return { firmware, memory: guestRam(RECORD_MEMORY), driver: `reference guest (${names})` };
}

/** A guest, to be recorded in its surroundings. */
type Recording = (around: SessionSurroundings) => RecordedSession;

const { profile, seed } = host;

/** @throws UsageError BadFirmware */
async function loaded(): Promise<readonly [driver: string, recording: Recording]> {
  const advice = 'Run npm run build, or give --firmware a bundle that exports createDriver.';
  try {
    const program = await loadGuest(file);
    const driver = path.basename(file);
    if (!program.drives && !program.boots) {
      throw new UsageError('BadFirmware', withoutDrivers(program), advice);
    }
    const guest = await program.instantiate(RECORD_MEMORY);
    if (!program.drives)
      return [driver, (around) => recordBootSession({ ...around, guest, profile, seed, driver })];
    const { memory } = guest;
    const drives = { firmware: guest as Firmware, memory, driver, profile, seed };
    return [driver, (around) => recordHostSession({ ...around, ...drives })];
  } catch (error) {
    if (!(error instanceof BadGuest)) throw error;
    throw new UsageError('BadFirmware', error.message, error.advice || advice);
  }
}

/** What is recorded, by its name. @throws UsageError BadFirmware */
async function chosen(): Promise<readonly [driver: string, recording: Recording]> {
  if (linux !== undefined)
    return [linux, (around) => recordOsSession({ ...around, linux, profile, seed })];
  if (defects === undefined) return loaded();
  const guest = referenceGuest(defects);
  // Frames that wait are what one of the defects is about
  const drives = { ...guest, profile, seed, burst: true };
  return [guest.driver, (around) => recordHostSession({ ...around, ...drives })];
}

try {
  const [driver, recording] = await chosen();
  const { nics, processors, network } = host;
  const faults = plan === undefined ? { network } : withFaults(parsePlan(plan), network);
  post({ kind: 'loaded' });
  const { text, events, ended } = recording({ nics, processors, ...faults });
  const { length } = events;
  const why = ended === undefined ? undefined : String(ended);
  const parts = textParts(text);
  post({ kind: 'recorded', parts, events: length, driver, ended: why });
} catch (error) {
  post(workerFailure(error));
}
