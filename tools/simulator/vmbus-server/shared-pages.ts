// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The pages that a connection shares with the host: the interrupt page of guests below 2.4 and the
 * two monitor pages. Each is a grant from INITIATE_CONTACT to the end of the connection.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import { MonitorPage, MonitorTrigger } from '../../../src/hyperv/protocol.ts';
import { InterruptPage } from '../../../src/vmbus/protocol.ts';
import type { Contact } from './contact.ts';
import type { ServerContext } from './context.ts';
import { GrantMemory } from './grant-memory.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Groups of 32 monitors. */
const MONITOR_GROUPS = 4;

/** What ends the sharing of these pages, in words. */
const REVOKED_WITH = 'UNLOAD';

export class SharedPages {
  readonly #context: ServerContext;
  #interrupt: GrantMemory | undefined;
  #monitorIn: GrantMemory | undefined;
  #monitorOut: GrantMemory | undefined;

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#interrupt, this.#monitorIn], (v) => ([this.#interrupt, this.#monitorIn] = v));
    keeper.put([this.#monitorOut], (v) => ([this.#monitorOut] = v));
    keeper.keep(this.#context);
  }

  /** Whether a page at `address` can be shared at all. */
  canMap(address: number): boolean {
    return address % PAGE_SIZE === 0 && this.#context.services.ram.has(address, PAGE_SIZE);
  }

  /** The same for a page that the host polls: it must not be polled for somebody else. */
  canPoll(address: number): boolean {
    const mine = this.monitorOut === address;
    return this.canMap(address) && (mine || !this.#context.state.monitorPages.has(address));
  }

  /** Whether all pages of a contact can be shared. */
  areValid({ interruptPage, monitorIn, monitorOut }: Contact): boolean {
    if (interruptPage !== 0 && !this.canMap(interruptPage)) return false;
    return this.areMonitors(monitorIn, monitorOut);
  }

  /** Whether these can be monitor pages: both or neither. */
  areMonitors(monitorIn: number, monitorOut: number): boolean {
    if (monitorIn === 0 && monitorOut === 0) return true;
    if (monitorIn === 0 || monitorOut === 0) return false;
    return this.canMap(monitorIn) && this.canPoll(monitorOut);
  }

  /** Guest physical addresses of what is mapped, for the inspection. */
  get interruptPage(): number | undefined {
    return address(this.#interrupt);
  }
  get monitorIn(): number | undefined {
    return address(this.#monitorIn);
  }
  get monitorOut(): number | undefined {
    return address(this.#monitorOut);
  }

  mapInterrupt(at: number): void {
    this.#interrupt = this.#map('interrupt-page', 'interrupt page', at, 'INITIATE_CONTACT');
  }

  mapMonitors(inAt: number, outAt: number, by: string): void {
    this.#monitorIn = this.#map('monitor-page', 'monitor page, parent to child', inAt, by);
    this.#monitorOut = this.#map('monitor-page', 'monitor page, child to parent', outAt, by);
    this.#context.state.monitorPages.add(outAt);
  }

  /** Other monitor pages, or none for addresses of 0. */
  moveMonitors(inAt: number, outAt: number, by: string): void {
    this.unmapMonitors(by);
    if (inAt !== 0) this.mapMonitors(inAt, outAt, by);
  }

  unmapMonitors(by: string): void {
    const { state, services } = this.#context;
    if (this.monitorOut !== undefined) state.monitorPages.delete(this.monitorOut);
    for (const page of [this.#monitorIn, this.#monitorOut])
      if (page !== undefined) services.grants.revoke(page.grant, by);
    this.#monitorIn = this.#monitorOut = undefined;
  }

  unmapAll(by: string): void {
    this.unmapMonitors(by);
    const { grants } = this.#context.services;
    if (this.#interrupt !== undefined) grants.revoke(this.#interrupt.grant, by);
    this.#interrupt = undefined;
  }

  /** Set the bit of a channel in the host to guest half of the interrupt page. */
  raise(channel: number): void {
    if (this.#interrupt === undefined) return;
    const at = InterruptPage.at.in + (channel >>> 5) * 4;
    this.#interrupt.setU32(at, (this.#interrupt.u32(at) | (1 << (channel & 31))) >>> 0);
  }

  /** Take all bits out of the guest to host half of the interrupt page. */
  takeInterrupts(found: (channel: number) => void): void {
    const page = this.#interrupt;
    if (page === undefined) return;
    const begin = InterruptPage.at.out;
    const end = begin + InterruptPage.sizes.out;
    for (let at = page.findWord(begin, end); at < end; at = page.findWord(at + 4, end))
      takeBits(page, at, (at - begin) * 8, found);
  }

  /** Whether any monitor is pending in the child to parent page. */
  get anyMonitor(): boolean {
    const page = this.#monitorOut;
    if (page === undefined) return false;
    for (let group = 0; group < MONITOR_GROUPS; group++) {
      const at = MonitorPage.at.trigger + group * MonitorTrigger.size + MonitorTrigger.at.pending;
      if (page.u32(at) !== 0) return true;
    }
    return false;
  }

  /** Take all pending monitors out of the child to parent monitor page. */
  takeMonitors(found: (monitor: number) => void): void {
    if (this.#monitorOut === undefined) return;
    for (let group = 0; group < MONITOR_GROUPS; group++) {
      const at = MonitorPage.at.trigger + group * MonitorTrigger.size + MonitorTrigger.at.pending;
      takeBits(this.#monitorOut, at, group * 32, found);
    }
  }

  #map(
    kind: 'interrupt-page' | 'monitor-page',
    purpose: string,
    at: number,
    by: string,
  ): GrantMemory {
    const { client, services } = this.#context;
    const { grants, ram } = services;
    const grant = grants.grant({
      kind,
      purpose: purpose + client.suffix,
      access: 'write',
      pfns: [at / PAGE_SIZE],
      offset: 0,
      length: PAGE_SIZE,
      grantedBy: by,
      revokedWith: REVOKED_WITH,
    });
    return new GrantMemory(ram, grant, 0, 1);
  }
}

function address(page: GrantMemory | undefined): number | undefined {
  return page === undefined ? undefined : page.grant.pfns[0]! * PAGE_SIZE;
}

/** Clear a word and report its bits, lowest first, numbered from `base`. */
function takeBits(page: GrantMemory, at: number, base: number, found: (bit: number) => void): void {
  let bits = page.u32(at);
  if (bits === 0) return;
  page.setU32(at, 0);
  while (bits !== 0) {
    const bit = 31 - Math.clz32(bits & -bits);
    found(base + bit);
    bits &= bits - 1;
  }
}
