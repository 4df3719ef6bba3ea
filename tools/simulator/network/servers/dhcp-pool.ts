// SPDX-License-Identifier: GPL-2.0-or-later

/** The addresses of a DHCP server and who has them. */

import type { Keeper } from '../../base/snapshot.ts';

/** What became of an address. */
interface Lease {
  readonly address: number;
  /** The MAC address that it belongs to; undefined: nobody's, or in use by a stranger. */
  client: number | undefined;
  /** `held`: offered; `bound`: acknowledged; `declined`: found in use by a stranger. */
  state: 'free' | 'held' | 'bound' | 'declined';
  /** Ticks. */
  expiresAt: number;
}

export class DhcpPool {
  readonly #first: number;
  readonly #size: number;
  /** By address: those that somebody was looked for to have. All others are free. */
  readonly #leases = new Map<number, Lease>();

  /** `size` addresses from `first` on. */
  constructor(first: number, size: number) {
    this.#first = first;
    this.#size = size;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#leases);
  }

  /**
   * An address for a client: the one that it has or had, else the one that it wishes if that is
   * free, else the first that nobody ever had, else the first that is free (RFC 2131, 4.3.1).
   * Undefined if there is none.
   */
  hold(client: number, wish: number | undefined, now: number, until: number): number | undefined {
    const isFree = (lease: Lease): boolean => lease.state === 'free' || lease.expiresAt <= now;
    const lease =
      this.#of(client) ??
      (wish === undefined ? undefined : this.#find(isFree, wish, 1)) ??
      this.#find((other) => other.client === undefined && isFree(other)) ??
      this.#find(isFree);
    if (lease === undefined) return undefined;
    lease.client = client;
    if (lease.state !== 'bound' || isFree(lease)) {
      lease.state = 'held';
      lease.expiresAt = until;
    }
    return lease.address;
  }

  /** The address that a client has or had, if it is still its own. */
  addressOf(client: number): number | undefined {
    return this.#of(client)?.address;
  }

  /** The client takes its address. */
  bind(client: number, until: number): void {
    const lease = this.#of(client);
    if (lease === undefined) return;
    lease.state = 'bound';
    lease.expiresAt = until;
  }

  /** The client gives its address back, or takes another server's: it is remembered as its own. */
  release(client: number): void {
    const lease = this.#of(client);
    if (lease !== undefined) lease.state = 'free';
  }

  /** The client found its address in use: nobody gets it before `until`. */
  decline(client: number, until: number): void {
    const lease = this.#of(client);
    if (lease === undefined) return;
    lease.client = undefined;
    lease.state = 'declined';
    lease.expiresAt = until;
  }

  #of(client: number): Lease | undefined {
    for (const lease of this.#leases.values()) if (lease.client === client) return lease;
    return undefined;
  }

  /** The first of `count` addresses from `from` on of which something holds. */
  #find(
    holds: (lease: Lease) => boolean,
    from = this.#first,
    count = this.#size,
  ): Lease | undefined {
    const end = Math.min(from + count, this.#first + this.#size);
    for (let address = Math.max(from, this.#first); address < end; address++) {
      const lease = this.#at(address);
      if (holds(lease)) return lease;
    }
    return undefined;
  }

  /** The lease of an address of the pool. */
  #at(address: number): Lease {
    let lease = this.#leases.get(address);
    if (lease === undefined) {
      lease = { address, client: undefined, state: 'free', expiresAt: 0 };
      this.#leases.set(address, lease);
    }
    return lease;
  }
}
