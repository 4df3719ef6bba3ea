// SPDX-License-Identifier: GPL-2.0-or-later

/** One direction of the wire between a guest and the switch: latency and faults. */

import { TICKS_PER_MS } from '../base/clock.ts';
import { Random } from '../base/random.ts';
import type { NetworkContext } from './context.ts';
import { corrupt } from './corruption.ts';
import type { DelayLine } from './delay-line.ts';
import type { DirectionFaults } from './faults.ts';
import { HOLD_TICKS } from './faults.ts';
import type { Frame, FrameSink } from './frame.ts';
import type { FaultCounters } from './statistics.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Streams of random numbers that a lane uses: one for each kind of fault. */
export const STREAMS_PER_LANE = 8;

/** What makes one lane different from another. */
export interface LaneOptions {
  readonly faults: DirectionFaults;
  readonly latencyTicks: number;
  /** Seed of the network, and the first of this lane's {@link STREAMS_PER_LANE} streams. */
  readonly seed: number;
  readonly stream: number;
  readonly counters: FaultCounters;
  readonly sink: FrameSink;
}

/** A delay of 1 s is one that guests may not wait for: their first retries come before it. */
const LATE_TICKS = 1000 * TICKS_PER_MS;

export class Lane implements FrameSink {
  readonly #context: NetworkContext;
  readonly #line: DelayLine;
  readonly #faults: DirectionFaults;
  readonly #faulty: boolean;
  readonly #latency: number;
  readonly #counters: FaultCounters;
  readonly #sink: FrameSink;
  readonly #loss: Random;
  readonly #corruption: Random;
  readonly #duplication: Random;
  readonly #reordering: Random;
  readonly #delay: Random;
  /** Frames that did not arrive as they were, or that came very late. */
  harmed = 0;
  /** Frame that is held back for the next one to overtake it. */
  #held: Frame | undefined;
  /** When the latest frame arrives that was not held back: none may arrive before it. */
  #lastDue = 0;

  constructor(context: NetworkContext, line: DelayLine, options: LaneOptions) {
    this.#context = context;
    this.#line = line;
    this.#faults = options.faults;
    this.#faulty = Object.values(options.faults).some((value) => value !== 0);
    this.#latency = options.latencyTicks;
    this.#counters = options.counters;
    this.#sink = options.sink;
    const { seed, stream } = options;
    this.#loss = new Random(seed, stream);
    this.#corruption = new Random(seed, stream + 1);
    this.#duplication = new Random(seed, stream + 2);
    this.#reordering = new Random(seed, stream + 3);
    this.#delay = new Random(seed, stream + 4);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.harmed, this.#held], (v) => ([this.harmed, this.#held] = v));
    keeper.put([this.#lastDue], (v) => ([this.#lastDue] = v));
    keeper.keep(this.#context, this.#line, this.#faults, this.#counters, this.#sink, this.#loss);
    keeper.keep(this.#corruption, this.#duplication, this.#reordering, this.#delay);
  }

  /** Send a frame; the lane owns it from here. */
  send(frame: Frame): void {
    const faults = this.#faults;
    const counters = this.#counters;
    counters.frames++;
    if (!this.#faulty) {
      this.#line.add(frame, this.#line.now + this.#latency, this);
      return;
    }

    if (this.#loss.chance(faults.loss)) {
      counters.lost++;
      this.harmed++;
      this.#context.pool.give(frame);
      return;
    }
    if (this.#corruption.chance(faults.corruption)) {
      counters.corrupted++;
      this.harmed++;
      if (!corrupt(frame, this.#corruption)) {
        this.#context.pool.give(frame);
        return;
      }
    }
    const copy = this.#duplication.chance(faults.duplication)
      ? this.#context.pool.copy(frame.contents)
      : undefined;
    this.#depart(frame);
    if (copy !== undefined) {
      counters.duplicated++;
      this.#depart(copy);
    }
  }

  arrive(frame: Frame): void {
    if (frame === this.#held) this.#held = undefined;
    this.#sink.arrive(frame);
  }

  /** Delay and order. */
  #depart(frame: Frame): void {
    const { delayTicks, jitterTicks, reordering } = this.#faults;
    const draw = this.#delay.below(2 * jitterTicks + 1);
    const delay = delayTicks - jitterTicks + draw;
    if (delay >= LATE_TICKS) this.harmed++;
    if (delay > 0) {
      this.#counters.delayed++;
      this.#counters.delayTicks += delay;
    }
    const due = Math.max(this.#line.now + this.#latency + delay, this.#lastDue);

    // Hold this one back, unless one is held back already: that one is overtaken now
    const hold = this.#reordering.chance(reordering);
    if (hold && this.#held === undefined) {
      this.#held = frame;
      this.#line.add(frame, due + HOLD_TICKS, this);
      return;
    }
    this.#line.add(frame, due, this);
    this.#lastDue = due;
    if (this.#held !== undefined) {
      const held = this.#held;
      this.#held = undefined;
      this.#line.remove(held);
      this.#line.add(held, due, this);
      this.#counters.reordered++;
    }
  }
}
