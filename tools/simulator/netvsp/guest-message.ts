// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a guest sends lies in pieces: a section of its send buffer, then ranges of its pages. This
 * reads them as one run of bytes, each piece through the grant that allows it.
 */

import type { Grant, GrantLedger } from '../ledger/grants.ts';
import type { Keeper } from '../base/snapshot.ts';

export class GuestMessage {
  readonly #ledger: GrantLedger;
  readonly #grants: Grant[] = [];
  readonly #offsets: number[] = [];
  /** Where each piece ends in the message. */
  readonly #ends: number[] = [];
  #count = 0;
  /** Bytes of all pieces. */
  length = 0;

  constructor(ledger: GrantLedger) {
    this.#ledger = ledger;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#count, this.length], (v) => ([this.#count, this.length] = v));
    keeper.keep(this.#ledger, this.#grants, this.#offsets, this.#ends);
  }

  /** Forget the pieces. */
  clear(): void {
    this.#count = 0;
    this.length = 0;
  }

  /** Append `length` bytes from byte `at` of a grant. */
  add(grant: Grant, at: number, length: number): void {
    this.length += length;
    this.#grants[this.#count] = grant;
    this.#offsets[this.#count] = at;
    this.#ends[this.#count] = this.length;
    this.#count++;
  }

  /** Where the piece ends that holds byte `at`. */
  pieceEnd(at: number): number {
    for (let i = 0; i < this.#count; i++) if (at < this.#ends[i]!) return this.#ends[i]!;
    return this.length;
  }

  /** Copy out; the bytes must lie within the message. */
  read(at: number, into: Uint8Array, length: number): void {
    let done = 0;
    let begin = 0;
    for (let i = 0; i < this.#count && done < length; i++) {
      const end = this.#ends[i]!;
      const from = at + done;
      if (from < end) {
        const run = Math.min(length - done, end - from);
        this.#ledger.read(this.#grants[i]!, this.#offsets[i]! + from - begin, into, done, run);
        done += run;
      }
      begin = end;
    }
    if (done < length) throw new Error('read beyond the end of a message');
  }
}
