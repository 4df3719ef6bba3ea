// SPDX-License-Identifier: GPL-2.0-or-later

/** A session of the loaded OS: boot, an address for each NIC, shutdown, as one step. */

import { guestRam } from '../guests/guest-ram.ts';
import { machineFor } from '../guests/guest-machine.ts';
import { runLoadedOs, type OsReport } from '../os/loaded-os.ts';
import type { LinuxName } from '../os/os-versions.ts';
import { hexNumber } from '../replay/hex.ts';
import { errorText } from '../replay/firmware.ts';
import { LOADED_OS } from '../replay/recorded-step.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import { RECORD_MEMORY } from './host-session.ts';
import type { RecordedSession } from './record.ts';
import { Recorder } from './recorder.ts';
import { sessionText } from './session-text.ts';
import { SessionNetwork } from './session-network.ts';
import { described, tapOf, type SessionSurroundings } from './session-surroundings.ts';

/** What is recorded. */
export interface OsSession extends SessionSurroundings {
  readonly linux: LinuxName;
  readonly profile: HostProfile;
  readonly seed: number;
}

/** What the report of an OS says of how it came up, as the result of its step. */
function resultOf({ error, nics }: OsReport): string {
  return error ?? nics.find((nic) => nic.error !== undefined)?.error ?? 'OK';
}

/**
 * Record the OS on the processor that it starts on: it has no other one. What is wrong with it is
 * in the session; only a mistake of ours is thrown.
 */
export function recordOsSession(session: OsSession): RecordedSession {
  const { linux, profile, seed, nics = 1 } = session;
  const network = new SessionNetwork(nics, session.network);
  const guest = { memory: guestRam(RECORD_MEMORY), image: [] };
  const machine = machineFor(guest, { profile, links: network.links, seed });
  network.start(machine, seed);
  const faults = session.faults?.(machine, network.network);
  const recorder = new Recorder(faults?.seam ?? machine.bootProcessor, tapOf(machine), true);
  const { tap } = recorder;
  const run = (): OsReport =>
    runLoadedOs({
      machine: tap,
      memoryMap: machine.bootSeam.memoryMap,
      linux,
      onAllocate: (address, len) =>
        tap.emit({ op: 'page', purpose: linux, gpa: hexNumber(address), len, align: 4096 }),
    });
  let ended: unknown;
  try {
    recorder.step(LOADED_OS, run, resultOf);
  } catch (error) {
    // An OS that dies has its session until then
    if (errorText(error).startsWith('crash')) ended = error;
  }
  const { name, description, host } = described(session);
  const driver = `${linux} (loaded OS)`;
  const text = sessionText({ name, description, driver, host }, tap.events, RECORD_MEMORY);
  return { text, events: tap.events, ended };
}
