// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The host's ledger: everything of the guest's memory that the host may touch, because the guest
 * said so. Each host access to guest memory, whatever device makes it, goes through a grant; the
 * audit reads this ledger and not the firmware's.
 */

import { PAGE_SIZE } from '../../src/machine.ts';
import type { GuestRam } from './guest-ram.ts';

/** What kind of sharing a grant is. The audit's items are by kind. */
export type GrantKind =
  | 'hypercall-page'
  | 'message-page'
  | 'event-page'
  | 'reference-tsc-page'
  | 'vp-assist-page'
  | 'interrupt-page'
  | 'monitor-page'
  | 'gpadl'
  | 'packet';

/** A piece of guest memory that the host may touch until it is revoked. */
export interface Grant {
  /** Running number in the order of granting. */
  readonly id: number;
  readonly kind: GrantKind;
  /** What it is for, in words: `message page of VP 0`, `receive buffer (GPADL 0x18ae0001)`. */
  purpose: string;
  /** Whether the host writes, or only reads. */
  readonly access: 'read' | 'write';
  /** Page numbers in order; they need not be contiguous. */
  readonly pfns: readonly number[];
  /** Offset of the first byte in the first page, and length in bytes. */
  readonly offset: number;
  readonly length: number;
  /** When it was granted, in ticks, and by what. */
  readonly grantedAt: number;
  readonly grantedBy: string;
  /** What would have revoked it, in words. */
  readonly revokedWith: string;
  /** When it was revoked, and by what; undefined while it lives. */
  revokedAt: number | undefined;
  revokedBy: string | undefined;
  /** Virtual processor or channel or GPADL that it belongs to, where there is one. */
  readonly vp?: number;
  readonly channel?: number;
  readonly gpadl?: number;
}

/** What a new grant needs; see {@link Grant}. */
export type GrantRequest = Pick<
  Grant,
  'kind' | 'purpose' | 'access' | 'pfns' | 'offset' | 'length' | 'grantedBy' | 'revokedWith'
> & { readonly vp?: number; readonly channel?: number; readonly gpadl?: number };

/** A reader of the ledger's changes. */
export type GrantListener = (change: 'grant' | 'revoke', grant: Grant) => void;

export class GrantLedger {
  /** All grants ever made, in order. Packets in flight are counted, not kept, once revoked. */
  readonly #live = new Map<number, Grant>();
  readonly #history: Grant[] = [];
  readonly #ram: GuestRam;
  readonly #now: () => number;
  #next = 1;
  listener: GrantListener | undefined;

  constructor(ram: GuestRam, now: () => number) {
    this.#ram = ram;
    this.#now = now;
  }

  /** Enter a grant. */
  grant(request: GrantRequest): Grant {
    const grant: Grant = {
      ...request,
      id: this.#next++,
      grantedAt: this.#now(),
      revokedAt: undefined,
      revokedBy: undefined,
    };
    this.#live.set(grant.id, grant);
    if (grant.kind !== 'packet') this.#history.push(grant);
    this.listener?.('grant', grant);
    return grant;
  }

  /** Strike a grant out. Twice is a mistake in the simulator. */
  revoke(grant: Grant, by: string): void {
    if (!this.#live.delete(grant.id)) throw new Error(`grant ${grant.id} is not alive`);
    grant.revokedAt = this.#now();
    grant.revokedBy = by;
    this.listener?.('revoke', grant);
  }

  /** The grants that live, in order of granting. */
  live(): Grant[] {
    return [...this.#live.values()];
  }

  /** All grants but packets, revoked or not, in order of granting. */
  history(): readonly Grant[] {
    return this.#history;
  }

  /**
   * Write to granted memory, as a host device does.
   *
   * @throws Error if the grant is revoked, read-only or too short: a mistake in the simulator,
   * which must never write where the guest did not allow it.
   */
  write(grant: Grant, at: number, bytes: Uint8Array, from = 0, length = bytes.length): void {
    this.#check(grant, at, length);
    if (grant.access !== 'write')
      throw new Error(`grant ${grant.id} (${grant.purpose}) is read-only`);
    let done = 0;
    while (done < length) {
      const address = this.address(grant, at + done);
      const run = Math.min(length - done, PAGE_SIZE - (address % PAGE_SIZE));
      this.#ram.bytes.set(bytes.subarray(from + done, from + done + run), address);
      done += run;
    }
  }

  /** Copy granted memory out. @throws Error as {@link write}. */
  read(grant: Grant, at: number, into: Uint8Array, to = 0, length = into.length): void {
    this.#check(grant, at, length);
    let done = 0;
    while (done < length) {
      const address = this.address(grant, at + done);
      const run = Math.min(length - done, PAGE_SIZE - (address % PAGE_SIZE));
      into.set(this.#ram.bytes.subarray(address, address + run), to + done);
      done += run;
    }
  }

  /** Guest physical address of byte `at` of a grant. */
  address(grant: Grant, at: number): number {
    const position = grant.offset + at;
    return grant.pfns[Math.floor(position / PAGE_SIZE)]! * PAGE_SIZE + (position % PAGE_SIZE);
  }

  #check(grant: Grant, at: number, length: number): void {
    if (grant.revokedAt !== undefined) {
      throw new Error(`grant ${grant.id} (${grant.purpose}) was revoked by ${grant.revokedBy}`);
    }
    if (at < 0 || length < 0 || at + length > grant.length) {
      throw new Error(`access outside grant ${grant.id} (${grant.purpose})`);
    }
  }
}
