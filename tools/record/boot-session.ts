// SPDX-License-Identifier: GPL-2.0-or-later

/** A session of a whole firmware without drivers that could be called: its boot, as one step. */

import { machineFor } from '../guests/guest-machine.ts';
import type { GuestInstance } from '../guests/guest-program.ts';
import type { PageAllocator } from '../../src/memory/allocator.ts';
import { errorText } from '../replay/firmware.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import { GuestRecorder } from './guest-recorder.ts';
import type { RecordedSession } from './record.ts';
import { SessionNetwork } from './session-network.ts';
import { described, type SessionSurroundings } from './session-surroundings.ts';

/** What is recorded. */
export interface BootSession extends SessionSurroundings {
  readonly guest: GuestInstance;
  readonly profile: HostProfile;
  readonly seed: number;
  readonly driver: string;
}

/** A guest's pages, of which some cannot be had. */
function failing(own: PageAllocator, refuses: (purpose: string) => boolean): PageAllocator {
  return {
    allocate: (length, align, purpose) =>
      refuses(purpose) ? undefined : own.allocate(length, align, purpose),
    free: (address, length, purpose) => own.free(address, length, purpose),
  };
}

/** Record a boot. What the guest does wrong is in it; only a mistake of ours is thrown. */
export function recordBootSession(session: BootSession): RecordedSession {
  const { guest, profile, seed, driver, processors = 1, nics = 1 } = session;
  const network = new SessionNetwork(nics, session.network);
  const { links } = network;
  const machine = machineFor(guest, { profile, links, seed, processors });
  network.start(machine, seed);
  const faults = session.faults?.(machine, network.network);
  const recorder = new GuestRecorder();
  recorder.on(machine);
  const recorded = recorder.wrap(guest);
  const given = faults && {
    cancel: faults.cancel,
    pages: (own: PageAllocator) => failing(own, faults.refuses),
  };
  let ended: unknown;
  try {
    recorded.boot!(faults?.seam ?? machine.bootSeam, { ...given });
  } catch (error) {
    if (errorText(error).startsWith('crash')) ended = error;
  }
  const [only] = recorder.sessions;
  const { events } = only!.recorder.tap;
  return { text: recorder.text(only!, { ...described(session), driver }), events, ended };
}
