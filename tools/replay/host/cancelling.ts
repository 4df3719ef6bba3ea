// SPDX-License-Identifier: GPL-2.0-or-later

/** When the guest of a replay is told to give up: where the recorded one was. */

import type { Anchor, Cancel, HostEvent } from './script-types.ts';

export class Cancelling {
  readonly #cancel: Cancel | undefined;
  /** The last action that is one of the recording's, and all of them. */
  #last: Anchor | undefined;
  readonly #done: ReadonlySet<Anchor>;
  /** What the guest has done since its last action, how often it has asked since; the answer. */
  #acts = 0;
  #asked = 0;
  #cancelled = false;

  /** What the host has sent, and when, in ms. */
  readonly #came: ReadonlyMap<HostEvent, number>;

  constructor(
    cancel: Cancel | undefined,
    done: ReadonlySet<Anchor>,
    came: ReadonlyMap<HostEvent, number>,
  ) {
    this.#came = came;
    this.#cancel = cancel;
    this.#done = done;
  }

  /** The guest has done something that is no action of the script. */
  acted(): void {
    this.#acts++;
    this.#asked = 0;
  }

  /** It has done something that may be one. */
  reached(): void {
    this.#acts = this.#asked = 0;
  }

  /** It was this one. */
  found(anchor: Anchor): void {
    this.#last = anchor;
  }

  /**
   * Whether something that the recorded host did when its guest had been told has to wait: this one
   * has come as far, and is told at one of its next questions. A replay is to the millisecond, and
   * without this it would come one message further.
   */
  holds(index: number): boolean {
    const cancel = this.#cancel;
    if (cancel === undefined || this.#cancelled || index < cancel.index) return false;
    return this.#isThere(cancel) && !this.#hasGoneOn(cancel);
  }

  #isThere({ after }: Cancel): boolean {
    return after === undefined || this.#done.has(after);
  }

  /** A guest that has gone on in the meantime has not waited as long. */
  #hasGoneOn({ after }: Cancel): boolean {
    return after !== undefined && this.#last !== after;
  }

  /** The guest asks whether it shall give up. `time`: of the replay, in ms. */
  asks(time: number): boolean {
    const cancel = this.#cancel;
    this.#asked++;
    if (cancel === undefined || this.#cancelled) return this.#cancelled;
    const { acts, asked, last } = cancel;
    // Here an answer may come at once that the recorded guest has asked about several times
    const came = last && this.#came.get(last);
    const answered = came !== undefined && time - came >= cancel.time - last!.time;
    const late = this.#hasGoneOn(cancel) || this.#acts > acts;
    const now = late || (this.#acts === acts && (answered || this.#asked >= asked));
    this.#cancelled = this.#isThere(cancel) && now;
    return this.#cancelled;
  }
}
