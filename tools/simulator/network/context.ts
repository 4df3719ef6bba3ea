// SPDX-License-Identifier: GPL-2.0-or-later

/** What all parts of one network share. */

import type { VirtualClock } from '../base/clock.ts';
import type { Frame } from './frame.ts';
import { FramePool } from './frame.ts';
import type { DropReason, NetworkStatistics } from './statistics.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Gets a line for people and the time in ticks. */
export type NetworkLog = (text: string, now: number) => void;

export class NetworkContext {
  readonly clock: VirtualClock;
  readonly pool = new FramePool();
  readonly statistics: NetworkStatistics;
  readonly #log: NetworkLog | undefined;

  constructor(clock: VirtualClock, statistics: NetworkStatistics, log: NetworkLog | undefined) {
    this.clock = clock;
    this.statistics = statistics;
    this.#log = log;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.clock, this.pool, this.statistics);
  }

  /** Whether somebody reads the log: ask before building a line. */
  get logging(): boolean {
    return this.#log !== undefined;
  }

  log(text: string): void {
    this.#log?.(text, this.clock.now);
  }

  /** Count a drop. */
  count(reason: DropReason): void {
    const { drops } = this.statistics;
    drops[reason] = (drops[reason] ?? 0) + 1;
  }

  /** Count a drop and give the frame back. */
  drop(reason: DropReason, frame: Frame): void {
    this.count(reason);
    this.pool.give(frame);
  }
}
