// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A session on a simulated host: the steps that a guest is driven through, decided by a seed, and
 * the frames that come and go meanwhile.
 */

import { machineFor } from '../guests/guest-machine.ts';
import type { Firmware } from '../replay/firmware.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { Random } from '../simulator/base/random.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import { recordSession, type RecordStep, type RecordedSession } from './record.ts';
import { discoverFrame, someFrame } from './session-frames.ts';
import { SessionNetwork } from './session-network.ts';
import { described, tapOf, type SessionSurroundings } from './session-surroundings.ts';

/** Bytes of RAM of a recorded guest. */
export const RECORD_MEMORY = 16 << 20;

/** Turns of opening and closing, and frames in each. */
const ROUNDS_MAX = 3;
const FRAMES_MAX = 6;

/** Frames of a burst: more than any preset has slots for. */
const BURST_FRAMES = 48;

/** Time that passes between steps, in ms. */
const SETTLE_MS = 3;

/** What is recorded. */
export interface HostSession extends SessionSurroundings {
  readonly firmware: Firmware;
  readonly memory: ArrayBufferLike;
  readonly profile: HostProfile;
  /** Decides the steps. */
  readonly seed: number;
  readonly driver: string;
  /** More frames than fit are sent at once, too: of a guest that may do wrong what must wait. */
  readonly burst?: boolean | undefined;
}

/** Steps of a burst: frames without time between them, and polls in which those go that wait. */
function burstSteps(): readonly RecordStep[] {
  const frame = new Uint8Array(60).fill(0xff, 0, 6);
  const sent = Array.from({ length: BURST_FRAMES }, () => ({ name: 'transmit', frame }) as const);
  const poll = { name: 'poll', afterMs: SETTLE_MS } as const;
  return [...sent, poll, poll];
}

/** Steps of a session: probe, rounds of open, frames and close, quiesced in between, remove. */
function plan(random: Random, network: SessionNetwork, burst: boolean): readonly RecordStep[] {
  const steps: RecordStep[] = [{ name: 'probe' }];
  const length = (): number => 14 + random.below(1501);
  for (let round = random.below(ROUNDS_MAX) + 1; round > 0; round--) {
    steps.push({ name: 'open', afterMs: SETTLE_MS });
    if (burst && steps.length === 2) steps.push(...burstSteps());
    for (let i = random.below(FRAMES_MAX); i > 0; i--) {
      const kind = random.below(5);
      if (kind === 0) {
        const frame = discoverFrame(network.guestAddress, random.u32());
        steps.push({ name: 'transmit', frame });
      } else if (kind < 3) {
        steps.push({ name: 'transmit', frame: someFrame(length(), random) });
      } else {
        const sent = someFrame(length(), random);
        steps.push({ name: 'poll', before: () => network.send(sent), afterMs: SETTLE_MS });
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
  const { firmware, memory, profile, seed, driver, processors = 1, nics = 1 } = session;
  const network = new SessionNetwork(nics, session.network);
  const { links } = network;
  const machine = machineFor({ memory, image: [] }, { profile, links, seed, processors });
  network.start(machine, seed);
  const faults = session.faults?.(machine, network.network);
  return recordSession({
    machine: faults?.seam ?? machine.bootProcessor,
    around: tapOf(machine),
    run: (ms) => machine.run(ms * TICKS_PER_MS),
    firmware,
    steps: plan(new Random(seed), network, session.burst === true),
    cancel: faults?.cancel,
    refuses: faults?.refuses,
    driver,
    ...described(session),
  });
}
