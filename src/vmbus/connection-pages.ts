// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The pages that belong to a connection: the interrupt page (of use below 2.4 only) and the two
 * monitor pages. A connection may do without monitors: then every signal is an event.
 */

import { MonitorPage, MonitorTrigger } from '../hyperv/protocol.ts';
import type { Region, SharedMemory } from '../memory/shared-memory.ts';
import { InitiateContact, InterruptPage } from './protocol.ts';

export class ConnectionPages {
  readonly #pages: SharedMemory;
  readonly #monitors: boolean;
  #interrupts: Region | undefined;
  #monitorIn: Region | undefined;
  #monitorOut: Region | undefined;

  /** `monitors`: whether there are monitor pages; without them both addresses are 0. */
  constructor(pages: SharedMemory, monitors: boolean) {
    this.#pages = pages;
    this.#monitors = monitors;
  }

  /** @throws HypxeError OutOfMemory, with nothing allocated */
  allocate(): void {
    try {
      this.#interrupts = this.#pages.allocate('interrupt-page', InterruptPage.size);
      if (!this.#monitors) return;
      this.#monitorIn = this.#pages.allocate('monitor-in', MonitorPage.size);
      this.#monitorOut = this.#pages.allocate('monitor-out', MonitorPage.size);
    } catch (error) {
      this.free();
      throw error;
    }
  }

  /** Free the pages; what the host still has stays reserved. */
  free(): void {
    for (const page of this.#all()) this.#pages.free(page);
    this.#interrupts = this.#monitorIn = this.#monitorOut = undefined;
  }

  zero(): void {
    for (const page of this.#all()) this.#pages.memory.zero(page.address, page.length);
  }

  /** Write the addresses into an INITIATE_CONTACT; `interrupts`: whether it has that field. */
  describe(message: DataView, interrupts: boolean): void {
    if (interrupts) setAddress(message, InitiateContact.at.interruptPage, this.#interrupts);
    setAddress(message, InitiateContact.at.monitorIn, this.#monitorIn);
    setAddress(message, InitiateContact.at.monitorOut, this.#monitorOut);
  }

  /** The host is about to be told. */
  share(by: string, interrupts: boolean): void {
    for (const page of this.#all()) {
      if (page !== this.#interrupts || interrupts) this.#pages.share(page, by);
    }
  }

  /** The host has let go. */
  revoke(by: string): void {
    for (const page of this.#all()) this.#pages.revoke(page, by);
  }

  // --- signals ---

  /** Set a channel's bit among those of guest to host interrupts. */
  setInterrupt(channel: number): void {
    const { memory } = this.#pages;
    const address = this.#interruptAddress(channel);
    memory.set8(address, memory.u8(address) | (1 << (channel & 7)));
  }

  /** Take back a signal that nobody has read. */
  clearInterrupt(channel: number): void {
    if (this.#interrupts === undefined) return;
    const { memory } = this.#pages;
    const address = this.#interruptAddress(channel);
    memory.set8(address, memory.u8(address) & ~(1 << (channel & 7)));
  }

  /** Trigger a monitor. Returns false if there are none: an event must do. */
  trigger(monitor: number): boolean {
    if (this.#monitorOut === undefined) return false;
    const { memory } = this.#pages;
    const group = MonitorPage.at.trigger + MonitorTrigger.size * (monitor >>> 5);
    const address = this.#monitorOut.address + group + MonitorTrigger.at.pending;
    memory.set32(address, (memory.u32(address) | (1 << (monitor & 31))) >>> 0);
    return true;
  }

  #interruptAddress(channel: number): number {
    return this.#interrupts!.address + InterruptPage.at.out + (channel >>> 3);
  }

  #all(): Region[] {
    const pages = [this.#interrupts, this.#monitorIn, this.#monitorOut];
    return pages.filter((page) => page !== undefined);
  }
}

/** Store the address of a page, 0 for none. */
function setAddress(message: DataView, offset: number, page: Region | undefined): void {
  const address = page?.address ?? 0;
  message.setUint32(offset, address >>> 0, true);
  message.setUint32(offset + 4, Math.floor(address / 2 ** 32), true);
}
