// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Transaction IDs of a channel (`vmbus_next_request_id`): from 1 on, the one that was given back
 * last first. Requests whose answer is awaited otherwise never give theirs back (netvsc.c).
 */

/** No ID is left. */
export const NO_REQUEST_ID = 0;

/** Upper and lower half of the ID of a message that wants no answer (VMBUS_RQST_ID_NO_RESPONSE). */
export const NO_RESPONSE_LOW = 0xfffffffd;
export const NO_RESPONSE_HIGH = 0xffffffff;

export class RequestIds {
  /** Of each free ID less one: the free one behind it. */
  readonly #next: Int32Array;
  #free = 0;
  /** What each request is about; NOTHING for IDs that are free. */
  readonly #about: Int32Array;

  /** Of no request. */
  static readonly NOTHING = -0x80000000;

  constructor(size: number) {
    this.#next = new Int32Array(size);
    for (let i = 0; i < size; i++) this.#next[i] = i + 1;
    this.#about = new Int32Array(size).fill(RequestIds.NOTHING);
  }

  /** An ID for a request about something, or {@link NO_REQUEST_ID}. */
  take(about: number): number {
    const index = this.#free;
    if (index === this.#next.length) return NO_REQUEST_ID;
    this.#free = this.#next[index]!;
    this.#about[index] = about;
    return index + 1;
  }

  /** What a request is about; NOTHING if there is none. */
  about(id: number): number {
    return this.#about[id - 1] ?? RequestIds.NOTHING;
  }

  /** Give an ID back. */
  give(id: number): void {
    this.#about[id - 1] = RequestIds.NOTHING;
    this.#next[id - 1] = this.#free;
    this.#free = id - 1;
  }
}
