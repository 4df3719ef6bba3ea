// SPDX-License-Identifier: GPL-2.0-or-later

/** What the network device says of itself: to the audit, the flows and tests. */

import type { VfState } from './virtual-function.ts';

/** What happened to frames and packets since the device was made. */
export interface NetVspStatistics {
  /** Frames of the guest that went to the link, and of the link that the guest was sent. */
  framesFromGuest: number;
  framesToGuest: number;
  /** Frames of either side that were lost, and why the last one was. */
  framesDropped: number;
  lastDrop: string;
  /** Things that the guest did wrong. */
  violations: number;
  /** Completions written to the guest, and of the guest. */
  completions: number;
  guestCompletions: number;
  /**
   * Received packets that were never completed: of those that the guest closed the channel upon
   * though it had read all of them, that it had completed a later one than, and the others, which
   * ended with the connection or the device or had not been read.
   */
  uncompletedAtClose: number;
  uncompletedSkipped: number;
  uncompletedOtherwise: number;
}

/** The device's state at this moment. */
export interface NetVspState {
  readonly open: boolean;
  /** NVSP version, or 0. */
  readonly version: number;
  readonly initialised: boolean;
  /** Packet filter as the guest has set it. */
  readonly filter: number;
  readonly linkUp: boolean;
  readonly sections: number;
  readonly sectionsInUse: number;
  /** Transfer-page packets that the guest has not completed. */
  readonly outstanding: number;
  /** Those of them that are older than one that it has completed. */
  readonly skipped: number;
  /** Packets of the guest that the device has not completed. */
  readonly inFlight: number;
  /** Answers to the host's keepalives. */
  readonly keepaliveAnswers: number;
  /** Sub-channels that were offered, and those that carry frames: all or none. */
  readonly subchannels: number;
  readonly subchannelsActive: number;
  /** What the guest was told of a virtual function, and which path it has chosen. */
  readonly virtualFunction: VfState;
  readonly dataPath: 'synthetic' | 'vf';
}
