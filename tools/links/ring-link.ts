// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The guest's end of a real link: frames go into one ring and come out of another, and the thread
 * at their other end owns the socket. Nothing here waits for an event loop: the guest is polled.
 */

import type { Link, LinkHost } from '../simulator/network/link.ts';
import type { WallSource } from '../simulator/base/clock.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { FrameRing } from './frame-ring.ts';

/** Frames that one poll takes: a flood must not keep the guest from running. */
const POLL_FRAMES_MAX = 64;

/** Longest wait at once, in milliseconds: a sign of life is given after each. */
const WAIT_MAX_MS = 50;

/** What the guest's thread needs to have of a link. Goes to it as it is. */
export interface RingLinkEnds {
  /** Memory of the rings, named by where their frames go. */
  readonly toGuest: SharedArrayBuffer;
  readonly toPeer: SharedArrayBuffer;
}

export interface RingLinkOptions extends RingLinkEnds {
  /** Wakes the other thread: there is a frame for it. */
  readonly ring: () => void;
  /** Called after each wait. */
  readonly alive?: () => void;
}

export class RingLink implements Link {
  readonly wall: WallSource = this.#makeWall();
  readonly #toGuest: FrameRing;
  readonly #toPeer: FrameRing;
  readonly #ring: () => void;
  readonly #alive: () => void;
  readonly #deliver = (frame: Uint8Array): void => this.#host?.deliver(frame);
  #host: LinkHost | undefined;
  #up = true;
  /** Ticks that passed without the wall's doing: see {@link #makeWall}. */
  #skipped = 0;

  constructor({ toGuest, toPeer, ring, alive }: RingLinkOptions) {
    this.#toGuest = new FrameRing(toGuest);
    this.#toPeer = new FrameRing(toPeer);
    this.#ring = ring;
    this.#alive = alive ?? (() => undefined);
  }

  connect(host: LinkHost): void {
    this.#host = host;
  }

  transmit(frame: Uint8Array): void {
    if (this.#toPeer.push(frame) && this.#toPeer.takeSleeper()) this.#ring();
  }

  /** Once the cable is out nobody is waited for any more: time passes as fast as the guest asks. */
  #makeWall(): WallSource {
    return {
      now: () => Math.floor(performance.now() * TICKS_PER_MS) + this.#skipped,
      poll: () => this.#poll(),
      wait: (ticks) => {
        if (this.#up) this.#toGuest.wait(Math.min(ticks / TICKS_PER_MS, WAIT_MAX_MS));
        else this.#skipped += ticks;
        this.#alive();
      },
    };
  }

  #poll(): boolean {
    if (this.#host === undefined) return false;
    let count = 0;
    while (count < POLL_FRAMES_MAX && this.#toGuest.pull(this.#deliver)) count++;
    // Nobody is at the other end any more: the cable is out
    if (count === 0 && this.#up && this.#toGuest.closed && this.#toGuest.empty) {
      this.#up = false;
      this.#host.setLinkState(false);
    }
    return count > 0;
  }
}
