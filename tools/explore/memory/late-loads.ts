// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Loads of the guest that are made later than they stand in the program: on arm64 a store may
 * become visible before an older load is done. If that store gives back what is loaded (the index
 * of a ring, the type of a slot, the completion of a section), the load may find what the host has
 * written there since. A barrier in between forbids it (Linux hv_pkt_iter_close: "make sure all
 * reads are done before we update the read index").
 *
 * Nothing is changed here: the host acts between {@link LateLoads.begin} and {@link LateLoads.end},
 * and what it has written over is told if its load may still be on its way. What a guest decides by
 * (the header of the packet that it gives back, type and lengths of a message) is ordered by the
 * decision, and left out.
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../../../src/machine.ts';
import { SynicMessage } from '../../../src/hyperv/protocol.ts';
import { PacketHeader, RingControl } from '../../../src/vmbus/protocol.ts';
import type { Grant } from '../../simulator/ledger/grants.ts';

/** Bytes of indices at the beginning of a ring's control page. */
const INDICES = 16;

/** What the host lends, in the words of a finding. */
export type Lent = 'message' | 'packet' | 'section';

export class LateLoads {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** By page: what the host has there. */
  readonly #grants = new Map<number, Grant>();
  /** Bytes that were loaded since the last barrier. */
  readonly #loaded = new Set<number>();
  /** ... and may be given back: what each is, and what was there before the host acted. */
  readonly #lent = new Map<number, { readonly what: Lent; before: number }>();

  constructor(memory: ArrayBufferLike) {
    this.#bytes = new Uint8Array(memory);
    this.#view = new DataView(memory);
  }

  /** The host has something, or has it no more. */
  follow(change: 'grant' | 'revoke', grant: Grant): void {
    if (grant.kind !== 'gpadl' && grant.kind !== 'message-page') return;
    for (const pfn of grant.pfns) {
      if (change === 'grant') this.#grants.set(pfn, grant);
      else if (this.#grants.get(pfn) === grant) this.#grants.delete(pfn);
    }
    if (change === 'revoke') this.order();
  }

  /** A load. */
  load(address: number, length: number): void {
    const grant = this.#grants.get(address >>> PAGE_SHIFT);
    if (grant === undefined) return;
    // Until a GPADL has rings in it, it is a buffer: completing a packet gives a section of it back
    const isBuffer = grant.kind === 'gpadl' && grant.outPages === undefined;
    for (let i = address; i < address + length; i++) {
      if (isBuffer) this.#lend(i, 'section');
      else this.#loaded.add(i);
    }
  }

  /** A store is about to be made: it may give back what was loaded. */
  store(address: number): void {
    if (this.#loaded.size === 0) return;
    const page = address >>> PAGE_SHIFT;
    const grant = this.#grants.get(page);
    if (grant === undefined) return;
    if (grant.kind === 'message-page') {
      const slot = address - (address % SynicMessage.size);
      const data = slot + SynicMessage.at.data;
      for (const at of this.#loaded)
        if (at >= data && at < slot + SynicMessage.size) this.#lend(at, 'message');
      return;
    }
    const { outPages, pfns } = grant;
    if (outPages === undefined || pfns[outPages] !== page) return;
    if (address % PAGE_SIZE >= INDICES) return;
    const data = pfns.slice(outPages + 1);
    const mask = data.length * PAGE_SIZE - 1;
    const begin = this.#view.getUint32(page * PAGE_SIZE + RingControl.at.cons, true);
    for (const at of this.#loaded) {
      const index = data.indexOf(at >>> PAGE_SHIFT);
      if (index < 0) continue;
      const distance = (index * PAGE_SIZE + (at % PAGE_SIZE) - begin) & mask;
      if (distance >= PacketHeader.size) this.#lend(at, 'packet');
    }
  }

  /** A barrier, or an exit: all loads in front of it are done. */
  order(): void {
    this.#loaded.clear();
    this.#lent.clear();
  }

  /** The host is about to act. */
  begin(): void {
    for (const [at, each] of this.#lent) each.before = this.#bytes[at]!;
  }

  /** It has acted. Returns what of it was lent and is written over, if anything. */
  end(): readonly [what: Lent, address: number] | undefined {
    for (const [at, { what, before }] of this.#lent)
      if (this.#bytes[at] !== before) return [what, at];
    return undefined;
  }

  #lend(address: number, what: Lent): void {
    if (!this.#lent.has(address)) this.#lent.set(address, { what, before: 0 });
  }
}
