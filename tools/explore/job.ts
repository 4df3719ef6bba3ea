// SPDX-License-Identifier: GPL-2.0-or-later

/** What an exploration's workers and whoever starts them say to each other. */

import type { LinuxName } from '../os/os-versions.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import type { PlaceCounts } from './exploration.ts';
import type { Architecture, NetworkHabits, RunOutcome } from './run.ts';
import type { TallyData } from './tally.ts';

/** Words of the shared memory. */
export const Shared = {
  /** Counted up with every call of the seam. */
  HEARTBEAT: 0,
  /** Position in the worker's part of the list. */
  POSITION: 1,
  /** Not 0: stop after this run. */
  STOP: 2,
  WORDS: 3,
} as const;

/** Bytes for the text of a plan: that of the longest walk fits many times. */
export const PLAN_TEXT_MAX = 1024;

/** Write the text of the plan that is about to be run: ASCII, ended by a 0. */
export function storeText(into: Uint8Array, text: string): void {
  const length = Math.min(text.length, into.length - 1);
  for (let i = 0; i < length; i++) into[i] = text.charCodeAt(i);
  into[length] = 0;
}

/** Read it from another thread. */
export function loadText(from: Uint8Array): string {
  const end = from.indexOf(0);
  return String.fromCharCode(...from.slice(0, end));
}

/** What a worker shall do. */
export interface ExploreJob {
  readonly firmware: string;
  /** The one that takes what the host pushes. */
  readonly pushFirmware: string;
  readonly host: HostProfile;
  readonly architecture: Architecture;
  readonly network: NetworkHabits;
  /** Which OS had the machine before each run, if one had. */
  readonly after: LinuxName | undefined;
  readonly seed: number;
  readonly walks: number;
  readonly only: string | undefined;
  /** One run instead of many: the text of its plan. */
  readonly plan: string | undefined;
  /** The runs at these positions of the list: `first`, `first + step`, ... */
  readonly first: number;
  readonly step: number;
  /** ... up to, and without, this one. */
  readonly end: number | undefined;
  readonly shared: Int32Array;
  /** Shared memory for the text of the plan that is being run. */
  readonly text: Uint8Array;
}

/** What a worker posts. */
export type ExploreMessage =
  | {
      /** The list is known. */
      readonly kind: 'ready';
      readonly total: number;
      readonly singles: number;
      readonly places: PlaceCounts;
      readonly fingerprint: string;
      readonly firmware: string;
    }
  | { readonly kind: 'progress'; readonly next: number; readonly tally: TallyData }
  | { readonly kind: 'done'; readonly complete: boolean; readonly tally: TallyData }
  | { readonly kind: 'outcome'; readonly outcome: RunOutcome }
  | {
      readonly kind: 'failed';
      /** HostRefused, BrokenFirmware; any other is a mistake in the exploration itself. */
      readonly name: string;
      readonly text: string;
      readonly stack: string | undefined;
    };
