// SPDX-License-Identifier: GPL-2.0-or-later

/** When the guest of a replay is told to give up: where the recorded one was. */

import type { Anchor, Cancel } from './script-types.ts';

export class Cancelling {
  readonly #cancel: Cancel | undefined;
  /** The last action that is one of the recording's, and all of them. */
  #last: Anchor | undefined;
  readonly #done: ReadonlySet<Anchor>;
  /** What the guest has done since its last action, how often it has asked since; the answer. */
  #acts = 0;
  #asked = 0;
  #cancelled = false;

  constructor(cancel: Cancel | undefined, done: ReadonlySet<Anchor>) {
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

  /** The guest asks whether it shall give up. */
  asks(): boolean {
    const cancel = this.#cancel;
    this.#asked++;
    if (cancel === undefined || this.#cancelled) return this.#cancelled;
    const { after, acts, asked } = cancel;
    // A guest that has gone on in the meantime has not waited as long
    const there = after === undefined || this.#done.has(after);
    const goneOn = there && after !== undefined && this.#last !== after;
    const late = goneOn || this.#acts > acts;
    this.#cancelled = there && (late || (this.#acts === acts && this.#asked >= asked));
    return this.#cancelled;
  }
}
