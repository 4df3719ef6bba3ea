// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a simulated NIC is plugged into. The random numbers are the machine's; so
 * is the clock, unless the link is a real one, that brings the time of its network.
 */

import type { VirtualClock, WallSource } from '../base/clock.ts';
import type { Random } from '../base/random.ts';

/** The machine's end, as a link sees it. */
export interface LinkHost {
  readonly clock: VirtualClock;
  readonly random: Random;
  /** Index of the NIC, from 0. */
  readonly nic: number;
  /** MAC address of the NIC, 6 bytes. */
  readonly address: Uint8Array;
  /** A frame for the guest. The bytes are copied before the call returns. */
  deliver(frame: Uint8Array): void;
  /** The link goes up or down. It starts up. */
  setLinkState(up: boolean): void;
}

/** A link: carries Ethernet frames (without check sequence) between one NIC and something else. */
export interface Link {
  /**
   * Of a link to a real network: the time that passes there. The machine then goes by it, and asks
   * it for what has come in. Without one the machine's time is virtual.
   */
  readonly wall?: WallSource;
  /**
   * Frames that were lost, changed or very late on the way, in both directions, and requests of the
   * guest that a server has refused: who has no network then may blame the link for it. Left out by
   * links that cannot tell.
   */
  readonly harmed?: number;
  /** Called once, before anything else, by the machine that the link is given to. */
  connect(host: LinkHost): void;
  /** A frame from the guest. `frame` is valid only during the call. */
  transmit(frame: Uint8Array): void;
}
