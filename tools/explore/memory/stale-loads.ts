// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Loads of the guest that are made earlier than they stand in the program: on arm64 a load may be
 * done before an older one, so that it finds what was there before the host wrote, though the older
 * one finds what the host wrote. An acquire or a barrier in between forbids it. Twice the same
 * place never goes back in time, and what the guest has stored itself it finds.
 *
 * The host acts between {@link StaleLoads.begin} and {@link StaleLoads.end}. What announces
 * something (an index of a ring, the type of a message) is found as new as it is; whatever else the
 * host wrote there may be found as it was. As long as the guest has found nothing new, the host may
 * as well not have written yet: an acquire orders nothing then.
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../../../src/machine.ts';
import { SynicMessage } from '../../../src/hyperv/protocol.ts';
import type { GuestRam } from '../../simulator/base/guest-ram.ts';
import type { Grant } from '../../simulator/ledger/grants.ts';

/** Bytes of indices at the beginning of a ring's control page. */
const INDICES = 16;

/** Bytes of the type of a message. */
const TYPE_LENGTH = 4;

export class StaleLoads {
  readonly #ram: GuestRam;
  readonly #bytes: Uint8Array;
  /** What the host has, and what of it the guest looks for something new in. */
  readonly #grants = new Set<Grant>();
  /** By address: what a later load may still find. */
  readonly #old = new Map<number, number>();
  /** What is in memory in place of the truth, for one load. */
  readonly #shown: [address: number, truth: number][] = [];
  /** Something new was found since the host acted. */
  #seen = false;
  /** Pages that the host has written to since {@link begin}, as they were. */
  readonly #pages = new Map<number, Uint8Array>();

  constructor(ram: GuestRam) {
    this.#ram = ram;
    this.#bytes = new Uint8Array(ram.memory);
  }

  /** The host has a page, or rings; or has them no more. */
  follow(change: 'grant' | 'revoke', grant: Grant): void {
    if (grant.kind !== 'gpadl' && grant.kind !== 'message-page') return;
    if (change === 'grant') this.#grants.add(grant);
    else this.#grants.delete(grant);
  }

  /** The host is about to act. */
  begin(): void {
    this.#pages.clear();
    this.#ram.watch({
      writing: (page) => {
        if (this.#pages.has(page) || this.#contents(page) === undefined) return;
        const address = page * PAGE_SIZE;
        this.#pages.set(page, this.#bytes.slice(address, address + PAGE_SIZE));
      },
    });
  }

  /** It has acted: what it has written over may still be found. */
  end(): void {
    this.#ram.watch(undefined);
    for (const [page, before] of this.#pages) {
      const address = page * PAGE_SIZE;
      for (let i = 0; i < PAGE_SIZE; i++) {
        if (this.#bytes[address + i] === before[i] || this.#old.has(address + i)) continue;
        this.#old.set(address + i, before[i]!);
      }
    }
    this.#pages.clear();
  }

  /** A load: `early` if it may find what was there before. */
  load(address: number, length: number, early: boolean): void {
    if (this.#old.size === 0) return;
    for (let i = address; i < address + length; i++) {
      const before = this.#old.get(i);
      if (before === undefined) continue;
      if (!early || this.#announces(i)) {
        this.#old.delete(i);
        this.#seen = true;
      } else {
        this.#shown.push([i, this.#bytes[i]!]);
        this.#bytes[i] = before;
      }
    }
  }

  /** The guest has stored, or is about to: it finds that. */
  store(address: number, length: number): void {
    if (this.#old.size === 0) return;
    for (let i = address; i < address + length; i++) this.#old.delete(i);
  }

  /** The load is over. */
  restore(): void {
    for (const [address, truth] of this.#shown.splice(0)) this.#bytes[address] = truth;
  }

  /** An acquire or a barrier: nothing later is older than what was found before this. */
  order(): void {
    this.restore();
    if (this.#seen) this.forget();
  }

  /** An exit: nothing later is done before this. */
  forget(): void {
    this.restore();
    this.#old.clear();
    this.#seen = false;
  }

  /** Nobody looks any more. */
  stop(): void {
    this.forget();
    this.#ram.watch(undefined);
  }

  /** What the guest looks for in a page. A GPADL has rings in it only once a channel is open. */
  #contents(page: number): 'messages' | 'indices' | 'packets' | undefined {
    for (const { kind, outPages, pfns } of this.#grants) {
      if (kind === 'gpadl' && outPages === undefined) continue;
      const at = pfns.indexOf(page);
      if (at < 0) continue;
      if (kind === 'message-page') return 'messages';
      // Each ring: a control page, and the data
      return at === 0 || at === outPages ? 'indices' : 'packets';
    }
    return undefined;
  }

  /** Whether this byte says that something is there. */
  #announces(address: number): boolean {
    const what = this.#contents(address >>> PAGE_SHIFT);
    if (what === 'messages') {
      const at = (address % SynicMessage.size) - SynicMessage.at.type;
      return at >= 0 && at < TYPE_LENGTH;
    }
    return what === 'indices' && address % PAGE_SIZE < INDICES;
  }
}
