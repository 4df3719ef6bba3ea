// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A session on a simulated host: the steps that a guest is driven through, decided by a seed, and
 * the frames that come and go meanwhile.
 */

import { machineFor } from '../guests/guest-machine.ts';
import type { Firmware } from '../replay/firmware.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { Random } from '../simulator/base/random.ts';
import type { Link, LinkHost } from '../simulator/network/link.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import { recordSession, type RecordStep, type RecordedSession } from './record.ts';

/** Bytes of RAM of a recorded guest. */
export const RECORD_MEMORY = 16 << 20;

/** Turns of opening and closing, and frames in each. */
const ROUNDS_MAX = 3;
const FRAMES_MAX = 6;

/** Time that passes between steps, in ms. */
const SETTLE_MS = 3;

/** What is recorded. */
export interface HostSession {
  readonly firmware: Firmware;
  readonly memory: ArrayBufferLike;
  readonly profile: HostProfile;
  /** Decides the steps. */
  readonly seed: number;
  readonly driver: string;
}

/** Takes what the guest sends, and lets the host deliver what it is told to. */
class RecordLink implements Link {
  host: LinkHost | undefined;

  connect(host: LinkHost): void {
    this.host = host;
  }

  transmit(_frame: Uint8Array): void {}
}

/** A frame of some length. */
function frame(length: number, random: Random): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 7 + random.below(16)) & 0xff);
  bytes.fill(0xff, 0, 6);
  return bytes;
}

/** Steps of a session: probe, rounds of open, frames and close, quiesced in between, remove. */
function plan(random: Random, link: RecordLink): readonly RecordStep[] {
  const steps: RecordStep[] = [{ name: 'probe' }];
  const length = (): number => 14 + random.below(1501);
  for (let round = random.below(ROUNDS_MAX) + 1; round > 0; round--) {
    steps.push({ name: 'open', afterMs: SETTLE_MS });
    for (let i = random.below(FRAMES_MAX); i > 0; i--) {
      if (random.below(2) === 0) steps.push({ name: 'transmit', frame: frame(length(), random) });
      else {
        const sent = frame(length(), random);
        const before = (): void => link.host?.deliver(sent);
        steps.push({ name: 'poll', before, afterMs: SETTLE_MS });
      }
      steps.push({ name: 'poll', afterMs: SETTLE_MS });
    }
    if (random.below(3) === 0) {
      steps.push({ name: 'quiesce', afterMs: SETTLE_MS }, { name: 'unquiesce' });
      steps.push({ name: 'poll', afterMs: SETTLE_MS });
    }
    steps.push({ name: 'close', afterMs: SETTLE_MS });
  }
  return [...steps, { name: 'remove', afterMs: SETTLE_MS }];
}

/** Record a session. */
export function recordHostSession(session: HostSession): RecordedSession {
  const { firmware, memory, profile, seed, driver } = session;
  const link = new RecordLink();
  const machine = machineFor({ memory, image: [] }, { profile, links: [link], seed });
  return recordSession({
    machine: machine.bootProcessor,
    run: (ms) => machine.run(ms * TICKS_PER_MS),
    firmware,
    steps: plan(new Random(seed), link),
    name: `${profile.name}-${seed}`,
    description: `seed ${seed} on host ${profile.name}`,
    driver,
    host: { profile: profile.name, seed },
  });
}
