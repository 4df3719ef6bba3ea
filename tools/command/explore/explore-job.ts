// SPDX-License-Identifier: GPL-2.0-or-later

/** What an exploration's workers and whoever starts them say to each other. */

import type { LinuxName } from '../../os/os-versions.ts';
import type { HostProfile } from '../../simulator/profiles/profile.ts';
import type { PlaceCounts, Shard } from '../../explore/exploration.ts';
import type { Architecture, NetworkHabits, RunOutcome } from '../../explore/run.ts';
import type { WantedFiles } from '../boot/run-files.ts';
import type { WorkerFailure } from '../worker-failure.ts';
import type { TallyData } from '../../explore/tally.ts';

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
  /** That one is written down as a session. */
  readonly record: boolean;
  /** ... and as a trace and a capture. */
  readonly files: WantedFiles;
  /** Its story has all there is. */
  readonly verbose: boolean;
  readonly shard: Shard;
  /** The runs that are made as these of the shard ({@link runAt}): `first`, `first + step`, ... */
  readonly first: number;
  readonly step: number;
  /** ... up to, and without, this one. */
  readonly end: number | undefined;
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
  | {
      readonly kind: 'progress';
      /** The first run that was not made, and what was counted since the last message. */
      readonly next: number;
      readonly tally: TallyData;
    }
  | { readonly kind: 'done'; readonly next: number; readonly tally: TallyData }
  | {
      readonly kind: 'outcome';
      readonly outcome: RunOutcome;
      /** The session, in parts; undefined if none was to be written down, or there was none. */
      readonly session: readonly string[] | undefined;
      /** Why a file of it is incomplete. */
      readonly traceFailure?: string | undefined;
      readonly captureFailure?: string | undefined;
    }
  /** Of the story of one run. */
  | { readonly kind: 'line'; readonly text: string }
  /** HostRefused, BrokenFirmware; without a code any other is a mistake in the exploration. */
  | WorkerFailure;
