// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The position in the recording. What the recorded driver did to the host (messages, packets,
 * register writes) are anchors: when the guest does the same, the host's events up to there have
 * happened. The guest may leave anchors out, do other things in between, and pause more or less
 * often: the host's events wait for the anchor before them and for the recorded delays, but not for
 * ever.
 */

import type { Item, ItemKind } from './item.ts';
import type { RecordedStep } from './recording.ts';
import type { TraceEvent } from './trace-events.ts';

/**
 * Pauses of the guest after which an anchor that it does not reach is given up. More than any habit
 * of polling, less than the driver's timeouts (1000).
 */
export const STALL_PAUSES_MAX = 64;

/** Kinds of items that are anchors. */
const ANCHOR_KINDS: readonly ItemKind[] = ['register', 'message', 'packet'];

/** A recorded action that the guest is expected to repeat. */
export interface Anchor {
  readonly item: Item;
  /** The guest has done it. */
  done: boolean;
}

/**
 * Lets a recorded event happen. `left`: it is an anchor that the guest has not done, and the replay
 * goes on without it.
 */
export type ApplyEvent = (event: TraceEvent, index: number, left: boolean) => void;

/** Position in a recording. */
export class Cursor {
  readonly #events: readonly TraceEvent[];
  readonly #apply: ApplyEvent;
  #anchors: Anchor[] = [];
  /** Anchors of the step by the index of their event. */
  #anchorAt = new Map<number, Anchor>();
  #begin = 0;
  #end = 0;
  #stalled = 0;
  #position = 0;

  constructor(events: readonly TraceEvent[], apply: ApplyEvent) {
    this.#events = events;
    this.#apply = apply;
  }

  /** Index of the next event. */
  get position(): number {
    return this.#position;
  }

  /** The recording ends here. */
  get atEnd(): boolean {
    return this.#position >= this.#events.length;
  }

  /** Index of the event that begins the current step. */
  get stepBegin(): number {
    return this.#begin;
  }

  /** Index of the event that ends the current step. */
  get stepEnd(): number {
    return this.#end;
  }

  /** Begin a step: what came before it has happened. */
  beginStep(step: RecordedStep): void {
    this.#runTo(step.begin);
    this.#begin = step.begin;
    this.#end = step.end;
    this.#anchors = step.items
      .filter((item) => ANCHOR_KINDS.includes(item.kind) && item.event < step.end)
      .map((item) => ({ item, done: false }));
    this.#anchorAt = new Map(this.#anchors.map((anchor) => [anchor.item.event, anchor]));
    this.#stalled = 0;
    this.#position = step.begin + 1;
    this.flow();
  }

  /** End the step: what the recording has up to its end has happened. */
  endStep(): void {
    this.#runTo(this.#end);
  }

  /**
   * The guest did `item`: find it in the recording, and let the host's events before it happen.
   * Exactly the same is looked for first, then the next anchor if it is at least of the same sort.
   */
  reach(item: Item): Anchor | undefined {
    const open = this.#anchors.filter((anchor) => !anchor.done);
    const same = open.filter(
      (anchor) => anchor.item.kind === item.kind && anchor.item.match === item.match,
    );
    const ahead = same.find((anchor) => anchor.item.event >= this.#position);
    const next = open.find((anchor) => anchor.item.event >= this.#position);
    const anchor =
      ahead ?? same[0] ?? (next !== undefined && alike(next.item, item) ? next : undefined);
    if (anchor === undefined) return undefined;
    anchor.done = true;
    this.#stalled = 0;
    if (anchor.item.event >= this.#position) this.#runTo(anchor.item.event + 1);
    return anchor;
  }

  /** Let everything happen that follows without a delay and without another anchor. */
  flow(): void {
    while (this.#position < this.#end && !this.#isDelay() && !this.#isBlocked()) this.#step();
  }

  /** The guest paused: one recorded delay passes, and what follows it happens. */
  pause(): void {
    this.flow();
    if (this.#position >= this.#end) return;
    if (this.#isBlocked()) {
      if (++this.#stalled <= STALL_PAUSES_MAX) return;
      // The guest does something else here: go on without this anchor
      this.#stalled = 0;
      this.#step();
      this.flow();
      return;
    }
    this.#step();
    this.flow();
  }

  /** Whether an anchor of the current step with the content of `item` is done already. */
  wasDone(item: Item): boolean {
    return this.#anchors.some((anchor) => anchor.done && anchor.item.match === item.match);
  }

  /** Time passes here: a delay, or a loop that the recorded driver would not have left. */
  #isDelay(): boolean {
    const { op } = this.#events[this.#position]!;
    return op === 'delay' || op === 'livelock';
  }

  #isBlocked(): boolean {
    return this.#anchorAt.get(this.#position)?.done === false;
  }

  #step(): void {
    const index = this.#position++;
    const left = this.#anchorAt.get(index)?.done === false;
    this.#apply(this.#events[index]!, index, left);
  }

  #runTo(index: number): void {
    while (this.#position < Math.min(index, this.#events.length)) this.#step();
  }
}

/** The same sort of thing about the same object: what a changed message or packet is found by. */
function alike(recorded: Item, item: Item): boolean {
  const same = recorded.kind === item.kind && recorded.label === item.label;
  return same && recorded.identity === item.identity;
}
