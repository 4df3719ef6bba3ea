// SPDX-License-Identifier: GPL-2.0-or-later

/** What went over a link. */
export interface LinkCounts {
  readonly framesToGuest: number;
  readonly framesToPeer: number;
  /** Runts, and what found no room. */
  readonly framesDropped: number;
}
