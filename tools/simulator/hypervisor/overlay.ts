// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Overlay pages: pages of the hypervisor that hide a page of guest RAM while they are mapped (TLFS,
 * "Overlay Pages"). The guest works on the RAM buffer directly, so showing an overlay means putting
 * its contents into the buffer and keeping what was there; hiding it is the reverse. The contents
 * follow an overlay wherever it goes, also while it is mapped nowhere.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import type { HostEvents } from '../ledger/events.ts';
import type { Grant, GrantKind, GrantLedger } from '../ledger/grants.ts';
import { hex } from '../base/hex.ts';
import type { GuestRam } from '../base/guest-ram.ts';
import { sameBytes } from '../base/same-bytes.ts';
import type { Keeper } from '../base/snapshot.ts';

/** One overlay page. Made by {@link OverlayPages.create}. */
export interface OverlayPage {
  readonly kind: GrantKind;
  /** `message page of VP 0`. */
  readonly purpose: string;
  /** Virtual processor, for those that each processor has. */
  readonly vp: number | undefined;
  /** The guest may not write to it: what it stores there is gone when the page is hidden. */
  readonly readOnly: boolean;
  /** Guest physical address while it is mapped. */
  address: number | undefined;
  /** Its contents are those of guest RAM at `address`: not so outside RAM or under another one. */
  shown: boolean;
  /** The entry in the host's ledger while it hides guest RAM. */
  grant: Grant | undefined;
  /** Contents while it is not shown; of a read-only page always. */
  readonly own: Uint8Array;
  readonly ownView: DataView;
  /** Where its contents are now, and the offset of their first byte there. */
  bytes: Uint8Array;
  view: DataView;
  base: number;
}

/** A page of RAM with overlays on it, the topmost last. */
interface CoveredPage {
  readonly hidden: Uint8Array;
  readonly stack: OverlayPage[];
}

export class OverlayPages {
  readonly #ram: GuestRam;
  readonly #grants: GrantLedger;
  readonly #events: HostEvents;
  readonly #preserve: boolean;
  readonly #covered = new Map<number, CoveredPage>();
  readonly #all: OverlayPage[] = [];

  /** `preserve`: RAM comes back on unmapping (TLFS); else it stays overwritten (OpenVMM, KVM). */
  constructor(ram: GuestRam, grants: GrantLedger, events: HostEvents, preserve: boolean) {
    this.#ram = ram;
    this.#grants = grants;
    this.#events = events;
    this.#preserve = preserve;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#ram, this.#grants, this.#events, this.#covered, this.#all);
  }

  /** All overlay pages of the partition, mapped or not. */
  get all(): readonly OverlayPage[] {
    return this.#all;
  }

  /** A new page, all zero, mapped nowhere. */
  create(kind: GrantKind, purpose: string, vp?: number): OverlayPage {
    const readOnly = kind === 'hypercall-page' || kind === 'reference-tsc-page';
    const own = new Uint8Array(PAGE_SIZE);
    const ownView = new DataView(own.buffer);
    const page: OverlayPage = {
      kind,
      purpose,
      vp,
      readOnly,
      address: undefined,
      shown: false,
      grant: undefined,
      own,
      ownView,
      bytes: own,
      view: ownView,
      base: 0,
    };
    this.#all.push(page);
    return page;
  }

  /**
   * Map a page at `address` (page aligned), from wherever it was. Outside RAM it is mapped where
   * nobody sees it: no memory of the guest is shared then.
   *
   * @param by what maps it, in words
   * @param revokedWith what would unmap it, in words
   */
  map(page: OverlayPage, address: number, by: string, revokedWith: string): void {
    if (page.address === address) return;
    this.unmap(page, by);
    page.address = address;
    if (!this.#ram.has(address, PAGE_SIZE)) {
      this.#violation(`${by}: ${page.purpose} at ${hex(address)}, which is not RAM`);
      return;
    }

    // Hide what is there, be it RAM or another overlay
    let covered = this.#covered.get(address);
    if (covered === undefined) {
      covered = { hidden: this.#ram.contents.slice(address, address + PAGE_SIZE), stack: [] };
      this.#covered.set(address, covered);
    }
    const top = covered.stack.at(-1);
    if (top !== undefined) {
      this.#violation(`${by}: ${page.purpose} at ${hex(address)} covers ${top.purpose}`);
      this.#hide(top, address);
    }
    covered.stack.push(page);
    this.#show(page, address);
    page.grant = this.#grants.grant({
      kind: page.kind,
      purpose: page.purpose,
      access: 'write',
      pfns: [address / PAGE_SIZE],
      offset: 0,
      length: PAGE_SIZE,
      grantedBy: by,
      revokedWith,
      ...(page.vp === undefined ? {} : { vp: page.vp }),
    });
  }

  /** Unmap a page; nothing happens if it is mapped nowhere. */
  unmap(page: OverlayPage, by: string): void {
    const address = page.address;
    if (address === undefined) return;
    page.address = undefined;
    const covered = this.#covered.get(address);
    if (page.grant === undefined || covered === undefined) return;
    this.#grants.revoke(page.grant, by);
    page.grant = undefined;
    covered.stack.splice(covered.stack.indexOf(page), 1);
    if (!page.shown) return;

    // Bring back what it hid: an overlay below, or RAM
    this.#hide(page, address);
    const below = covered.stack.at(-1);
    if (below !== undefined) {
      this.#show(below, address);
      return;
    }
    if (this.#preserve) this.#ram.write(address, covered.hidden);
    this.#covered.delete(address);
  }

  /** Put the contents of a read-only page, changed in `own`, where the guest sees them. */
  refresh(page: OverlayPage): void {
    if (page.shown) page.bytes.set(page.own, page.base);
  }

  /** Unmap all and clear their contents, as a reset of the partition does. */
  reset(by: string): void {
    for (const page of this.#all) {
      this.unmap(page, by);
      page.own.fill(0);
    }
  }

  /** Guest RAM is another buffer now: the pages that are shown are where they were, in that. */
  retake(): void {
    const { bytes, view } = this.#ram.shown;
    for (const page of this.#all) if (page.shown) Object.assign(page, { bytes, view });
  }

  #show(page: OverlayPage, address: number): void {
    const { bytes, view } = this.#ram.open(address);
    bytes.set(page.own, address);
    page.shown = true;
    page.bytes = bytes;
    page.view = view;
    page.base = address;
  }

  #hide(page: OverlayPage, address: number): void {
    const contents = page.bytes.subarray(address, address + PAGE_SIZE);
    this.#ram.close(address);
    if (!page.readOnly) page.own.set(contents);
    else if (!sameBytes(contents, page.own)) {
      this.#violation(`the guest wrote to the ${page.purpose} at ${hex(address)}`);
    }
    page.shown = false;
    page.bytes = page.own;
    page.view = page.ownView;
    page.base = 0;
  }

  #violation(text: string): void {
    if (this.#events.on) this.#events.emit({ kind: 'violation', layer: 'hypervisor', text });
  }
}
